"""What a visitor chose, on disk under a name: a plain value in Python's own spelling, which keeps tuples and sets."""

import ast
import re
from pathlib import Path
from typing import Any

from common import sealed
from common.settings import settings

#: The most that are kept: those that were written last.
_N_KEPT = 10_000

_NAME = re.compile(r"[0-9a-f]{16}")


def write(name: str, chosen: str) -> None:
    """Keep `chosen`, the `repr` of a dictionary of plain values. Raises `OSError` where there is no room."""
    path = _path(name)
    if not path.exists():
        _prune(path.parent)
    sealed.write(path, chosen.encode())


def read(name: str) -> dict[str, Any]:
    """What was kept under a name; nothing for a name that is none, or is not known."""
    if not _NAME.fullmatch(name):
        return {}
    try:
        content = sealed.read(_path(name))
        found = None if content is None else ast.literal_eval(content.decode())
    except (OSError, ValueError, SyntaxError):
        return {}
    return found if isinstance(found, dict) else {}


def is_plain(value: object) -> bool:
    """Whether a value is read as it was written."""
    try:
        return bool(ast.literal_eval(repr(value)) == value)
    except (ValueError, SyntaxError):
        return False


def _path(name: str) -> Path:
    return settings().data_folder / "views" / f"{name}.txt"


def _prune(folder: Path) -> None:
    """Make room for one more."""
    files = list(folder.glob("*.txt"))
    if len(files) >= _N_KEPT:
        for old in sorted(files, key=lambda file: file.stat().st_mtime_ns)[: len(files) + 1 - _N_KEPT]:
            old.unlink(missing_ok=True)
