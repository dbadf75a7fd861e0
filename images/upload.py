"""The files of an upload, from a folder, a zip or the browser, sorted out: images, masks, tables and all others."""

from __future__ import annotations

import functools
import os
import struct
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from common.errors import InputError
from common.settings import settings
from images.formats import FORMAT_NAMES, TABLE_SUFFIXES, is_image, is_table, system_part
from images.image_set import Skipped
from images.labels import read_tables
from images.masks import in_mask_folder
from images.server_folder import within

#: Zip entries below this size are no bomb, however well they are packed.
_HARMLESS_BYTES = 1 << 20

#: A zip's flag and extra field that say that a name is in UTF-8.
_UTF8_FLAG, _UNICODE_PATH = 0x800, 0x7075


@dataclass(frozen=True)
class Source:
    """A file on its way in: its name inside the upload, how to read it, and where it lies if it stays there."""

    name: str
    read: Callable[[], bytes]
    path: Path | None = None


class Upload:
    """The files of an upload: `images`, `masks`, and `tables` with what they say; every other one is in `skipped`.

    Every file in a `masks` folder counts as a mask, and every one that a mask column names. `place` is where the names
    count from; the first `n_outer` folders of all names were chosen by whoever made the upload.
    """

    def __init__(
        self,
        files: Sequence[Source],
        skipped: Sequence[Skipped] = (),
        place: str = "",
        n_outer: int = 0,
        any_suffix: bool = False,
    ) -> None:
        """`any_suffix`: take files for images whatever they are called."""
        self.place, self.n_outer, self.n_files = place, n_outer, len(files)
        ours = [file for file in files if not system_part(file.name)]
        tables = [file for file in ours if is_table(file.name)]
        others = [file for file in ours if not is_table(file.name)]
        named = [(table.name, table.read) for table in tables]
        self.tables, unread = read_tables(named, [file.name for file in others], place)
        by_table = {value for table in self.tables for value in table.mask_files}
        self.masks = [file for file in others if file.name in by_table or in_mask_folder(file.name)]
        masks = {mask.name for mask in self.masks}
        rest = [file for file in others if file.name not in masks]
        self.images = [file for file in rest if any_suffix or is_image(file.name)]
        unusable = [file.name for file in rest if not (any_suffix or is_image(file.name))]
        system = [file.name for file in files if system_part(file.name)]
        self.skipped = [*skipped, *unread, *_of_other_kinds(unusable), *_of_the_system(system)]

    @property
    def nothing(self) -> str:
        """What there is, where there are no images."""
        if self.masks:
            return f"{len(self.masks)} in a folder of masks, and none else"
        return f"none among {self.n_files} files" if self.n_files else "none"


def of_folder(folder: Path, roots: Sequence[Path] | None = None) -> Upload:
    """All files under a server folder, in the order of their names; links are followed, but not out of `roots`."""
    skipped: list[Skipped] = []
    files = sorted(_walk(folder, "", (os.path.realpath(folder),), skipped, roots), key=lambda file: file.name)
    return Upload(files, skipped, folder.as_posix())


def of_files(files: Iterable[tuple[str, Callable[[], bytes]]]) -> tuple[Upload, str | None]:
    """Files from the browser, and the folder that they all lie in, where a directory was uploaded."""
    sources = [Source(name, read) for name, read in files]
    folders = {PurePosixPath(source.name).parts[:-1][:1] for source in sources if not system_part(source.name)}
    folder = next(iter(folders)) if len(folders) == 1 else ()
    if folder:
        sources.sort(key=lambda source: source.name)  # browsers have no order
    return Upload(sources, n_outer=len(folder), any_suffix=not folder), folder[0] if folder else None


