"""Settings, targets and images from the texts of a command line; what is none gets an `InputError`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import Field, fields
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from common.errors import InputError, did_you_mean
from common.files import safe_file_name
from common.settings import settings
from parallax.progress import ProgressBar, complain

if TYPE_CHECKING:
    from explainers.base import Described, ExplainerParams
    from explainers.output import Output
    from images.image_set import ImageSet
    from jobs.results import ResultStore
    from models.card import ModelCard


def params_of(known: Described, texts: Sequence[str]) -> ExplainerParams:
    """The method's settings from texts such as `steps=20`."""
    items = {item.name: item for item in fields(known.Params)}
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if name not in items or not equals:
            cure = did_you_mean(name, items) or (f"Known: {', '.join(items)}." if items else "It has none.")
            raise InputError(f"a setting of {known.title} as name=value", repr(text), cure)
        values[name] = _value(value, items[name])
    return known.Params(**values)


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
    """What the target is a column of: a class's logit unless said otherwise, a unit where a layer is named."""
    from explainers.output import LOGIT, UNIT, Output

    return Output(kind or (UNIT if layer else LOGIT), layer, place_of(place))


def place_of(text: str | None) -> tuple[int, int] | None:
    """`3,5` -> (3, 5): row and column."""
    if text is None:
        return None
    row, comma, column = text.partition(",")
    if not (comma and row.strip().isdecimal() and column.strip().isdecimal()):
        raise InputError("a place as ROW,COLUMN", repr(text), "Write --place 3,5, counting from 0.")
    return int(row), int(column)


def target_of(card: ModelCard, output: Output, text: str) -> int:
    """The column of `output` that `text` names: a class by its name or number, a unit by its number."""
    from explainers.output import UNIT

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


def images_of(texts: Sequence[str]) -> ImageSet:
    """The images that `texts` name as one set; files that are left out are told on stderr."""
    from parallax.sources import open_images

    with ProgressBar("images", delay_s=1.0) as progress:
        images = open_images(*texts, progress=progress)
    for skipped in images.skipped:
        complain(f"{skipped.name} is left out: {skipped.reason}")
    return images


def rows_of(images: ImageSet, only: Sequence[str], first: int | None, rows: Sequence[int] | None = None) -> list[int]:
    """Positions of the images called `only`, with or without their folders, or of the `first` of all (or of `rows`)."""
    found: set[int] = set()
    for wanted in only:
        matching = {row for row, name in enumerate(images.names) if wanted in (name, PurePosixPath(name).name)}
        if not matching:
            cure = did_you_mean(wanted, images.names) or f"The first is {images.names[0]}."
            raise InputError(f"an image of {images.name}", repr(wanted), cure)
        found |= matching
    if only:
        return sorted(found)[:first]
    return list(range(len(images)) if rows is None else rows)[:first]


def store_of_settings() -> ResultStore:
    """Where the app keeps its results too: what one has found, the other need not compute."""
    from jobs.results import ResultStore

    return ResultStore(settings().data_folder / "results", int(settings().max_store_gigabytes * 1e9))


def stem_for(taken: set[str], words: Sequence[str], *digests: str) -> str:
    """A file's name without its ending, made of `words`, and of digests too where it is `taken`; it is taken then."""
    stem = "-".join(map(safe_file_name, words))
    if stem in taken:
        stem = "-".join([stem, *digests])
    taken.add(stem)
    return stem
