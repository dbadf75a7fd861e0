"""Checkpoints that claim more than they hold, and those that only look like it."""

import io
import pickle
import struct
import zipfile

import numpy as np
import pytest
import torch
from torch import nn

from models.loaders.checkpoint import read_weights
from models.loaders.claims import check_claims
from tests.makers import one_line


class Op:
    """Pieces of a pickle that `torch.load` follows, protocol 2."""

    @staticmethod
    def number(n):
        return b"J" + struct.pack("<i", n) if n < 2**31 else b"\x8a\x08" + struct.pack("<q", n)

    @staticmethod
    def text(text):
        return b"X" + struct.pack("<I", len(text)) + text.encode()

    @staticmethod
    def tuple_(*parts):
        return b"(" + b"".join(parts) + b"t"

    @staticmethod
    def call(name, *parts):
        return b"c" + name.replace(":", "\n").encode() + b"\n" + Op.tuple_(*parts) + b"R"

    @staticmethod
    def storage(numbers, kind="FloatStorage", key="0"):
        pid = (Op.text("storage"), f"ctorch\n{kind}\n".encode(), Op.text(key), Op.text("cpu"), Op.number(numbers))
        return Op.tuple_(*pid) + b"Q"

    @staticmethod
    def tensor(storage, size, stride, offset=0, name="torch._utils:_rebuild_tensor_v2"):
        shape, steps = (Op.tuple_(*map(Op.number, numbers)) for numbers in (size, stride))
        return Op.call(name, storage, Op.number(offset), shape, steps, b"\x89", Op.call("collections:OrderedDict"))

    @staticmethod
    def whole(value):
        return b"\x80\x02}" + Op.text("weight") + value + b"s."


