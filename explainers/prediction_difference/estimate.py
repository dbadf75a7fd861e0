"""Prediction difference, window by window: a whole map early, better with every round, stopped and resumed at any time.

Estimates of several targets can share their forward passes; each is exactly what it would be alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from explainers.engines.incremental import Incremental
from explainers.prediction_difference.evidence import Measure, difference
from explainers.prediction_difference.gradients import Gradients
from explainers.prediction_difference.neighbours import pooled
from explainers.prediction_difference.samplers import Sampler
from explainers.prediction_difference.windows import Grid, between_known, mean_over_windows, sum_over_windows
from models.preprocessing import Preprocessing
from models.store import ModelHandle

#: Samples of a window in the first pass: one antithetic pair.
FIRST_PASS = 2

#: The part of a window's work that control variates are counted for, where they come first.
_CONTROL_SHARE = 0.2


@dataclass(frozen=True)
class Effort:
    """How many samples a window gets.

    If `first_pass`, windows first get `FIRST_PASS` samples, for a whole map early, and then the `first` ones and a
    control variate, by which neighbours are put together; a window whose error is then above `converged` times the root
    mean square of the coarsest round's differences gets all `samples`. With `converged` = 0 every window gets all of
    them at once, and no short cut is taken.
    """

    samples: int = 20
    first: int = 4
    converged: float = 0.1
    jackknife: bool = True
    seed: int = 0
    first_pass: bool = True

    @property
    def at_first(self) -> int:
        """Samples before a window can have converged."""
        return min(self.first, self.samples) if self.shortens else self.samples

    @property
    def shortens(self) -> bool:
        """Whether short cuts are taken: windows converge early, and share what they know with their neighbours."""
        return self.converged > 0

    @property
    def has_first_pass(self) -> bool:
        """Whether all windows get a few samples before any gets more."""
        return self.first_pass and self.shortens and self.at_first > FIRST_PASS


@dataclass
class Estimate:
    """What is known of one target so far: `values`, `errors` (h, w) float32, NaN where unknown; `samples` (h, w) int32.

    After the first pass a window has a value and no error. `controls` (P, h, w) float32 are control variates: what a
    window is likely worth, by P estimates: one, of what it is worth when it shows the mean of what may be there, where
    a pass of one window is cheap; else several from `Gradients`, known before any sample is.

    `needed` (h, w) int32 are the samples that each window is to have, 0 while that is open, and `scale` () float64 is
    the root mean square of the coarsest round's differences, NaN until that is through. They are set once, so that it
    does not matter whether an estimate was stopped and resumed.
    """

    values: np.ndarray
    errors: np.ndarray
    controls: np.ndarray
    samples: np.ndarray
    needed: np.ndarray
    scale: np.ndarray

    @classmethod
    def new(cls, grid: Grid) -> Estimate:
        """Nothing is known."""
        shape = (grid.height - grid.size + 1, grid.width - grid.size + 1)
        empty, counts = np.full(shape, np.nan, dtype=np.float32), np.zeros(shape, dtype=np.int32)
        return cls(empty, empty.copy(), empty[None][:0], counts, counts.copy(), np.array(np.nan))

    def copy(self) -> Estimate:
        """One that can change by itself."""
        return Estimate(**{name: values.copy() for name, values in vars(self).items()})

    @property
    def amount(self) -> int:
        """Grows with all that is learnt."""
        return int(self.samples.sum() + np.isfinite(self.controls).sum())

    def make_room(self, n: int) -> None:
        """For `n` control variates of each window, where there are fewer."""
        more = np.full((max(0, n - len(self.controls)), *self.values.shape), np.nan, dtype=np.float32)
        self.controls = np.concatenate([self.controls, more])

    def control(self) -> np.ndarray:
        """Mean of the known control variates (h, w) float64, of three and more without lowest and highest; or NaN."""
        known, controls = np.isfinite(self.controls), self.controls.astype(np.float64)
        n, total = known.sum(0), np.where(known, controls, 0).sum(0)
        lowest = np.where(known, controls, np.inf).min(0, initial=np.inf)
        highest = np.where(known, controls, -np.inf).max(0, initial=-np.inf)
        trimmed = n > 2
        total[trimmed] -= lowest[trimmed] + highest[trimmed]
        return total / np.where(n, n - 2 * trimmed, np.nan)

    def with_neighbours(self) -> tuple[np.ndarray, np.ndarray]:
        """Values and errors (h, w) float32, NaN where unknown: neighbours share what their controls do not tell.

        A window that has no samples is worth its control variate, if it has one.
        """
        values, errors, control = self.values.copy(), self.errors.copy(), self.control()
        if np.isfinite(control).any():
            rest, better = pooled(values - control, errors)
            shared, alone = np.isfinite(rest) & np.isfinite(better), np.isfinite(control) & np.isnan(errors)
            values[shared], errors[shared] = (control + rest)[shared], better[shared]
            values[alone] = control[alone]
        return values, errors

    def map(self, size: int, shared: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """Relevance of each pixel and its Monte Carlo error (H, W) float32: means over the windows that hold it.

        With or without what windows share with their neighbours, see `with_neighbours`; windows that have nothing lie
        between their neighbours. Windows are drawn independently, so the squares of their own errors add up; that is a
        bound from above where neighbours share, whose estimates have noise in common. A window without an error counts
        as those beside it. NaN while no window, or no error, is known.
        """
        counts = sum_over_windows(self.samples > 0, size).round()
        values = self.with_neighbours()[0] if shared else self.values
        known = np.isfinite(self.errors)
        with np.errstate(invalid="ignore", divide="ignore"):
            squares = sum_over_windows(np.where(known, self.errors.astype(np.float64), 0) ** 2, size).clip(0)
            n_known = sum_over_windows(known, size).round()
            errors = np.where(n_known > 0, np.sqrt(squares / n_known / counts), np.nan)
        return mean_over_windows(between_known(values), size).astype(np.float32), errors.astype(np.float32)

    def stride(self, grid: Grid) -> int | None:
        """The finest stride at which something is known of all windows; `None` before the first round is through."""
        known = (self.samples > 0) | np.isfinite(self.controls).any(0)
        strides = range(1, grid.size + 1)
        return next((n for n in strides if known[grid.windows(n)].all()), None)

    def n_done(self, grid: Grid, effort: Effort) -> float:
        """Windows of the grid with samples enough to have converged; those with fewer, or a control, by their share."""
        windows = grid.windows()
        shares = self.samples[windows].clip(0, effort.at_first) / effort.at_first
        if len(self.controls) > 1 and effort.shortens:
            shares = _CONTROL_SHARE * np.isfinite(self.controls).mean(0)[windows] + (1 - _CONTROL_SHARE) * shares
        return float(shares.sum())

    def complete(self, grid: Grid, effort: Effort) -> bool:
        """Whether each window of the grid has all the samples that it needs."""
        windows = grid.windows()
        converged = (self.needed[windows] > 0) & (self.needed[windows] <= effort.at_first)
        needed = np.where(converged & (effort.at_first < effort.samples), effort.at_first, effort.samples)
        return bool((self.samples[windows] >= needed).all())

    def decide(self, places: np.ndarray, grid: Grid, effort: Effort) -> None:
        """How many samples each window of a round that has its first ones is to have."""
        if np.isnan(self.scale):
            coarsest = self.values[grid.windows(grid.strides[0])]
            self.scale = np.sqrt(np.square(coarsest, dtype=np.float64).mean())
        open_ = ~(self.with_neighbours()[1] <= effort.converged * self.scale)
        rows, columns = places[self.needed[places[:, 0], places[:, 1]] == 0].T
        self.needed[rows, columns] = np.where(open_, effort.samples, effort.at_first)[rows, columns]


def pixels(inputs: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Normalised inputs (..., C, H, W) -> what was normalised, in [0, 1]; same shape."""
    mean, std = preprocessing.mean_and_std(inputs.device)
    return (inputs * std + mean).clamp(0, 1)


