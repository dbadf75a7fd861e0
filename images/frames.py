"""Frames of animations and pages of TIFFs, counted by what stands between them: a small file may hold millions."""

import struct
from pathlib import Path

from common.bounds import MAX_FRAMES
from common.errors import InputError


def check_frames(source: Path | bytes, name: str) -> None:
    """Raise `InputError` for a GIF or TIFF of more than `MAX_FRAMES`; a damaged one ends where its damage begins."""
    start = source[:6] if isinstance(source, bytes) else _start(source)
    if start[:3] == b"GIF":
        many = _many_frames(_content(source))
    elif start[:4] in _TIFFS:
        many = _many_pages(_content(source), *_TIFFS[start[:4]])
    else:
        return
    if many:
        cure = "Export the first image as PNG."
        raise InputError(f"an image of at most {MAX_FRAMES:,} frames or pages", f"{name} with more", cure)


#: How TIFFs begin: the order of bytes; whether they are BigTIFFs.
_TIFFS = {b"II*\0": ("<", False), b"MM\0*": (">", False), b"II+\0": ("<", True), b"MM\0+": (">", True)}

#: Files below this size hold no more frames than that.
_HARMLESS_BYTES = 6 * MAX_FRAMES


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(6)


def _content(source: Path | bytes) -> bytes:
    if isinstance(source, Path):
        return b"" if source.stat().st_size < _HARMLESS_BYTES else source.read_bytes()
    return b"" if len(source) < _HARMLESS_BYTES else source


def _many_frames(content: bytes) -> bool:
    """Whether a GIF has more frames than may be: blocks of three kinds, whose parts begin with their length."""
    place, n = 13 + _table(content, 10), 0
    while place < len(content) and n <= MAX_FRAMES:
        kind = content[place]
        if kind == 0x2C:
            n += 1
            place += 11 + _table(content, place + 9)
        elif kind == 0x21:
            place += 2
        else:
            place += 1  # the end, or something that Pillow passes over, too
            continue
        while place < len(content) and content[place]:
            place += 1 + content[place]
        place += 1
    return n > MAX_FRAMES


def _table(content: bytes, place: int) -> int:
    """Bytes of a table of colours, by the flags that tell of it."""
    flags = content[place] if place < len(content) else 0
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _many_pages(content: bytes, order: str, big: bool) -> bool:
    """Whether a TIFF's chain of directories is longer than may be; a circle ends where it began."""
    seen: set[int] = set()
    word, count, entry = ("Q", "Q", 20) if big else ("L", "H", 12)
    at = 8 if big else 4
    while len(seen) <= MAX_FRAMES and at + struct.calcsize(f"={word}") <= len(content):
        (place,) = struct.unpack_from(order + word, content, at)
        if place in seen or not place or place + 8 > len(content):
            return False
        seen.add(place)
        (n_entries,) = struct.unpack_from(order + count, content, place)
        at = place + struct.calcsize(f"={count}") + entry * n_entries
    return len(seen) > MAX_FRAMES
