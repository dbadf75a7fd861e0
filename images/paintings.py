"""The demo's paintings: a folder of images like anybody's, with a CSV of labels and with masks."""

from pathlib import Path

import pandas as pd

from images.image_set import MASK, ImageSet, stamp_of
from images.intake import DEMO

NAME = "paintings"

#: What reading the folder finds, so that no server has to; `python -m tools.write_demo_facts` writes it.
INDEX = Path(__file__).with_suffix(".csv")


def demo_image_set(data: Path) -> ImageSet:
    """The demo's `ImageSet`, its index under `data`; in the order of the file names, which mixes the classes."""
    table = pd.read_csv(INDEX, dtype=str).fillna({"note": "", "reading": ""})
    for column in ["path", *(name for name in table if name.startswith(MASK))]:
        table[column] = table[column].map(lambda path: str(DEMO / path), na_action="ignore")
    table.insert(table.columns.get_loc("reading") + 1, "stamp", [stamp_of(Path(path)) for path in table["path"]])
    images = ImageSet(NAME, table)
    images.save(data / "image-sets")
    return images