def advance(
    model: ModelHandle,
    inputs: Tensor,
    grid: Grid,
    sampler: Sampler,
    measures: Sequence[Measure],
    effort: Effort,
    estimates: Sequence[Estimate],
) -> Iterator[None]:
    """Sample the windows that the `estimates` lack, round by round, writing into them; yields after every batch.

    `inputs` (C, H, W) float32, normalised; `measures` read `model.scores`, one for each estimate. Where the model can
    be followed, or its gradients say nothing, each window's control variate comes with its first samples; else all
    control variates come first, and there is no first pass. Windows with fewer samples than `effort` wants are sampled
    again, and only for the estimates that lack them.
    """
    image = pixels(inputs, model.card.preprocessing)
    mean, std = model.card.preprocessing.mean_and_std(inputs.device)
    incremental = Incremental(model, inputs, (grid.size, grid.size))
    gradients = None
    if effort.shortens and not incremental.saves:
        gradients = Gradients(model, inputs, grid, sampler, measures, effort.samples)
        gradients = gradients if gradients.here is not None else None
    for estimate in estimates:
        estimate.make_room(1 if gradients is None else gradients.n_pairs)

    def scores(places: np.ndarray, contents: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (K,) of the image, by the same way as the samples', and (W, S, K) of pixels (W, S, C, h, w)."""
        n = contents.shape[1]
        at, drawn = np.repeat(places, n, 0), ((contents - mean) / std).flatten(0, 1)
        found = []
        for start in range(0, len(at), incremental.batch):
            part = slice(start, start + incremental.batch)
            row, column = at[start]
            clean = inputs[None, :, row : row + grid.size, column : column + grid.size]
            rows, columns = np.concatenate([at[start : start + 1], at[part]]).T
            found.append(incremental.scores(torch.cat([clean, drawn[part]]), rows, columns))
        return found[0][0], torch.cat([part[1:] for part in found]).unflatten(0, (len(places), n))

    def sample(places: np.ndarray, lacking: np.ndarray, n_samples: int) -> None:
        """Value and error of each window for the estimates that lack it (T, W), and its control if that may help."""
        rows, columns = places.T
        drawn = sampler.draw(image, places, grid.size, range(n_samples), effort.seed)
        central = effort.shortens and gradients is None and n_samples > FIRST_PASS
        central = central and any(np.isnan(estimate.controls[0][rows, columns]).any() for estimate in estimates)
        if central:
            drawn = torch.cat([sampler.centre(image, places, grid.size), drawn], 1)
        clean, found = scores(places, drawn)
        for measure, estimate, here in zip(measures, estimates, lacking, strict=True):
            if central:
                centre = difference(measure, clean, found[:, :1], False, effort.jackknife)[0]
                estimate.controls[0][rows, columns] = centre.float().cpu().numpy()
            samples = found[:, 1:] if central else found
            worth = difference(measure, clean, samples, sampler.pairs, effort.jackknife)
            values, errors = (part.float().cpu().numpy() for part in worth)
            estimate.values[rows[here], columns[here]] = values[here]
            estimate.errors[rows[here], columns[here]] = errors[here]
            estimate.samples[rows[here], columns[here]] = n_samples

    def through(places: np.ndarray, n_samples: int, needed: bool = False) -> Iterator[None]:
        """All of `places` with fewer than `n_samples`; if `needed`, those alone that were found to need as many."""
        rows, columns = places.T
        lacking = np.stack([estimate.samples[rows, columns] < n_samples for estimate in estimates])
        if needed:
            lacking &= np.stack([estimate.needed[rows, columns] > effort.at_first for estimate in estimates])
        places, lacking = places[lacking.any(0)], lacking[:, lacking.any(0)]
        at_once = max(1, incremental.batch // n_samples)
        for start in range(0, len(places), at_once):
            part = slice(start, start + at_once)
            sample(places[part], lacking[:, part], n_samples)
            yield

    if gradients is not None:
        known = np.all([np.isfinite(estimate.controls) for estimate in estimates], axis=0)
        for number, places, worth in gradients.estimates(known, image, mean, std, effort.seed):
            for estimate, values in zip(estimates, worth, strict=True):
                estimate.controls[number][places[:, 0], places[:, 1]] = values
            yield
    for places in grid.rounds(effort.seed) if effort.has_first_pass and gradients is None else ():
        yield from through(places, FIRST_PASS)
    for places in grid.rounds(effort.seed):
        yield from through(places, effort.at_first)
        if effort.at_first < effort.samples:  # only now is it known what is small
            for estimate in estimates:
                estimate.decide(places, grid, effort)
            yield from through(places, effort.samples, needed=True)
