"""How images come in: several files, a zip, or a folder on the server. Nothing that is wrong stops the rest."""

import functools
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import pandas as pd

from common.errors import InputError
from common.files import atomic_write
from common.settings import settings
from images.decoding import Decoded, decode, decode_mask
from images.formats import SUFFIXES
from images.image_set import LABEL, MASK, MASK_ID, META, ImageSet, Skipped, image_id, reason
from images.labels import folder_labels, read_annotations
from images.masks import assign, in_mask_folder

#: The demo's images and masks, in the layout that `from_folder` reads.
DEMO = Path(__file__).parent / "demo"

#: (done, total) -> None; may raise to stop.
Progress = Callable[[int, int], None]

#: What the check of a file finds, and is remembered until its stamp (size and time) changes.
_ROW = ["id", "path", "name", "note", "reading", "stamp", "height", "width"]
_COLUMNS = ["id", "path", "name", "label", "note"]
_N_THREADS = 2

#: Images between two reports of progress.
_BATCH = 32

#: Zip entries below this size are no bomb, however well they are packed.
_HARMLESS_BYTES = 1 << 20


@dataclass(frozen=True)
class _Source:
    """A file on its way in: its name inside the upload, how to read it, and where it lies if it stays there."""

    name: str
    read: Callable[[], bytes]
    path: Path | None = None


class _Upload:
    """The files of an upload, sorted out: `images`, `masks`, and what its `tables` (CSV files) say of them.

    Every file in a `masks` folder counts as a mask, and every one that a mask column names.
    """

    def __init__(self, files: Sequence[_Source], tables: Sequence[_Source]) -> None:
        self.annotations, self.unread = read_annotations(
            [(table.name, table.read) for table in tables], {file.name for file in files}
        )
        named = self.annotations.mask_files
        self.masks = [file for file in files if file.name in named or in_mask_folder(file.name)]
        masks = {mask.name for mask in self.masks}
        self.images = [file for file in files if file.name not in masks]


def from_folder(folder: Path, data: Path, progress: Progress | None = None) -> ImageSet:
    """The images under a server folder, where they lie; class subfolders or a CSV give the labels.

    Masks come from a `masks` folder or a mask column, see `images.masks`. A second visit reads only what changed: the
    index remembers size and time of every file.
    """
    folder = _allowed(folder)
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    files = [_Source(name, (folder / name).read_bytes, folder / name) for name in names]
    upload = _Upload(
        [file for file in files if _may_be_used(file.name)],
        [file for file in files if _is_table(file.name) and "/" not in file.name],
    )
    memory = data / "image-sets" / f"folder-{image_id(str(folder).encode())}.parquet"
    return _take_in(folder.name, f"images in {folder}", upload, data, progress, memory)


def from_files(files: Iterable[tuple[str, BinaryIO]], data: Path, progress: Progress | None = None) -> ImageSet:
    """Uploaded files, each copied into `data` under its content's digest; labels and masks as in `from_folder`.

    Names may hold folders, as those of an uploaded directory do.
    """
    sources = [_Source(name, file.read) for name, file in files if not _hidden(name)]
    folders = {PurePosixPath(source.name).parts[:-1][:1] for source in sources}
    folder = next(iter(folders)) if len(folders) == 1 else ()  # the one that all lie in: a directory was uploaded
    if folder:
        sources.sort(key=lambda source: source.name)  # browsers have no order
    tables = [source for source in sources if _is_table(source.name)]
    upload = _Upload([source for source in sources if not _is_table(source.name)], tables)
    return _take_in(folder[0] if folder else None, "images", upload, data, progress)


def from_zip(file: BinaryIO, name: str, data: Path, progress: Progress | None = None) -> ImageSet:
    """The images in a zip, unpacked within bounds; labels and masks as in `from_folder`.

    Raises `InputError` for a file that is no zip, holds no image, reaches outside itself with `../`, or unpacks
    to more than the settings allow.
    """
    try:
        archive = zipfile.ZipFile(file)
    except Exception as error:  # a damaged directory makes zipfile stumble in many ways
        raise InputError("a zip of images", f"{name}, which is no whole zip", "Zip the folder again.") from error
    with archive:
        entries = {e.filename.replace("\\", "/"): e for e in archive.infolist() if not e.is_dir()}
        _check_zip(entries, name)
        files = [_Source(path, functools.partial(_read_entry, archive, entry)) for path, entry in entries.items()]
        upload = _Upload(
            [file for file in files if _may_be_used(file.name)], [file for file in files if _is_table(file.name)]
        )
        return _take_in(Path(name).stem, f"images in {name}", upload, data, progress)


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
        cure = "Images hardly shrink in a zip, so this looks like a zip bomb; nothing was unpacked."
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
    title: str | None, expected: str, upload: _Upload, data: Path, progress: Progress | None, memory: Path | None = None
) -> ImageSet:
    """Check every file by decoding it, keep it under `data` (or where it lies), and save the index of the set.

    `memory` is the file with the rows of an earlier visit, and of this one when it ends.
    """
    if not upload.images:
        received = f"{len(upload.masks)} in a folder of masks, and none else" if upload.masks else "none"
        raise InputError(expected, received, f"Parallax reads {' '.join(SUFFIXES)}.")
    known = {} if memory is None else _remembered(memory)
    n_total = len(upload.images) + len(upload.masks)
    kept: dict[str, dict[str, Any]] = {}
    masks: dict[str, dict[str, Any]] = {}
    skipped: list[Skipped] = [*upload.unread]
    image_rows = _checked(upload.images, decode, data / "images", known)
    mask_rows = _checked(upload.masks, lambda *mask: Decoded(decode_mask(*mask)), data / "masks", known)
    for done, row in enumerate(chain(image_rows, mask_rows), 1):
        if isinstance(row, Skipped):
            skipped.append(row)
        elif done > len(upload.images):
            masks[row["name"]] = row
        elif row["id"] in kept:
            skipped.append(Skipped(row["name"], f"The same image as {kept[row['id']]['name']}."))
        else:
            kept[row["id"]] = row
        if progress is not None and (done % _BATCH == 0 or done == n_total):
            progress(done, n_total)
    if not kept:
        first = skipped[-1]
        raise InputError("at least one image", f"{len(skipped)} that cannot be used", f"{first.name}: {first.reason}")
    rows = list(kept.values())
    table, unused = _table(rows, masks, upload)
    title = title or (rows[0]["name"] if len(rows) == 1 else f"{len(rows)} files")
    images = ImageSet(title, table, (*skipped, *unused))
    images.save(data / "image-sets")
    if memory is not None:
        with atomic_write(memory) as partial:
            pd.DataFrame([*rows, *masks.values()], columns=_ROW).to_parquet(partial)
    return images


