"""What would take the memory or the time of a server is refused by its claim."""

import json
import time

import numpy as np
import pytest
import torch
from psutil import Process
from torch import nn

from models.budget import check_activations
from models.loaders import checkpoint, read, zoo
from models.loaders.arguments import checked, from_query, parse_arguments
from models.preprocessing import Preprocessing
from tests.makers import one_line

PLAIN = Preprocessing((224, 224), (0.5,) * 3, (0.5,) * 3, (256, 256))


@pytest.mark.parametrize(
    ("architecture", "create"),
    [
        ("timm/resnet18", {"num_classes": 2_000_000}),
        ("timm/resnet18", {"num_classes": 10**400}),
        ("timm/vit_tiny_patch16_224", {"embed_dim": 100_000}),
        ("timm/vit_tiny_patch16_224", {"embed_dim": 12_000}),
        ("timm/vit_tiny_patch16_224", {"depth": 10_000_000}),
        ("timm/vit_tiny_patch16_224", {"depth": 16_000, "embed_dim": 6}),
        ("timm/vit_tiny_patch16_224", {"img_size": 100_000}),
        ("timm/vit_tiny_patch16_224", {"img_size": [64, 10**9]}),
        ("timm/mobilenetv2_100", {"channel_multiplier": 1000.0}),
        ("timm/mobilenetv2_100", {"channel_multiplier": float("inf")}),
        ("timm/mobilenetv2_100", {"drop_rate": float("nan")}),
        ("torchvision/mobilenet_v2", {"width_mult": 1000}),
        ("torchvision/resnet18", {"width_per_group": 10_000}),
        ("torchvision/vit_b_16", {"image_size": 160_000}),
        ("cifar/resnet20", {"num_classes": 100_001}),
        ("timm/resnet18", {"pretrained_cfg_overlay": {"num_classes": 2_000_000}}),
        ("timm/resnet18", {"pretrained_cfg_overlay": {"input_size": [3, 10**6, 10**6]}}),
        ("timm/resnet18", {"pretrained_cfg_overlay": {"crop_pct": 1e-9}}),
        ("timm/resnet18", {"layers": [16_000] * 4}),
        ("timm/resnet18", {"layers": [[[1]] * 100] * 200}),
        ("timm/resnet18", {"act_layer": "relu" * 1000}),
        ("timm/resnet18", {"x" * 1000: 1}),
    ],
)
def test_a_model_beyond_the_bounds_is_refused_before_it_is_made(architecture, create, monkeypatch):
    monkeypatch.setattr(zoo, "_MOST_SECONDS", 0.5)
    before, began = Process().memory_info().rss, time.thread_time()
    with one_line():
        zoo.load(architecture, create=create)
    assert Process().memory_info().rss < before + 200e6
    assert time.thread_time() - began < 4


def test_a_family_that_cannot_be_made_without_content_is_bounded_too(monkeypatch):
    """Some compute with numbers while they are made: then each tensor is asked for before it is."""

    def build(name, create):
        float(torch.ones(1))  # which no tensor of the meta device has
        return nn.Linear(100_000, 100_000), PLAIN

    monkeypatch.setattr(zoo.cifar, "build", build)
    with one_line("4 GB", "40.0 GB"):
        zoo.load("cifar/resnet20")


@pytest.mark.parametrize(
    ("size", "large"), [((2, 3, 16, 16), False), ((2, 3, 600, 600), False), ((2, 3, 2048, 2048), True)]
)
def test_what_an_input_would_make_of_a_model_is_asked_without_computing(size, large):
    module = nn.Sequential(nn.Conv2d(3, 64, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 2))
    probe = torch.zeros(1).expand(size)
    if large:
        with one_line("the net with 2,147 MB at 2048 × 2048 pixels"):
            check_activations(module, probe, "the net")
    else:
        check_activations(module, probe, "the net")


@pytest.mark.parametrize("name", ["input_size", "resize"])
@pytest.mark.parametrize("sides", [10**9, 10**400, [224, 10**6], [0, 5], [-1, 5], [1e3, 5], "x", [True, "a"]])
def test_sides_are_bounded_wherever_they_are_written(name, sides):
    with one_line():
        PLAIN.changed({name: sides})
    if name == "input_size" and sides not in ("x", [1e3, 5]):
        with one_line():
            config = {"architecture": "timm/resnet18", "input_size": [3, *sides] if isinstance(sides, list) else sides}
            zoo.load(**checkpoint.read_config(json.dumps(config)))


def test_a_strip_that_would_be_enlarged_beyond_bounds_is_not():
    strip = np.zeros((20, 2000, 3), dtype=np.uint8)
    assert PLAIN.crop(strip).shape == (224, 224, 3)
    with one_line("megapixels"):
        PLAIN.changed({"resize": 2048}).crop(strip)


@pytest.mark.parametrize(
    "text",
    [
        "a=" + "(" * 500_000,
        "a=1," * 300_000,
        "," * 1_000_000,
        "{" * 5_000,
        '{"a":' * 200 + "1" + "}" * 200,
        "a=" + "[" * 4_000,
        "a=" + "1" * 5_000,
        '{"a": ' + "1" * 5_000 + "}",
        "a={'b': " * 100,
        "a=" + "-" * 9_000 + "1",
        "=",
        "a",
        "a=b=c",
    ],
)
def test_text_of_creation_arguments_is_read_at_once_or_refused_in_a_line(text):
    began = time.monotonic()
    with one_line():
        checked(parse_arguments(text))
    with one_line():
        read("timm/resnet18?random&" + text.replace(",", "&"))
    assert time.monotonic() - began < 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pad_type=same, num_classes=10", {"pad_type": "same", "num_classes": 10}),
        ("mean=0.5, 0.4, 0.3\nstd=1", {"mean": [0.5, 0.4, 0.3], "std": 1}),
        ("layers=(2, (1, 1)), act_layer='relu'", {"layers": [2, [1, 1]], "act_layer": "relu"}),
        ("a=[None, True, 'x,y'], b=none", {"a": [None, True, "x,y"], "b": None}),
        ('{"a": {"b": [1, 2]}}', {"a": {"b": [1, 2]}}),
        ("a={1, 2}, b=1_0, c=3j", {"a": "{1, 2}", "b": 10, "c": "3j"}),
    ],
)
def test_creation_arguments_are_read_as_before(text, expected):
    assert parse_arguments(text) == expected
    assert from_query(f"x?{'&'.join(f'{key}={value}' for key, value in [('a', '(1,2)')])}") == ("x", {"a": [1, 2]})


def test_the_largest_that_are_allowed_are_made():
    assert checked({"num_classes": 100_000, "img_size": 2048, "depth": 24})["depth"] == 24


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"architecture": "timm/resnet18", "model_args": ' + '{"a":' * 40 + "1" + "}" * 41,
        '{"architecture": "cifar/resnet20", "input_size": "wide", "crop_pct": 0.5}',
        '{"architecture": "cifar/resnet20", "input_size": [3, 32, 32], "crop_pct": NaN}',
        '{"architecture": "cifar/resnet20", "input_size": [3, 32, 32], "crop_pct": {"a": 1}}',
        '{"architecture": "cifar/resnet20", "label_names": ["' + "x" * 1000 + '"]}',
        '{"architecture": "cifar/resnet20", "num_classes": ' + "9" * 5000 + "}",
    ],
)
def test_a_configuration_is_read_or_refused_in_a_line(text):
    with one_line():
        checkpoint.read_config(text)
