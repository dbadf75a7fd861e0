"""Arrays as files: npz, without pickles."""

import io
from pathlib import Path

import numpy as np

from common.files import write_bytes


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Write arrays as an npz file, whole or not at all; raises `ValueError` for arrays of objects."""
    write_bytes(path, arrays_to_bytes(**arrays))


def arrays_to_bytes(**arrays: np.ndarray) -> bytes:
    """Arrays as the content of an npz file."""
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **arrays)
    return content.getvalue()