def _table(
    rows: list[dict[str, Any]], masks: dict[str, dict[str, Any]], upload: _Upload
) -> tuple[pd.DataFrame, list[Skipped]]:
    """The set's table, and the masks that found no place in it. `masks` are the rows of those that can be read."""
    names = [row["name"] for row in rows]
    annotations = {name: upload.annotations.of(name) for name in names}
    table = pd.DataFrame(rows, columns=_COLUMNS)
    table["label"] = (
        [annotations[name].get(LABEL) for name in names] if upload.annotations.has_labels else folder_labels(names)
    )
    for column in dict.fromkeys(column for facts in annotations.values() for column in facts):
        if column.startswith(META):
            table[column] = [annotations[name].get(column) for name in names]
    assigned, unused = assign([mask.name for mask in upload.masks], names, annotations)
    unreadable = {mask.name for mask in upload.masks} - masks.keys()  # these have their line already
    skipped = [one for one in unused if one.name not in unreadable]
    sizes = {row["name"]: f"{row['width']} × {row['height']} pixels" for row in [*rows, *masks.values()]}
    found: dict[str, dict[str, str]] = {}
    for mask in assigned:
        if mask.file in unreadable:
            continue
        if sizes[mask.file] == sizes[mask.image]:
            found.setdefault(f"{MASK}{mask.kind}", {})[mask.image] = masks[mask.file]["path"]
            found.setdefault(f"{MASK_ID}{mask.kind}", {})[mask.image] = masks[mask.file]["id"]
        else:
            expected, cure = f"a mask of {sizes[mask.image]}, as {mask.image} has", "Export it at the image's own size."
            skipped.append(Skipped(mask.file, str(InputError(expected, sizes[mask.file], cure))))
    for column in sorted(found):
        table[column] = [found[column].get(name) for name in names]
    return table, skipped


def _checked(
    sources: Sequence[_Source],
    decoder: Callable[[bytes, str], Decoded],
    store: Path,
    known: dict[str, dict[str, Any]],
) -> Iterator[dict[str, Any] | Skipped]:
    """A row for each file, or why it was left out; a few are decoded at a time, and none of them is held.

    Files that lie nowhere else are kept in the folder `store`, each once, under its content's digest.
    """

    def check(source: _Source) -> dict[str, Any] | Skipped:
        try:
            stamp = ""
            if source.path is not None:
                status = source.path.stat()
                stamp = f"{status.st_size}-{status.st_mtime_ns}"
                if (row := known.get(str(source.path))) and row["stamp"] == stamp:
                    return dict(row, name=source.name)
            content = source.read()
            decoded = decoder(content, source.name)
        except (InputError, OSError) as error:
            return Skipped(source.name, reason(error))
        digest = image_id(content, decoded.reading)
        path = source.path or store / f"{digest}{PurePosixPath(source.name).suffix.lower()}"
        if source.path is None and not path.exists():
            with atomic_write(path) as partial:
                partial.write_bytes(content)
        facts = {"note": ", ".join(decoded.notes), "reading": decoded.reading, "stamp": stamp}
        height, width = decoded.image.shape[:2]
        return {"id": digest, "path": str(path), "name": source.name, **facts, "height": height, "width": width}

    waiting = iter(sources)
    with ThreadPoolExecutor(_N_THREADS, thread_name_prefix="intake") as pool:
        while batch := list(islice(waiting, _BATCH)):
            yield from pool.map(check, batch)


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


def _hidden(name: str) -> bool:
    """What operating systems hide (`.thumbnails`, `__MACOSX/._cat.jpg`)."""
    return any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(name).parts)


def _may_be_used(name: str) -> bool:
    """Images by their suffix, and whatever lies in a folder of masks: what cannot be read there is worth a line."""
    return not _hidden(name) and (name.lower().endswith(SUFFIXES) or (in_mask_folder(name) and not _is_table(name)))


def _is_table(name: str) -> bool:
    return name.lower().endswith(".csv") and not _hidden(name)


def _remembered(memory: Path) -> dict[str, dict[str, Any]]:
    """Rows of the last visit by path; none when there was none, or another version wrote them."""
    try:
        rows = pd.read_parquet(memory, columns=_ROW).to_dict("records")
    except (OSError, ValueError):
        return {}
    return {str(row["path"]): row for row in rows}
