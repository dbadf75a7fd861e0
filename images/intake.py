"""How images come in: several files, a zip, or a folder on the server. Nothing that is wrong stops the rest."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd

from common.errors import InputError
from common.files import mark_used, write_bytes
from common.tables import read_table, write_table
from common.uploads import check_upload
from images.decoding import Decoded, decode, decode_mask
from images.formats import FORMAT_NAMES, suffix_of
from images.image_set import LABEL, MASK, MASK_ID, META, ImageSet, Skipped, image_id, reason, stamp_of
from images.labels import Annotations, annotate
from images.masks import assign
from images.server_folder import check_server_folder
from images.upload import Source, Upload, of_files, of_folder, of_zip, open_zip

#: The demo's images and masks, in the layout that `from_folder` reads.
DEMO = Path(__file__).parent / "demo"

#: (done, total) -> None; may raise to stop.
Progress = Callable[[int, int], None]

#: What the check of a file finds, and is remembered until its stamp (size and time) changes.
_ROW = ["id", "path", "name", "note", "reading", "stamp", "height", "width"]
_COLUMNS = ["id", "path", "name", "label", "note", "reading", "stamp"]
_N_THREADS = 2

#: Images between two reports of progress.
_BATCH = 32


def from_folder(
    folder: Path, data: Path, progress: Progress | None = None, roots: Sequence[Path] | None = None
) -> ImageSet:
    """The images under a server folder, where they lie; class subfolders or a CSV give the labels.

    Masks come from a `masks` folder or a mask column, see `images.masks`. A second visit reads only what changed: the
    index remembers size and time of every file. With `roots`, links that lead out of these folders are not followed:
    for what visitors name, see `images.server_folder`.
    """
    folder = folder.expanduser() if roots is None else check_server_folder(str(folder), roots)
    folder = folder.resolve()
    if not folder.is_dir():
        cure = "Check the path; it is the server's, not your computer's."
        raise InputError("a folder on the server", f"{folder}, which is not there", cure)
    memory = data / "image-sets" / f"folder-{image_id(str(folder).encode())}.parquet"
    return _take_in(folder.name, f"images in {folder}", of_folder(folder, roots, progress), data, progress, memory)


def from_files(files: Iterable[tuple[str, BinaryIO]], data: Path, progress: Progress | None = None) -> ImageSet:
    """Uploaded files, each copied into `data` under its content's digest; labels and masks as in `from_folder`.

    Names may hold folders, as those of an uploaded directory do.
    """
    files = check_upload(files)
    upload, folder = of_files((name, file.read) for name, file in files)
    return _take_in(folder, "images", upload, data, progress)


def from_zip(file: BinaryIO, name: str, data: Path, progress: Progress | None = None) -> ImageSet:
    """The images in a zip, unpacked within bounds; labels and masks as in `from_folder`.

    Raises `InputError` for a file that is no zip, holds no image, reaches outside itself with `../`, or unpacks
    to more than the settings allow.
    """
    check_upload([(name, file)])
    with open_zip(file, name) as archive:
        if progress is not None:
            progress(0, len(archive.infolist()))
        return _take_in(Path(name).stem, f"images in {name}", of_zip(archive, name), data, progress)


def _take_in(
    title: str | None, expected: str, upload: Upload, data: Path, progress: Progress | None, memory: Path | None = None
) -> ImageSet:
    """Check every file by decoding it, keep it under `data` (or where it lies), and save the index of the set.

    `memory` is the file with the rows of an earlier visit, and of this one when it ends.
    """
    if not upload.images:
        raise InputError(expected, upload.nothing, f"Parallax reads {FORMAT_NAMES}.")
    known = {} if memory is None else _remembered(memory)
    n_total = len(upload.images) + len(upload.masks)
    kept: dict[str, dict[str, Any]] = {}
    masks: dict[str, dict[str, Any]] = {}
    copies: dict[str, str] = {}
    skipped = list(upload.skipped)
    image_rows = _checked(upload.images, decode, data / "images", known)
    mask_rows = _checked(upload.masks, lambda *mask: Decoded(decode_mask(*mask)), data / "masks", known)
    try:
        for done, row in enumerate(chain(image_rows, mask_rows), 1):
            if isinstance(row, Skipped):
                skipped.append(row)
            elif done > len(upload.images):
                masks[row["name"]] = row
            elif row["id"] in kept:
                copies[row["name"]] = kept[row["id"]]["name"]
                skipped.append(Skipped(row["name"], f"The same image as {kept[row['id']]['name']}."))
            else:
                kept[row["id"]] = row
            if progress is not None and (done % _BATCH == 0 or done == n_total):
                progress(done, n_total)
    finally:  # what was checked before somebody stopped it counts too
        if memory is not None:
            _remember(memory, known)
    if not kept:
        first = skipped[-1]
        raise InputError("at least one image", f"{len(skipped)} that cannot be used", f"{first.name}: {first.reason}")
    rows = list(kept.values())
    names = [row["name"] for row in rows]
    annotations = annotate(upload.tables, names, copies, upload.place, upload.n_outer)
    table, unused = _table(rows, masks, upload, annotations)
    title = title or (names[0] if len(rows) == 1 else f"{len(rows)} files")
    images = ImageSet(title, table, (*skipped, *unused), annotations.remarks)
    images.save(data / "image-sets")
    return images


def _table(
    rows: list[dict[str, Any]], masks: dict[str, dict[str, Any]], upload: Upload, annotations: Annotations
) -> tuple[pd.DataFrame, list[Skipped]]:
    """The set's table, and the masks that found no place in it. `masks` are the rows of those that can be read."""
    names = [row["name"] for row in rows]
    facts = annotations.of
    table = pd.DataFrame(rows, columns=_COLUMNS)
    table["label"] = [facts[name].get(LABEL) for name in names]
    for column in dict.fromkeys(column for one in facts.values() for column in one):
        if column.startswith(META):
            table[column] = [facts[name].get(column) for name in names]
    assigned, unused = assign([mask.name for mask in upload.masks], names, facts)
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
    sources: Sequence[Source],
    decoder: Callable[[bytes, str], Decoded],
    store: Path,
    known: dict[str, dict[str, Any]],
) -> Iterator[dict[str, Any] | Skipped]:
    """A row for each file, or why it was left out; a few are decoded at a time, and none of them is held.

    Files that lie nowhere else are kept in the folder `store`, each once, under its content's digest. `known` are rows
    by path; those of files that have another stamp by now are replaced.
    """

    def look_up(source: Source) -> dict[str, Any] | None:
        row = known.get(str(source.path))
        try:
            unchanged = row is not None and source.path is not None and row["stamp"] == stamp_of(source.path)
        except OSError:
            unchanged = False
        return dict(row, name=source.name) if row is not None and unchanged else None

    def check(source: Source) -> dict[str, Any] | Skipped:
        try:
            stamp = "" if source.path is None else stamp_of(source.path)
            content = source.read()
            decoded = decoder(content, source.name)
        except (InputError, OSError) as error:
            return Skipped(source.name, reason(error))
        digest = image_id(content, decoded.reading)
        path = source.path or store / f"{digest}{suffix_of(source.name)}"
        if source.path is None:
            if _holds(path, content):
                mark_used(path)
            else:
                write_bytes(path, content)
        facts = {"note": ", ".join(decoded.notes), "reading": decoded.reading, "stamp": stamp}
        height, width = decoded.image.shape[:2]
        row = {"id": digest, "path": str(path), "name": source.name, **facts, "height": height, "width": width}
        if source.path is not None:
            known[str(path)] = row
        return row

    waiting = iter(sources)
    with ThreadPoolExecutor(_N_THREADS, thread_name_prefix="intake") as pool:
        while batch := list(islice(waiting, _BATCH)):
            found = [look_up(source) or pool.submit(check, source) for source in batch]
            yield from (one.result() if isinstance(one, Future) else one for one in found)


def _remember(memory: Path, known: dict[str, dict[str, Any]]) -> None:
    write_table(memory, pd.DataFrame(list(known.values()), columns=_ROW))


def _remembered(memory: Path) -> dict[str, dict[str, Any]]:
    """Rows of the last visit by path; none when there was none, or another version wrote them."""
    table = read_table(memory)
    rows = table[_ROW].to_dict("records") if table is not None and set(_ROW) <= set(table) else []
    return {str(row["path"]): row for row in rows}


def _holds(path: Path, content: bytes) -> bool:
    """Whether a file is there, and whole."""
    return path.exists() and path.stat().st_size == len(content) and path.read_bytes() == content
