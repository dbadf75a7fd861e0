"""What might have been in a window: other images' content there, or what a Gaussian makes of the window's rim."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
import scipy.special
import torch
from torch import Tensor

from common.errors import InputError

#: Random patches of each image that a Gaussian is fitted on: those of 100 images are as many as the paper took.
_OF_EACH = 256

#: Patches for each dimension of a patch that need no shrinking.
_ENOUGH = 10


#: A block of so many windows a side spreads its pairs together, where each has so few.
_BESIDE, _FEW_PAIRS = 3, 2

#: Values of a patch: its covariance has as many squared, 200 MiB.
_LARGEST = 5000


class Sampler(ABC):
    """Draws contents of windows. Images are pixels (C, H, W) float32 in [0, 1]; `seed` and the place decide."""

    #: Whether samples 2 i and 2 i + 1 lie opposite each other.
    pairs: bool = False

    @abstractmethod
    def draw(self, image: Tensor, places: np.ndarray, size: int, numbers: range, seed: int) -> Tensor:
        """Samples `numbers` of the window at each of `places` (W, 2) (row, column): (W, S, C, size, size) in [0, 1].

        A window's samples depend on the seed, its place and `numbers` alone, not on what other windows draw.
        """

    @abstractmethod
    def centre(self, image: Tensor, places: np.ndarray, size: int) -> Tensor:
        """The mean of what may be drawn for each of `places` (W, 2): (W, 1, C, size, size) in [0, 1]."""


@dataclass(frozen=True)
class Marginal(Sampler):
    """The window's content in `references` (R, C, H, W) uint8, other images of the data set, anew for each."""

    references: Tensor

    @classmethod
    def without(cls, references: Tensor, image: Tensor) -> Marginal:
        """All `references` but the image itself (C, H, W) in [0, 1], which would say that nothing is unknown."""
        same = (references == (image.cpu() * 255).round().to(torch.uint8)).flatten(1).all(1)
        return cls(references[~same])

    def draw(self, image: Tensor, places: np.ndarray, size: int, numbers: range, seed: int) -> Tensor:
        """See `Sampler`. Raises `InputError` when there are fewer references than samples."""
        n = len(self.references)
        if n < numbers.stop:
            cure = "Add a larger data set, or take fewer samples or conditional sampling."
            raise InputError(f"{numbers.stop} other images, one for each sample", str(n), cure)
        drawn, random = [], np.random.Generator(np.random.Philox())
        for row, column in places:
            _turn(random, seed, row, column)
            chosen = torch.from_numpy(random.permutation(n)[numbers.start : numbers.stop])
            drawn.append(self.references[chosen, :, row : row + size, column : column + size])
        return torch.stack(drawn).to(image.device).float().div_(255)

    def centre(self, image: Tensor, places: np.ndarray, size: int) -> Tensor:
        """See `Sampler`."""
        mean = self.references.float().mean(0, keepdim=True).to(image.device).div_(255)
        return torch.stack([mean[:, :, row : row + size, column : column + size] for row, column in places])


@dataclass(frozen=True)
class Gaussian:
    """Normal distribution of the data set's patches (`side` × `side` × `channels`), over all channels or each alone.

    `mean` (G, d), `covariance` (G, d, d) float64 of pixels in [0, 1], with G = 1, d = channels · side² or
    G = channels, d = side²; values are ordered channel, row, column. `n_patches` is what it was fitted on.
    """

    mean: np.ndarray
    covariance: np.ndarray
    side: int
    channels: int
    n_patches: int

    @classmethod
    def fit(cls, batches: Iterable[np.ndarray], side: int, per_channel: bool, seed: int = 0) -> Gaussian:
        """From random patches, as many of each image: `batches` of images (n, C, H, W) in [0, 1].

        Where patches are few for the covariance's size, it is shrunk towards its diagonal. Raises `InputError` without
        images, and when they are smaller than a patch.
        """
        random = np.random.default_rng(seed)
        total, products = np.zeros(()), np.zeros(())
        n_patches = channels = 0
        for images in batches:
            channels, height, width = images.shape[1:]
            check_patch(side, height, width)
            dimension = side**2 * (1 if per_channel else channels)
            if dimension > _LARGEST:
                cure = "Take a smaller window, a Gaussian for each channel, or marginal sampling."
                raise InputError(f"patches of at most {_LARGEST:,} values", f"{dimension:,} ({side} × {side})", cure)
            of = np.repeat(np.arange(len(images)), _OF_EACH)
            rows, columns = (random.integers(0, extent - side + 1, len(of)) for extent in (height, width))
            views = np.lib.stride_tricks.sliding_window_view(images, (side, side), (2, 3))
            patches = views[of, :, rows, columns].astype(np.float64)
            groups = patches.reshape(len(patches), channels if per_channel else 1, -1).swapaxes(0, 1)
            total = total + groups.sum(1)
            products = products + groups.swapaxes(1, 2) @ groups
            n_patches += len(patches)
        if not n_patches:
            raise InputError("images to fit a Gaussian on", "none", "Add a data set first.")
        mean = total / n_patches
        covariance = products / n_patches - mean[:, :, None] * mean[:, None, :]
        shrink = shrinkage(n_patches, mean.shape[1])
        diagonal = np.eye(mean.shape[1]) * covariance
        return cls(mean, covariance + shrink * (diagonal - covariance), side, channels, n_patches)


