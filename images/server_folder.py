"""Folders of the server that a visitor may name; nobody learns what lies elsewhere, or whether anything does."""

import os
from collections.abc import Sequence
from pathlib import Path

from common.errors import InputError
from common.settings import settings

_LONGEST = 200


def check_server_folder(text: str, roots: Sequence[Path]) -> Path:
    """The folder that a visitor typed, where it lies under one of `roots` (absolute paths).

    Raises `InputError`, the same for every other text: a path that leads out of `roots` by `..` or a link, or into the
    data folder, one that is no path, and one that does not exist. What is not there under `roots` is told.
    """
    shown = repr(text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…")
    allowed = ", ".join(map(str, roots)) or "none; image_folders in parallax.toml names them"
    refused = InputError("a folder that this server opens", shown, f"Allowed: {allowed}.")
    try:
        # As it is written, before anything is asked of the disk: a link elsewhere may not tell where it leads.
        path = Path(os.path.normpath(Path.cwd() / (os.path.expanduser(text) if _is_home(text) else text)))
        if not any(path.is_relative_to(root) for root in (*roots, *map(real_path, roots))):
            raise refused
        if not within(path, roots):
            raise refused
        if not path.is_dir():
            cure = "Check the path; it is the server's, not your computer's."
            raise InputError("a folder on the server", f"{shown}, which is not there", cure)
    except (OSError, ValueError) as error:  # a name that is too long, or none
        raise error if isinstance(error, InputError) else refused from error
    return path


def within(path: Path, roots: Sequence[Path]) -> bool:
    """Whether a path leads into one of `roots`, links followed, and not into what Parallax keeps of its visitors."""
    there = real_path(path)
    ours = real_path(settings().data_folder)
    return any(there.is_relative_to(real_path(root)) for root in roots) and not there.is_relative_to(ours)


def real_path(path: Path) -> Path:
    """A path with its links followed; as far as they lead, where they lead in circles."""
    return Path(os.path.realpath(path))


def _is_home(text: str) -> bool:
    return text == "~" or text.startswith("~/")
