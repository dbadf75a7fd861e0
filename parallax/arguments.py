"""What the command lines of this room share: settings and places from texts, a line of progress, safe file names."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import Field, fields
from typing import Any

from common.errors import InputError, did_you_mean
from common.settings import settings
from explainers.base import Described, ExplainerParams
from jobs.results import ResultStore


def params_of(known: Described, texts: Sequence[str]) -> ExplainerParams:
    """The method's settings from texts such as `steps=20`; raises `InputError` for a name or value that is none."""
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


class ProgressLine:
    """A line on a terminal: how much is done, time left; what an earlier run finished does not count as speed."""

    def __init__(self, what: str = "maps") -> None:
        self.what = what
        self.started, self.first, self.shown = time.monotonic(), -1, 0.0

    def __call__(self, done: int, total: int) -> None:
        """Draw the line anew, at most twice a second."""
        now = time.monotonic()
        if self.first < 0:
            self.first = done
        if not total or (now - self.shown < 0.5 and done < total):
            return
        self.shown = now
        rate = (done - self.first) / (now - self.started)
        left = f"{(total - done) / rate:.0f} s left" if rate else "…"
        end = "\n" if done == total else "\r"
        print(f"{done:,} of {total:,} {self.what} · {left}      ", end=end, file=sys.stderr, flush=True)


def store_of_settings() -> ResultStore:
    """Where the app keeps its results too: what one has found, the other need not."""
    return ResultStore(settings().data_folder / "results", int(settings().max_store_gigabytes * 1e9))


def place_of(text: str | None) -> tuple[int, int] | None:
    """`3,5` -> (3, 5); raises `InputError` for anything else."""
    if text is None:
        return None
    row, comma, column = text.partition(",")
    if not (comma and row.strip().isdecimal() and column.strip().isdecimal()):
        raise InputError("a place as ROW,COLUMN", repr(text), "Write --place 3,5, counting from 0.")
    return int(row), int(column)
