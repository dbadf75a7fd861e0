"""Small models and pictures that tests are made of, and the check that an error is one helpful line."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from common.errors import InputError
from models.card import Recipe
from models.loaders.base import Loaded
from models.preprocessing import Preprocessing

SIDE_PX = 16


class TinyNet(nn.Sequential):
    """A CNN with every kind of module that hooks and default layers care about."""

    def __init__(self, n_classes: int = 3, channels: int = 3) -> None:
        super().__init__(
            nn.Conv2d(channels, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(inplace=True),
            nn.Conv2d(4, 6, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(6, n_classes),
        )


def tiny_loaded(
    module: nn.Module | None = None, n_classes: int = 3, channels: int = 3, seed: int = 0, **facts
) -> Loaded:
    """`module` (a seeded `TinyNet` by default) as a loader hands it over; `facts` replace those of `Loaded`."""
    if module is None:
        torch.manual_seed(seed)
        module = TinyNet(n_classes, channels)
    size = (SIDE_PX, SIDE_PX)
    standard = {
        "name": "tiny",
        "source": "test",
        "family": type(module).__name__,
        "architecture": "test/tiny",
        "module": module,
        "preprocessing": Preprocessing(size, (0.5,) * channels, (0.25,) * channels, resize=size, mode="squash"),
        "class_names": None,
        "recipe": Recipe("test"),
    }
    return Loaded(**{**standard, **facts})


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """(height, width, 3) uint8: smooth colours with noise on them, so that a shift by one pixel shows."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize((width, height))
    return (np.asarray(coarse).astype(int) + rng.integers(-20, 20, (height, width, 3))).clip(0, 255).astype(np.uint8)


def encoded(image: np.ndarray | Image.Image, kind: str = "PNG", **options) -> bytes:
    """A picture file's content."""
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, kind, **options)
    return buffer.getvalue()


@contextmanager
def one_line(*parts: str) -> Iterator[None]:
    """The block must end in an `InputError` that is one whole line, with a cure, and holds `parts`."""
    with pytest.raises(InputError) as caught:
        yield
    line = str(caught.value)
    assert "\n" not in line
    assert "Traceback" not in line
    assert line.startswith("Expected ")
    assert line[-1] in ".?"
    assert caught.value.cure
    for part in parts:
        assert part in line, line
