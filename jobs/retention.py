"""Nothing is kept for ever: what nobody has used for some days goes, and what a dying process left unfinished.

A file was used last when it was written, or marked by `common.files.mark_used`. Uploads and what is drawn from them are
kept for as long as an image set or a model's card names them. A workspace goes as a whole.
"""

import json
import logging
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from common import facts, sealed
from common.errors import InputError
from common.files import ABANDONED_S, last_use, remove_abandoned
from common.settings import settings

log = logging.getLogger(__name__)

_DAY_S = 86_400.0

#: What goes by its own last use, each a folder and a pattern within it.
_BY_USE = (
    ("results", "*/*.npz"), ("predictions", "*/*.parquet"), ("predictions", "*/*/*.parquet"),
    ("image-sets", "*.parquet"), ("models", "*.json"), ("views", "*.txt"), ("damaged", "*"),
)  # fmt: skip

#: Files that image sets and cards name: they go when none does.
_NAMED = ("images", "masks", "weights", "digits", "mnist", "fashion-mnist", "playground")

#: Since when uses are marked in a data folder: what an earlier version kept counts as used then.
_SINCE = "uses-are-marked"


@dataclass
class Cleaned:
    """What has gone."""

    n_files: int = 0
    n_bytes: int = 0
    n_workspaces: int = 0

    def __str__(self) -> str:
        return f"{self.n_files} files of {self.n_bytes / 1e6:,.1f} MB, {self.n_workspaces} workspaces"

    def remove(self, path: Path) -> None:
        """Remove one file; what another process removes, or writes just now, is its own business."""
        try:
            size = path.stat().st_size
            path.unlink()
        except OSError:
            return
        self.n_files, self.n_bytes = self.n_files + 1, self.n_bytes + size


def clean(data: Path, now: float, keep_days: float) -> Cleaned:
    """Remove what nobody has used since `keep_days` before `now` (seconds since 1970), and unfinished files.

    Files that another process may still be writing, those younger than an hour, stay.
    """
    cleaned, since = Cleaned(), data / _SINCE
    if not since.exists():
        data.mkdir(parents=True, exist_ok=True)
        since.touch()
    oldest = now - keep_days * _DAY_S
    for path in remove_abandoned(data, now):
        log.info("Removed %s, which was never finished.", path)
        cleaned.n_files += 1
    _remove_parts(data, now, cleaned)
    if since.stat().st_mtime > oldest:
        return cleaned
    for workspace in _folders(data / facts.WORKSPACES):
        if max([workspace.stat().st_mtime, *map(last_use, _files(workspace))]) < oldest:
            shutil.rmtree(workspace, ignore_errors=True)
            cleaned.n_workspaces += 1
    roots = [data, *_folders(data / facts.WORKSPACES)]
    for root in roots:
        _remove_unused(root, oldest, cleaned)
    old = [path for root in roots for folder in _NAMED for path in _files(root / folder) if last_use(path) < oldest]
    named = {name for root in roots for name in _named(root)} if old else set()
    for path in old:
        if str(path) not in named:
            cleaned.remove(path)
    return cleaned


def _remove_unused(root: Path, oldest: float, cleaned: Cleaned) -> None:
    """What goes by its own last use, of a data folder, or of a workspace, which is one of its own."""
    for folder, pattern in _BY_USE:
        for path in (root / folder).glob(pattern):
            if path.is_file() and last_use(path) < oldest:
                cleaned.remove(path)
    for path in (root / "histories").glob("*.json"):
        if last_use(path) < oldest and not (root / "models" / path.name).exists():
            cleaned.remove(path)
    for empty in _folders(root / "predictions"):
        if empty.stat().st_mtime < oldest and not any(empty.iterdir()):
            empty.rmdir()


def _named(root: Path) -> Iterator[str]:
    """The files that image sets and cards name."""
    from common.tables import read_table  # slow to import, and the server wants to start

    for path in (root / "image-sets").glob("*.parquet"):
        table = read_table(path)
        if table is not None:
            for column in table:
                if column == "path" or column.startswith("mask:"):
                    yield from table[column].dropna()
    for path in (root / "models").glob("*.json"):
        try:
            yield str(json.loads(sealed.read(path) or b"{}").get("recipe", {}).get("arguments", {}).get("path", ""))
        except (ValueError, AttributeError):
            continue  # it is no card, and `ModelStore` says so


def _remove_parts(data: Path, now: float, cleaned: Cleaned) -> None:
    """Parts of tables of predictions that have been put together: a process was killed before it removed them."""
    for root in (data, *_folders(data / facts.WORKSPACES)):
        for whole in (root / "predictions").glob("*/*.parquet"):
            parts = _files(whole.with_suffix(""))
            if parts and max(map(last_use, parts)) < now - ABANDONED_S:
                for part in parts:
                    cleaned.remove(part)
                shutil.rmtree(whole.with_suffix(""), ignore_errors=True)


def _folders(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def clean_daily() -> None:
    """Clean the data folder now, and once a day, in a thread of its own."""

    def run() -> None:
        while True:
            try:
                log.info("Removed what nobody has used for long: %s.", clean_now())
            except InputError as error:  # it has its line when the server starts, and on the page
                log.info("The data folder could not be cleaned: %s", error)
            except (OSError, ValueError) as error:  # a disk that is away for now
                log.warning("The data folder could not be cleaned: %s", error)
            time.sleep(_DAY_S)

    threading.Thread(target=run, name="retention", daemon=True).start()


def clean_now() -> Cleaned:
    """`clean` as the settings say."""
    return clean(settings().data_folder, time.time(), settings().keep_days)
