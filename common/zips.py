"""A zip's directory, asked before it is read: how many files, and how large it is itself."""

import struct
from typing import BinaryIO

#: The records that end a zip: signature, length, and where the numbers of a small and of a large one stand in them.
_END, _END_BYTES, _COMMENT_BYTES = b"PK\5\6", 22, 65_535
_LOCATOR, _LOCATOR_BYTES, _END_64, _END_64_BYTES = b"PK\6\7", 20, b"PK\6\6", 56


class Directory(tuple[int, int, int]):
    """`n_entries`, `n_bytes`, and `gap`: bytes before the zip, which only programs that unpack themselves have."""

    n_entries = property(lambda self: self[0])
    n_bytes = property(lambda self: self[1])
    gap = property(lambda self: self[2])


def directory_of(file: BinaryIO) -> Directory | None:
    """What the end of a zip says of its directory; `None` for a file that is no zip. The place in the file is kept."""
    place = file.tell()
    try:
        length = file.seek(0, 2)
        start = max(0, length - _END_BYTES - _COMMENT_BYTES)
        file.seek(start)
        tail = file.read()
        at = tail.rfind(_END)
        if at < 0 or len(tail) - at < _END_BYTES:
            return None
        n_entries, n_bytes, offset = struct.unpack("<HLL", tail[at + 10 : at + 20])
        end = start + at
        locator = tail[at - _LOCATOR_BYTES : at] if at >= _LOCATOR_BYTES else b""
        if locator.startswith(_LOCATOR):
            file.seek(max(0, end - _LOCATOR_BYTES - _END_64_BYTES))
            record = file.read(_END_64_BYTES)
            if record.startswith(_END_64):
                n_entries, n_bytes, offset = struct.unpack("<QQQ", record[32:56])
                end -= _LOCATOR_BYTES + _END_64_BYTES
        return Directory((n_entries, n_bytes, end - n_bytes - offset))
    finally:
        file.seek(place)