def of_zip(archive: zipfile.ZipFile, name: str) -> Upload:
    """The files of a zip; raises `InputError` for one that reaches outside itself or unpacks to too much."""
    entries: dict[str, zipfile.ZipInfo] = {}
    skipped = []
    for entry in archive.infolist():
        path = _name_of(entry).replace("\\", "/")
        if path.endswith("/"):
            continue
        if path in entries:
            why = InputError("one file of each name", "two", "The last one in the zip is taken.")
            skipped.append(Skipped(path, str(why)))
        entries[path] = entry
    _check_zip(entries, name)
    files = [Source(path, functools.partial(_read_entry, archive, entry)) for path, entry in entries.items()]
    tops = {PurePosixPath(path).parts[:-1][:1] for path in entries if not system_part(path)}
    return Upload(files, skipped, n_outer=1 if len(tops) == 1 and () not in tops else 0)


def _walk(
    folder: Path, inside: str, above: tuple[str, ...], skipped: list[Skipped], roots: Sequence[Path] | None
) -> Iterator[Source]:
    """The files under `folder`, whose name in the upload is `inside`; `above` are the real paths of those over it."""
    try:
        with os.scandir(folder) as found:
            entries = list(found)
    except OSError as error:
        skipped.append(Skipped(f"{inside}/", _reason("a folder that can be read", error)))
        return
    for entry in entries:
        name = f"{inside}/{entry.name}" if inside else entry.name
        try:
            if roots is not None and (entry.is_symlink() or entry.is_dir()) and not within(Path(entry.path), roots):
                received = "a link to one outside" if entry.is_symlink() else "what Parallax keeps of its visitors"
                why = InputError("a folder that this server opens", received, "Copy the images into the folder.")
                skipped.append(Skipped(name, str(why)))
            elif entry.is_file():
                path = Path(entry.path)
                yield Source(name, path.read_bytes, path)
            elif not entry.is_dir():
                why = InputError("a file", "a link to nothing, or a device", "Mend the link, or leave it away.")
                skipped.append(Skipped(name, str(why)))
            elif entry.is_symlink() and (real := os.path.realpath(entry.path)) in above:
                why = InputError("a folder", "a link to a folder around it", "Its images are read there.")
                skipped.append(Skipped(f"{name}/", str(why)))
            else:
                real = os.path.realpath(entry.path) if entry.is_symlink() else os.path.join(above[-1], entry.name)
                yield from _walk(Path(entry.path), name, (*above, real), skipped, roots)
        except OSError as error:
            skipped.append(Skipped(name, _reason("a file that can be read", error)))


def _reason(expected: str, error: OSError) -> str:
    received = (error.strerror or type(error).__name__).lower()
    return str(InputError(expected, received, "Check its permissions."))


def _of_other_kinds(names: Sequence[str]) -> list[Skipped]:
    """One line for each kind of files that are neither images nor tables."""
    kinds: dict[str, list[str]] = {}
    for name in names:
        kinds.setdefault(PurePosixPath(name).suffix.lower(), []).append(name)
    expected = f"an image ({FORMAT_NAMES}) or a table ({' '.join(TABLE_SUFFIXES)})"
    return [
        Skipped(_together(found), str(InputError(expected, kind or "a file without a suffix", "Convert or rename it.")))
        for kind, found in kinds.items()
    ]


def _of_the_system(names: Sequence[str]) -> list[Skipped]:
    """One line for each kind of files that systems and programs put between images."""
    kinds: dict[str, list[str]] = {}
    for name in names:
        kinds.setdefault(str(system_part(name)), []).append(name)
    why = "A file of the operating system or of another program, not one of yours."
    return [Skipped(_together(found), why) for found in kinds.values()]


def _together(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1:,} more of its kind"


def _name_of(entry: zipfile.ZipInfo) -> str:
    """An entry's name, in UTF-8 also where the zip does not say so."""
    if entry.flag_bits & _UTF8_FLAG:
        return entry.filename
    extra = entry.extra
    while len(extra) >= 4:
        kind, size = struct.unpack("<HH", extra[:4])
        if kind == _UNICODE_PATH and size > 5:
            return extra[9 : 4 + size].decode("utf-8", "replace")
        extra = extra[4 + size :]
    try:
        return entry.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return entry.filename


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
