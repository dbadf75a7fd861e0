"""A digit drawn by hand, brought into the frame that data sets of digits give theirs."""

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.ndimage import affine_transform, distance_transform_edt

from common.errors import InputError, check_known

#: From this share of the brightest pixel on it is ink; a drawing that has nothing as bright as this grey is blank.
_INK_SHARE, _INK_GREY = 0.5, 32

#: Pixels of the larger side of a digit while its stroke is measured and its outline moved.
_FINE_PX = 96

#: A stroke keeps this share of its width at its thinner places, so that it does not fall to pieces.
_KEPT = 0.3


@dataclass(frozen=True)
class _Habits:
    """How digits lie in the images of a data set.

    Attributes:
        stroke: width of a stroke as a share of the digit's larger side.
        slant: columns that a digit leans to one side per row, at most; `None` for as many as it likes.
        cells: cells of a side in which the ink was counted before the digit was enlarged; `None` where it was not.
        by_mass: whether the centre of mass lies in the middle, or that of the box around the ink.
    """

    stroke: float
    slant: float | None
    cells: int | None
    by_mass: bool


#: scikit-learn's digits as `images.digits` enlarges them, upright, of 8 × 8 cells; and MNIST.
_HABITS = {
    "digits": _Habits(stroke=0.18, slant=0.1, cells=8, by_mass=False),
    "mnist": _Habits(stroke=0.13, slant=None, cells=None, by_mass=True),
}


def is_blank(drawn: np.ndarray) -> bool:
    """Whether a drawing (h, w) uint8, white on black, has no ink."""
    return drawn.size == 0 or int(drawn.max()) < _INK_GREY


def as_digit(drawn: np.ndarray, side_px: int = 32, like: str = "digits") -> np.ndarray:
    """A drawing (h, w) uint8, white on black, as one more digit: (side_px, side_px) uint8, white on black.

    The larger side of the digit fills the image within a frame of an eighth (4 px of 32, and of MNIST's 28). Its stroke
    becomes as wide, and it lies in the frame, as in the data set that it should be `like`: "digits" or "mnist". Where,
    how large and with how broad a pen it was drawn makes no difference.

    Raises `InputError` where nothing is drawn, and for another data set.

    Example:
        >>> drawn = np.zeros((56, 56), np.uint8)
        >>> drawn[5:25, 40:43] = 255
        >>> as_digit(drawn).shape
        (32, 32)
    """
    check_known(like, _HABITS, "a data set of digits")
    if is_blank(drawn):
        raise InputError("a digit, drawn in white on black", "a blank drawing", "Draw a digit first.")
    habits = _HABITS[like]
    ink = _with_stroke(_upright(_fine(drawn), habits.slant), habits.stroke)
    rows, columns = (_extent(ink, axis) for axis in (0, 1))
    larger = max(rows[1] - rows[0], columns[1] - columns[0])
    frame_px = round(side_px / 8)
    inner_px = side_px - 2 * frame_px
    middle = [sum(rows) / 2, sum(columns) / 2]
    if habits.by_mass:
        slack = frame_px * larger / inner_px  # no ink may leave the image
        middle = [
            float(np.clip(mass, box - slack, box + slack))
            for mass, box in zip(np.argwhere(ink).mean(0) + 0.5, middle, strict=True)
        ]
    if habits.cells is None:
        return _view(ink, middle, larger * side_px / inner_px, side_px)
    counted = Image.fromarray(_view(ink, middle, larger, habits.cells))
    return np.pad(np.asarray(counted.resize((inner_px, inner_px), Image.Resampling.BICUBIC)), frame_px)


def _fine(drawn: np.ndarray) -> np.ndarray:
    """The digit alone, at a size of its own: greys (h, w) float32 from 0 to 1, with room for all that follows."""
    bright = drawn >= _INK_SHARE * int(drawn.max())
    rows, columns = (slice(*_extent(bright, axis)) for axis in (0, 1))
    digit = np.pad(drawn[rows, columns].astype(np.float32) / int(drawn.max()), 1)
    zoom = _FINE_PX / (max(digit.shape) - 2)
    size = (round(digit.shape[1] * zoom), round(digit.shape[0] * zoom))
    return np.pad(np.asarray(Image.fromarray(digit).resize(size, Image.Resampling.BILINEAR)), _FINE_PX)


def _upright(greys: np.ndarray, slant: float | None) -> np.ndarray:
    """The ink (h, w) bool of greys, sheared until it leans by no more than `slant`."""
    ink = greys >= _INK_SHARE
    places = np.argwhere(ink)
    centre = places.mean(0)
    down, right = (places - centre).T
    if slant is None or not down.any():
        return ink
    lean = float((down * right).sum() / (down**2).sum())
    excess = np.clip(lean - np.clip(lean, -slant, slant), -1, 1)
    shear = np.array([[1, 0], [excess, 1]])
    return affine_transform(greys, shear, centre - shear @ centre, order=1) >= _INK_SHARE


def _with_stroke(ink: np.ndarray, share: float) -> np.ndarray:
    """The ink (h, w) bool, its outline moved so that strokes are `share` of the digit's larger side wide."""
    from skimage.morphology import skeletonize  # slow to import

    depth = distance_transform_edt(ink) - distance_transform_edt(~ink)
    half = depth[skeletonize(ink)]
    larger = max(end - first for first, end in (_extent(ink, axis) for axis in (0, 1)))
    # Moved inwards by d, a stroke of width w in a digit of side s has a width of w - 2 d in a digit of side s - 2 d.
    inwards = (2 * float(half.mean()) - share * larger) / (2 * (1 - share))
    return depth > min(inwards, (1 - _KEPT) * float(np.percentile(half, 10)))


def _extent(ink: np.ndarray, axis: int) -> tuple[int, int]:
    """(first, end) of the ink (h, w) bool along an axis."""
    places = ink.nonzero()[axis]
    return int(places.min()), int(places.max()) + 1


def _view(ink: np.ndarray, middle: list[float], span: float, side_px: int) -> np.ndarray:
    """The share of ink in each pixel of a square around `middle` (row, column): (side_px, side_px) uint8."""
    top, left = (centre - span / 2 for centre in middle)
    box = (left, top, left + span, top + span)
    shares = Image.fromarray(ink.astype(np.float32)).resize((side_px, side_px), Image.Resampling.BOX, box=box)
    return (np.asarray(shares) * 255).round().astype(np.uint8)
