"""What whoever runs a server wants to know of it: versions, memory, and what lies in the data folder."""

import os
import platform
import shutil
import threading
import time
import tomllib
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from common.errors import InputError
from common.settings import settings

_LIBRARIES = ("streamlit", "torch", "torchvision", "timm", "captum", "numpy", "pillow")

#: Where each workspace has a folder.
WORKSPACES = "workspaces"


def versions() -> dict[str, str]:
    """The versions of Parallax, Python and the libraries that results depend on."""
    ours = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    libraries = {name: version(name) for name in _LIBRARIES}
    return {"parallax": ours["project"]["version"], "python": platform.python_version(), **libraries}


def process() -> dict[str, Any]:
    """Of this process: bytes in memory, threads, open files, seconds since its start; and the machine's memory."""
    this, machine = psutil.Process(), psutil.virtual_memory()
    return {
        "resident_bytes": this.memory_info().rss,
        "machine_available_bytes": machine.available,
        "machine_bytes": machine.total,
        "threads": threading.active_count(),
        "open_files": this.num_fds() if hasattr(this, "num_fds") else len(this.open_files()),
        "seconds": round(time.time() - this.create_time()),
    }


def disk() -> dict[str, Any]:
    """Bytes in the data folder: of each of its folders, and of each workspace; and how many are free.

    Raises `InputError` where nothing can be written there.
    """
    data = settings().data_folder
    folders = {folder.name: bytes_in(folder) for folder in _folders(data) if folder.name != WORKSPACES}
    workspaces = {folder.name: bytes_in(folder) for folder in _folders(data / WORKSPACES)}
    return {
        "folder": str(data),
        "free_bytes": shutil.disk_usage(data).free,
        "total_bytes": sum(folders.values()) + sum(workspaces.values()),
        "folders": folders,
        WORKSPACES: workspaces,
    }


def disk_or_why() -> dict[str, Any]:
    """As `disk`, or why it cannot be told."""
    try:
        return disk()
    except InputError as error:
        return {"error": str(error)}


def choices() -> dict[str, Any]:
    """The settings, without the teacher's key."""
    return settings().model_dump(exclude={"teacher_key"})


def bytes_in(folder: Path) -> int:
    """Bytes of all files below a folder, links not followed; what goes while it is counted counts or does not."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(root, name), follow_symlinks=False).st_size
            except FileNotFoundError:
                continue
    return total


def _folders(folder: Path) -> Iterable[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
