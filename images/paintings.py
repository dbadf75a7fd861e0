"""The demo's paintings: a folder of images like anybody's, with a CSV of labels and with masks."""

from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pandas as pd

from images.image_set import MASK, ImageSet, stamp_of
from images.intake import DEMO, from_folder

NAME = "paintings"

#: What reading the folder finds, so that no server has to; `python -m tools.write_demo_facts` writes it.
INDEX = Path(__file__).with_suffix(".csv")


def demo_image_set(data: Path) -> ImageSet:
    """The demo's `ImageSet`, its index under `data`; in the order of the file names, which mixes the classes."""
    table = pd.read_csv(INDEX, dtype=str).fillna({"note": "", "reading": ""})
    table = _with_paths(table, lambda path: str(DEMO / path))
    table.insert(table.columns.get_loc("reading") + 1, "stamp", [stamp_of(Path(path)) for path in table["path"]])
    images = ImageSet(NAME, table)
    images.save(data / "image-sets")
    return images


def read_folder(data: Path) -> ImageSet:
    """The same, from the folder itself."""
    images = from_folder(DEMO, data)
    order = sorted(range(len(images)), key=lambda index: PurePosixPath(images.names[index]).name)
    return images.take(order, NAME)


def write_index(data: Path) -> None:
    """Write what `demo_image_set` reads."""
    table = read_folder(data).table.drop(columns="stamp")
    _with_paths(table, lambda path: Path(path).relative_to(DEMO).as_posix()).to_csv(INDEX, index=False)


def _with_paths(table: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    """The table with other paths of images and masks."""
    columns = ["path", *(name for name in table if name.startswith(MASK))]
    return table.assign(**{name: table[name].map(change, na_action="ignore") for name in columns})
