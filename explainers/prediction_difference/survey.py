"""Prediction difference, window by window: a whole map early, better with every round, to be stopped and taken up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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

#: Samples that give a first idea of a window: one antithetic pair.
GLIMPSE = 2

#: The part of a window's work that guides are counted for, where they come first.
_GUIDE_SHARE = 0.2


@dataclass(frozen=True)
class Effort:
    """How many samples a window gets.

    Windows are glimpsed at by `GLIMPSE` samples, if `glimpse`, for a whole map early, and then get the `first` ones and
    a guide, by which neighbours are put together; a window whose error is then above `settled` times the root mean
    square of the coarsest round's differences gets all `samples`. With `settled` = 0 every window gets all of them at
    once, and no short cut is taken.
    """

    samples: int = 20
    first: int = 4
    settled: float = 0.1
    jackknife: bool = True
    seed: int = 0
    glimpse: bool = True

    @property
    def at_first(self) -> int:
        """Samples before anything can be settled."""
        return min(self.first, self.samples) if self.shortens else self.samples

    @property
    def shortens(self) -> bool:
        """Whether short cuts are taken: windows settle, and share what they know with their neighbours."""
        return self.settled > 0

    @property
    def glimpses(self) -> bool:
        """Whether windows are glimpsed at first."""
        return self.glimpse and self.shortens and self.at_first > GLIMPSE


@dataclass
class Survey:
    """What is known so far: `values`, `errors` (T, h, w) float32, NaN where unknown; `samples` (h, w) int32.

    A window that was only glimpsed at has a value and no error. `guides` (P, T, h, w) float32 say what a window is
    likely worth, by P estimates: one, of what it is worth when it shows the mean of what may be there, where a pass of
    one window is cheap; else several from `Gradients`, known before any sample is.

    `wanted` (h, w) int32 are the samples that each window is to have, 0 while that is open, and `typical` (T,) float64
    is the root mean square of the coarsest round's differences, NaN until that is through. They are set once, so that
    it does not matter whether a survey was stopped and taken up again.
    """

    values: np.ndarray
    errors: np.ndarray
    guides: np.ndarray
    samples: np.ndarray
    wanted: np.ndarray
    typical: np.ndarray

    @classmethod
    def new(cls, grid: Grid, n_targets: int) -> Survey:
        """Nothing is known."""
        shape = (grid.height - grid.size + 1, grid.width - grid.size + 1)
        empty = np.full((n_targets, *shape), np.nan, dtype=np.float32)
        counts = np.zeros(shape, dtype=np.int32)
        return cls(empty, empty.copy(), empty[None][:0], counts, counts.copy(), np.full(n_targets, np.nan))

    def make_room(self, n: int) -> None:
        """For `n` estimates of each window's guide, where there are fewer."""
        more = np.full((max(0, n - len(self.guides)), *self.values.shape), np.nan, dtype=np.float32)
        self.guides = np.concatenate([self.guides, more])

    def guide(self) -> np.ndarray:
        """Mean of the known estimates (T, h, w) float64, of three and more without lowest and highest; or NaN."""
        known, guides = np.isfinite(self.guides), self.guides.astype(np.float64)
        n, total = known.sum(0), np.where(known, guides, 0).sum(0)
        lowest = np.where(known, guides, np.inf).min(0, initial=np.inf)
        highest = np.where(known, guides, -np.inf).max(0, initial=-np.inf)
        trimmed = n > 2
        total[trimmed] -= lowest[trimmed] + highest[trimmed]
        return total / np.where(n, n - 2 * trimmed, np.nan)

    def estimates(self) -> tuple[np.ndarray, np.ndarray]:
        """Values and errors (T, h, w) float32, NaN where unknown: neighbours share what their guides do not tell.

        A window that was not asked about is worth its guide, if it has one.
        """
        values, errors = self.values.copy(), self.errors.copy()
        for row, guide in enumerate(self.guide()):
            if np.isfinite(guide).any():
                rest, better = pooled(values[row] - guide, errors[row])
                shared, alone = np.isfinite(rest) & np.isfinite(better), np.isfinite(guide) & np.isnan(errors[row])
                values[row][shared], errors[row][shared] = (guide + rest)[shared], better[shared]
                values[row][alone] = guide[alone]
        return values, errors

    def maps(self, size: int, shared: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """Relevance of each pixel and its Monte Carlo error (T, H, W) float32: means over the windows that hold it.

        With or without what windows share with their neighbours, see `estimates`; windows that nobody asked about lie
        between their neighbours. Windows are drawn independently, so the squares of their own errors add up; that is a
        bound from above where neighbours share, whose estimates have noise in common. A window without an error counts
        as those beside it. NaN while no window, or no error, is known.
        """
        counts = sum_over_windows(self.samples > 0, size).round()
        values = self.estimates()[0] if shared else self.values
        known = np.isfinite(self.errors)
        with np.errstate(invalid="ignore", divide="ignore"):
            squares = sum_over_windows(np.where(known, self.errors.astype(np.float64), 0) ** 2, size).clip(0)
            n_known = sum_over_windows(known, size).round()
            errors = np.where(n_known > 0, np.sqrt(squares / n_known / counts), np.nan)
        between = np.stack([between_known(row) for row in values])
        return mean_over_windows(between, size).astype(np.float32), errors.astype(np.float32)

    def known(self) -> np.ndarray:
        """Of which windows anything is known (h, w) bool, by samples or by a guide."""
        return (self.samples > 0) | np.isfinite(self.guides).any((0, 1))

    def stride(self, grid: Grid) -> int | None:
        """The stride that something is known of all windows at; `None` before the first round is through."""
        reached, known = None, self.known()
        for stride in grid.strides:
            if not known[np.ix_(grid.along(grid.height, stride), grid.along(grid.width, stride))].all():
                break
            reached = stride
        return reached


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
    survey: Survey,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Survey]:
    """Ask about the windows that `survey` lacks, round by round, writing into it; yields it after every batch.

    Where the model can be followed, or its gradients say nothing, each window's guide is asked for with its first
    samples; else all windows' guides come first, and nothing is glimpsed at.

    `inputs` (C, H, W) float32, normalised; `measures` read `model.scores`, and the survey has a row for each of their
    targets, one measure after another. Windows with fewer samples than `effort` wants are asked again. `progress`
    counts windows, those half through by their share, and may raise.
    """
    picture = pixels(inputs, model.card.preprocessing)
    mean, std = model.card.preprocessing.mean_and_std(inputs.device)
    incremental = Incremental(model, inputs, (grid.size, grid.size))
    total = grid.n_windows()
    gradients = None
    if effort.shortens and not incremental.saves:
        gradients = Gradients.worth_while(model, inputs, grid, sampler, measures, effort.samples)
    survey.make_room(1 if gradients is None else gradients.n_pairs)

    def scores(places: np.ndarray, contents: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (K,) of the picture, by the same way as the samples', and (W, S, K) of pixels (W, S, C, h, w)."""
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

    def measured(clean: Tensor, samples: Tensor, pairs: bool) -> list[np.ndarray]:
        """Values and errors (T, W) float32."""
        found = [difference(measure, clean, samples, pairs, effort.jackknife) for measure in measures]
        return [torch.cat(part, 1).T.float().cpu().numpy() for part in zip(*found, strict=True)]

    def ask(places: np.ndarray, n_samples: int) -> None:
        """Value and error of each window, and its centre if that may help."""
        rows, columns = places.T
        drawn = sampler.draw(picture, places, grid.size, range(n_samples), effort.seed)
        central = effort.shortens and gradients is None and n_samples > GLIMPSE
        central = central and bool(np.isnan(survey.guides[0][:, rows, columns]).any())
        if central:
            drawn = torch.cat([sampler.centre(picture, places, grid.size), drawn], 1)
        clean, found = scores(places, drawn)
        if central:
            survey.guides[0][:, rows, columns] = measured(clean, found[:, :1], False)[0]
            found = found[:, 1:]
        survey.values[:, rows, columns], survey.errors[:, rows, columns] = measured(clean, found, sampler.pairs)
        survey.samples[rows, columns] = n_samples

    def through(places: np.ndarray, n_samples: int) -> Iterator[Survey]:
        places = places[survey.samples[places[:, 0], places[:, 1]] < n_samples]
        at_once = max(1, incremental.batch // n_samples)
        for start in range(0, len(places), at_once):
            progress(n_asked(survey, grid, effort), total)
            ask(places[start : start + at_once], n_samples)
            yield survey

    if gradients is not None:
        known = np.isfinite(survey.guides).all(1)
        for number, places, worth in gradients.estimates(known, picture, mean, std, effort.seed):
            progress(n_asked(survey, grid, effort), total)
            survey.guides[number][:, places[:, 0], places[:, 1]] = worth
            yield survey
    for places in grid.rounds(effort.seed) if effort.glimpses and gradients is None else ():
        yield from through(places, GLIMPSE)
    for places in grid.rounds(effort.seed):
        yield from through(places, effort.at_first)
        if effort.at_first < effort.samples:  # only now is it known what is small
            _want(survey, places, grid, effort)
            yield from through(places[survey.wanted[places[:, 0], places[:, 1]] == effort.samples], effort.samples)


def n_asked(survey: Survey, grid: Grid, effort: Effort) -> int:
    """Windows of the grid with samples enough to be settled; those with fewer, or a guide alone, count by a share."""
    windows = np.ix_(grid.along(grid.height), grid.along(grid.width))
    shares = survey.samples[windows].clip(0, effort.at_first) / effort.at_first
    if len(survey.guides) > 1 and effort.shortens:
        guided = np.isfinite(survey.guides[:, 0]).mean(0)[windows]
        shares = _GUIDE_SHARE * guided + (1 - _GUIDE_SHARE) * shares
    return int(shares.sum())


def _want(survey: Survey, places: np.ndarray, grid: Grid, effort: Effort) -> None:
    """Settle how many samples each window of a round that has its first ones is to have."""
    if np.isnan(survey.typical).any():
        survey.typical[:] = _typical(survey, grid)
    unsettled = ~(survey.estimates()[1] <= effort.settled * survey.typical[:, None, None]).all(0)
    rows, columns = places[survey.wanted[places[:, 0], places[:, 1]] == 0].T
    survey.wanted[rows, columns] = np.where(unsettled, effort.samples, effort.at_first)[rows, columns]


def _typical(survey: Survey, grid: Grid) -> np.ndarray:
    """Root mean square of the coarsest round's differences (T,)."""
    stride = grid.strides[0]
    rows, columns = np.ix_(grid.along(grid.height, stride), grid.along(grid.width, stride))
    first = survey.values[:, rows, columns]
    return np.sqrt(np.square(first, dtype=np.float64).mean((1, 2)))
