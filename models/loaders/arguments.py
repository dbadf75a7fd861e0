"""Creation arguments of an architecture: how people write them, and which of them nobody may give."""

import ast
import json
import re
from typing import Any
from urllib.parse import parse_qsl

from common.bounds import MAX_ARGUMENT_NUMBER, MAX_ARGUMENT_TEXT, MAX_ARGUMENTS
from common.errors import InputError, did_you_mean, first_line
from common.plain_json import check_depth, parse_json
from common.settings import settings
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

#: Those that are sides of an image, and letters of a name or word.
_SIDES, _MAX_WORD = ("img_size", "image_size", "input_size", "test_input_size"), 500

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)

#: What stands among them in an address for random weights, see `zoo.read`.
_RANDOM = ("random", "")

_CURE = "Write pad_type=same, num_classes=10, or a JSON object."


def parse_arguments(text: str) -> dict[str, Any]:
    """Creation arguments as people write them: `pad_type=same, num_classes=10` or a JSON object.

    Raises `InputError` for anything else.
    """
    text = text.strip()
    if len(text) > MAX_ARGUMENT_TEXT:
        received = f"{len(text):,}"
        raise InputError(f"creation arguments of at most {MAX_ARGUMENT_TEXT:,} letters", received, _CURE)
    if text.startswith("{"):
        return dict(parse_json(text, "creation arguments as JSON", _CURE))
    parts: list[str] = []
    for piece in filter(str.strip, _pieces(text)):
        if parts and _NUMBER.fullmatch(piece.strip()):  # as in mean=0.5, 0.5, 0.5
            parts[-1] += f",{piece}"
        else:
            parts.append(piece)
    return dict(_pair(part) for part in parts)


def _pieces(text: str) -> list[str]:
    """The text between commas and line ends that lie in no brackets."""
    pieces, start, depth = [], 0, 0
    for place, letter in enumerate(text):
        if letter in "([{":
            depth += 1
        elif letter in ")]}":
            depth = max(0, depth - 1)
        elif letter in ",\n" and not depth:
            pieces.append(text[start:place])
            start = place + 1
    return [*pieces, text[start:]]


def from_query(text: str) -> tuple[str, dict[str, Any]]:
    """An architecture and its creation arguments, written as `timm/resnet18?num_classes=10&mean=0.5,0.5,0.5`."""
    name, _, query = text.partition("?")
    pairs = parse_qsl(query[: MAX_ARGUMENT_TEXT + 1], keep_blank_values=True)
    return name, parse_arguments(",".join(f"{key}={value}" for key, value in pairs if (key, value) != _RANDOM))


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
    for read in (lambda: json.loads(text.replace("(", "[").replace(")", "]")), lambda: _literal(text)):
        try:
            return read()
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            continue
    return text.strip("'\"")


def _literal(text: str) -> Any:
    """A value as Python writes it, with lists for tuples; raises `ValueError` for one that JSON has no word for."""
    return json.loads(json.dumps(ast.literal_eval(text)))


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
    _check_bounds(create)
    n_classes = create.get("num_classes", 2)
    if type(n_classes) is not int or n_classes < 1:
        cure = "One output makes a regression model, two or more a classifier."
        raise InputError("num_classes as a whole number of 1 or more", repr(n_classes), cure)
    return {key: _tuples(value) for key, value in create.items() if key != "pretrained"}


def _check_bounds(create: dict[str, Any]) -> None:
    """Raise `InputError` for creation arguments that no model of a usual size has."""
    check_depth(create, "creation arguments", _CURE)
    known = {"num_classes": settings().max_classes, **dict.fromkeys(_SIDES, settings().max_input_pixels)}
    waiting: list[tuple[str, Any]] = list(create.items())
    for n_seen, (name, value) in enumerate(waiting):  # which grows
        if isinstance(value, dict):
            waiting += [(str(key), inner) for key, inner in value.items()]
        elif isinstance(value, list | tuple):
            waiting += [(name, inner) for inner in value]
        most = known.get(name, MAX_ARGUMENT_NUMBER)
        if isinstance(value, int | float) and not -most <= value <= most:  # NaN is not, either
            received = "more" if isinstance(value, int) else f"{value:.4g}"
            raise InputError(f"{name[:80]} of at most {most:,}", received, "Correct it, or drop it.")
        if len(name) > _MAX_WORD or (isinstance(value, str) and len(value) > _MAX_WORD):
            raise InputError(f"names and words of at most {_MAX_WORD} letters", f"{name[:80]} with more", _CURE)
        if n_seen > MAX_ARGUMENTS or len(waiting) > 100 * MAX_ARGUMENTS:
            raise InputError(f"at most {MAX_ARGUMENTS:,} values of creation arguments", "more", _CURE)


def _tuples(value: Any) -> Any:
    """JSON knows lists only, timm compares with tuples."""
    if isinstance(value, dict):
        return {key: _tuples(inner) for key, inner in value.items()}
    return tuple(_tuples(inner) for inner in value) if isinstance(value, list) else value


class MisfitError(InputError):
    """Creation arguments that a library stumbled over."""


def misfit(error: Exception, architecture: str, create: dict[str, Any]) -> MisfitError:
    """What a library did not like about creation arguments, in a line of ours."""
    expected = f"creation arguments that {architecture} takes"
    if match := re.search(r"unexpected keyword argument '(\w+)'", str(error)):
        others = [name for name in _COMMON if name != match[1]]
        cure = did_you_mean(match[1], others) or "Drop it."
        return MisfitError(expected, f"{match[1]}, which it does not know", cure)
    shown = ", ".join(f"{key}={value!r}" for key, value in create.items()) or "none"
    return MisfitError(expected, f"{shown} ({first_line(error)})", "Correct or drop the one that does not fit.")
