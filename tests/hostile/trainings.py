"""Hostile histories of trainings, networks of the Playground, and files of MNIST."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

from models import stack as stacks
from models.loaders import playground as loader
from playground.data import preprocessing_for
from playground.event_files import masked_crc
from tests.hostile.cases import Case, mutations


def histories(random: np.random.Generator) -> Iterator[Case]:
    """Histories of trainings: tables, JSON, TensorBoard's events."""
    for text in (
        "epoch,loss\n" + "1,2\n" * 200_000,
        "epoch" + ",loss" * 50_000 + "\n" + "1," * 50_000,
        "epoch,loss\n1," + "9" * 5000,
        "epoch,loss\n" + "1e999,nan\n" * 1000,
        "epoch,loss\n9" + "9" * 300 + ",1\n",
        "epoch,loss\n-1,1\n-1,2\n",
        'epoch,loss\n"' + "x" * 1_000_000,
        "," * 1_000_000,
        "loss\n" + "tensor(" * 10_000,
        "epoch,loss\n1,1_0\n",
        "\n".join(f"{n},{n}" for n in range(100_000)),
        "epoch,loss\n" + "x,y\n" * 100_000,
        ("é" * 10_000 + ",loss\n") * 5,
    ):
        yield Case("history", text[:20], text.encode(), ".csv")
    for data in (
        {"loss": [1] * 500_000},
        {f"m{n}": [1] for n in range(50_000)},
        [{f"k{n}": n} for n in range(3000)],
        {"loss": [10**400, 1]},
        {"loss": [[1]] * 10},
        {"history": {"history": {}}},
        {"loss": {"0": 1, "1": "x"}},
        {"log_history": [{"epoch": "x" * 100_000}]},
    ):
        yield Case("history", "JSON", json.dumps(data).encode(), ".json")
    wide = b"".join(_record(_event(n, [(f"t{n}-{m}", 1.0) for m in range(20)])) for n in range(3000))
    yield Case("history", "a tag a step", wide, ".tfevents.1")
    yield Case(
        "history",
        "steps beyond",
        b"".join(_record(_event(n, [("loss", float("nan"))])) for n in (2**62, 2**63 - 1, 5)),
        ".tfevents.1",
    )
    yield Case(
        "history",
        "long record",
        struct.pack("<Q", 2**62) + struct.pack("<I", masked_crc(struct.pack("<Q", 2**62))),
        ".tfevents.1",
    )
    yield Case("history", "empty records", _record(b"") * 200_000, ".tfevents.1")
    yield Case("history", "groups in groups", _record(b"\x2b" * 100_000), ".tfevents.1")
    yield Case("history", "long tag", _record(_event(1, [("x" * 1_000_000, 1.0)])), ".tfevents.1")
    honest = b"".join(_record(_event(n, [("loss", 1.0 / (n + 1)), ("accuracy", 0.5)])) for n in range(20))
    yield from mutations("history", honest, ".tfevents.1", random, 30)
    yield from mutations("history", b"epoch,loss,val_loss\n1,2,3\n2,1,2\n", ".csv", random, 20)


def networks(random: np.random.Generator) -> Iterator[Case]:
    """Networks that were downloaded from the Playground, and changed."""
    stack = stacks.stack_of([{"kind": "convolution", "filters": 4, "kernel_size": 3}, {"kind": "relu"}])
    with TemporaryDirectory() as folder:
        path = Path(folder) / "net.safetensors"
        loader.save(path, loader.build(stack, (3, 32, 32), 2), stack, ("a", "b"), preprocessing_for(32, False), "note")
        stored = path.read_bytes()
    content = stored[stored.index(b'{"__metadata__"') - 8 :]
    length = int.from_bytes(content[:8], "little")
    facts = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["parallax_playground"])
    weights = {name: value.contiguous() for name, value in loader.build(stack, (3, 32, 32), 2).state_dict().items()}
    layer = facts["stack"][0]
    changes: list[dict[str, Any]] = [{"stack": [layer] * n} for n in (0, 2, 31, 5000)] + [
        {"stack": [{**layer, "filters": value}]} for value in (10**9, -1, 1.5, None, "x", [1])
    ]
    changes += [{"stack": value} for value in (None, "x", {}, [[]], [None], [{"kind": "os.system"}], 5)]
    changes += [{"class_names": value} for value in (["x" * 10_000] * 2, ["a"] * 200_000, [], None, "ab", {"a": 1})]
    changes += [
        {"preprocessing": {**facts["preprocessing"], "input_size": value}}
        for value in ([10**6] * 2, [0, 0], "x", None, [2048, 2048])
    ]
    changes += [{"preprocessing": {**facts["preprocessing"], "resize": value}} for value in ([10**6] * 2, [2**70, 1])]
    changes += [{"preprocessing": value} for value in (None, [], {}, {"mean": 1})]
    changes += [{"note": "x" * 1_000_000}, {"note": {"a": 1}}]
    texts = [json.dumps({**facts, **change}) for change in changes] + ["[" * 100_000, "{", '{"a":' * 5000, "[]", "null"]
    for text in texts:
        yield Case("playground", f"facts {text[:40]}", save(weights, {"parallax_playground": text}), ".safetensors")
    yield Case("playground", "no facts", save({"a": torch.zeros(2)}), ".safetensors")
    yield from mutations("playground", content, ".safetensors", random, 20)


def digit_files(random: np.random.Generator) -> Iterator[Case]:
    """MNIST's files with headers that lie."""
    for start in (
        struct.pack(">IIII", 2051, 2**31 - 1, 28, 28),
        struct.pack(">IIII", 2051, 1, 2**31 - 1, 2**31 - 1),
        struct.pack(">II", 2049, 2**32 - 1),
        b"",
        b"\0" * 4,
        struct.pack(">I", 0x08FF),
        struct.pack(">IIII", 2051, 1, 28, 28) + bytes(784),
        b"\x1f\x8b\x08" + bytes(50),
        struct.pack(">II", 0x0E01, 5),
        random.bytes(500),
    ):
        yield Case("digits", f"begins with {start[:8]!r}", start)


def _record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", masked_crc(length)) + data + struct.pack("<I", masked_crc(data))


def _event(step: int, scalars: list[tuple[str, float]]) -> bytes:
    values = b"".join(
        _field(1, _field(1, tag.encode()) + b"\x15" + struct.pack("<f", number)) for tag, number in scalars
    )
    return b"\x10" + _varint(step) + _field(5, values)


def _field(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    found = b""
    while value > 127:
        found += bytes([value & 127 | 128])
        value >>= 7
    return found + bytes([value])
