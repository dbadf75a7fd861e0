import json

import pytest
import timm
import torch

from models.loaders import checkpoint
from models.loaders.checkpoint import read_config
from tests.makers import one_line


def test_the_hubs_configuration_fills_the_fields(tmp_path):
    config = {
        "architecture": "resnet18",
        "num_classes": 6,
        "num_features": 512,
        "model_args": {"output_stride": 16},
        "pretrained_cfg": {
            "tag": "a1_in1k",
            "input_size": [3, 64, 64],
            "interpolation": "bicubic",
            "crop_pct": 1.0,
            "crop_mode": "squash",
            "mean": [0.1, 0.2, 0.3],
            "std": [0.5, 0.6, 0.7],
            "url": "https://example.org/weights",
            "classifier": "fc",
        },
    }
    fields = read_config(json.dumps(config))
    assert fields["architecture"] == "timm/resnet18"
    assert fields["create"]["output_stride"] == 16
    state = timm.create_model("resnet18", num_classes=6, output_stride=16).state_dict()
    torch.save(state, tmp_path / "model.pt")
    loaded = checkpoint.load(str(tmp_path / "model.pt"), **fields)
    seen = loaded.preprocessing
    assert (seen.input_size, seen.resize, seen.mode, seen.interpolation) == ((64, 64), (64, 64), "squash", "bicubic")
    assert (seen.mean, seen.std) == ((0.1, 0.2, 0.3), (0.5, 0.6, 0.7))


def test_a_plain_configuration_fills_the_fields():
    config = {
        "architecture": "mobilenetv2_100",
        "create_model_kwargs": {"pretrained": False, "pad_type": "same"},
        "num_classes": 10,
        "input_size": [3, 96, 96],
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
    }
    fields = read_config(json.dumps(config))
    assert fields["create"].pop("pretrained_cfg_overlay") == {
        "input_size": [3, 96, 96],
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
    }
    assert fields == {"architecture": "timm/mobilenetv2_100", "create": {"pad_type": "same", "num_classes": 10}}
    overlay = {**config, "create_model_kwargs": {"pretrained_cfg_overlay": {"mean": [0, 0, 0]}}}
    assert read_config(json.dumps(overlay))["create"]["pretrained_cfg_overlay"] == {"mean": [0, 0, 0]}


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("resnet18", "timm/resnet18"),
        ("resnet18.a1_in1k", "timm/resnet18.a1_in1k"),
        ("resnet20", "cifar/resnet20"),
        ("googlenet", "torchvision/googlenet"),
        ("torchvision/resnet18", "torchvision/resnet18"),
        ("unheard_of", "timm/unheard_of"),
    ],
)
def test_a_bare_name_gets_its_library(name, full):
    fields = read_config(json.dumps({"architecture": name, "mean": [0.5, 0.5, 0.5]}))
    assert fields["architecture"] == full
    assert ("pretrained_cfg_overlay" in fields["create"]) == full.startswith("timm/")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"architecture": 3}', '{"model_type": "bert", "layers": 12}', "7"]
)
def test_what_is_no_configuration_is_an_error_of_one_line(text):
    with one_line("a model's configuration", 'A timm config.json has "architecture"'):
        read_config(text)


@pytest.mark.parametrize("kind", ["vit", "convnextv2", "mobilenet_v2"])
def test_a_configuration_of_transformers_is_named_with_the_cure(kind):
    config = {"architectures": ["SomethingForImageClassification"], "model_type": kind, "id2label": {"0": "cat"}}
    with one_line(f"a Hugging Face transformers model ({kind})", "from timm"):
        read_config(json.dumps(config))
