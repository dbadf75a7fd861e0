"""Where models run: CUDA, MPS or the CPU, chosen by itself or set in the configuration."""

from __future__ import annotations

import torch

from bank.errors import InputError, first_line
from bank.settings import settings


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
