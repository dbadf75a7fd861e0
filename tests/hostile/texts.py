"""Hostile texts: JSON, creation arguments, addresses, settings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from tests.hostile.cases import Case, mutations

#: JSON that no reader likes.
_JSON = (
    "[" * 200_000,
    '{"a":' * 200_000,
    "[" * 900 + "]" * 900,
    "[" * 40 + "]" * 40,
    "1" * 100_000,
    "-",
    "NaN",
    "Infinity",
    '"\\ud800"',
    '"' + "x" * 5_000_000,
    "{" + ",".join(f'"{n}":{n}' for n in range(200_000)) + "}",
    "[" + "1," * 2_000_000 + "1]",
    "{}",
    "[]",
    "null",
    "true",
    '{"a":1,"a":2}',
    "[1e999]",
    "[" + "9" * 5000 + "]",
    "{'a': 1}",
    "[" + "(" * 150 + ")" * 150 + "]",
    "[" + "-" * 50_000 + "1]",
    "[0x" + "f" * 100_000 + "]",
    "['\\d']",
    "[b'x']",
    "[...]",
    "[1+2j]",
    "[__import__('os').system('touch ran')]",
    "{[]: 1}",
    "[" + "'a' " * 50_000 + "]",
    "\x00",
    "\ufeff[1]",
    "[" + "1+" * 20_000 + "1]",
    "{" + "'a':{" * 95 + "}" * 96,
)


def json_files(random: np.random.Generator) -> Iterator[Case]:
    """The same texts at every door that reads JSON, and configurations with one field made wrong."""
    for text in _JSON:
        for door in ("config", "class_names", "history", "arguments"):
            yield Case(door, f"JSON that begins with {text[:20]!r}", text.encode("utf-8", "surrogatepass"), ".json")
    honest: dict[str, Any] = {
        "architecture": "timm/test_vit",
        "num_classes": 3,
        "input_size": [3, 32, 32],
        "mean": [0.5] * 3,
        "std": [0.5] * 3,
        "crop_pct": 0.9,
        "crop_mode": "center",
        "interpolation": "bicubic",
        "label_names": ["a", "b", "c"],
        "model_args": {"img_size": 32},
        "pretrained_cfg": {},
    }
    wrong: tuple[Any, ...] = (
        None,
        [],
        {},
        "",
        "x" * 100_000,
        -1,
        0,
        10**9,
        10**30,
        1e308,
        float("nan"),
        float("inf"),
        [10**9] * 3,
        [[1]],
        {"a": {}},
        True,
        "../x",
    )
    for number, field in enumerate(honest):
        for value in wrong[number % 3 :: 2]:
            yield Case("config", f"{field}: {str(value)[:20]}", json.dumps({**honest, field: value}).encode(), ".json")
    for field in (
        "url",
        "file",
        "hf_hub_id",
        "custom_load",
        "state_dict",
        "input_size",
        "num_classes",
        "first_conv",
        "classifier",
        "pool_size",
        "tag",
    ):
        for value in ("http://127.0.0.1:9/x", "/etc/passwd", [3, 10**6, 10**6]):
            yield Case(
                "config",
                f"overlay {field}",
                json.dumps({**honest, "model_args": {"pretrained_cfg_overlay": {field: value}}}).encode(),
                ".json",
            )
    yield from mutations("config", json.dumps(honest).encode(), ".json", random, 20)
    for lines in (
        "9" * 5000 + " cat",
        "² cat\n1 dog",
        "0 " + "x" * 100_000,
        "\n".join(f"{n} name{n}" for n in range(90_000)),
        "a " * 500_000,
        "," * 100_000,
        '"' * 99_999,
        "0:" * 50_000,
        "cat," + "1" * 5000,
        "\n" * 1_000_000,
        "#\n" * 100_000,
        "\t:," * 30_000 + "1",
        '"' + "x" * 200_000 + '"',
    ):
        yield Case("class_names", f"begins with {lines[:15]!r}", lines.encode(), ".txt")


def arguments(random: np.random.Generator) -> Iterator[Case]:
    """Creation arguments of impossible size, and those that load something."""
    keys = (
        "num_classes",
        "img_size",
        "embed_dim",
        "depth",
        "num_heads",
        "mlp_ratio",
        "in_chans",
        "patch_size",
        "drop_rate",
        "drop_path_rate",
        "global_pool",
        "class_token",
        "act_layer",
        "norm_layer",
        "block_fn",
        "weight_init",
        "pretrained_cfg_overlay",
        "features_only",
        "qkv_bias",
        "init_values",
    )
    values = (
        "100000000",
        "9" * 400,
        "-1",
        "0",
        "1e308",
        "NaN",
        "[" * 500,
        "(1,2",
        "[10000,10000]",
        "None",
        "true",
        '"' + "x" * 5000 + '"',
        "{'a':{'b':1}}",
    )
    for number, key in enumerate(keys):
        for value in values[number % 2 :: 2]:
            yield Case("arguments", f"{key}={value[:20]}", f"{key}={value}".encode())
    for text in (
        "a=" + "(" * 1_000_000,
        "a=1," * 300_000,
        "," * 3_000_000,
        "\n" * 1_000_000,
        "=" * 9_000,
        "a=b=c",
        "a=" + "\\x" * 2000,
        "checkpoint_path=/etc/passwd",
        "pretrained_cfg_overlay={'url':'http://127.0.0.1:9/'}",
        "cache_dir=/tmp/x",
        "embed_dim=8000,depth=16",
        "patch_size=1,img_size=2048",
        "depth=16000,embed_dim=4,num_heads=1",
        "mlp_ratio=16000",
        "num_heads=0",
        "window_size=5000",
        "img_size=[1,1]",
        "img_size=2048,patch_size=2",
        "scriptable=True",
        "exportable=True",
        "pretrained=True",
    ):
        yield Case("arguments", text[:30], text.encode())
    for text in (
        "x" * 1_000_000,
        "timm/" + "resnet18?" * 5000,
        "timm/resnet18?random&num_classes=2000000",
        "cifar/resnet20?random&" + "a=1&" * 100_000,
        "demo/../../x",
        "playground//etc/passwd",
        "playground/" + "../" * 100,
        "timm/../x?random",
        "/dev/zero@timm/resnet18",
        "/etc/passwd@timm/resnet18",
        "a.pt@/etc/passwd",
        "a.pt@x.json",
        "@",
        "?",
        "@@@",
        "a.safetensors@timm/" + "é" * 5000,
        "torchvision/resnet18?random&width_per_group=16000",
        "\0",
        "\ud800",
        "timm/resnet18.\0?random",
        "cifar/resnet20?head=x",
        "torchvision/vit_b_16?random&image_size=100000",
        "torchvision/mobilenet_v2?random&width_mult=1000",
        "timm/mobilenetv2_100?random&channel_multiplier=100",
    ):
        yield Case("model_text", text[:30], text.encode("utf-8", "surrogatepass"))


def addresses(random: np.random.Generator) -> Iterator[Case]:
    """What may stand behind the question mark, and in the file that it names."""
    texts = (
        "",
        "," * 500_000,
        "a" * 2_000_000,
        "../" * 1000,
        "\0",
        "é" * 100_000,
        "0" * 16,
        "0" * 15 + "g",
        "0123456789abcdef," * 50_000,
        "%00",
        "<script>",
        "\u202e",
        "\ud800",
        "A" * 32,
        "-" * 32,
        "a,b\nc",
        "\t" * 10_000,
        "'; DROP TABLE x; --",
        "{{7*7}}",
        "${x}",
    )
    for text in texts:
        yield Case("query", text[:20], text.encode("utf-8", "surrogatepass"))
    for _ in range(20):
        yield Case("query", "at random", random.bytes(int(random.integers(1, 3000))))
    views = (
        "{" * 100_000,
        "{'a': " * 90 + "1" + "}" * 90,
        "[" * 5000,
        "{}",
        "1",
        "{'models': [" + "'x'," * 100_000 + "]}",
        "-" * 100_000 + "1",
        "{'a': 1e999}",
        "{'a': ...}",
        "__import__('os').system('touch ran')",
        "{'a': " + "1+" * 20_000 + "1}",
        "\0",
        "'" * 3 + "x",
        "{'a': '\\N{x}'}",
        "(" * 190 + ")" * 190,
    )
    for text in views:
        yield Case("view", text[:20], text.encode())
    yield from mutations(
        "view", repr({"models": ["a"], "picks": {"b": (1, 2.5)}, "settings": {"x": {1, 2}}}).encode(), "", random, 20
    )


def settings(random: np.random.Generator) -> Iterator[Case]:
    """Files of settings."""
    for text in (
        "device = " + "x" * 100_000,
        "max_zip_ratio = nan",
        "max_zip_ratio = -1",
        "max_classes = 1" + "0" * 5000,
        "a.b.c = 1",
        "[" * 100_000,
        "a = " + "[" * 50_000,
        "data = '/proc/1/mem'",
        'data = "\\u0000"',
        "max_upload_gigabytes = inf",
        "max_image_megapixels = 1e99",
        "device = 3",
        "image_folders = []",
        "\0",
        "device",
        "teacher_key = 'short'",
        "sharing = 'all'",
        "max_zip_gigabytes = true",
        "keep_days = 1979-05-27",
        "a = {" * 5000,
        "device = 'auto'\n" * 5000,
        "'' = 1",
        "max_input_pixels = 0x7fffffffffffffff",
        "# " + "x" * 1_000_000,
        "data = '''\n" + "x" * 100_000,
    ):
        yield Case("toml", text[:25], text.encode())
    yield from mutations("toml", b'device = "cpu"\nmax_zip_ratio = 200\nmax_classes = 100_000\n', "", random, 30)
