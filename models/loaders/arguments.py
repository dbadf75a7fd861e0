"""Creation arguments of an architecture: how people write them, and which of them nobody may give."""

import json
import re
from typing import Any
from urllib.parse import parse_qsl

from common.errors import InputError, did_you_mean, first_line
from models.preprocessing import FIELDS

#: Arguments of the libraries that name files or addresses: they are no one's choice in a browser.
_LOADING = frozenset((
    "cache_dir", "checkpoint_path", "custom_load", "file", "hf_hub_filename", "hf_hub_id", "pretrained_cfg", "source",
    "state_dict", "url", "weights", "weights_backbone",
))  # fmt: skip

#: Arguments that people give most, for "did you mean".
_COMMON = (
    "num_classes", "in_chans", "img_size", "image_size", "pad_type", "global_pool", "act_layer", "norm_layer",
    "drop_rate", "drop_path_rate", "output_stride", "pretrained_cfg_overlay", *FIELDS, "prefix", "bands",
    "head_activation",
)  # fmt: skip

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)

_CURE = "Write pad_type=same, num_classes=10, or a JSON object."


def parse_arguments(text: str) -> dict[str, Any]:
    """Creation arguments as people write them: `pad_type=same, num_classes=10` or a JSON object.

    Raises `InputError` for anything else.
    """
    text = text.strip()
    if text.startswith("{"):
        try:
            return dict(json.loads(text))
        except ValueError as error:
            raise InputError("creation arguments", f"JSON with a mistake ({first_line(error)})", _CURE) from error
    pieces = [part for part in re.split(r"[,\n](?![^(\[{]*[)\]}])", text) if part.strip()]  # not inside brackets
    parts: list[str] = []
    for piece in pieces:
        if parts and _NUMBER.fullmatch(piece.strip()):  # as in mean=0.5, 0.5, 0.5
            parts[-1] += f",{piece}"
        else:
            parts.append(piece)
    return dict(_pair(part) for part in parts)


def from_query(text: str) -> tuple[str, dict[str, Any]]:
    """An architecture and its creation arguments, written as `timm/resnet18?num_classes=10&mean=0.5,0.5,0.5`."""
    name, _, query = text.partition("?")
    return name, parse_arguments(",".join(f"{key}={value}" for key, value in parse_qsl(query)))


def split_preprocessing(arguments: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What makes a model, and what prepares its images (the fields of `Preprocessing.changed`)."""
    create = {key: value for key, value in arguments.items() if key not in FIELDS}
    return create, {key: value for key, value in arguments.items() if key in FIELDS}


def _pair(part: str) -> tuple[str, Any]:
    key, _, value = (piece.strip() for piece in part.partition("="))
    quoted = value[:1] in ('"', "'", "[", "(", "{")
    if not key.isidentifier() or not value or ("=" in value and not quoted):
        raise InputError("creation arguments", repr(part.strip()), _CURE)
    return key, _value(value)


def _value(text: str) -> Any:
    """A value as JSON or Python writes it; anything else is text."""
    words = {"true": True, "false": False, "none": None, "null": None}
    if text.lower() in words:
        return words[text.lower()]
    numbers = [part.strip() for part in text.split(",")]
    if len(numbers) > 1 and all(map(_NUMBER.fullmatch, numbers)):
        return [int(part) if part.isdecimal() else float(part) for part in numbers]
    try:
        return json.loads(text.replace("(", "[").replace(")", "]"))
    except ValueError:
        return text.strip("'\"")


def checked(create: dict[str, Any]) -> dict[str, Any]:
    """Creation arguments as the libraries want them: tuples for lists, and none that reads a file or an address.

    Raises `InputError` for one that does, or a number of classes that makes no model.
    """
    overlay = create.get("pretrained_cfg_overlay", {})
    if not isinstance(overlay, dict):
        raise InputError("pretrained_cfg_overlay as an object", repr(overlay), 'Write {"mean": [0.5, 0.5, 0.5]}.')
    for name in [*create, *overlay]:
        if name in _LOADING:
            cure = "Drop it, and add the weights as a checkpoint."
            raise InputError("creation arguments that shape the model", f"{name}, which loads something", cure)
    n_classes = create.get("num_classes", 2)
    if not isinstance(n_classes, int) or n_classes < 1:
        cure = "One output makes a regression model, two or more a classifier."
        raise InputError("num_classes as a whole number of 1 or more", repr(n_classes), cure)
    return {key: _tuples(value) for key, value in create.items() if key != "pretrained"}


def _tuples(value: Any) -> Any:
    """JSON knows lists only, timm compares with tuples."""
    if isinstance(value, dict):
        return {key: _tuples(inner) for key, inner in value.items()}
    return tuple(_tuples(inner) for inner in value) if isinstance(value, list) else value


def misfit(error: Exception, architecture: str, create: dict[str, Any]) -> InputError:
    """What a library did not like about creation arguments, in a line of ours."""
    expected = f"creation arguments that {architecture} takes"
    if match := re.search(r"unexpected keyword argument '(\w+)'", str(error)):
        others = [name for name in _COMMON if name != match[1]]
        return InputError(expected, f"{match[1]}, which it does not know", did_you_mean(match[1], others) or "Drop it.")
    shown = ", ".join(f"{key}={value!r}" for key, value in create.items()) or "none"
    return InputError(expected, f"{shown} ({first_line(error)})", "Correct or drop the one that does not fit.")
