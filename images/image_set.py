"""`ImageSet`: images with stable ids, optional labels, metadata and masks; decoded one at a time, never all held."""

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

from common import sealed
from common.errors import InputError
from common.tables import read_table, write_table
from images.decoding import decode, decode_mask

#: Columns of the table: the true class, a further column of the user's CSV, a mask's file, the digest of its content.
LABEL, META, MASK, MASK_ID = "label", "meta:", "mask:", "mask_id:"


#: For files that have gone or changed.
_CURE = "Put it back, or add the images again."


@dataclass(frozen=True)
class Skipped:
    """A file that was left out, and the line that says why."""

    name: str
    reason: str


@dataclass(frozen=True)
class ImageSet:
    """Images of one data set.

    `table` has one row per image: `id` (16 hex digits, see `image_id`), `path`, `name`, `label` (a class
    name or missing), `note` (what decoding had to do), `reading` (see `Decoded`) and `stamp` (`stamp_of` the file, or
    empty where it is the app's own); `meta:COLUMN` (text or missing) for each further column of
    the user's CSV; `mask:KIND` (a file or missing) and `mask_id:KIND` (digest of its content) for each kind of mask.
    `remarks` say what was made of tables and folders.

    Example:
        >>> images.mask_kinds, images.mask(0, "subject").shape, images.metadata["signed"][0]
        (('signature', 'subject'), (224, 224), 'no')
    """

    name: str
    table: pd.DataFrame
    skipped: tuple[Skipped, ...] = ()
    remarks: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.table)

    @cached_property
    def digest(self) -> str:
        """16 hex digits over ids, labels and masks, in order; the figures of evaluation depend on all of them."""
        state = hashlib.sha256()
        for image_id, label in zip(self.ids, self.labels, strict=True):
            state.update(f"{image_id}\t{label}\n".encode())
        for kind in self.mask_kinds:
            for index in range(len(self)):
                state.update(f"{kind}\t{self.mask_ids[index].get(kind)}\n".encode())
        return state.hexdigest()[:16]

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """Content digests, one per image."""
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
    def metadata(self) -> pd.DataFrame:
        """The further columns of the user's CSV, under their own names; one row per image, text or missing."""
        columns = {name: name.removeprefix(META) for name in self.table if name.startswith(META)}
        return self.table[list(columns)].rename(columns=columns)

    @cached_property
    def mask_kinds(self) -> tuple[str, ...]:
        """What the masks mark, such as `subject`; sorted, those that occur."""
        columns = [name for name in self.table if name.startswith(MASK) and self.table[name].notna().any()]
        return tuple(sorted(name.removeprefix(MASK) for name in columns))

    def mask(self, index: int, kind: str) -> np.ndarray | None:
        """(H, W) bool in the image's own pixels, read from disk now; `None` where the image has none of this kind."""
        path = self.table[f"{MASK}{kind}"].iloc[index] if kind in self.mask_kinds else None
        if path is None or pd.isna(path):
            return None
        title, file = f"the mask of {self.names[index]}", Path(path)
        content = _content(file, title)
        if image_id(content) != self.mask_ids[index][kind]:
            raise self._changed(index, file, title, "another")
        return decode_mask(content, title)

    @cached_property
    def mask_ids(self) -> list[dict[str, str]]:
        """Content digests of each image's masks by kind."""
        columns = {kind: self.table[f"{MASK_ID}{kind}"].tolist() for kind in self.mask_kinds}
        return [
            {kind: ids[index] for kind, ids in columns.items() if not pd.isna(ids[index])} for index in range(len(self))
        ]

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {image_id: index for index, image_id in enumerate(self.ids)}

    def index(self, image_id: str) -> int:
        """Position of an image by its id; raises `KeyError` for a foreign one."""
        return self._positions[image_id]

    def __contains__(self, image_id: str) -> bool:
        return image_id in self._positions

    def image(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB, read from disk now.

        Raises `InputError` where the file has gone, or its content is another than the one that was added.
        """
        path, name = self.paths[index], self.names[index]
        content, reading = _content(path, f"the file of {name}"), self._readings[index]
        if reading is not None and image_id(content, reading) != self.ids[index]:
            raise self._changed(index, path, name, "another image")
        decoded = decode(content, name)
        if decoded.reading != reading and image_id(content, decoded.reading) != self.ids[index]:
            raise InputError(f"{name} as it was added", f"another image at {path}", _CURE)
        return decoded.image

    def _changed(self, index: int, path: Path, title: str, found: str) -> InputError:
        """The line for a file that is not as it was added; one of the app's own is set aside, to be written anew."""
        if self._stamps[index] == "":
            sealed.set_aside(path, f"it is not {title} as it was added")
        return InputError(f"{title} as it was added", f"{found} at {path}", _CURE)

    def check(self, index: int) -> None:
        """Raise `InputError` as `image` does; files that did not change are not read."""
        if not self._is_unchanged(index):
            self.image(index)

    def can_be_read(self, index: int) -> bool:
        """Whether `check` finds nothing wrong."""
        try:
            self.check(index)
        except InputError:
            return False
        return True

    def _is_unchanged(self, index: int) -> bool:
        """Whether a file has the size and time that it was added with; those in the app's own data have no stamp."""
        stamp = self._stamps[index]
        try:
            return not pd.isna(stamp) and stamp in (stamp_of(self.paths[index]), "")
        except OSError:
            return False

    @cached_property
    def _stamps(self) -> list[str | None]:
        return list(self.table.get("stamp", [None] * len(self)))

    @cached_property
    def _readings(self) -> list[str | None]:
        """`None` in the indexes of earlier versions, which do not tell."""
        return list(self.table.get("reading", [None] * len(self)))

    def thumbnail(self, index: int, side_px: int = 192) -> bytes:
        """A JPEG no larger than `side_px` on either side."""
        return to_jpeg(self.image(index), side_px)

    def take(self, indices: Sequence[int], name: str | None = None) -> ImageSet:
        """The set of these images only, in this order."""
        return ImageSet(name or self.name, self.table.iloc[list(indices)].reset_index(drop=True))

    def save(self, folder: Path) -> Path:
        """Write the index (not the images) to `folder/<digest>.parquet`, as a sealed file."""
        path = folder / f"{self.digest}.parquet"
        table = self.table.copy()
        table.attrs = {"name": self.name, "skipped": [[s.name, s.reason] for s in self.skipped]}
        table.attrs["remarks"] = list(self.remarks)
        write_table(path, table)
        return path

    @classmethod
    def read(cls, path: Path) -> ImageSet:
        """The set whose index `save` wrote; raises `InputError` where there is none, or it is damaged."""
        table = read_table(path)
        if table is None or "name" not in table.attrs:
            raise InputError("the index of an image set", f"nothing whole at {path}", "Add the images again.")
        skipped = tuple(Skipped(*pair) for pair in table.attrs["skipped"])
        return cls(table.attrs["name"], table, skipped, tuple(table.attrs.get("remarks", ())))


def stamp_of(path: Path) -> str:
    """A file's size and times of change, the last of which no program can set; raises `OSError` where there is none."""
    status = path.stat()
    return f"{status.st_size}-{status.st_mtime_ns}-{status.st_ctime_ns}"


def _content(path: Path, title: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        received = f"nothing at {path}" if isinstance(error, FileNotFoundError) else f"{path}: {error.strerror}"
        raise InputError(title, received, _CURE) from error


def reason(error: InputError | OSError) -> str:
    """Why a file was left out, in one line, also when it was the operating system that refused it."""
    if isinstance(error, InputError):
        return str(error)
    received = (error.strerror or type(error).__name__).lower()
    return str(InputError("a file that can be read", received, "Check that it is there, and its permissions."))


def image_id(content: bytes, reading: str = "") -> str:
    """16 hex digits that stand for a file's content, and for how it was read where that is `Decoded.reading`."""
    return hashlib.sha256(content + reading.encode()).hexdigest()[:16]


def to_jpeg(image: np.ndarray, side_px: int | None = None, quality: int = 88) -> bytes:
    """An image (H, W, 3) uint8 as JPEG, shrunk to at most `side_px` on either side."""
    shrunk = Image.fromarray(image)
    if side_px is not None:
        shrunk.thumbnail((side_px, side_px), Image.Resampling.BILINEAR, reducing_gap=2.0)
    buffer = io.BytesIO()
    shrunk.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
