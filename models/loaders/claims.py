"""What a checkpoint's pickle claims, read without loading it: torch would make whatever it asks for."""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import re
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

import torch

from common.bounds import MAX_EXPANDED_BYTES, MAX_HEADER_BYTES, MAX_PICKLE_BYTES, MAX_PICKLE_STEPS
from common.errors import InputError
from common.zips import directory_of

#: Tuples inside each other: their hash is computed by calls inside each other.
_DEEPEST_TUPLE = 50

#: Dimensions of a tensor, and the largest of its numbers that is no lie.
_MOST_DIMENSIONS, _MOST = 32, 2**48

#: Encodings that take a time in step with the text.
_ENCODINGS = ("latin1", "latin-1", "ascii", "utf-8", "utf8")

#: Types of numbers, as numpy writes them.
_NUMPY_TYPE = re.compile(r"[<>|=]?(\?|b1|[iuf][1248]|f16|c8|c16)")

#: How the older of torch's formats begins.
_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."

_DAMAGED = "Is the upload complete? Copy or save it again."


class _Tuple(tuple[Any, ...]):
    """A tuple that knows how many others lie in it, one in the other."""

    depth = 1


@dataclass(frozen=True)
class _Named:
    """A class or function by its name."""

    name: str


@dataclass(frozen=True)
class _Storage:
    n_bytes: int
    itemsize: int


@dataclass(frozen=True)
class _Made:
    """What a call would give."""

    by: str


#: Bytes of a number in the storages that torch names.
_ITEMSIZES: dict[str, int] = {
    **{f"torch.{name}": kind.itemsize for kind, name in torch.storage._dtype_to_storage_type_map().items()},
    "torch.storage.UntypedStorage": 1,
    "torch.UntypedStorage": 1,
}

#: Calls that give a tensor or parameter that is there already; that make nothing of a size that they are told.
_PASS_ON = ("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state")
_HARMLESS = frozenset((
    "collections.OrderedDict", "collections.Counter", "builtins.set", "builtins.complex", "torch.Size", "torch.device",
    "torch.serialization._get_layout", "torch._utils._rebuild_sparse_tensor", "argparse.Namespace",
    "torch._utils._rebuild_meta_tensor_no_storage", "pathlib.PosixPath",
))  # fmt: skip

#: Operations that torch reads beside those that the scan follows by name; at any other one it stops by itself.
_PLAIN = frozenset((
    "NONE", "NEWFALSE", "NEWTRUE", "BININT", "BININT1", "BININT2", "BINFLOAT", "BINUNICODE", "SHORT_BINSTRING", "LONG1",
))  # fmt: skip


def check_claims(file: BinaryIO) -> None:
    """Raise `InputError` where a file for `torch.load` asks for more memory than it holds data.

    Raises `EOFError` for a file that is cut short or damaged, `UnpicklingError` for what is no pickle. What torch
    refuses by itself, such as code, is left to it: it comes no further than the scan did.
    """
    n_bytes = file.seek(0, 2)
    file.seek(0)
    start = file.read(512)
    file.seek(0)
    if start.startswith(b"PK"):
        _check_archive(file, n_bytes)
        return
    if start[257:262] == b"ustar":
        raise InputError(
            "a checkpoint", "one in the tar format that torch gave up in 2017", "Save it again with torch."
        )
    claimed = 0

    def add(key: str, size: int) -> None:
        nonlocal claimed
        claimed += size
        if claimed > n_bytes:
            raise EOFError(key)

    for number in range(5 if start.startswith(_MAGIC) else 1):  # magic number, version, machine, objects, storages
        try:
            whole = check_pickle(file, add)
        except EOFError:
            if number or start[:1] == b"\x80":
                raise
            raise pickle.UnpicklingError("no pickle") from None
        if not whole:
            return


def _check_archive(file: BinaryIO, n_bytes: int) -> None:
    """A zip as torch writes it: every entry as it is, once, and none over another."""
    directory = directory_of(file)
    if directory is None or directory.n_bytes > MAX_HEADER_BYTES or directory.gap:
        raise zipfile.BadZipFile
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        names = [entry.filename for entry in entries]
        if any(name.endswith("/constants.pkl") for name in names):
            return  # a program, which torch refuses by itself
        unpacked = sum(entry.file_size for entry in entries)
        if len(set(names)) < len(names) or unpacked > n_bytes or any(entry.compress_type for entry in entries):
            raise _claim(f"{unpacked:,} bytes unpacked, in a file of {n_bytes:,}")
        pickles = [entry for entry in entries if entry.filename.partition("/")[2] == "data.pkl"]
        if not pickles:
            return  # which torch tells
        if len(pickles) > 1 or pickles[0].file_size > MAX_PICKLE_BYTES:
            raise _claim(f"a pickle of {pickles[0].file_size:,} bytes")
        root = pickles[0].filename.removesuffix("data.pkl")
        sizes = {entry.filename: entry.file_size for entry in entries}

        def compare(key: str, size: int) -> None:
            if (held := sizes.get(f"{root}data/{key}", -1)) < size:
                raise _claim(f"{size:,} bytes of a storage of {max(held, 0):,}")

        check_pickle(io.BytesIO(archive.read(pickles[0])), compare)


