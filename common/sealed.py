"""Sealed files: what is read is what was written, or nothing.

A sealed file begins with a seal: 32 bytes that mark it, and the SHA-256 of the content, which is the rest. What earlier
versions wrote has no seal, and is read as it is. For a sealed file to be taken for one of those, a quarter of the bits
of its mark would have to change; and the readers of Parquet, npz and JSON refuse what begins with half a seal.
"""

import hashlib
import logging
import os
import time
import uuid
from contextlib import suppress
from pathlib import Path

from common.errors import InputError
from common.files import atomic_write
from common.settings import settings

log = logging.getLogger(__name__)

#: How a sealed file begins, and how many of these 256 bits may differ in one that is damaged.
MARK = hashlib.sha256(b"Parallax: a sealed file").digest()
_MAX_CHANGED = 64

SEAL_BYTES = len(MARK) + hashlib.sha256().digest_size

#: Damaged files that are kept, for whoever wants to look into it: the latest.
MAX_DAMAGED = 100


def write(path: Path, content: bytes | memoryview) -> None:
    """Write a file, whole or not at all, and with a seal."""
    with atomic_write(path) as partial, partial.open("wb") as file:
        file.write(MARK + hashlib.sha256(content).digest())
        file.write(content)


def read(path: Path) -> bytes | None:
    """The content of a file; `None` where there is none, or it is damaged: it is set aside then.

    Raises `OSError` where the file cannot be read.
    """
    try:
        with open(path, "rb", opener=_leaving_no_trace) as file:
            stored = file.read()
    except FileNotFoundError:
        return None
    if not _is_sealed(stored):
        return stored
    content = stored[SEAL_BYTES:]
    if stored[:SEAL_BYTES] == MARK + hashlib.sha256(content).digest():
        return content
    set_aside(path, "what is read is not what was written")
    return None


def _leaving_no_trace(path: str, flags: int) -> int:
    """Open a file such that its time of access stays, which says when it was used, see `common.files.mark_used`."""
    try:
        return os.open(path, flags | getattr(os, "O_NOATIME", 0))
    except PermissionError:  # somebody else's file: its time may change
        return os.open(path, flags)


def set_aside(path: Path, why: str) -> None:
    """Move a damaged file out of the way, to `damaged` in the data folder, and say so in the log."""
    try:
        folder = settings().data_folder / "damaged"
        folder.mkdir(parents=True, exist_ok=True)
        place = folder / f"{time.time_ns()}-{uuid.uuid4().hex[:8]}-{path.parent.name}-{path.name}"
        path.replace(place)
        os.utime(place)  # it is kept from now
    except FileNotFoundError:  # another thread was faster
        return
    except (OSError, InputError) as error:  # another disk, a full one, or one that cannot be written
        log.warning("%s is damaged: %s. It cannot be set aside: %s. It is deleted.", path, why, error)
        with suppress(OSError):
            path.unlink()
        return
    log.warning("Set aside %s, which is damaged: %s. It is kept as %s.", path, why, place)
    for old in sorted(folder.iterdir())[:-MAX_DAMAGED]:
        old.unlink(missing_ok=True)


def _is_sealed(stored: bytes) -> bool:
    """Whether a file has a mark, be it damaged or cut short; what is empty was never whole."""
    start = stored[: len(MARK)]
    changed = int.from_bytes(start) ^ int.from_bytes(MARK[: len(start)])
    return changed.bit_count() * len(MARK) <= _MAX_CHANGED * len(start)
