"""Pictures that come as arrays, written as files once: an image set that every machine gives the same digest."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from images.image_set import ImageSet, image_id


def write_image_set(
    title: str,
    pictures: np.ndarray,
    names: Sequence[str],
    labels: Sequence[str],
    folder: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> ImageSet:
    """Pictures (N, H, W) uint8 as BMP files under `folder`, each by its name without a suffix; equal ones once.

    BMP files of equal pixels are equal to the byte everywhere, unlike those of codecs that change. `progress` counts
    pictures and may raise to stop.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, (picture, name, label) in enumerate(zip(pictures, names, labels, strict=True)):
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "BMP")
        path = folder / f"{name}.bmp"
        path.write_bytes(buffer.getvalue())
        found = {"id": image_id(buffer.getvalue()), "path": str(path), "name": path.name, "label": label, "note": ""}
        rows.append(found)
        progress(number + 1, len(pictures))
    return ImageSet(title, pd.DataFrame(rows).drop_duplicates("id", ignore_index=True))
