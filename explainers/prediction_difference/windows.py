"""Windows that slide over an image, in an order that gives a whole map early, and the map that they make."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import LinearNDInterpolator
from scipy.ndimage import distance_transform_edt

from common.errors import InputError


@dataclass(frozen=True)
class Grid:
    """Places of a window of `size` × `size` pixels that slides over `height` × `width` by `stride`.

    The last place along each side touches the edge, so that no pixel is left out. Raises `InputError` for a window
    that is larger than the image, and for a stride above the window, which would leave gaps.
    """

    height: int
    width: int
    size: int
    stride: int

    def __post_init__(self) -> None:
        if not 1 <= self.size <= min(self.height, self.width):
            expected = f"a window of 1 to {min(self.height, self.width)} pixels, the image's shorter side"
            raise InputError(expected, str(self.size), "Take a smaller window.")
        if not 1 <= self.stride <= self.size:
            cure = "A longer stride leaves gaps between the windows: pixels that are never asked about."
            raise InputError(f"a stride of 1 to {self.size} pixels, the window's side", str(self.stride), cure)

    def along(self, side: int, stride: int | None = None) -> np.ndarray:
        """Places along a side, ascending, int64."""
        last = side - self.size
        return np.union1d(np.arange(0, last + 1, stride or self.stride), [last])

    def windows(self, stride: int | None = None) -> tuple[np.ndarray, ...]:
        """Index of all places in an array of windows."""
        return np.ix_(self.along(self.height, stride), self.along(self.width, stride))

    @property
    def strides(self) -> list[int]:
        """Stride of each round: it halves until it is the grid's own; the first one leaves no gaps either."""
        doublings = (self.size // self.stride).bit_length()
        return [self.stride << n for n in reversed(range(doublings))]

    def rounds(self, seed: int) -> Iterator[np.ndarray]:
        """Places (n, 2) int64 (row, column) that each round adds, in random order, so that any part is spread out."""
        random = np.random.default_rng(seed)
        seen = np.zeros((self.height - self.size + 1, self.width - self.size + 1), dtype=bool)
        for stride in self.strides:
            new = np.zeros_like(seen)
            new[self.windows(stride)] = True
            places = np.argwhere(new & ~seen)
            seen |= new
            yield random.permutation(places)

    def n_windows(self) -> int:
        """All places."""
        return len(self.along(self.height)) * len(self.along(self.width))


def between_known(values: np.ndarray) -> np.ndarray:
    """Values (h, w) float, NaN where unknown -> the same with all that is unknown between the known: none if none is.

    Linear over the triangles of known places; outside of them, the value of the nearest one.
    """
    known = ~np.isnan(values)
    if known.all() or not known.any():
        return values
    places, unknown = np.argwhere(known), np.argwhere(~known)
    nearest = distance_transform_edt(~known, return_distances=False, return_indices=True)
    filled = values[tuple(nearest)]
    if min(np.ptp(places, axis=0)) > 0 and len(places) > 3:  # else they span no triangle
        found = LinearNDInterpolator(places, values[known])(unknown)
        inside = np.isfinite(found)
        filled[tuple(unknown[inside].T)] = found[inside]
    return filled


def mean_over_windows(values: np.ndarray, size: int) -> np.ndarray:
    """Mean, at each pixel, of the windows that hold it: (..., h, w), NaN where unknown -> (..., h + size - 1, …).

    `values` belong to the windows that begin at each place, as in Algorithm 1; NaN where no window holds the pixel.
    """
    known = ~np.isnan(values)
    totals, counts = sum_over_windows(np.where(known, values, 0), size), sum_over_windows(known, size)
    with np.errstate(invalid="ignore"):
        return totals / np.where(counts > 0.5, counts, np.nan)


def sum_over_windows(values: np.ndarray, size: int) -> np.ndarray:
    """Sum, at each pixel, over the windows that hold it: (..., h, w) -> (..., h + size - 1, w + size - 1) float64."""
    padding = [(0, 0)] * (values.ndim - 2) + [(size, size - 1)] * 2
    sums = np.pad(values.astype(np.float64), padding).cumsum(-1).cumsum(-2)
    h, w = (n + size - 1 for n in values.shape[-2:])
    return (
        sums[..., size : size + h, size : size + w]
        - sums[..., :h, size : size + w]
        - sums[..., size : size + h, :w]
        + sums[..., :h, :w]
    )
