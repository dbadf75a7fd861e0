"""How pictures come in: several files, a zip, or a folder on the server. Nothing that is wrong stops the rest."""

from __future__ import annotations

import functools
import zipfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import pandas as pd

from common.errors import InputError
from common.files import atomic_write
from common.settings import settings
from images.decoding import SUFFIXES, decode
from images.image_set import ImageSet, Skipped, image_id, reason
from images.labels import Labels, folder_labels, read_labels

#: The demo's images and masks, in the layout that `from_folder` reads.
DEMO = Path(__file__).parent / "demo"

#: (done, total) -> None; may raise to stop.
Progress = Callable[[int, int], None]

#: What the check of a picture finds; a set's table has the label instead of the file's stamp.
_ROW = ["id", "path", "name", "note", "stamp"]
_COLUMNS = ["id", "path", "name", "label", "note"]
_N_THREADS = 2

#: Pictures between two reports of progress.
_BATCH = 32

#: Zip entries below this size are no bomb, however well they are packed.
_HARMLESS_BYTES = 1 << 20


@dataclass(frozen=True)
class _Source:
    """A picture on its way in: its name inside the upload, how to read it, and where it lies if it stays there."""

    name: str
    read: Callable[[], bytes]
    path: Path | None = None


def from_folder(folder: Path, data: Path, progress: Progress | None = None) -> ImageSet:
    """The pictures under a server folder, where they lie; class subfolders or a CSV give the labels.

    A second visit reads only what changed: the index remembers size and time of every file.
    """
    folder = _allowed(folder)
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    pictures = [_Source(name, (folder / name).read_bytes, folder / name) for name in names if _is_picture(name)]
    if not pictures:
        raise InputError(f"pictures in {folder}", "none", f"Parallax reads {' '.join(SUFFIXES)}.")
    labels, unread = read_labels(
        (name, (folder / name).read_bytes) for name in names if _is_table(name) and "/" not in name
    )
    memory = data / "image-sets" / f"folder-{image_id(str(folder).encode())}.parquet"
    kept, skipped = _take_in(pictures, None, _remembered(memory), progress)
    _remember(memory, kept)
    return _finish(folder.name, kept, [*unread, *skipped], labels, data)


def from_files(files: Iterable[tuple[str, BinaryIO]], data: Path, progress: Progress | None = None) -> ImageSet:
    """Uploaded files, each copied into `data` under its content's digest; a CSV among them gives the labels."""
    named = list(files)
    pictures = [_Source(name, file.read) for name, file in named if not _is_table(name)]
    if not pictures:
        raise InputError("pictures", "none", f"Parallax reads {' '.join(SUFFIXES)}.")
    labels, unread = read_labels((name, file.read) for name, file in named if _is_table(name))
    kept, skipped = _take_in(pictures, data / "images", {}, progress)
    title = kept[0]["name"] if len(kept) == 1 else f"{len(kept)} files"
    return _finish(title, kept, [*unread, *skipped], labels, data)


def from_zip(file: BinaryIO, name: str, data: Path, progress: Progress | None = None) -> ImageSet:
    """The pictures in a zip, unpacked within bounds; class folders or a CSV inside give the labels.

    Raises `InputError` for a file that is no zip, holds no picture, reaches outside itself with `../`, or unpacks
    to more than the settings allow.
    """
    try:
        archive = zipfile.ZipFile(file)
    except Exception as error:  # a damaged directory makes zipfile stumble in many ways
        raise InputError("a zip of pictures", f"{name}, which is no whole zip", "Zip the folder again.") from error
    with archive:
        entries = {e.filename.replace("\\", "/"): e for e in archive.infolist() if not e.is_dir()}
        _check_zip(entries, name)
        readers = {path: functools.partial(_read_entry, archive, entry) for path, entry in entries.items()}
        pictures = [_Source(path, read) for path, read in readers.items() if _is_picture(path)]
        if not pictures:
            received = f"{name}, which holds none" if entries else f"{name}, which is empty"
            raise InputError("a zip of pictures", received, f"Parallax reads {' '.join(SUFFIXES)}.")
        labels, unread = read_labels((path, read) for path, read in readers.items() if _is_table(path))
        kept, skipped = _take_in(pictures, data / "images", {}, progress)
    return _finish(Path(name).stem, kept, [*unread, *skipped], labels, data)


def _check_zip(entries: dict[str, zipfile.ZipInfo], name: str) -> None:
    """Refuse a zip by its directory alone, before anything is unpacked."""
    for path in map(PurePosixPath, entries):
        if path.is_absolute() or ".." in path.parts:
            cure = "Zip the folder from inside, without absolute or parent paths."
            raise InputError("a zip that stays within itself", f"{name} with {str(path)!r}", cure)
    unpacked = sum(entry.file_size for entry in entries.values())
    limit = settings().max_zip_gigabytes
    if unpacked > limit * 1e9:
        cure = "Use a folder on the server, or raise max_zip_gigabytes in parallax.toml."
        raise InputError(f"a zip of at most {limit:g} GB unpacked", f"{name} with {unpacked / 1e9:,.1f} GB", cure)
    ratio = max((_ratio(entry) for entry in entries.values()), default=0)
    if ratio > settings().max_zip_ratio:
        expected = f"a zip that unpacks to at most {settings().max_zip_ratio} times its size"
        cure = "Pictures hardly shrink in a zip, so this looks like a zip bomb; nothing was unpacked."
        raise InputError(expected, f"{name}, {ratio:,.0f} times", cure)


