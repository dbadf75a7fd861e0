"""Settings, outputs and targets from the texts of a command line; what is none gets an `InputError`."""

from collections.abc import Sequence
from dataclasses import Field, fields
from typing import Any, TypeVar

from common.errors import InputError, did_you_mean
from explainers.base import ExplainerParams
from explainers.output import LOGIT, UNIT, Output
from models.card import ModelCard

P = TypeVar("P", bound=ExplainerParams)


def params_of(kind: type[P], title: str, texts: Sequence[str]) -> P:
    """The settings of what is called `title` from texts such as `steps=20`."""
    items = {item.name: item for item in fields(kind)}
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if name not in items or not equals:
            cure = did_you_mean(name, items) or (f"Known: {', '.join(items)}." if items else "It has none.")
            raise InputError(f"a setting of {title} as name=value", repr(text), cure)
        values[name] = _value(value, items[name])
    return kind(**values)


def _value(text: str, item: Field[Any]) -> Any:
    """`text` as a setting of the default's type; `Params` itself checks the bounds."""
    default: Any = item.default
    if default is None:
        return int(text) if text.isdecimal() and item.metadata.get("kind") != "layer" else text
    if isinstance(default, bool):
        if text.lower() not in ("true", "false"):
            raise InputError(f"{item.name} as true or false", repr(text), f"Its default is {default}.")
        return text.lower() == "true"
    try:
        return type(default)(text)
    except ValueError:
        return text  # refused, with a cure, by `Params`


def output_of(kind: str | None, layer: str | None, place: str | None) -> Output:
    """What the target is a column of: a class's logit unless said otherwise, a unit where a layer is named.

    `place` is `ROW,COLUMN`.
    """
    at = None
    if place is not None:
        row, comma, column = place.partition(",")
        if not (comma and row.strip().isdecimal() and column.strip().isdecimal()):
            raise InputError("a place as ROW,COLUMN", repr(place), "Write --place 3,5, counting from 0.")
        at = int(row), int(column)
    return Output(kind or (UNIT if layer else LOGIT), layer, at)


def target_of(card: ModelCard, output: Output, text: str) -> int:
    """The column of `output` that `text` names: a class by its name or number, a unit by its number."""
    unit = output.kind == UNIT
    number = None if unit else card.class_index(text)
    if number is None and text.isdecimal():
        number = int(text)
    if number is None:
        expected = "the number of a unit" if unit else f"a class of {card.name} or its number"
        cure = "Write --target 12." if unit else did_you_mean(text, card.class_names)
        raise InputError(expected, repr(text), cure or f"Known: {', '.join(card.class_names[:8])}.")
    output.check(card, number)
    return number
