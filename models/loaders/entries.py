"""The named tensors of a checkpoint file, whatever a training script put around them. No file ever runs code."""

import argparse
import pathlib
import pickle
import re
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from common.bounds import MAX_ENTRIES, MAX_ENTRY_NAME
from common.errors import InputError
from models.loaders.claims import check_claims, check_header

SUFFIXES = (".pt", ".pth", ".th", ".pth.tar", ".tar", ".ckpt", ".bin", ".pkl", ".safetensors")

#: How deep dicts and lists may lie inside each other before the search for tensors is given up.
_DEEPEST = 5

#: How many values a file's dicts and lists may hold, in all places where they stand.
_MOST_SEEN = 2_000_000

#: The function that makes a numpy number out of its bytes.
_SCALAR: Any = np.float64().__reduce__()[0]

#: What training scripts leave beside the weights, and cannot do any harm: options, paths and single numbers.
torch.serialization.add_safe_globals(
    [
        argparse.Namespace,
        pathlib.PosixPath,
        np.dtype,
        *(type(np.dtype(kind)) for kind in ("f2", "f4", "f8", "i4", "i8", "?")),
        _SCALAR,
        (_SCALAR, "numpy.core.multiarray.scalar"),  # as numpy 1 called it
    ]
)

#: The name that torch refuses to load, in its own error.
_CODE = re.compile(r"GLOBAL (\S+)")

#: Entries of adapters, as peft and others name them (LoRA, DoRA, IA3, LoHa, LoKr, OFT).
_ADAPTER = re.compile(r"(^|[._])(lora_\w+|ia3_l|hada_w\d\w*|lokr_w\d\w*|oft_[a-z]+)($|\.)")

#: Entries of image models of Hugging Face transformers, whose layers have names of their own.
_TRANSFORMERS = re.compile(
    r"(^|\.)(embeddings|embedder|patch_embeddings|convolution_embeddings|encoder\.layer\.\d+)\.|convolution\.weight$"
)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Every named tensor of a checkpoint, as `state_dict.model.conv1.weight` where dicts lie inside each other.

    Raises `InputError` when the file is gone, is cut short, is something else, is an adapter for another model, or is
    a pickle that wants to run code.
    """
    if not path.exists():
        raise InputError("a checkpoint", f"no file at {path}", "Add it again.")
    try:
        if _is_safetensors(path):
            check_header(path)
            data = load_file(path)
        else:
            with path.open("rb") as file:  # by its name, torch would take it for another format
                check_claims(file)
                file.seek(0)
                data = torch.load(file, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except Exception as error:  # the readers of zip, pickle and safetensors each have errors of their own
        raise _explained(error, path) from error
    weights = _named_tensors(data)
    if not weights:
        for _ in range(_DEEPEST):
            if isinstance(data, dict) and len(data) == 1 and isinstance(inner := next(iter(data.values())), dict):
                data = inner
        keys = ", ".join(map(str, list(data)[:8])) if isinstance(data, dict) else ""
        received = f"a dict with {keys or 'nothing in it'}" if isinstance(data, dict) else f"a {type(data).__name__}"
        raise InputError("a state dict of named tensors", received, "Save model.state_dict().")
    if adapter := next((key for key in weights if _ADAPTER.search(key)), None):
        cure = "Merge it into its model (model.merge_and_unload() in peft), and save that model's state_dict()."
        raise InputError("the weights of a model", f"an adapter for one, such as LoRA ({adapter})", cure)
    return weights


def stem_of(name: str) -> str:
    """A file's name without its suffix, both of `model.pth.tar`."""
    suffix = max((one for one in SUFFIXES if name.lower().endswith(one)), key=len, default="")
    return name.removesuffix(name[len(name) - len(suffix) :])


def of_transformers(weights: Iterable[str]) -> str | None:
    """An entry of `weights` that shows that they are named as in Hugging Face transformers; `None` where none does."""
    return next((key for key in weights if _TRANSFORMERS.search(key)), None)


def _is_safetensors(path: Path) -> bool:
    """By how the file begins, for `.bin` and `.ckpt` may be either; by its name where that says nothing."""
    with path.open("rb") as file:
        start = file.read(9)
    if start.startswith((b"PK", b"\x80")):
        return False
    return start[8:] == b"{" or path.suffix.lower() == ".safetensors"


def _named_tensors(data: object) -> dict[str, Tensor]:
    """All tensors by name; raises `InputError` for more of them, or longer names, than a model has."""
    weights: dict[str, Tensor] = {}
    for seen, (key, value) in enumerate(_tensors(data)):
        if seen >= _MOST_SEEN:
            raise InputError("a state dict of named tensors", "lists in lists without end", "Save model.state_dict().")
        if value is None:
            continue
        weights[key] = value
        if len(weights) > MAX_ENTRIES or len(key) > MAX_ENTRY_NAME:
            received = "more" if len(weights) > MAX_ENTRIES else f"one of {len(key):,} ({key[:40]}…)"
            expected = f"at most {MAX_ENTRIES:,} entries with names of at most {MAX_ENTRY_NAME} letters"
            raise InputError(expected, received, "Save model.state_dict().")
    return weights


def _tensors(data: object, path: str = "", depth: int = 0) -> Iterator[tuple[str, Tensor | None]]:
    """All tensors that have names, with the names of the dicts around them; numbered ones are an optimiser's.

    `None` for anything else that was looked at.
    """
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list | tuple) else ()
    for key, value in items:
        if isinstance(key, str) and isinstance(value, Tensor):
            yield path + key, value
            continue
        yield "", None
        if depth < _DEEPEST and (isinstance(key, str) or not isinstance(data, dict)):
            yield from _tensors(value, f"{path}{key}.", depth + 1)


def _explained(error: Exception, path: Path) -> InputError:
    """What is wrong with a file that a reader stumbled over, in a line of ours."""
    text = str(error)
    expected = f"a checkpoint ({' '.join(SUFFIXES)})"
    if match := _CODE.search(text):
        cure = "None of it was run. Save model.state_dict() alone, best as safetensors."
        whole = any(name.startswith("torch.nn.modules.") for name in [match[1], *_classes(path)])
        received = "a whole pickled model, which is code" if whole else "a pickle that wants to run code"
        return InputError("a checkpoint of plain tensors", f"{received} ({match[1][:80]})", cure)
    if "TorchScript" in text:
        cure = "None of it was run. Save model.state_dict(), and name its architecture here."
        return InputError("a checkpoint of plain tensors", "a TorchScript program, which is code", cure)
    if path.stat().st_size == 0:
        return InputError(expected, "an empty file", "Is the upload complete? Copy or save it again.")
    if isinstance(error, pickle.UnpicklingError | KeyError) or "data.pkl" in text or "subdirectory" in text:
        return InputError(expected, "a file that holds something else", "Save model.state_dict() and upload that.")
    cure = "Is the upload complete? Copy or save it again."
    return InputError(expected, "a file that is cut short or damaged", cure)


def _classes(path: Path) -> list[str]:
    """Names of the classes and functions that a pickle asks for, read without loading it; none in old formats."""
    try:
        return torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except (ValueError, RuntimeError, EOFError, KeyError, pickle.UnpicklingError, struct.error):
        return []
