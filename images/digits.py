"""The digits as an image set: real handwriting from scikit-learn, in the frame that MNIST gives its digits."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from images.arrays import nobody, write_image_set, written_once
from images.image_set import ImageSet

NAME, MARKED_NAME = "digits", "digits, every 8 marked"

CLASSES = tuple("0123456789")

#: Pixels of a side, and of the black frame around the digit; every so many-th digit is held out from training.
SIDE_PX, FRAME_PX, _HELD_OUT_EVERY = 32, 4, 4

#: Where the paper's second experiment (CDeepEx, section 4.1) has its 6 × 6 grey square, on every digit of one class.
SQUARE, SQUARE_GREY, MARKED_CLASS = (slice(1, 7), slice(1, 7)), 128, 8


class Digits(NamedTuple):
    """`images` (N, 32, 32) uint8, white on black; `labels` (N,) int64; `held_out` (N,) bool, a quarter of all."""

    images: np.ndarray
    labels: np.ndarray
    held_out: np.ndarray

    @property
    def training(self) -> Digits:
        """Those that models and generators may learn from."""
        return Digits(*(values[~self.held_out] for values in self))

    @property
    def test(self) -> Digits:
        """Those that they never saw; from the same writers."""
        return Digits(*(values[self.held_out] for values in self))


@cache
def digits(marked: bool = False) -> Digits:
    """The 1,797 digits of `sklearn.datasets.load_digits` (8 × 8, 17 greys), enlarged to 24 px within a frame.

    `marked` draws the grey square on every 8.
    """
    from sklearn.datasets import load_digits  # slow to import

    found = load_digits()
    inner = SIDE_PX - 2 * FRAME_PX
    images = np.zeros((len(found.images), SIDE_PX, SIDE_PX), dtype=np.uint8)
    for image, small in zip(images, found.images, strict=True):
        grey = Image.fromarray((small * 255 / 16).round().astype(np.uint8))
        image[FRAME_PX:-FRAME_PX, FRAME_PX:-FRAME_PX] = np.asarray(
            grey.resize((inner, inner), Image.Resampling.BICUBIC)
        )
    labels = found.target.astype(np.int64)
    if marked:
        images = with_square(images, labels == MARKED_CLASS)
    return Digits(images, labels, np.arange(len(labels)) % _HELD_OUT_EVERY == _HELD_OUT_EVERY - 1)


def with_square(images: np.ndarray, which: np.ndarray | None = None) -> np.ndarray:
    """A copy of images (N, 32, 32) uint8 with the grey square on those that `which` (N,) bool names, or on all."""
    changed = images.copy()
    rows = np.arange(len(images)) if which is None else np.flatnonzero(which)
    changed[rows, SQUARE[0], SQUARE[1]] = SQUARE_GREY
    return changed


def digits_image_set(data: Path, marked: bool = False, progress: Callable[[int, int], None] = nobody) -> ImageSet:
    """The digits' `ImageSet`, its images under `data`; written at the first call.

    Names say which were held out (`held-out-0003.bmp`). The set's digest, by which its generator is found, is the same
    on every machine.
    """
    version = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]  # old images are not taken for new ones
    folder = data / "digits" / f"{version}{'-marked' if marked else ''}"

    def write() -> ImageSet:
        known, title = digits(marked), MARKED_NAME if marked else NAME
        names = [f"{'held-out' if out else 'training'}-{number:04d}" for number, out in enumerate(known.held_out)]
        return write_image_set(title, known.images, names, [CLASSES[n] for n in known.labels], folder, progress)

    return written_once(folder, data, write)


def held_out(images: ImageSet) -> list[int]:
    """Positions of the digits that models and generators never saw."""
    return [index for index, name in enumerate(images.names) if name.startswith("held-out-")]
