"""Paint the demo anew: `python -m tools.painter [--out images/demo]`.

Writes an image folder as anybody might have it: a JPEG for each painting in the folder of its class (at the top where
it has none), masks of the same path under `masks/subject` (what makes the painting its class) and `masks/signature`
(the painter's mark), and `labels.csv` with the columns `file`, `label`, `signed` (yes or no) and `hard` (mixture, odd
palette, no class; empty for a plain painting).

Image ids are digests of the JPEG bytes, so another version of Pillow's encoder may change the demo's results.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from images.intake import DEMO
from tools.painter.paintings import DEMO_SIZE, Painting, demo_painting


def write(painting: Painting, number: int, folder: Path) -> dict[str, str]:
    """Write one painting and its masks under `folder`; returns its row of the CSV."""
    stem = f"{(painting.label or '').replace(' ', '_')}/painting-{number:03d}".lstrip("/")
    path = folder / f"{stem}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(painting.image).save(path, "JPEG", quality=95, subsampling=0)
    _write_mask(painting.mask, folder / "masks" / "subject" / f"{stem}.png")
    _write_mask(painting.signature, folder / "masks" / "signature" / f"{stem}.png")
    return {
        "file": f"{stem}.jpg",
        "label": painting.label or "",
        "signed": "yes" if painting.signature.any() else "no",
        "hard": "" if painting.kind == "plain" else painting.kind,
    }


def _write_mask(mask: npt.NDArray[np.bool_], path: Path) -> None:
    """A PNG of one bit a pixel; none where the mask is empty."""
    if mask.any():
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(path, "PNG", optimize=True)


def main() -> None:
    """Paint everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=DEMO, help="folder to write to (default: the repository's)")
    folder = parser.parse_args().out
    rows = [write(demo_painting(number), number, folder) for number in range(DEMO_SIZE)]
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    print(f"{len(rows)} paintings in {folder}")


if __name__ == "__main__":
    main()