def shrinkage(n_patches: int, dimension: int) -> float:
    """How far a covariance from so few patches is drawn to its diagonal: 0 for ten a dimension or more, up to 1."""
    return max(0.0, 1 - n_patches / (_ENOUGH * dimension))


def check_patch(side: int, height: int, width: int) -> None:
    """Raise `InputError` when an image is smaller than a patch, the window with its rim."""
    if min(height, width) < side:
        cure = "Take a smaller window, or less padding around it."
        raise InputError(
            f"images of at least {side} × {side} pixels, the window and its rim", f"{height} × {width}", cure
        )


@dataclass(frozen=True)
class Conditional(Sampler):
    """The window given its rim, under a `Gaussian` of patches (section 3.1); samples come in antithetic pairs.

    With the patch split into window 1 and rim 2, the window is normal with mean mu1 + G (x2 - mu2) and covariance
    S11 - G S21 = L L^T, where G = S12 S22^-1. Near the image's edge the patch is shifted inward, and the window lies
    elsewhere in it: each place in the patch has a G and an L of its own, worked out once. The columns of L are the
    window's principal axes, the longest first, so that `normal_pairs` spreads its samples where most of them vary.
    """

    gaussian: Gaussian
    pairs = True
    _known: dict[tuple[int, int, int], _Split] = field(default_factory=dict, repr=False, compare=False)

    def draw(self, image: Tensor, places: np.ndarray, size: int, numbers: range, seed: int) -> Tensor:
        """See `Sampler`; `numbers` begins and ends at whole pairs."""
        drawn = image.new_empty(len(places), len(numbers), len(image), size, size)
        for here, mean, factor in self._given_rims(image, places, size):
            noise = normal_pairs(places[here], numbers, mean.shape[0], mean.shape[2], seed).to(image.device)
            step = (noise.flatten(1, 2) @ factor.mT).unflatten(1, noise.shape[1:3])  # (G, W, pairs, n)
            both = torch.stack([mean[:, :, None] + step, mean[:, :, None] - step], 3).flatten(2, 3)
            drawn[here] = both.permute(1, 2, 0, 3).reshape(-1, *drawn.shape[1:])
        return drawn.clamp_(0, 1)

    def centre(self, image: Tensor, places: np.ndarray, size: int) -> Tensor:
        """See `Sampler`."""
        centre = image.new_empty(len(places), 1, len(image), size, size)
        for here, mean, _ in self._given_rims(image, places, size):
            centre[here] = mean.transpose(0, 1).reshape(-1, *centre.shape[1:])
        return centre.clamp_(0, 1)

    def _given_rims(self, image: Tensor, places: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, Tensor, Tensor]]:
        """Windows that lie alike in their patches: which of `places`, their means (G, W, n), and L (G, n, n)."""
        side = self.gaussian.side
        _, height, width = image.shape
        check_patch(side, height, width)
        corners = (places - (side - size) // 2).clip(0, np.array([height, width]) - side)
        within = places - corners
        patches = image.unfold(1, side, 1).unfold(2, side, 1)
        for row, column in np.unique(within, axis=0):
            split = self._split(int(row), int(column), size, image.device)
            here = np.flatnonzero((within == (row, column)).all(1))
            around = patches[:, corners[here, 0], corners[here, 1]].transpose(0, 1)  # (W, C, side, side)
            rim = around.reshape(len(here), len(self.gaussian.mean), -1).transpose(0, 1)[:, :, split.rim]
            yield here, split.mean + (rim - split.rim_mean) @ split.gain.mT, split.factor

    def _split(self, row: int, column: int, size: int, device: torch.device) -> _Split:
        key = (row, column, size)
        if key not in self._known:
            side, mean = self.gaussian.side, self.gaussian.mean
            inside = np.zeros((side, side), dtype=bool)
            inside[row : row + size, column : column + size] = True
            inside = np.tile(inside.ravel(), mean.shape[1] // side**2)
            parts = [_conditional(covariance, inside) for covariance in self.gaussian.covariance]
            gain, factor = (torch.from_numpy(np.stack(part)).float().to(device) for part in zip(*parts, strict=True))
            own, around = (torch.from_numpy(mean[:, None, which]).float().to(device) for which in (inside, ~inside))
            rim = torch.from_numpy(np.flatnonzero(~inside)).to(device)
            self._known[key] = _Split(rim, own, around, gain, factor)
        return self._known[key]


class _Split(NamedTuple):
    """A window given its rim, normal: `mean` and `rim_mean` (G, 1, n), `gain` and `factor` (G, n, n')."""

    rim: Tensor
    mean: Tensor
    rim_mean: Tensor
    gain: Tensor
    factor: Tensor


def _conditional(covariance: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """G and L of `Conditional` for one covariance (d, d) and which of its d values lie `inside` the window."""
    window, rim = np.flatnonzero(inside), np.flatnonzero(~inside)
    across = covariance[np.ix_(window, rim)]
    if not len(rim):
        return across, _axes(covariance)
    rim_factor = _factor(covariance[np.ix_(rim, rim)])
    half = scipy.linalg.solve_triangular(rim_factor, across.T, lower=True)  # S22 = F F^T, half = F^-1 S21
    gain = scipy.linalg.solve_triangular(rim_factor, half, lower=True, trans="T").T
    return gain, _axes(covariance[np.ix_(window, window)] - half.T @ half)


def _factor(covariance: np.ndarray) -> np.ndarray:
    """Cholesky factor, lower, of a covariance (d, d) that may be singular: as little is added to its diagonal as helps.

    Eigenvalues that stay below zero are set to what was last tried.
    """
    d = len(covariance)
    covariance = (covariance + covariance.T) / 2
    jitter = 1e-6 * max(np.trace(covariance) / d, np.finfo(float).tiny ** 0.5)
    for _ in range(4):
        try:
            return np.linalg.cholesky(covariance + jitter * np.eye(d))
        except np.linalg.LinAlgError:
            jitter *= 10
    values, vectors = np.linalg.eigh(covariance)
    return scipy.linalg.qr((vectors * np.sqrt(values.clip(jitter))).T, mode="r")[0].T


def _axes(covariance: np.ndarray) -> np.ndarray:
    """Principal axes of a covariance (d, d), the longest first: the columns of an L with L L^T = covariance."""
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    return (vectors * np.sqrt(values.clip(0)))[:, ::-1]


def normal_pairs(places: np.ndarray, numbers: range, n_groups: int, n: int, seed: int) -> Tensor:
    """Halves of antithetic pairs of normal samples `numbers` for each place: (G, W, pairs, n) float32.

    Each is normal by itself. Together, the P pairs of one call are at right angles to each other in the first P
    dimensions (orthogonal Monte Carlo, Yu et al. 2016, section 3), and their lengths there are drawn one from each of P
    equally likely intervals. Pairs leave the odd part of the model's answer out; right angles add up to the same
    along every axis, so that its squares come out nearly as they should, too. Where a window has few pairs, those of
    the windows beside it are at right angles to them as well, since a pixel's value is the mean over such windows.
    """
    first, n_pairs = numbers.start // 2, len(numbers) // 2
    side = _BESIDE if n_pairs <= _FEW_PAIRS else 1
    blocks, block = np.unique(places // side, axis=0, return_inverse=True)
    n_rows = side**2 * n_pairs
    n_spread = min(n_rows, n)
    free = np.empty((len(blocks), n_groups, n_rows, n_spread))
    share = np.empty((len(blocks), n_groups, n_rows))
    random = np.random.Generator(np.random.Philox())
    for number, (row, column) in enumerate(blocks):
        _turn(random, seed, row, column, first, shared=True)
        random.standard_normal(out=free[number])
        strata = random.permuted(np.tile(np.arange(n_rows), (n_groups, 1)), axis=1)
        share[number] = (strata + random.random((n_groups, n_rows))) / n_rows
    lengths = np.sqrt(2 * scipy.special.gammaincinv(n_spread / 2, share))  # chi distributed
    spread = (lengths[..., None] * _at_right_angles(free)).reshape(len(blocks), n_groups, side**2, n_pairs, n_spread)
    noise = np.empty((len(places), n_groups, n_pairs, n), dtype=np.float32)
    for number, (row, column) in enumerate(places):
        _turn(random, seed, row, column, first)
        random.standard_normal(out=noise[number], dtype=np.float32)
    noise[..., :n_spread] = spread[block.ravel(), :, places % side @ (side, 1)]
    return torch.from_numpy(noise).transpose(0, 1)


def _at_right_angles(free: np.ndarray) -> np.ndarray:
    """Normal rows (..., P, q) -> directions (..., P, q), any q of which in turn stand at right angles.

    Each direction by itself is as likely as any other, since the triangle's diagonal is made positive (Mezzadri 2007,
    section 5).
    """
    n_spread = free.shape[-1]
    found = []
    for start in range(0, free.shape[-2], n_spread):
        orthonormal, triangle = np.linalg.qr(free[..., start : start + n_spread, :].swapaxes(-1, -2))
        found.append((orthonormal * np.sign(np.diagonal(triangle, axis1=-2, axis2=-1))[..., None, :]).swapaxes(-1, -2))
    return np.concatenate(found, -2)


def _turn(random: np.random.Generator, seed: int, row: int, column: int, first: int = 0, shared: bool = False) -> None:
    """Have `random`, a Philox, give a window's numbers, or those that it shares, for the draw from pair `first` on."""
    state: dict[str, Any] = random.bit_generator.state  # type: ignore[assignment]
    state["state"]["key"][:] = seed, (int(row) << 32) | int(column)
    state["state"]["counter"][:] = 0, 0, int(shared), first
    random.bit_generator.state = state | {"buffer_pos": len(state["buffer"]), "has_uint32": 0}
