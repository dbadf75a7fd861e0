"""Generators that come with the app, found by the digest of their image set; `tools.train_generators` trains them."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file

from explainers.contrastive.generator import Shape, Trained, from_arrays
from explainers.contrastive.method import GeneratorParams
from jobs.results import key_of

WEIGHTS = Path(__file__).parent / "weights"

#: Five times the paper's learning rate: 500 steps make digits of what were shadows.
PARAMS = GeneratorParams(width=16, learning_rate=5e-4)


@cache
def ready_made(data: str) -> Trained | None:
    """The generator that comes with the app for the image set of this digest, if there is one."""
    for path in sorted(WEIGHTS.glob("*.safetensors")):
        with safe_open(str(path), "numpy") as file:
            facts = json.loads(file.metadata()["facts"])
        if facts["data"] == data:
            key = key_of(what="ready-made generator", weights=hashlib.sha256(path.read_bytes()).hexdigest())
            return from_arrays(key, data, facts["step"], Shape(**facts["shape"]), load_file(path))
    return None


def sheet(samples: np.ndarray, columns: int = 8) -> np.ndarray:
    """Samples (N, side, side, C) uint8 on one picture (rows × side, columns × side, C) uint8."""
    n, side, _, channels = samples.shape
    rows = n // columns
    grid = samples[: rows * columns].reshape(rows, columns, side, side, channels)
    return grid.transpose(0, 2, 1, 3, 4).reshape(rows * side, columns * side, channels)
