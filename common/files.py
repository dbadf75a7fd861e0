"""Files that are whole or not there, however a process ends; and what can be read or written, in a line of ours."""

import os
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from common.errors import InputError, first_line

#: What is written where it is asked whether anything can be: more than a file system may keep beside its directory.
_TRIAL_BYTES = 1 << 16

#: What unfinished files are called, and the age from which one was left by a process that died, in seconds.
_PARTIAL, ABANDONED_S = ".partial", 3600.0

#: Time within which a file in use is marked once.
_MARKED_NS = 3600 * 10**9


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A place to write to beside `path`; it becomes `path` when the block ends well, and is gone when it does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}{_PARTIAL}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Write a file, whole or not at all."""
    with atomic_write(path) as partial:
        partial.write_bytes(content)


def remove_abandoned(folder: Path, now: float) -> list[Path]:
    """Remove, and return, the unfinished files anywhere under `folder` that a process left that died.

    Those younger than an hour stay: another process may be writing them. `now` is in seconds since 1970.
    """
    removed = []
    for path in folder.rglob(f"*{_PARTIAL}"):
        with suppress(OSError):  # finished, or removed by another; or its disk cannot be written
            if path.stat().st_mtime < now - ABANDONED_S:
                path.unlink()
                removed.append(path)
    return removed


def mark_used(path: Path) -> None:
    """Take down that a file is in use, to the hour: its time of access, for its time of change may be its version."""
    try:
        known, now = path.stat(), time.time_ns()
        if now - known.st_atime_ns > _MARKED_NS:
            os.utime(path, ns=(now, known.st_mtime_ns))
    except OSError:  # it has gone, or its disk cannot be written
        return


def last_use(path: Path) -> float:
    """When a file was written or used last, in seconds since 1970; now for one that has gone."""
    try:
        known = path.stat()
    except OSError:
        return time.time()
    return max(known.st_atime, known.st_mtime)


def safe_file_name(name: str) -> str:
    """A name that is safe in a file's name."""
    return "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in name)


def check_writable(folder: Path, expected: str, cure: str) -> None:
    """Raise `InputError` unless files can be written into `folder`, or it can be made; nothing is left there."""
    try:
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        with tempfile.TemporaryFile(dir=there) as trial:
            trial.write(bytes(_TRIAL_BYTES))
            trial.flush()
    except OSError as error:
        raise InputError(expected, f"{folder} ({error.strerror or first_line(error)})", cure) from error


def read_text(path: Path, expected: str) -> str:
    """The content of a text file in UTF-8; raises `InputError` where it cannot be read, or is none."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "which is not text in UTF-8"
        raise InputError(expected, f"{path} ({why})", "Check the path, and save the file as UTF-8.") from error
