"""How much one upload may weigh, asked before any of it is read."""

import io
from collections.abc import Iterable
from typing import BinaryIO

from common.bounds import MAX_FILES
from common.errors import InputError
from common.settings import settings


def check_upload(files: Iterable[tuple[str, BinaryIO]]) -> list[tuple[str, BinaryIO]]:
    """The files of one upload, by name; raises `InputError` where they are too many, or weigh too much together."""
    found = list(files)
    if len(found) > MAX_FILES:
        raise InputError(f"an upload of at most {MAX_FILES:,} files", f"{len(found):,}", "Upload one folder of them.")
    limit, total = settings().max_upload_gigabytes, 0
    for name, file in found:
        place = file.tell()
        total += file.seek(0, io.SEEK_END)
        file.seek(place)
        if total > limit * 1e9:
            cure = "Use a folder on the server, or raise max_upload_gigabytes in parallax.toml."
            raise InputError(f"an upload of at most {limit:g} GB", f"more with {name}", cure)
    return found