def check_header(path: Path) -> None:
    """Raise `InputError` for a safetensors file whose header is larger than one of any model."""
    with path.open("rb") as file:
        n_bytes = int.from_bytes(file.read(8), "little")
    if MAX_HEADER_BYTES < n_bytes < path.stat().st_size:
        raise InputError(f"a header of at most {MAX_HEADER_BYTES // 1024**2} MB", f"one of {n_bytes:,} bytes", _DAMAGED)


def check_pickle(file: IO[bytes], storage_of: Callable[[str, int], None]) -> bool:
    """Follow one pickle of a file to its end; `False` where torch will not come so far.

    `storage_of(key, bytes)` is asked for each storage, and may raise. Raises `InputError` where it claims more than the
    file holds, `EOFError` where it is damaged.
    """
    try:
        return _Scan(storage_of).follow(file)
    except (InputError, EOFError):
        raise
    except (ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError, MemoryError) as error:
        raise EOFError("cut short or damaged") from error


class _Scan:
    """The stack of a pickle, with what each value would be in place of the value."""

    def __init__(self, storage_of: Callable[[str, int], None]) -> None:
        self._storage_of = storage_of
        self._storages: dict[str, _Storage] = {}
        self._stack: list[Any] = []
        self._outer: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def follow(self, file: IO[bytes]) -> bool:
        """Follow the operations up to the end, or to one at which torch stops; whether it was the end."""
        for step, (operation, argument, _) in enumerate(pickletools.genops(file)):
            if step > MAX_PICKLE_STEPS:
                cure = "Save model.state_dict() alone, best as safetensors."
                raise InputError(f"a checkpoint of at most {MAX_PICKLE_STEPS:,} values", "one of more", cure)
            if operation.name == "STOP" or not self._step(operation.name, argument):
                return operation.name == "STOP"
        return True

    def _step(self, name: str, argument: Any) -> bool:
        """Follow one operation; whether torch goes on behind it."""
        stack = self._stack
        if name in _PLAIN:
            stack.append(argument if name not in ("NONE", "NEWFALSE", "NEWTRUE") else None)
        elif name in ("BINPUT", "LONG_BINPUT"):
            self._memo[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(self._memo[argument])
        elif name == "GLOBAL":
            known = _known(argument)
            if known is None:
                return False
            stack.append(known)
        elif name == "MARK":
            self._outer.append(stack)
            self._stack = []
        elif name == "TUPLE":
            items = self._marked()
            self._stack.append(_tuple(items))
        elif name in ("EMPTY_TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"):
            n = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}[name]
            items = stack[len(stack) - n :]
            if len(items) < n:
                raise IndexError(n)
            del stack[len(stack) - n :]
            stack.append(_tuple(items))
        elif name in ("EMPTY_LIST", "EMPTY_DICT", "EMPTY_SET"):
            stack.append([])
        elif name == "APPEND":
            item = stack.pop()
            stack[-1].append(item)
        elif name == "APPENDS":
            items = self._marked()
            self._stack[-1].extend(items)
        elif name == "SETITEM":
            del stack[-2:]
        elif name == "SETITEMS":
            self._marked()
        elif name in ("REDUCE", "NEWOBJ"):
            arguments, called = stack.pop(), stack.pop()
            stack.append(self._call(called, arguments))
        elif name == "BUILD":
            state = stack.pop()
            self._build(stack[-1], state)
        elif name == "BINPERSID":
            stack.append(self._storage(stack.pop()))
        else:
            return name == "PROTO"
        return True

    def _marked(self) -> list[Any]:
        items, self._stack = self._stack, self._outer.pop()
        return items

    def _storage(self, saved: Any) -> _Storage:
        """The storage of a persistent id: `("storage", type, key, location, numbers, …)`."""
        if not isinstance(saved, tuple) or len(saved) < 5:
            raise ValueError(saved)
        key, numbers = _plain_text(saved[2]), saved[4]
        if key not in self._storages:
            itemsize = _ITEMSIZES[saved[1].name]
            if type(numbers) is not int or not 0 <= numbers < _MOST:
                raise _claim(f"a storage of {numbers!r:.30} numbers")
            self._storage_of(key, numbers * itemsize)
            self._storages[key] = _Storage(numbers * itemsize, itemsize)
        return self._storages[key]

    def _call(self, called: Any, arguments: Any) -> Any:
        """What a call gives; raises `InputError` for one that would make more than the file holds."""
        if not isinstance(called, _Named) or not isinstance(arguments, tuple):
            raise TypeError(called)
        name = called.name
        if name in ("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_qtensor"):
            _check_view(*arguments[:4])
            return _Made("tensor")
        if name == "torch._utils._rebuild_tensor_v3":
            storage, offset, size, stride = arguments[:4]
            _check_view(storage, offset, size, stride, _dtype(arguments[6]).itemsize)
            return _Made("tensor")
        if name in _PASS_ON:
            return arguments[0]
        if name == "torch._tensor._rebuild_from_type_v2":
            return self._call(arguments[0], arguments[2])
        if name == "torch.nn.parameter.Parameter" and all(isinstance(a, _Made | None | bool) for a in arguments[:2]):
            return _Made("tensor")
        if name in _TENSORS and not arguments:
            return _Made("tensor")
        if name == "_codecs.encode" and _plain_text(arguments[1] if len(arguments) > 1 else "utf-8") in _ENCODINGS:
            return _Made("bytes")
        if name == "builtins.bytearray" and not any(isinstance(value, int) for value in arguments):
            return _Made("bytes")
        if name == "numpy.dtype" and _NUMPY_TYPE.fullmatch(_plain_text(arguments[0])):
            return _Made("dtype")
        if name.endswith(".multiarray.scalar") and arguments[0] == _Made("dtype"):
            return _Made("number")
        if name in _HARMLESS or (name.startswith("numpy.dtypes.") and not arguments):
            return _Made("dtype" if name.startswith("numpy.") else name)
        raise _claim(f"{name} of a size of its own choice")

    def _build(self, made: Any, state: Any) -> None:
        """The state that an object is given afterwards."""
        if made == _Made("tensor") and isinstance(state, tuple) and len(state) == 4:
            _check_view(*state)
        elif made == _Made("dtype") and not (
            isinstance(state, tuple) and all(v is None or isinstance(v, str) or -64 < v < 64 for v in state)
        ):
            raise _claim("a type of numbers of its own")


