"""The demo's paintings: a folder of images like anybody's, with a CSV of labels and with masks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from images.image_set import ImageSet
from images.intake import DEMO, from_folder

NAME = "paintings"


def demo_image_set(data: Path, progress: Callable[[int, int], None] | None = None) -> ImageSet:
    """The demo's `ImageSet`, its index under `data`; in the order of the file names, which mixes the classes."""
    images = from_folder(DEMO, data, progress)
    order = sorted(range(len(images)), key=lambda index: PurePosixPath(images.names[index]).name)
    images = images.take(order, NAME)
    images.save(data / "image-sets")
    return images


class Truth(NamedTuple):
    """What is known about a demo painting: (224, 224) bool each, all False where there is none.

    `subject` is what makes it its type, `signature` the painter's mark, by which the shortcut net cheats.
    """

    subject: np.ndarray
    signature: np.ndarray


def truth(images: ImageSet, index: int) -> Truth | None:
    """The masks of a picture that is one of the demo's own; `None` for all others."""
    if not images.paths[index].is_relative_to(DEMO):
        return None
    masks = (images.mask(index, kind) for kind in Truth._fields)
    return Truth(*(np.zeros((224, 224), dtype=bool) if mask is None else mask for mask in masks))
