"""Hostile checkpoints: pickles with every known trick, what they claim, archives and headers around them."""

from __future__ import annotations

import collections
import io
import json
import pickle
import struct
import warnings
import zipfile
from collections.abc import Iterator
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

from models.loaders import zoo
from tests.hostile.cases import Case, mutations

#: Callables that have been used to run code, with arguments that leave a trace in the trap.
_CALLS = (
    ("os", "system"),
    ("posix", "system"),
    ("nt", "system"),
    ("os", "popen"),
    ("os", "execv"),
    ("os", "fork"),
    ("subprocess", "Popen"),
    ("subprocess", "check_output"),
    ("subprocess", "run"),
    ("subprocess", "call"),
    ("builtins", "eval"),
    ("builtins", "exec"),
    ("builtins", "compile"),
    ("builtins", "open"),
    ("builtins", "__import__"),
    ("builtins", "getattr"),
    ("builtins", "setattr"),
    ("builtins", "map"),
    ("builtins", "print"),
    ("__builtin__", "eval"),
    ("__builtin__", "execfile"),
    ("importlib", "import_module"),
    ("runpy", "run_path"),
    ("runpy", "_run_code"),
    ("code", "InteractiveInterpreter"),
    ("pty", "spawn"),
    ("socket", "create_connection"),
    ("socket", "socket"),
    ("urllib.request", "urlopen"),
    ("urllib.request", "urlretrieve"),
    ("http.client", "HTTPConnection"),
    ("webbrowser", "open"),
    ("shutil", "rmtree"),
    ("pathlib", "Path.write_text"),
    ("os", "remove"),
    ("os", "putenv"),
    ("functools", "partial"),
    ("functools", "reduce"),
    ("operator", "attrgetter"),
    ("operator", "methodcaller"),
    ("operator", "itemgetter"),
    ("copyreg", "_reconstructor"),
    ("copyreg", "__newobj__"),
    ("copy_reg", "_reconstructor"),
    ("types", "FunctionType"),
    ("types", "CodeType"),
    ("marshal", "loads"),
    ("pickle", "loads"),
    ("_pickle", "loads"),
    ("pickle", "Unpickler"),
    ("dill", "loads"),
    ("cloudpickle", "loads"),
    ("joblib", "load"),
    ("numpy", "load"),
    ("numpy", "fromfile"),
    ("numpy", "memmap"),
    ("numpy.testing._private.utils", "runstring"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("torch", "load"),
    ("torch.hub", "load"),
    ("torch", "compile"),
    ("torch.jit", "load"),
    ("torch.serialization", "load"),
    ("torch.storage", "_load_from_bytes"),
    ("torch.utils.cpp_extension", "load"),
    ("torch._utils", "_import_dotted_name"),
    ("torch.distributed", "init_process_group"),
    ("torch._inductor.codecache", "compile_file"),
    ("torch.fx._symbolic_trace", "symbolic_trace"),
    ("torch.fx.graph_module", "reduce_graph_module"),
    ("torch.nn.modules.container", "Sequential"),
    ("timm.models", "create_model"),
    ("asyncio.unix_events", "_UnixSelectorEventLoop"),
    ("multiprocessing.util", "spawnv_passfds"),
    ("multiprocessing.reduction", "_rebuild_socket"),
    ("ctypes", "CDLL"),
    ("ctypes", "string_at"),
    ("sys", "exit"),
    ("os", "_exit"),
    ("signal", "raise_signal"),
    ("os", "abort"),
    ("faulthandler", "_sigsegv"),
    ("logging.config", "fileConfig"),
    ("bdb", "Bdb.run"),
    ("pdb", "run"),
    ("profile", "run"),
    ("cProfile", "run"),
    ("timeit", "timeit"),
    ("doctest", "debug_script"),
    ("trace", "Trace.run"),
    ("idlelib.pyshell", "ModifiedInterpreter"),
    ("lib2to3.pgen2.pgen", "ParserGenerator"),
    ("uuid", "_get_command_stdout"),
    ("site", "addpackage"),
    ("venv", "create"),
    ("ensurepip", "_run_pip"),
    ("pip", "main"),
    ("zipimport", "zipimporter"),
    ("tarfile", "open"),
    ("zipfile", "ZipFile"),
    ("tempfile", "mkdtemp"),
    ("sqlite3", "connect"),
    ("smtplib", "SMTP"),
    ("ftplib", "FTP"),
    ("xmlrpc.client", "ServerProxy"),
    ("collections", "namedtuple"),
    ("enum", "Enum"),
    ("typing", "get_type_hints"),
    ("inspect", "getsource"),
    ("argparse", "FileType"),
    ("argparse", "ArgumentParser"),
    ("pathlib", "Path.home"),
    ("pathlib", "PosixPath.unlink"),
)


def pickles(random: np.random.Generator) -> Iterator[Case]:
    """Every callable in every form: by GLOBAL, STACK_GLOBAL, INST and OBJ; bare, in the old format and in the new."""
    argument = "touch ran"
    for number, (module, name) in enumerate(_CALLS):
        text = json.dumps(argument).encode()
        forms = {
            "global": b"\x80\x02c" + f"{module}\n{name}\n".encode() + b"X" + _length(argument) + b"\x85R.",
            "protocol 0": b"c" + f"{module}\n{name}\n".encode() + b"(V" + argument.encode() + b"\ntR.",
            "inst": b"(V" + argument.encode() + b"\ni" + f"{module}\n{name}\n".encode() + b".",
            "stack global": b"\x80\x04\x8c"
            + _short(module)
            + b"\x8c"
            + _short(name)
            + b"\x93X"
            + _length(argument)
            + b"\x85R.",
            "obj": b"(c" + f"{module}\n{name}\n".encode() + b"V" + text + b"\no.",
            "newobj": b"\x80\x02c" + f"{module}\n{name}\n".encode() + b"X" + _length(argument) + b"\x85\x81.",
            "nested": b"\x80\x02}X\1\0\0\0w"
            + b"c"
            + f"{module}\n{name}\n".encode()
            + b")R}X\1\0\0\0ac"
            + f"{module}\n{name}\n".encode()
            + b"s"
            + b"bs.",
            "behind a model's": pickle.dumps({"a": 1}, 2)[:-1]
            + b"0c"
            + f"{module}\n{name}\n".encode()
            + b"X"
            + _length(argument)
            + b"\x85R.",
        }
        for at, (form, content) in enumerate(forms.items()):
            if (at + number) % 2 and form not in ("global", "stack global"):
                continue
            wrapped = (content, _old(content), torch_zip(content))[(at + number) % 3]
            yield Case("weights", f"{module}.{name} by {form}", wrapped, ".pt")
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        for made in (_Reduced(), [_Reduced()], {"state_dict": _Reduced()}, collections.OrderedDict(a=_Reduced())):
            yield Case("weights", f"__reduce__, protocol {protocol}", pickle.dumps(made, protocol), ".ckpt")
    yield from mutations("weights", _honest(), ".pt", random, 60)
    yield from mutations("weights", _honest(old=True), ".pth", random, 40)


def claims(random: np.random.Generator) -> Iterator[Case]:
    """Checkpoints that ask for more than they hold."""
    from tests.models.test_claims import CLAIMS, Op

    for name, value in CLAIMS.items():
        for content in (Op.whole(value), torch_zip(Op.whole(value)), _old(Op.whole(value))):
            yield Case("weights", name, content, ".pt")
    yield Case(
        "weights",
        "67 bytes",
        b"\x80\x02cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nX\x0b\0\0\0V3800000000\x85R\x85R.",
        ".pt",
    )
    for n in (2**31 - 1, 2**20, 2**28):
        yield Case("weights", "expanded", torch_zip(Op.whole(Op.tensor(Op.storage(4), (n, n), (0, 0)))), ".pt")
        yield Case(
            "weights",
            "head of so many classes",
            torch_zip(_entries({"linear.weight": (n, 64), "linear.bias": (n,)})),
            ".pt",
        )
    for depth in (10, 1000, 100_000):
        yield Case("weights", "lists in lists", b"\x80\x02" + b"]" * depth + b"a" * (depth - 1) + b".", ".pt")
        yield Case("weights", "tuples in tuples", b"\x80\x02}" + b")" + b"\x85" * depth + b"K\1s.", ".pt")
    wide: Any = [1]
    for _ in range(9):
        wide = [wide] * 10
    yield Case("weights", "ten to the ninth", pickle.dumps(wide, 2), ".pt")
    long_name = {"a" * n: torch.zeros(2) for n in (1, 1000, 1_000_000)}
    yield Case("weights", "long names", _saved(long_name), ".pt")
    yield Case("weights", "many entries", _many_entries, ".pt")
    eye = torch.eye(4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # quantised tensors are given up
        quantised = torch.quantize_per_tensor(eye, 0.1, 0, torch.qint8)
        odd = {"sparse": eye.to_sparse(), "no content": eye.to("meta"), "quantised": quantised}
        contents = {kind: _saved({"linear.weight": made, "mean": made, "std": made}) for kind, made in odd.items()}
    for kind, content in contents.items():
        yield Case("weights", kind, content, ".pt")
    for dtype in (torch.float8_e4m3fn, torch.complex64, torch.bool, torch.uint8, torch.int64, torch.bfloat16):
        yield Case("weights", str(dtype), _saved({k: v.to(dtype) for k, v in _state().items()}), ".pt")
    for value in (float("nan"), float("inf"), -1e38, 0.0):
        yield Case(
            "weights",
            f"filled with {value}",
            _saved({k: torch.full_like(v, value) if v.is_floating_point() else v for k, v in _state().items()}),
            ".pt",
        )


def headers(random: np.random.Generator) -> Iterator[Case]:
    """safetensors whose header lies."""
    content = save({name: value.contiguous() for name, value in list(_state().items())[:6]})
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    data = content[8 + length :]

    def of(changed: Any, size: int | None = None) -> bytes:
        text = (changed if isinstance(changed, str) else json.dumps(changed)).encode()
        return struct.pack("<Q", len(text) if size is None else size) + text + data

    first = next(iter(header))
    changes: list[Any] = [
        {**header, first: {**header[first], key: value}}
        for key, values in {
            "shape": [[10**9], [-1], [0] * 50, [2**63, 2], [10**18, 0], "x", None, [1.5], [[1]]],
            "data_offsets": [[0, 10**12], [10, 0], [-1, 4], [0], "x", [0, 0], [5, 9]],
            "dtype": ["F64", "F4", "I64", "BF16", "F8_E4M3", "C64", "", 7, "BOOL"],
        }.items()
        for value in values
    ]
    deep = '{"__metadata__":' + '{"a":' * 50_000 + "1" + "}" * 50_001
    changes += [
        {},
        [],
        None,
        "{",
        deep,
        "[" * 100_000,
        {"__metadata__": {"a": "x" * 1_000_000}},
        {first: header[first]},
    ]
    changes += [{f"n{n}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for n in range(150_000)}]
    changes += [{"x" * 5000: header[first]}, '{"a": 1, "a": 2}', " " * 1000 + "{}", '{"\\ud800": 1}']
    for changed in changes:
        yield Case("weights", "header changed", of(changed), ".safetensors")
    for size in (0, 1, 7, length - 1, length + 1, 2**31, 2**63, 2**64 - 1, 17_000_000):
        yield Case("weights", f"header of {size}", of(header, size), ".safetensors")
    yield Case("weights", "large header", struct.pack("<Q", 20_000_000) + b"{" + b" " * 20_000_000, ".safetensors")
    yield from mutations("weights", content, ".safetensors", random, 40)


def archives_of_weights(random: np.random.Generator) -> Iterator[Case]:
    """torch's zips, changed as zips can be."""
    content = _honest()
    plain = {
        entry.filename: zipfile.ZipFile(io.BytesIO(content)).read(entry)
        for entry in zipfile.ZipFile(io.BytesIO(content)).infolist()
    }
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        yield Case("weights", f"packed by {method}", _zip(plain, method), ".pt")
    bombs = {name: (bytes(30_000_000) if "/data/" in name else part) for name, part in plain.items()}
    yield Case("weights", "bomb", partial(_zip, bombs, zipfile.ZIP_DEFLATED), ".pt")
    for change in ("data.pkl", "version", "byteorder", "data/0", ".format_version"):
        kept = {name: part for name, part in plain.items() if not name.endswith(change)}
        yield Case("weights", f"without {change}", _zip(kept), ".pt")
        for junk in (b"", b"\0" * 100, b"x" * 100_000):
            yield Case(
                "weights", f"junk in {change}", _zip({**plain, **{n: junk for n in plain if n.endswith(change)}}), ".pt"
            )
    for name in ("constants.pkl", "code/__torch__.py", "../../evil", "/etc/passwd", "data.pkl/data.pkl"):
        yield Case("weights", f"with {name}", _zip({**plain, f"archive/{name}": b"\x80\x02."}), ".pt")
    at = content.rindex(b"PK\5\6")
    for field in (8, 10, 12, 16):
        changed = bytearray(content)
        changed[at + field : at + field + 2] = b"\xff\xff"
        yield Case("weights", f"directory's field {field}", bytes(changed), ".pt")
    yield Case("weights", "behind other bytes", b"MZ" * 1000 + content, ".pt")
    yield Case("weights", "tar", _tar(), ".tar")
    for start in (
        b"PK",
        b"PK\3\4",
        b"\x80\x02",
        b"\x80\x05.",
        b"\x93NUMPY\1\0",
        b"GIF89a",
        b"\x89HDF\r\n\x1a\n",
        b"\x1f\x8b\x08",
    ):
        yield Case("weights", f"begins with {start!r}", start + random.bytes(500), ".bin")


def _many_entries() -> bytes:
    return _saved({str(n): torch.zeros(1)[0] for n in range(120_000)})


class _Reduced:
    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.system, ("touch reduced",)


def torch_zip(content: bytes, held: int = 16) -> bytes:
    """A checkpoint of today whose pickle is `content`."""
    parts = {
        "archive/data.pkl": content,
        "archive/byteorder": b"little",
        "archive/data/0": bytes(held),
        "archive/version": b"3\n",
    }
    return _zip(parts)


def _zip(parts: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return buffer.getvalue()


def _old(content: bytes) -> bytes:
    """The same in torch's older format."""
    parts = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
    return b"".join(pickle.dumps(part, 2) for part in parts) + content + pickle.dumps([], 2)


def _entries(shapes: dict[str, tuple[int, ...]]) -> bytes:
    from tests.models.test_claims import Op

    items = b"".join(
        Op.text(name) + Op.tensor(Op.storage(4), shape, (0,) * len(shape)) + b"s" for name, shape in shapes.items()
    )
    return b"\x80\x02}" + items + b"."


def _length(text: str) -> bytes:
    return struct.pack("<I", len(text)) + text.encode()


def _short(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()


@cache
def _state() -> dict[str, torch.Tensor]:
    return zoo.build("cifar/resnet20", {"num_classes": 3})[0].state_dict()


def _saved(data: object, old: bool = False) -> bytes:
    buffer = io.BytesIO()
    torch.save(data, buffer, _use_new_zipfile_serialization=not old)
    return buffer.getvalue()


def _honest(old: bool = False) -> bytes:
    return _saved({"state_dict": dict(list(_state().items())[:8]), "epoch": 3}, old)


def _tar() -> bytes:
    import tarfile

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            entry = tarfile.TarInfo(name)
            entry.size = 100
            archive.addfile(entry, io.BytesIO(bytes(100)))
    return buffer.getvalue()
