"""What a visitor chose, in a file of the workspace: a plain value in Python's spelling, which keeps tuples and sets."""

import ast
import re
from pathlib import Path
from typing import Any

from common import sealed
from common.files import mark_used
from pages.shared import workspace

#: The most that a workspace keeps: those that were written last.
_N_KEPT = 1000

_FOLDER, _NAME = "views", re.compile(r"[0-9a-f]{16}")


def write(name: str, chosen: str) -> None:
    """Keep `chosen`, the `repr` of a dictionary of plain values. Raises `OSError` where there is no room."""
    path = _path(name)
    if not path.exists():
        _prune(path.parent)
    sealed.write(path, chosen.encode())


def read(name: str) -> dict[str, Any]:
    """What was kept under a name in this workspace; nothing for a name that is none, or is not known."""
    return _read(_path(name)) if _NAME.fullmatch(name) else {}


def latest(folder: Path) -> dict[str, Any]:
    """What was written last in the workspace that lies in `folder`; nothing where nothing was."""
    files = sorted((folder / _FOLDER).glob("*.txt"), key=lambda file: file.stat().st_mtime_ns)
    return _read(files[-1]) if files else {}


def _read(path: Path) -> dict[str, Any]:
    mark_used(path)
    try:
        content = sealed.read(path)
        found = None if content is None else ast.literal_eval(content.decode())
    except (OSError, ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def is_plain(value: object) -> bool:
    """Whether a value is read as it was written."""
    try:
        return bool(ast.literal_eval(repr(value)) == value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False


def _path(name: str) -> Path:
    return workspace.current().folder / _FOLDER / f"{name}.txt"


def _prune(folder: Path) -> None:
    """Make room for one more."""
    files = list(folder.glob("*.txt"))
    if len(files) >= _N_KEPT:
        for old in sorted(files, key=lambda file: file.stat().st_mtime_ns)[: len(files) + 1 - _N_KEPT]:
            old.unlink(missing_ok=True)