def _tuple(items: list[Any]) -> _Tuple:
    made = _Tuple(items)
    made.depth = 1 + max((item.depth for item in items if isinstance(item, _Tuple)), default=0)
    if made.depth > _DEEPEST_TUPLE:
        raise _claim(f"tuples more than {_DEEPEST_TUPLE} deep in each other")
    return made


def _check_view(storage: Any, offset: Any, size: Any, stride: Any, itemsize: int = 0) -> None:
    """Raise `InputError` for a tensor that reaches beyond its storage, or repeats it to something large."""
    if not isinstance(storage, _Storage):
        raise TypeError(storage)
    numbers = [offset, *size, *stride]
    if not all(type(n) is int and 0 <= n < _MOST for n in numbers) or len(size) > _MOST_DIMENSIONS:
        raise _claim(f"a tensor of shape {tuple(size)!r:.60}")
    itemsize = itemsize or storage.itemsize
    n_bytes = math.prod(size) * itemsize
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True)) + 1
    if n_bytes and last * itemsize > storage.n_bytes:
        raise _claim(f"a tensor of {n_bytes:,} bytes in a storage of {storage.n_bytes:,}")
    if n_bytes > max(storage.n_bytes, MAX_EXPANDED_BYTES):
        raise _claim(f"a tensor of {n_bytes:,} bytes that repeats {storage.n_bytes:,}")


def _known(argument: str) -> _Named | None:
    """A class or function that torch may give the pickle; `None` for one that it refuses, as it does with code."""
    module, _, name = argument.partition(" ")
    if (module, name) in NAME_MAPPING:
        module, name = NAME_MAPPING[(module, name)]
    else:
        module = IMPORT_MAPPING.get(module, module)
    full = f"{module}.{name}"
    unpickler = torch._weights_only_unpickler
    known: list[Mapping[str, Any]] = [unpickler._get_allowed_globals(), unpickler._get_user_allowed_globals()]
    return _Named(full) if any(full in names for names in known) else None


def _dtype(named: Any) -> torch.dtype:
    kind = getattr(torch, named.name.removeprefix("torch."))
    if not isinstance(kind, torch.dtype):
        raise TypeError(named)
    return kind


def _plain_text(value: Any) -> str:
    return value.decode("ascii") if isinstance(value, bytes) else value if isinstance(value, str) else ""


def _claim(what: str) -> InputError:
    cure = "Save model.state_dict() again, best as safetensors."
    return InputError("a checkpoint that holds what it claims", f"one that asks for {what}", cure)


#: The classes of tensors, which very old files make empty and then set.
_TENSORS = frozenset(f"{kind.__module__}.{kind.__name__}" for kind in torch._tensor_classes) | {"torch.Tensor"}
