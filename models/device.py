"""Where models run: CUDA, MPS or the CPU, chosen by itself or set in the configuration."""

import ctypes
import sys

import torch

from common.errors import InputError, first_line
from common.settings import settings

#: glibc's names (malloc.h) for how many bytes it keeps, and from how many on a piece of memory is one of its own.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT, _OWN = 512 * 2**20, 32 * 2**20


def choose_device(name: str | None = None) -> torch.device:
    """The device called `name` ("auto" takes CUDA, else MPS, else the CPU); by default that of the settings.

    Raises `InputError` when the machine does not have it.
    """
    wanted = name or settings().device
    if wanted == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    cure = 'Set device = "auto" in parallax.toml, or name "cuda:0", "mps" or "cpu".'
    try:
        device = torch.device(wanted)
    except RuntimeError as error:
        raise InputError("a device", f"{wanted!r}, which names none", cure) from error
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        why = first_line(error).partition(". ")[0]
        raise InputError("a device that this machine has", f"{wanted!r} ({why})", cure) from error
    return device


def device_title(device: torch.device) -> str:
    """The device as a person would name it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    n = torch.get_num_threads()
    cpu = f"CPU, {n} thread{'s' if n > 1 else ''}"
    return {"mps": "Apple GPU (MPS)", "cpu": cpu}.get(device.type, str(device))


def keep_freed_memory() -> None:
    """Have glibc keep up to half a GiB that a pass on the CPU has freed for the next one; other C libraries do as ever.

    Handed back, it would be cleared and mapped anew in every pass: a pass there and back through the demo's
    convolutional models, 16 images of 64 px at once, took a third longer.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if set_option is not None:
        set_option(_M_MMAP_THRESHOLD, _OWN)
        set_option(_M_TRIM_THRESHOLD, _KEPT)