def _ratio(entry: zipfile.ZipInfo) -> float:
    """How many times its packed size an entry unpacks to; 0 for one too small to do harm."""
    return entry.file_size / max(entry.compress_size, 1) if entry.file_size > _HARMLESS_BYTES else 0


def _read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """One entry's content; raises `InputError` when it is encrypted or damaged."""
    if entry.flag_bits & 1:
        raise InputError("an open zip entry", f"{entry.filename}, which is encrypted", "Zip it without a password.")
    try:
        return archive.read(entry)
    except Exception as error:  # zipfile, zlib and lzma each have errors of their own
        raise InputError("a whole zip entry", f"{entry.filename}, which is damaged", "Zip the folder again.") from error


def _take_in(
    sources: list[_Source], store: Path | None, known: dict[str, dict[str, Any]], progress: Progress | None
) -> tuple[list[dict[str, Any]], list[Skipped]]:
    """Check every picture by decoding it, name it by its content, and keep it under `store` (or where it lies)."""
    kept: dict[str, dict[str, Any]] = {}
    skipped: list[Skipped] = []
    for done, row in enumerate(_checked(sources, store, known), start=1):
        if isinstance(row, Skipped):
            skipped.append(row)
        elif row["id"] in kept:
            skipped.append(Skipped(row["name"], f"The same picture as {kept[row['id']]['name']}."))
        else:
            kept[row["id"]] = row
        if progress is not None and (done % _BATCH == 0 or done == len(sources)):
            progress(done, len(sources))
    return list(kept.values()), skipped


def _checked(
    sources: list[_Source], store: Path | None, known: dict[str, dict[str, Any]]
) -> Iterator[dict[str, Any] | Skipped]:
    """A row for each picture, or why it was left out; a few are decoded at a time, and none of them is held."""

    def check(source: _Source) -> dict[str, Any] | Skipped:
        try:
            stamp = _stamp(source.path) if source.path is not None else ""
            if source.path is not None and (row := known.get(str(source.path))) and row["stamp"] == stamp:
                return dict(row, name=source.name)
            content = source.read()
            decoded = decode(content, source.name)
        except (InputError, OSError) as error:
            return Skipped(source.name, reason(error))
        path = source.path or _store(content, store, PurePosixPath(source.name).suffix.lower())
        note = ", ".join(decoded.notes)
        return {"id": image_id(content), "path": str(path), "name": source.name, "note": note, "stamp": stamp}

    waiting = iter(sources)
    with ThreadPoolExecutor(_N_THREADS, thread_name_prefix="intake") as pool:
        while batch := list(islice(waiting, _BATCH)):
            yield from pool.map(check, batch)


def _store(content: bytes, store: Path | None, suffix: str) -> Path:
    """Write a picture under its content's digest, once."""
    assert store is not None  # uploads have no place of their own
    path = store / f"{image_id(content)}{suffix}"
    if not path.exists():
        with atomic_write(path) as partial:
            partial.write_bytes(content)
    return path


def _finish(name: str, rows: list[dict[str, Any]], skipped: list[Skipped], labels: Labels, data: Path) -> ImageSet:
    if not rows:
        first = skipped[-1]
        raise InputError("at least one picture", f"{len(skipped)} that cannot be used", f"{first.name}: {first.reason}")
    names = [row["name"] for row in rows]
    table = pd.DataFrame(rows, columns=_COLUMNS)
    table["label"] = [labels.of(name) for name in names] if labels else folder_labels(names)
    images = ImageSet(name, table, tuple(skipped))
    images.save(data / "image-sets")
    return images


def _allowed(folder: Path) -> Path:
    """The folder, resolved; raises `InputError` where the settings forbid it. The demo's own is always allowed."""
    folder = folder.expanduser().resolve()
    allowed = settings().allowed_folders
    if allowed and not any(folder.is_relative_to(root) for root in (*allowed, DEMO)):
        raise InputError("a folder that this server opens", str(folder), f"Allowed: {', '.join(map(str, allowed))}.")
    if not folder.is_dir():
        cure = "Check the path; it is the server's, not your computer's."
        raise InputError("a folder on the server", f"{folder}, which is not there", cure)
    return folder


def _is_picture(name: str) -> bool:
    """By its name; what operating systems hide (`.thumbnails`, `__MACOSX/._cat.jpg`) is none."""
    path = PurePosixPath(name)
    hidden = any(part.startswith((".", "__MACOSX")) or part == "masks" for part in path.parts)
    return path.suffix.lower() in SUFFIXES and not hidden


def _is_table(name: str) -> bool:
    return name.lower().endswith(".csv") and not PurePosixPath(name).name.startswith(".")


def _stamp(path: Path) -> str:
    status = path.stat()
    return f"{status.st_size}-{status.st_mtime_ns}"


def _remembered(memory: Path) -> dict[str, dict[str, Any]]:
    """Rows of the last visit by path; none when there was none, or another version wrote them."""
    try:
        rows = pd.read_parquet(memory, columns=_ROW).to_dict("records")
    except (OSError, ValueError):
        return {}
    return {str(row["path"]): row for row in rows}


def _remember(memory: Path, rows: list[dict[str, Any]]) -> None:
    with atomic_write(memory) as partial:
        pd.DataFrame(rows, columns=_ROW).to_parquet(partial)
