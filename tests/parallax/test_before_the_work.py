"""What a command line finds out before it computes anything: what is assumed of a model, and where it may write."""

import json

import pytest
import torch

from models.loaders import zoo
from models.store import ModelStore
from parallax.sources import open_models

NET = "cifar/resnet20"


@pytest.fixture
def checkpoint(tmp_path):
    torch.manual_seed(0)
    torch.save(zoo.build(NET, {"num_classes": 4})[0].state_dict(), tmp_path / "net.pth.tar")
    return tmp_path / "net.pth.tar"


@pytest.fixture
def no_work(monkeypatch):
    """Nobody may come as far as opening models."""

    def refuse(*_args, **_options):
        raise AssertionError("it has begun to work")

    monkeypatch.setattr("parallax.sources.open_models", refuse)


COMMANDS = {
    "score": ("score", "--models", "demo/vgg", "--images", "demo"),
    "trust": ("trust", "--models", "demo/vgg", "--images", "demo"),
    "explain": ("explain", "--models", "demo/vgg", "--images", "demo", "--methods", "saliency"),
    "maxout": ("maxout", "--models", "demo/vgg"),
    "layers": ("layers", "--models", "demo/vgg", "--images", "demo"),
    "contrast": ("contrast", "--models", "digits/lenet", "--images", "digits"),
}


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("name", COMMANDS)
def test_an_out_that_cannot_be_written_is_one_line_before_the_work(run, tmp_path, name):
    (tmp_path / "file").write_text("no folder")
    ran = run(*COMMANDS[name], "--out", tmp_path / "file" / "out")
    assert (ran.status, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert "to write" in ran.err
    assert "Not a directory" in ran.err


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("name", ["score", "trust"])
def test_an_out_that_is_a_folder_where_a_file_is_wanted_is_told(run, tmp_path, name):
    ran = run(*COMMANDS[name], "--out", tmp_path)
    assert (ran.status, ran.err.count("\n")) == (2, 1)
    assert "which is a folder" in ran.err


def test_what_is_assumed_of_a_checkpoint_is_printed_by_every_command(run, checkpoint):
    ran = run("list", "classes", "--models", f"{checkpoint}@{NET}")
    assert "net: 32 × 32 px RGB: both sides to 32 × 32, bilinear · pixels 0 to 1, mean 0.485" in ran.err
    assert "Preprocessing assumed: that of cifar/resnet20." in ran.err
    assert "resnet20 (random): 32 × 32 px RGB" in run("applies", "--models", f"{NET}?random").err
    assert run("applies", "--models", "demo/vgg").err == ""


def test_all_of_the_preprocessing_can_be_given_on_the_command_line(checkpoint, capsys):
    sizes, values = "input_size=48,40&resize=56&mode=border&interpolation=nearest", "mean=124,116,104&std=58&range=255"
    (card,) = open_models(ModelStore(), f"{checkpoint}@{NET}?{sizes}&{values}")
    seen = card.preprocessing
    assert (seen.input_size, seen.resize, seen.mode, seen.interpolation) == ((48, 40), (56, 56), "border", "nearest")
    assert seen.mean == pytest.approx((124 / 255, 116 / 255, 104 / 255))
    assert seen.std == pytest.approx((58 / 255,) * 3)
    said = capsys.readouterr().err
    assert "40 × 48 px RGB: whole image within 56 × 56, padded" in said
    assert "assumed" not in said


def test_some_of_it_given_leaves_the_rest_assumed_by_name(checkpoint, capsys):
    open_models(ModelStore(), f"{checkpoint}@{NET}?mean=0.5&std=0.5")
    said = capsys.readouterr().err
    assert "mean 0.5, 0.5, 0.5, std 0.5, 0.5, 0.5" in said
    assert "Of the preprocessing, input_size, resize, mode, interpolation assumed" in said


def test_a_configuration_holds_for_every_library(checkpoint, tmp_path, capsys):
    config = {"architecture": "resnet20", "mean": [0.1, 0.2, 0.3], "input_size": [3, 40, 40], "crop_pct": 0.8}
    config |= {"label_names": ["ant", "bee", "cat", "dog"]}
    (tmp_path / "net.json").write_text(json.dumps(config))
    (card,) = open_models(ModelStore(), f"{checkpoint}@{tmp_path / 'net.json'}")
    assert (card.preprocessing.mean, card.preprocessing.resize) == ((0.1, 0.2, 0.3), (50, 50))
    assert card.class_names == ("ant", "bee", "cat", "dog")
    assert "std, mode, interpolation assumed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("query", "part"),
    [
        ("mean=124,116,104&std=58,57,57", "range=255"),
        ("range=255", "with the mean and std that belong to it"),
        ("mean=0.5,0.5&std=0.5", "3 channels, got 2 values"),
        ("mean=grey&std=0.5", "Write numbers"),
        ("interpolation=cubic", "Did you mean bicubic?"),
    ],
)
def test_preprocessing_that_cannot_be_is_one_line(run, checkpoint, query, part):
    ran = run("list", "classes", "--models", f"{checkpoint}@{NET}?{query}")
    assert (ran.status, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert part in ran.err


def test_imagenets_names_are_assumed_aloud(tmp_path, capsys):
    torch.save(zoo.build(NET, {"num_classes": 1000})[0].state_dict(), tmp_path / "net.pt")
    text = f"{tmp_path / 'net.pt'}@{NET}"
    open_models(ModelStore(), text)
    assert "ImageNet names assumed" in capsys.readouterr().err
    (tmp_path / "names.txt").write_text("\n".join(f"thing {number}" for number in range(1000)))
    open_models(ModelStore(), text, class_names=tmp_path / "names.txt")
    assert "ImageNet" not in capsys.readouterr().err
