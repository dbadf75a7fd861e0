"""What a network of the Playground learns from: a labelled image set as arrays, split, with a shortcut on request."""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from common.errors import InputError, check_known
from common.files import write_bytes
from explainers.base import Progress, nobody
from images import digits, mnist
from images.arrays import write_image_set, written_once
from images.image_set import MASK, MASK_ID, ImageSet, image_id
from models.preprocessing import Preprocessing

#: Shares of the images, of each class, that measure a network while it trains and once it is trained.
VALIDATION, TEST = 0.15, 0.2

#: Images of a class: one for each of the three parts.
FEWEST_OF_A_CLASS = 3

#: The most images that are held in memory at once; of larger sets, as many spread evenly over it.
MOST_IMAGES = 100_000

#: Side of the planted mark and its distance from the corner, as shares of the image's side (the square of CDeepEx,
#: section 4.1), and its value in all channels: white, which is far from what networks take for nothing.
_MARK, _MARGIN, MARK_VALUE = 6 / 32, 1 / 32, 255


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Images as a network sees them, before normalising.

    `pixels` (N, C, side, side) uint8, `labels` (N,) int64 into `classes`; `rows` (N,) int64 are the images' places in
    the image set, -1 for those that are not in it (MNIST's training images). `training`, `validation` and `test` are
    positions in `pixels`. `remarks` say what was left out.
    """

    pixels: np.ndarray
    labels: np.ndarray
    rows: np.ndarray
    classes: tuple[str, ...]
    training: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    preprocessing: Preprocessing
    remarks: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, side, side)."""
        return self.pixels.shape[1:]


def labelled(images: ImageSet) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The classes of a set that a network can learn, and what to say of its labels.

    Raises `InputError` where there are fewer than two, or a class has too few images.
    """
    counts = Counter(label for label in images.labels if label is not None)
    if len(counts) < 2:
        received = f"{images.name} with labels of {len(counts)}" if counts else f"{images.name}, which has no labels"
        cure = "Add images in class folders, or with a CSV of labels, on the Upload page."
        raise InputError("images of at least two classes", received, cure)
    few = [f"{n} of {label}" for label, n in sorted(counts.items()) if n < FEWEST_OF_A_CLASS]
    if few:
        more = f" and {len(few) - 3} classes more" if len(few) > 3 else ""
        expected = f"at least {FEWEST_OF_A_CLASS} images of each class, to train, validate and test"
        raise InputError(expected, ", ".join(few[:3]) + more, "Add images of it, or leave the class out.")
    missing = len(images) - counts.total()
    remarks = [f"{missing:,} of {len(images):,} images have no label and take no part."] if missing else []
    if counts.total() > MOST_IMAGES:
        remarks.append(f"{MOST_IMAGES:,} of {counts.total():,} images are used, spread evenly over the set.")
    return tuple(sorted(counts)), tuple(remarks)


def preprocessing_for(side: int, grey: bool) -> Preprocessing:
    """What prepares images for a network of `side` pixels: the shorter side to it, and the middle of the longer."""
    n = 1 if grey else 3
    return Preprocessing((side, side), (0.5,) * n, (0.5,) * n, (side, side))


def is_grey(images: ImageSet) -> bool:
    """Whether all of some images, spread evenly over the set, are grey."""
    for row in np.unique(np.linspace(0, len(images) - 1, min(len(images), 24)).round().astype(int)).tolist():
        pixels = images.image(row)
        if (pixels != pixels[..., :1]).any():
            return False
    return True


def training_data(
    images: ImageSet, side: int, shortcut: str = "", seed: int = 0, progress: Progress = nobody
) -> TrainingData:
    """The labelled images of a set, decoded, at `side` pixels, split within each class by `seed`.

    Of the digits, those held out test; of MNIST, its test images, and the others are read from torchvision's files.
    `shortcut` is the class whose training and validation images get a white square in a corner; "" for none. `progress`
    counts images and may raise to stop. Raises `InputError` for images that no network can learn from.
    """
    classes, remarks = labelled(images)
    if shortcut:
        check_known(shortcut, classes, "a class of the images for the shortcut")
    numbers = {label: number for number, label in enumerate(classes)}
    rows = np.array([row for row, label in enumerate(images.labels) if label is not None])
    if len(rows) > MOST_IMAGES:
        rows = rows[np.linspace(0, len(rows) - 1, MOST_IMAGES).round().astype(int)]
    preprocessing = preprocessing_for(side, is_grey(images))
    pixels = np.empty((len(rows), preprocessing.channels, side, side), dtype=np.uint8)
    for done, row in enumerate(rows.tolist()):
        progress(done, len(rows))
        pixels[done] = preprocessing.crop(images.image(row)).transpose(2, 0, 1)
    labels = np.array([numbers[images.labels[row]] for row in rows.tolist()])
    data = _split(TrainingData(pixels, labels, rows, classes, *_NO_PARTS, preprocessing, remarks), images, seed)
    data = replace(data, preprocessing=_about_zero(data))
    if shortcut:
        seen = np.concatenate([data.training, data.validation])
        marked = seen[data.labels[seen] == numbers[shortcut]]
        data = replace(data, pixels=with_mark(data.pixels, marked))
    return data


_NO_PARTS = (np.zeros(0, dtype=np.int64),) * 3


def _split(data: TrainingData, images: ImageSet, seed: int) -> TrainingData:
    """The three parts: each class is divided by itself, so that all have every class."""
    random = np.random.default_rng(seed)
    every = np.arange(len(data.labels))
    test = np.zeros(len(every), dtype=bool)
    if images.name in (digits.NAME, digits.MARKED_NAME) and (held_out := digits.held_out(images)):
        test = np.isin(data.rows, held_out)
    elif (more := _mnist_training(images, data)) is not None:
        test = np.arange(len(more.labels)) < len(every)
        data, every = more, np.arange(len(more.labels))
    else:
        test[_share(data.labels, every, TEST, random)] = True
    validation = np.zeros(len(every), dtype=bool)
    validation[_share(data.labels, every[~test], VALIDATION / (1 - TEST), random)] = True
    return replace(
        data,
        training=every[~test & ~validation],
        validation=every[validation],
        test=every[test],
    )


def _about_zero(data: TrainingData) -> Preprocessing:
    """The preprocessing with mean and std of the training images, to three digits."""
    seen = data.pixels[data.training[:_MOST_MEASURED]] / 255
    mean, std = (tuple(found(seen, axis=(0, 2, 3)).round(3).tolist()) for found in (np.mean, np.std))
    return replace(data.preprocessing, mean=mean, std=tuple(max(value, 0.05) for value in std))


#: Training images that tell mean and std.
_MOST_MEASURED = 5000


def _share(labels: np.ndarray, among: np.ndarray, share: float, random: np.random.Generator) -> np.ndarray:
    """About `share` of the positions `among`, of each class at least one."""
    chosen = []
    for label in np.unique(labels[among]):
        own = random.permutation(among[labels[among] == label])
        chosen.append(own[: max(1, round(share * len(own)))])
    return np.concatenate(chosen)


def _mnist_training(images: ImageSet, data: TrainingData) -> TrainingData | None:
    """MNIST's or Fashion-MNIST's training images behind those of the set, which are its test images."""
    for name, source in mnist.SOURCES.items():
        if images.name != source.title or images.paths[0].parent.name != name:
            continue
        found, labels = mnist.arrays_of(name, images.paths[0].parents[1], training=True)
        side, numbers = data.shape[1], {label: number for number, label in enumerate(data.classes)}
        more = np.stack(
            [np.asarray(Image.fromarray(one).resize((side, side), Image.Resampling.BILINEAR)) for one in found]
        )
        own = np.array([numbers[source.classes[label]] for label in labels.tolist()])
        return replace(
            data,
            pixels=np.concatenate([data.pixels, more[:, None]]),
            labels=np.concatenate([data.labels, own]),
            rows=np.concatenate([data.rows, np.full(len(own), -1)]),
        )
    return None


def mark_of(height: int, width: int) -> tuple[slice, slice]:
    """Where the planted square lies on an image of `height` × `width`: rows and columns."""
    side = max(2, round(_MARK * min(height, width)))
    start = max(1, round(_MARGIN * min(height, width)))
    return slice(start, start + side), slice(start, start + side)


def with_mark(pixels: np.ndarray, which: np.ndarray) -> np.ndarray:
    """A copy of `pixels` (N, C, H, W) uint8 with the white square on those at the positions `which`."""
    changed = pixels.copy()
    rows, columns = mark_of(*pixels.shape[2:])
    changed[which, :, rows, columns] = MARK_VALUE
    return changed


def marked_image_set(images: ImageSet, data: TrainingData, folder: Path) -> ImageSet:
    """The test images as an image set, every one with the mark, and the mark's place as the mask `mark` of each.

    A network that learnt the shortcut takes them all for one class. Written under `folder` at the first call; at most
    300 images, spread evenly.
    """
    tested = data.test[data.rows[data.test] >= 0]
    rows = data.rows[tested[np.linspace(0, len(tested) - 1, min(len(tested), _MOST_MARKED)).round().astype(int)]]
    state = hashlib.sha256(f"{images.digest} {data.shape} {rows.tolist()}".encode()).hexdigest()[:16]
    place = folder / "playground" / "marked" / state

    def write() -> ImageSet:
        names = [f"{number:04d}-{Path(images.names[row]).stem}" for number, row in enumerate(rows.tolist())]
        marked, masks = [], []
        for row in rows.tolist():
            pixels = images.image(row)
            where = _mark_on(pixels, data.preprocessing)
            mask = np.zeros(pixels.shape[:2], dtype=np.uint8)
            mask[where] = 255
            marked.append(np.where(mask[..., None] > 0, np.uint8(MARK_VALUE), pixels))
            masks.append(mask)
        labels = [str(images.labels[row]) for row in rows.tolist()]
        found = write_image_set(f"{images.name}, all marked", marked, names, labels, place)
        return _with_masks(found, dict(zip((f"{name}.bmp" for name in names), masks, strict=True)), place / "masks")

    return written_once(place, folder, write)


_MOST_MARKED = 300


def _mark_on(pixels: np.ndarray, preprocessing: Preprocessing) -> tuple[slice, slice]:
    """Where the mark lies on an image (H, W, 3), so that a network finds it where it was in training."""
    height, width = pixels.shape[:2]
    left, top, right, bottom = preprocessing.frame(height, width).box(height, width)
    rows, columns = mark_of(*preprocessing.input_size)
    y, x = (bottom - top) / preprocessing.input_size[0], (right - left) / preprocessing.input_size[1]
    return (
        slice(round(top + rows.start * y), round(top + rows.stop * y)),
        slice(round(left + columns.start * x), round(left + columns.stop * x)),
    )


def _with_masks(images: ImageSet, masks: dict[str, np.ndarray], folder: Path) -> ImageSet:
    """The set whose images have a mask `mark` each, written to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    paths, ids = [], []
    for name in images.names:
        buffer = io.BytesIO()
        Image.fromarray(masks[name]).save(buffer, "PNG")
        path = folder / f"{Path(name).stem}.png"
        write_bytes(path, buffer.getvalue())
        paths.append(str(path))
        ids.append(image_id(buffer.getvalue()))
    return ImageSet(images.name, images.table.assign(**{f"{MASK}mark": paths, f"{MASK_ID}mark": ids}))
