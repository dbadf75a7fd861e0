"""`ImageSet`: pictures with stable ids and optional labels, decoded one at a time and never all held in memory."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from common.errors import InputError
from common.files import atomic_write
from images.decoding import decode


@dataclass(frozen=True)
class Skipped:
    """A file that was left out, and the line that says why."""

    name: str
    reason: str


@dataclass(frozen=True)
class ImageSet:
    """Pictures of one data set.

    `table` has one row per picture: `id` (16 hex digits of the content's SHA-256), `path`, `name`, `label` (a class
    name or missing) and `note` (what decoding had to do). `digest` stands for ids and labels together.
    """

    name: str
    table: pd.DataFrame
    skipped: tuple[Skipped, ...] = ()

    def __len__(self) -> int:
        return len(self.table)

    @cached_property
    def digest(self) -> str:
        """16 hex digits over ids and labels, in order."""
        state = hashlib.sha256()
        for image_id, label in zip(self.ids, self.labels, strict=True):
            state.update(f"{image_id}\t{label}\n".encode())
        return state.hexdigest()[:16]

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """Content digests, one per picture."""
        return tuple(self.table["id"])

    @cached_property
    def labels(self) -> tuple[str | None, ...]:
        """True classes, `None` where unknown."""
        return tuple(None if pd.isna(label) else label for label in self.table["label"])

    @cached_property
    def names(self) -> tuple[str, ...]:
        """File names, as they came."""
        return tuple(self.table["name"])

    @cached_property
    def paths(self) -> tuple[Path, ...]:
        """Where the files lie."""
        return tuple(Path(path) for path in self.table["path"])

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The true classes that occur, sorted."""
        return tuple(sorted({label for label in self.labels if label is not None}))

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {image_id: index for index, image_id in enumerate(self.ids)}

    def index(self, image_id: str) -> int:
        """Position of a picture by its id; raises `KeyError` for a foreign one."""
        return self._positions[image_id]

    def __contains__(self, image_id: str) -> bool:
        return image_id in self._positions

    def image(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB, read from disk now."""
        path = self.paths[index]
        if not path.exists():
            cure = "Put it back, or bring the images again."
            raise InputError(f"the file of {self.names[index]}", f"nothing at {path}", cure)
        return decode(path, self.names[index]).image

    def thumbnail(self, index: int, side_px: int = 192) -> bytes:
        """A JPEG no larger than `side_px` on either side."""
        return to_jpeg(self.image(index), side_px)

    def take(self, indices: Sequence[int], name: str | None = None) -> ImageSet:
        """The set of these pictures only, in this order."""
        return ImageSet(name or self.name, self.table.iloc[list(indices)].reset_index(drop=True))

    def save(self, folder: Path) -> Path:
        """Write the index (not the pictures) to `folder/<digest>.parquet`."""
        path = folder / f"{self.digest}.parquet"
        table = self.table.copy()
        table.attrs = {"name": self.name, "skipped": [[s.name, s.reason] for s in self.skipped]}
        with atomic_write(path) as partial:
            table.to_parquet(partial)
        return path

    @classmethod
    def read(cls, path: Path) -> ImageSet:
        """The set whose index `save` wrote."""
        table = pd.read_parquet(path)
        skipped = tuple(Skipped(*pair) for pair in table.attrs["skipped"])
        return cls(table.attrs["name"], table, skipped)


def reason(error: InputError | OSError) -> str:
    """Why a file was left out, in one line, also when it was the operating system that refused it."""
    if isinstance(error, InputError):
        return str(error)
    received = (error.strerror or type(error).__name__).lower()
    return str(InputError("a file that can be read", received, "Check that it is there, and its permissions."))


def image_id(content: bytes) -> str:
    """16 hex digits that stand for a file's content."""
    return hashlib.sha256(content).hexdigest()[:16]


def to_jpeg(image: np.ndarray, side_px: int | None = None, quality: int = 88) -> bytes:
    """A picture (H, W, 3) uint8 as JPEG, shrunk to at most `side_px` on either side."""
    picture = Image.fromarray(image)
    if side_px is not None:
        picture.thumbnail((side_px, side_px), Image.Resampling.BILINEAR, reducing_gap=2.0)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
