"""Files that are whole or not there, however a process ends."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A place to write to beside `path`; it becomes `path` when the block ends well, and is gone when it does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def safe_file_name(name: str) -> str:
    """A name that is safe in a file's name."""
    return "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in name)
