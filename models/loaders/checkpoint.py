"""Weights from a file, on a named architecture: `.pt`, `.pth`, `.th`, `.safetensors`. No file ever runs code."""

import argparse
import json
import pathlib
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from common.class_names import imagenet_names
from common.errors import InputError, first_line
from models.card import Recipe
from models.loaders import zoo
from models.loaders.arguments import from_query
from models.loaders.base import FILE_TAB, Loaded, Loader, n_outputs
from models.loaders.fitting import fit, guess_classes

SUFFIXES = (".pt", ".pth", ".th", ".safetensors")

#: Keys under which training scripts put the weights (the averaged ones first, as timm does), and prefixes that wrappers
#: add to every name.
_CONTAINERS = (
    "state_dict_ema", "model_ema", "state_dict", "model_state_dict", "model_state", "model", "net", "weights",
)  # fmt: skip
_MAX_WRAPPINGS = 4
_PREFIXES = ("module.", "model.", "_orig_mod.", "net.", "backbone.")

#: What timm's configurations say of the images, which the creation arguments carry on.
_IMAGE = ("input_size", "mean", "std", "crop_pct", "crop_mode", "interpolation")

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


def load(
    path: str,
    architecture: str,
    create: dict[str, Any] | None = None,
    class_names: list[str] | None = None,
    preprocessing: dict[str, Any] | None = None,
    name: str = "",
) -> Loaded:
    """Weights from `path` on `architecture` (as the zoo names it), created with `create`.

    `preprocessing` overrides fields of what the architecture would use (`mean`, `std`, `input_size`, `resize`, …).
    Raises `InputError` for a file that is no checkpoint, or weights of another architecture, key by key.
    """
    weights = read_weights(Path(path))
    n_guessed = guess_classes(weights)
    create = {**({"num_classes": n_guessed} if n_guessed else {}), **(create or {})}
    module, default = zoo.build(architecture, create)
    fit(module, weights, architecture)
    arguments = {"path": path, "architecture": architecture, "create": create, "class_names": class_names}
    return Loaded(
        name=name or Path(path).stem,
        source="checkpoint",
        family=type(module).__name__,
        architecture=architecture,
        module=module,
        preprocessing=default.changed(preprocessing or {}),
        class_names=tuple(class_names) if class_names else imagenet_names(n_outputs(module)),
        recipe=Recipe("checkpoint", {**arguments, "preprocessing": preprocessing, "name": name}),
    )


def read_weights(path: Path) -> dict[str, Tensor]:
    """The named tensors of a checkpoint, out of whatever wrapping a training script put around them.

    Raises `InputError` when the file is gone, is cut short, is something else, or is a pickle that wants to run code.
    """
    if not path.exists():
        raise InputError("a checkpoint", f"no file at {path}", "Add it again.")
    try:
        safe = path.suffix.lower() == ".safetensors"
        data = load_file(path) if safe else torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the readers of zip, pickle and safetensors each have errors of their own
        raise _explained(error, path) from error
    return unwrap(data)


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
    except (ValueError, RuntimeError):
        return []


def unwrap(data: object) -> dict[str, Tensor]:
    """The state dict inside a training script's dict, without `module.` and its like before every name."""
    for _ in range(_MAX_WRAPPINGS):
        if isinstance(data, dict):
            data = next((data[key] for key in _CONTAINERS if isinstance(data.get(key), dict)), data)
    entries = data if isinstance(data, dict) else {}
    weights = {key: value for key, value in entries.items() if isinstance(key, str) and isinstance(value, Tensor)}
    if not weights:
        keys = ", ".join(map(str, list(entries)[:8]))
        received = f"a dict with {keys or 'nothing in it'}" if isinstance(data, dict) else f"a {type(data).__name__}"
        raise InputError("a state dict of named tensors", received, "Save model.state_dict().")
    while prefix := next((p for p in _PREFIXES if all(key.startswith(p) for key in weights)), ""):
        weights = {key.removeprefix(prefix): value for key, value in weights.items()}
    return weights


def read_config(text: str) -> dict[str, Any]:
    """What `load` needs, out of a model's `config.json`: `{"architecture": "timm/…", "create": {…}}`.

    Reads timm's own files on the Hugging Face hub (`pretrained_cfg`, `model_args`) and plain ones
    (`create_model_kwargs`, `input_size`, `mean`, `std`). Raises `InputError` for anything else.
    """
    cure = 'A timm config.json has "architecture" and "pretrained_cfg".'
    try:
        config = json.loads(text)
    except ValueError as error:
        raise InputError("a model's configuration as JSON", f"a mistake in it ({first_line(error)})", cure) from error
    if not isinstance(config, dict) or not isinstance(config.get("architecture"), str):
        keys = f"an object with {', '.join(list(config)[:8]) or 'nothing in it'}" if isinstance(config, dict) else ""
        received = keys or f"a {type(config).__name__}"
        raise InputError("a model's configuration that names its architecture", received, cure)
    pretrained, given, plain = (
        part if isinstance(part := config.get(name), dict) else {}
        for name in ("pretrained_cfg", "model_args", "create_model_kwargs")
    )
    image = {**config, **pretrained}
    overlay = {key: image[key] for key in _IMAGE if image.get(key) is not None}
    create = {key: value for key, value in {**given, **plain}.items() if key != "pretrained"}
    if config.get("num_classes"):
        create.setdefault("num_classes", config["num_classes"])
    architecture = _full_name(config["architecture"])
    if overlay and architecture.startswith("timm/"):
        create.setdefault("pretrained_cfg_overlay", overlay)
    return {"architecture": architecture, "create": create}


def _full_name(architecture: str) -> str:
    """`LIBRARY/NAME` of a bare name: timm's where it has one, else another library's."""
    if "/" in architecture:
        return architecture
    known = [full for full in zoo.architectures() if full.partition("/")[2] == architecture.partition(".")[0]]
    library = known[0].partition("/")[0] if known else "timm"
    return f"{library}/{architecture}"


def read(text: str, class_names: str | None) -> list[Loaded]:
    """`FILE@ARCHITECTURE?name=value&…` or `FILE@config.json?…`."""
    file, _, rest = text.rpartition("@")
    if not file:
        raise InputError("an architecture for the weights", repr(text), f"Write {text}@timm/resnet18, for example.")
    architecture, create = from_query(rest)
    if architecture.endswith(".json"):
        config = read_config(Path(architecture).read_text())
        architecture, create = config["architecture"], {**config["create"], **create}
    path = Path(file).expanduser().resolve()
    loaded = load(str(path), architecture, create=create, name=path.stem)
    return [loaded if class_names is None else loaded.with_class_names(class_names)]


LOADER = Loader(
    "checkpoint",
    load,
    FILE_TAB,
    read,
    suffixes=SUFFIXES,
    holds_weights_only=True,
    forms={
        "FILE@ARCHITECTURE": "a checkpoint, as in weights.safetensors@timm/mobilenetv2_100; creation arguments follow "
        "as ?pad_type=same&num_classes=10",
        "FILE@config.json": "a checkpoint whose architecture is written in a file",
    },
)
