"""Files with an architecture's older names, or those of the repository that it came from, are read."""

import re

import pytest
import timm
import torch

from models.loaders import checkpoint, zoo
from models.loaders.renaming import converted, modern

TINY = {"depths": [1, 1, 1, 1], "dims": [8, 16, 24, 32], "num_classes": 3}


@pytest.mark.parametrize(
    ("architecture", "old", "new"),
    [
        ("torchvision/densenet121", r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2."),
        ("torchvision/vit_b_16", r"\.mlp\.0\.", ".mlp.linear_1."),
        ("torchvision/vit_b_16", r"\.mlp\.3\.", ".mlp.linear_2."),
    ],
)
def test_torchvisions_own_files_have_older_names(architecture, old, new):
    own = zoo.skeleton(architecture, {})[0].state_dict()
    in_file = {re.sub(old, new, key): value for key, value in own.items()}
    assert in_file.keys() != own.keys()
    assert modern(in_file).keys() == own.keys()


def test_names_of_today_stay():
    own = zoo.skeleton("timm/resnet10t", {})[0].state_dict()
    assert modern(own).keys() == own.keys()


def original(key):
    """A name of timm's ConvNeXt as the paper's repository has it."""
    for new, old in (
        (r"^stem\.", "downsample_layers.0."), (r"^stages\.(\d)\.downsample\.", r"downsample_layers.\1."),
        (r"^stages\.(\d)\.blocks\.", r"stages.\1."), ("conv_dw", "dwconv"), (r"mlp\.fc", "pwconv"),
        (r"^head\.fc", "head"), (r"^head\.norm", "norm"),
    ):  # fmt: skip
        key = re.sub(new, old, key)
    return key


@pytest.mark.parametrize("wrap", [lambda state: state, lambda state: {"model": state, "epoch": 3}])
def test_a_convnext_of_the_papers_repository_is_converted(tmp_path, wrap):
    torch.manual_seed(0)
    net = timm.create_model("convnext_atto", **TINY)
    torch.save(wrap({original(key): value for key, value in net.state_dict().items()}), tmp_path / "net.pth")
    loaded = checkpoint.load(str(tmp_path / "net.pth"), "timm/convnext_atto", create=TINY)
    images = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(loaded.module.eval()(images), net.eval()(images))
    assert "timm converted them" in " ".join(loaded.notes)


def test_a_deit_of_the_papers_repository_needs_no_conversion():
    plain = zoo.skeleton("timm/deit_tiny_patch16_224", {})[0]
    assert converted(plain.state_dict(), plain)[1] == ()


def test_weights_that_timm_cannot_convert_stay():
    plain = zoo.skeleton("timm/convnext_atto", {})[0]
    foreign = {"conv.weight": torch.zeros(3, 3)}
    assert converted(foreign, plain) == (foreign, ())
