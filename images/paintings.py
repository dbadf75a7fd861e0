"""The demo's paintings: a folder of images like anybody's, with a CSV of labels and with masks."""

from collections.abc import Callable
from pathlib import Path, PurePosixPath

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
