"""The demo paintings as an image set: painted on the first start, kept on disk, with their masks a call away."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from images.image_set import ImageSet, image_id
from tools.painter.paintings import DEMO_SIZE, demo_painting

NAME = "paintings"

#: More only wait for each other: half of the work holds the interpreter lock.
_N_THREADS = 2


def demo_image_set(data: Path, progress: Callable[[int, int], None] = lambda done, total: None) -> ImageSet:
    """The demo's `ImageSet`, under `data`; painted anew when the painters changed."""
    pointer = _pointer(data)
    folder = pointer.parent
    if pointer.exists():
        return ImageSet.read(data / "image-sets" / f"{pointer.read_text()}.parquet")
    folder.mkdir(parents=True, exist_ok=True)

    def paint(index: int) -> dict[str, str | None]:
        painting = demo_painting(index)
        buffer = io.BytesIO()
        Image.fromarray(painting.image).save(buffer, "JPEG", quality=95, subsampling=0)
        path = folder / f"painting-{index:03d}.jpg"
        path.write_bytes(buffer.getvalue())
        return {
            "id": image_id(buffer.getvalue()),
            "path": str(path),
            "name": path.name,
            "label": painting.label,
            "note": "",
        }

    rows = []
    with ThreadPoolExecutor(_N_THREADS) as pool:
        for row in pool.map(paint, range(DEMO_SIZE)):
            rows.append(row)
            progress(len(rows), DEMO_SIZE)
    images = ImageSet(NAME, pd.DataFrame(rows))
    images.save(data / "image-sets")
    pointer.write_text(images.digest)
    return images


class Truth(NamedTuple):
    """What is known about a demo painting: (224, 224) bool each, all False where there is none.

    `subject` is what makes it its type, `signature` the painter's mark, by which the shortcut net cheats.
    """

    subject: np.ndarray
    signature: np.ndarray


def truth(images: ImageSet, index: int) -> Truth | None:
    """The truth about a picture that is one of the demo's own, painted again for it; `None` for all others."""
    path = images.paths[index]
    if path.parent.name != _version() or path.parent.parent.name != "demo":
        return None
    painting = demo_painting(int(path.stem.removeprefix("painting-")))
    return Truth(painting.mask, painting.signature)


def paint_ahead(data: Path) -> subprocess.Popen[bytes] | None:
    """Start painting in a process of its own, so that the nets can be loaded meanwhile; `None` when all is painted."""
    if _pointer(data).exists():
        return None
    root = Path(__file__).parents[2]
    return subprocess.Popen([sys.executable, "-m", "images.paintings", str(data)], cwd=root)


def _pointer(data: Path) -> Path:
    """The file that names the finished set."""
    return data / "demo" / _version() / "digest"


@cache
def _version() -> str:
    """Changes with the painters' code, so that old paintings are not taken for new ones."""
    state = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        state.update(file.read_bytes())
    return state.hexdigest()[:12]


if __name__ == "__main__":
    demo_image_set(Path(sys.argv[1]))
