"""A generator's view of an image set: small squares, grey where all pictures are."""

from __future__ import annotations

import numpy as np

from common.errors import InputError
from explainers.base import Progress, nobody
from explainers.contrastive.generator import Shape
from explainers.contrastive.method import FEWEST_IMAGES, MOST_IMAGES
from images.image_set import ImageSet
from models.preprocessing import Preprocessing


def squeezed(image: np.ndarray, side: int, channels: int) -> np.ndarray:
    """A picture (H, W, 3) uint8 RGB as generators see it: (channels, side, side) uint8, squeezed to a square."""
    size = (side, side)
    whole = Preprocessing(size, (0.0,) * channels, (1.0,) * channels, resize=size, mode="squash")
    return whole.crop(image).transpose(2, 0, 1)


def pictures(images: ImageSet, side: int, progress: Progress = nobody) -> np.ndarray:
    """The set's pictures (N, C, side, side) uint8: C is 1 where all are grey, else 3.

    Of a set of more than 20,000, as many spread evenly over it. `progress` counts pictures and may raise to stop.
    Raises `InputError` for a set that is too small to learn from.
    """
    if len(images) < FEWEST_IMAGES:
        cure = "Bring more pictures of the kind, or ask about the digits, whose generator is ready."
        raise InputError(f"at least {FEWEST_IMAGES} pictures to train a generator", f"{len(images)}", cure)
    rows = np.linspace(0, len(images) - 1, min(len(images), MOST_IMAGES)).round().astype(int)
    found = np.empty((len(rows), 3, side, side), dtype=np.uint8)
    for done, row in enumerate(rows.tolist()):
        progress(done, len(rows))
        found[done] = squeezed(images.image(row), side, 3)
    progress(len(rows), len(rows))
    grey = bool((found[:, :1] == found[:, 1:]).all())
    return found[:, :1].copy() if grey else found


def fit_for(shape: Shape, image: np.ndarray) -> np.ndarray:
    """A picture (H, W, 3) uint8 RGB for a generator of this shape: (C, side, side) float32 in [0, 1]."""
    return squeezed(image, shape.side, shape.channels).astype(np.float32) / 255
