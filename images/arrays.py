"""Images that come as arrays, written as files once: an image set that every machine gives the same digest."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from images.image_set import ImageSet, image_id


def nobody(done: int, total: int) -> None:
    """Progress that nobody looks at."""


def written_once(folder: Path, data: Path, write: Callable[[], ImageSet]) -> ImageSet:
    """The image set under `folder`, which `write` makes at the first call; its index lies under `data`."""
    pointer = folder / "digest"
    if not pointer.exists():
        images = write()
        images.save(data / "image-sets")
        pointer.write_text(images.digest)
    return ImageSet.read(data / "image-sets" / f"{pointer.read_text()}.parquet")


def write_image_set(
    title: str,
    images: Sequence[np.ndarray] | np.ndarray,
    names: Sequence[str],
    labels: Sequence[str],
    folder: Path,
    progress: Callable[[int, int], None] = nobody,
) -> ImageSet:
    """Images (H, W) or (H, W, 3) uint8 as BMP files under `folder`, each by its name without a suffix; equal ones once.

    BMP files of equal pixels are equal to the byte everywhere, unlike those of codecs that change. `progress` counts
    images and may raise to stop.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, (image, name, label) in enumerate(zip(images, names, labels, strict=True)):
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "BMP")
        content, path = buffer.getvalue(), folder / f"{name}.bmp"
        path.write_bytes(content)
        rows.append(
            {"id": image_id(content), "path": str(path), "name": path.name, "label": label, "note": "", "stamp": ""}
        )
        progress(number + 1, len(images))
    return ImageSet(title, pd.DataFrame(rows).drop_duplicates("id", ignore_index=True))
