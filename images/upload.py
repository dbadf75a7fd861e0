"""The files of an upload, from a folder, a zip or the browser, sorted out: images, masks, tables and all others."""

from __future__ import annotations

import functools
import os
import stat
import struct
import unicodedata
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from common.bounds import MAX_FILE_NAME, MAX_FILES, MAX_FOLDERS, MAX_IMAGE_BYTES, MAX_ZIP_DIRECTORY_BYTES
from common.errors import InputError
from common.settings import settings
from common.zips import directory_of
from images.formats import FORMAT_NAMES, TABLE_SUFFIXES, is_image, is_table, system_part
from images.image_set import Skipped
from images.labels import read_tables
from images.masks import in_mask_folder
from images.server_folder import within

#: Zip entries below this size are no bomb, however well they are packed.
_HARMLESS_BYTES = 1 << 20

#: Bytes of a zip entry's own header, at least.
_LOCAL_BYTES = 30

#: Files between two looks at whether somebody has stopped the listing, and letters of a bad name that are shown.
_LOOK_EVERY, _MOST_SHOWN = 1000, 80

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


def of_folder(
    folder: Path, roots: Sequence[Path] | None = None, progress: Callable[[int, int], None] | None = None
) -> Upload:
    """All files under a server folder, in the order of their names; links are followed, but not out of `roots`.

    `progress(0, files found so far)` may raise to stop.
    """
    skipped: list[Skipped] = []
    files: list[Source] = []
    for source in _walk(folder, "", (os.path.realpath(folder),), skipped, roots):
        if source is not None and _is_named_well(source.name, skipped):
            files.append(source)
        n_seen = len(files) + len(skipped)
        if n_seen > MAX_FILES:
            cure = "Choose one of the folders in it."
            raise InputError(f"a folder of at most {MAX_FILES:,} files", f"{folder.name} with more", cure)
        if progress is not None and n_seen % _LOOK_EVERY == 0:
            progress(0, n_seen)
    files.sort(key=lambda file: file.name)
    return Upload(files, skipped, folder.as_posix())


def of_files(files: Iterable[tuple[str, Callable[[], bytes]]]) -> tuple[Upload, str | None]:
    """Files from the browser, and the folder that they all lie in, where a directory was uploaded."""
    skipped: list[Skipped] = []
    sources = [Source(name, read) for name, read in files if _is_named_well(name, skipped)]
    folders = {PurePosixPath(source.name).parts[:-1][:1] for source in sources if not system_part(source.name)}
    folder = next(iter(folders)) if len(folders) == 1 else ()
    if folder:
        sources.sort(key=lambda source: source.name)  # browsers have no order
    return Upload(sources, skipped, n_outer=len(folder), any_suffix=not folder), folder[0] if folder else None


def open_zip(file: BinaryIO, name: str) -> zipfile.ZipFile:
    """A zip, its directory read; raises `InputError` for none, or one whose directory alone takes long."""
    cure = "Zip the folder again."
    try:
        directory = directory_of(file)
        if directory is not None and directory.n_bytes > MAX_ZIP_DIRECTORY_BYTES:
            received = f"{name} with {directory.n_entries:,} files, in a directory of {directory.n_bytes:,} bytes"
            expected = f"a zip whose directory has at most {MAX_ZIP_DIRECTORY_BYTES // 1024**2} MB"
            raise InputError(expected, received, "Zip its folders one by one.")
        return zipfile.ZipFile(file)
    except InputError:
        raise
    except Exception as error:  # a damaged directory makes zipfile stumble in many ways
        raise InputError("a zip of images", f"{name}, which is no whole zip", cure) from error


def of_zip(archive: zipfile.ZipFile, name: str) -> Upload:
    """The files of a zip; raises `InputError` for one that reaches outside itself or unpacks to too much."""
    entries: dict[str, zipfile.ZipInfo] = {}
    skipped: list[Skipped] = []
    for entry in archive.infolist():
        path = _name_of(entry).replace("\\", "/")
        if path.endswith("/"):
            continue
        if path in entries:
            why = InputError("one file of each name", "two", "The last one in the zip is taken.")
            skipped.append(Skipped(path, str(why)))
        entries[path] = entry
    _check_zip(entries, name)
    _check_overlap(archive, entries.values(), name)
    files = [
        Source(path, functools.partial(_read_entry, archive, entry))
        for path, entry in entries.items()
        if _is_named_well(path, skipped)
    ]
    tops = {PurePosixPath(file.name).parts[:-1][:1] for file in files if not system_part(file.name)}
    return Upload(files, skipped, n_outer=1 if len(tops) == 1 and () not in tops else 0)


