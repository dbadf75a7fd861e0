"""Which configuration belongs to which weights: by their names, and no other way."""

import pytest

from models.loaders.pairing import pair
from tests.makers import one_line


@pytest.mark.parametrize(
    ("weights", "others", "pairs"),
    [
        (["a.pt", "b.pt"], ["b.json", "a.json"], {"a.pt": "a.json", "b.pt": "b.json"}),
        (["n.pth.tar", "n2.ckpt"], ["n.json", "n2.json"], {"n.pth.tar": "n.json", "n2.ckpt": "n2.json"}),
        (["resnet20-12fca82f.th"], ["resnet20.json", "resnet2.json"], {"resnet20-12fca82f.th": "resnet20.json"}),
        (["resnet_a.pt", "resnet_b.pt"], ["resnet.json", "resnet_b.json"],
         {"resnet_a.pt": "resnet.json", "resnet_b.pt": "resnet_b.json"}),
        (["vit.safetensors"], ["vit_config.json", "swin.json"], {"vit.safetensors": "vit_config.json"}),
        (["A.PT"], ["a.json", "b.json"], {"A.PT": "a.json"}),
        (["a.pt", "b.pt"], ["a.json", "c.json"], {"a.pt": "a.json"}),
        (["a.pt", "b.pt"], ["a.json"], {"a.pt": "a.json"}),
        (["x.pt", "y.pt"], ["config.json"], {"x.pt": "config.json", "y.pt": "config.json"}),
        (["a.pt"], [], {}),
    ],
)  # fmt: skip
def test_files_are_paired_by_their_names(weights, others, pairs):
    assert pair(weights, dict.fromkeys(others, "")) == pairs


def test_the_weights_that_a_configuration_names_count_more_than_its_own_name():
    assert pair(["a.pt", "b.pt"], {"a.json": "runs/b.pt", "b.json": "a.pt"}) == {"a.pt": "b.json", "b.pt": "a.json"}


def test_two_that_belong_equally_well_are_asked_about():
    with one_line("one file that belongs to net.pt", "net.a.json and net.b.json", "Give it the name"):
        pair(["net.pt"], {"net.a.json": "", "net.b.json": ""})


def test_weights_of_one_name_cannot_be_told_apart():
    with one_line("model.bin twice", "Rename one"):
        pair(["model.bin", "model.bin"], {"config.json": "", "config2.json": ""})
