"""Images that come as arrays, written as files once: an image set that every machine gives the same digest."""

import io
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from common import sealed
from common.errors import InputError
from common.files import write_bytes
from images.image_set import MASK, ImageSet, image_id


def nobody(done: int, total: int) -> None:
    """Progress that nobody looks at."""


def written_once(folder: Path, data: Path, write: Callable[[], ImageSet]) -> ImageSet:
    """The image set under `folder`, which `write` makes where it is not there, whole; its index lies under `data`."""
    pointer, sets = folder / "digest", data / "image-sets"
    digest = sealed.read(pointer)
    if digest is not None and (images := _whole(sets / f"{digest.decode(errors='replace')}.parquet")) is not None:
        return images
    images = write()
    images.save(sets)
    sealed.write(pointer, images.digest.encode())
    return ImageSet.read(sets / f"{images.digest}.parquet")


def _whole(index: Path) -> ImageSet | None:
    """The set with this index; `None` where a file of it is gone or was set aside."""
    try:
        images = ImageSet.read(index)
    except InputError:
        return None
    masks = [images.table[column].dropna() for column in images.table if column.startswith(MASK)]
    return images if all(Path(path).exists() for path in (*images.paths, *chain(*masks))) else None


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
        write_bytes(path, content)
        rows.append(
            {
                "id": image_id(content), "path": str(path), "name": path.name, "label": label, "note": "",
                "reading": "", "stamp": "",
            }
        )  # fmt: skip
        progress(number + 1, len(images))
    return ImageSet(title, pd.DataFrame(rows).drop_duplicates("id", ignore_index=True))