def _walk(
    folder: Path, inside: str, above: tuple[str, ...], skipped: list[Skipped], roots: Sequence[Path] | None
) -> Iterator[Source | None]:
    """The files under `folder`, whose name in the upload is `inside`; `above` are the real paths of those over it.

    `None` for each that is skipped.
    """
    try:
        with os.scandir(folder) as found:
            for entry in found:
                name = f"{inside}/{entry.name}" if inside else entry.name
                try:
                    why, real = _why_not(entry, above, roots)
                except OSError as error:
                    why, real = _reason("a file that can be read", error), ""
                if why:
                    skipped.append(Skipped(_shown(name) + "/" * bool(real), why))
                    yield None
                elif real:
                    yield from _walk(Path(entry.path), name, (*above, real), skipped, roots)
                else:
                    path = Path(entry.path)
                    yield Source(name, functools.partial(read_file, path), path)
    except OSError as error:
        skipped.append(Skipped(f"{_shown(inside)}/", _reason("a folder that can be read", error)))


def _why_not(entry: os.DirEntry[str], above: tuple[str, ...], roots: Sequence[Path] | None) -> tuple[str, str]:
    """Why an entry of a folder is left out, "" where it is not; and the real path of one that is a folder, else ""."""
    if roots is not None and (entry.is_symlink() or entry.is_dir()) and not within(Path(entry.path), roots):
        received = "a link to one outside" if entry.is_symlink() else "what Parallax keeps of its visitors"
        return str(InputError("a folder that this server opens", received, "Copy the images into the folder.")), ""
    if entry.is_file():
        return "", ""
    if not entry.is_dir():
        return str(InputError("a file", "a link to nothing, or a device", "Mend the link, or leave it away.")), ""
    real = os.path.realpath(entry.path) if entry.is_symlink() else os.path.join(above[-1], entry.name)
    if real in above:
        return str(InputError("a folder", "a link to a folder around it", "Its images are read there.")), real
    if len(above) > MAX_FOLDERS:
        return str(InputError(f"folders at most {MAX_FOLDERS} deep", "more", "Choose a folder in it.")), real
    return "", real


def read_file(path: Path) -> bytes:
    """A file's content; raises `InputError` for one larger than an image may be, or that is none."""
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise InputError("a file", f"{path.name}, which is a device or a pipe", "Leave it away.")
        content = file.read(MAX_IMAGE_BYTES + 1)
    if len(content) > MAX_IMAGE_BYTES:
        raise _too_long(path.name, status.st_size)
    return content


def _too_long(name: str, n_bytes: int) -> InputError:
    received = f"{name} with {n_bytes / 1024**2:,.0f} MB"
    return InputError(f"a file of at most {MAX_IMAGE_BYTES // 1024**2} MB", received, "Export it smaller.")


def _is_named_well(name: str, skipped: list[Skipped]) -> bool:
    """Whether a file has a name that can be shown and written down; else there is a line for it in `skipped`."""
    if len(name) > MAX_FILE_NAME:
        why = f"a name of {len(name):,} letters"
    elif name.count("/") > MAX_FOLDERS:
        why = f"{name.count('/'):,} folders in each other"
    elif not system_part(name) and any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name):
        why = "a name with control characters, or letters that are none"
    else:
        return True
    expected = f"a name of at most {MAX_FILE_NAME:,} letters, at most {MAX_FOLDERS} folders deep"
    skipped.append(Skipped(_shown(name), str(InputError(expected, why, "Rename it."))))
    return False


def _shown(name: str) -> str:
    """A name that is no good, as it can be shown."""
    return "".join(letter if letter.isprintable() else "�" for letter in name[:_MOST_SHOWN])


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


def _check_overlap(archive: zipfile.ZipFile, entries: Iterable[zipfile.ZipInfo], name: str) -> None:
    """Refuse a zip whose entries lie over each other, or behind its end: the same bytes would be unpacked again."""
    end = archive.start_dir
    for entry in sorted(entries, key=lambda one: one.header_offset, reverse=True):
        if entry.header_offset + _LOCAL_BYTES + entry.compress_size > end:
            cure = "Zip the folder again; nothing was unpacked."
            raise InputError("a zip of entries one behind the other", f"{name}, in which they overlap", cure)
        end = entry.header_offset


def _ratio(entry: zipfile.ZipInfo) -> float:
    """How many times its packed size an entry unpacks to; 0 for one too small to do harm."""
    return entry.file_size / max(entry.compress_size, 1) if entry.file_size > _HARMLESS_BYTES else 0


def _read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """One entry's content; raises `InputError` when it is encrypted or damaged."""
    shown = _shown(entry.filename)
    if entry.flag_bits & 1:
        raise InputError("an open zip entry", f"{shown}, which is encrypted", "Zip it without a password.")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # zipfile unpacks others without bounds
        received = f"{shown}, packed in another way ({entry.compress_type})"
        raise InputError("a zip entry packed by Deflate", received, "Zip the folder again.")
    if entry.file_size > MAX_IMAGE_BYTES:
        raise _too_long(shown, entry.file_size)
    try:
        with archive.open(entry) as file:
            return file.read(entry.file_size + 1)
    except Exception as error:  # zipfile and zlib each have errors of their own
        raise InputError("a whole zip entry", f"{shown}, which is damaged", "Zip the folder again.") from error