def archive(content, held=16, method=zipfile.ZIP_STORED):
    """A checkpoint in torch's format of today whose pickle is `content`, with one storage of `held` bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        file.writestr("archive/data.pkl", content)
        file.writestr("archive/byteorder", b"little")
        file.writestr("archive/data/0", bytes(held))
        file.writestr("archive/version", b"3\n")
    return buffer.getvalue()


HONEST = Op.tensor(Op.storage(4), (2, 2), (2, 1))

CLAIMS = {
    "storage beyond its record": Op.tensor(Op.storage(10**9), (10**9,), (1,)),
    "storage of many numbers": Op.tensor(Op.storage(2**40), (1,), (1,)),
    "storage of a wider type": Op.tensor(Op.storage(4, "DoubleStorage"), (4,), (1,)),
    "tensor beyond its storage": Op.tensor(Op.storage(4), (10**9,), (1,)),
    "tensor behind its storage": Op.tensor(Op.storage(4), (1,), (1,), offset=10**9),
    "tensor that repeats one number": Op.tensor(Op.storage(4), (10**5, 10**5), (0, 0)),
    "tensor by the older function": Op.tensor(Op.storage(4), (10**9,), (1,), name="torch._utils:_rebuild_tensor"),
    "quantised tensor": Op.tensor(Op.storage(4), (10**9,), (0,), name="torch._utils:_rebuild_qtensor"),
    "tensor of negative length": Op.tensor(Op.storage(4), (-1,), (1,)),
    "tensor of many dimensions": Op.tensor(Op.storage(4), (1,) * 100, (1,) * 100),
    "empty tensor": Op.call("torch:Tensor", Op.number(10**9)),
    "empty tensor of a type": Op.call("torch:FloatTensor", Op.number(10**9)),
    "parameter of a size": Op.call("torch.nn.parameter:Parameter", Op.number(10**9)),
    "storage by a call": Op.call("torch.storage:UntypedStorage", Op.number(2 * 10**9)),
    "tensor that is set": b"ctorch\nTensor\n)R" + Op.tuple_(
        Op.storage(4), Op.number(0), Op.tuple_(Op.number(10**9)), Op.tuple_(Op.number(1))) + b"b",
    "bytes": Op.call("builtins:bytearray", Op.number(2 * 10**9)),
    "bytes by python 2's name": Op.call("__builtin__:bytearray", Op.number(2 * 10**9)),
    "slow encoding": Op.call("_codecs:encode", Op.text("ab" * 10_000), Op.text("punycode")),
    "number of numpy": Op.call("numpy.core.multiarray:scalar", Op.call("numpy:dtype", Op.text("V2000000000"))),
    "type of numpy with fields": Op.call("numpy:dtype", Op.text("(1000,1000,1000)f8")),
    "type of numpy that is set": Op.call("numpy:dtype", Op.text("f8"), b"\x89", b"\x88")
    + Op.tuple_(Op.number(3), Op.text("<"), *[b"N"] * 3, Op.number(2 * 10**9), Op.number(1), Op.number(0)) + b"b",
    "tuples without end": b")" + b"\x85" * 100_000,
    "other kind of tensor": Op.call("torch._utils:_rebuild_wrapper_subclass", b"N"),
}  # fmt: skip


@pytest.mark.parametrize("name", CLAIMS)
@pytest.mark.parametrize("form", ["zip", "plain pickle", "old format"])
def test_what_a_checkpoint_claims_and_does_not_hold_is_refused_unread(name, form, tmp_path, monkeypatch):
    content = Op.whole(CLAIMS[name])
    path = tmp_path / "hostile.pt"
    if form == "old format":
        magic, parts = pickle.dumps(0x1950A86A20F9469CFC6C, 2), (1001, {"little_endian": True})
        content = magic + b"".join(pickle.dumps(part, 2) for part in parts) + content + pickle.dumps(["0"], 2)
    path.write_bytes(archive(content) if form == "zip" else content)

    def load(*_args, **_options):
        raise AssertionError("it was loaded")

    monkeypatch.setattr(torch, "load", load)
    with one_line():
        read_weights(path)


def test_an_honest_file_of_the_same_making_is_read(tmp_path):
    path = tmp_path / "honest.pt"
    path.write_bytes(archive(Op.whole(HONEST)))
    assert read_weights(path)["weight"].shape == (2, 2)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: archive(Op.whole(HONEST), method=zipfile.ZIP_DEFLATED, held=10_000_000),
        lambda content: b"MZ" * 50 + content,
        lambda content: content.replace(b"archive/version", b"archive/data/0\0"),
        lambda content: content[: len(content) // 2],
    ],
)
def test_an_archive_that_unpacks_or_overlaps_is_refused(change, tmp_path):
    path = tmp_path / "hostile.pt"
    path.write_bytes(change(archive(Op.whole(HONEST))))
    with one_line():
        read_weights(path)


def test_a_header_longer_than_any_models_is_refused(tmp_path):
    path = tmp_path / "hostile.safetensors"
    path.write_bytes(struct.pack("<Q", 20_000_000) + b"{" + b" " * 20_000_000)
    with one_line("header"):
        read_weights(path)


def test_lists_that_hold_each_other_end(tmp_path):
    wide, round_ = {"a": 1}, {}
    for _ in range(6):
        wide = {"list": [wide] * 100}
    other = {"x": round_}
    round_["x"] = other
    for data in (wide, round_):
        torch.save(data, tmp_path / "hostile.pt")
        with one_line():
            read_weights(tmp_path / "hostile.pt")


@pytest.mark.parametrize("old", [False, True])
def test_what_training_scripts_save_is_no_claim(old, tmp_path):
    base = torch.arange(12.0)
    module = nn.Linear(3, 2)
    optimiser = torch.optim.Adam(module.parameters())
    module(torch.ones(1, 3)).sum().backward()
    optimiser.step()
    data = {
        "state_dict": {
            "view": base[3:9].view(2, 3), "turned": base.view(3, 4).t(), "wide": base[:3, None].expand(3, 50),
            "none": torch.zeros(0, 5), "half": base.half(), "flag": base > 2, "parameter": nn.Parameter(base[:2]),
            "fp8": base.to(torch.float8_e4m3fn), "wide integer": torch.arange(3).to(torch.uint16),
            "one": torch.tensor(3),
        },
        "optimizer": optimiser.state_dict(), "best": np.float64(0.25), "step": np.int64(3), "raw": bytearray(b"ab"),
        "more": {"size": base.shape, "set": {1, 2}, "complex": 1j, "bytes": b"\x00\xff", "dtype": np.dtype("f4")},
    }  # fmt: skip
    if old:
        del data["state_dict"]["fp8"], data["state_dict"]["wide integer"]
    path = tmp_path / "fine.pt"
    torch.save(data, path, _use_new_zipfile_serialization=not old)
    with path.open("rb") as file:
        check_claims(file)
    weights = read_weights(path)
    assert torch.equal(weights["state_dict.turned"], base.view(3, 4).t())
    assert weights["state_dict.wide"].shape == (3, 50)
