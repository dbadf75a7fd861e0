"""Prediction difference, window by window: a whole map early, better with every round, to be stopped and taken up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from bank.bank import Loan
from bank.preprocess import Preprocessing
from explainers.incremental import Incremental
from explainers.prediction_difference.evidence import Measure, difference
from explainers.prediction_difference.samplers import Sampler
from explainers.prediction_difference.windows import Grid, between_known, mean_over_windows, sum_over_windows

#: Samples that give a first idea of a window: one antithetic pair.
GLIMPSE = 2


@dataclass(frozen=True)
class Effort:
    """How many samples a window gets.

    All are glimpsed at by `GLIMPSE` samples, for a whole map early, and then get the `first` ones; a window whose Monte
    Carlo error is above `settled` times the root mean square of the coarsest round's differences gets all `samples`.
    With `settled` = 0 every window gets all of them at once.
    """

    samples: int = 20
    first: int = 4
    settled: float = 0.1
    jackknife: bool = True
    seed: int = 0

    @property
    def at_first(self) -> int:
        """Samples before anything can be settled."""
        return min(self.first, self.samples) if self.settled else self.samples

    @property
    def glimpses(self) -> bool:
        """Whether windows are glimpsed at first."""
        return bool(self.settled) and self.at_first > GLIMPSE


@dataclass
class Survey:
    """What is known so far: `values`, `errors` (T, h, w) float32, NaN where unknown; `samples` (h, w) int32.

    A window that was only glimpsed at has a value and no error. `typical` (T,) float64 is the root mean square of the
    coarsest round's differences, NaN until that is through. It is set once, so that it does not matter whether a survey
    was stopped and taken up again.
    """

    values: np.ndarray
    errors: np.ndarray
    samples: np.ndarray
    typical: np.ndarray

    @classmethod
    def new(cls, grid: Grid, n_targets: int) -> Survey:
        """Nothing is known."""
        shape = (grid.height - grid.size + 1, grid.width - grid.size + 1)
        empty = np.full((n_targets, *shape), np.nan, dtype=np.float32)
        return cls(empty, empty.copy(), np.zeros(shape, dtype=np.int32), np.full(n_targets, np.nan))

    def maps(self, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Relevance of each pixel and its Monte Carlo error (T, H, W) float32: means over the windows that hold it.

        Windows that nobody asked about lie between their neighbours. Windows are drawn independently, so their errors
        add up as squares; those without one count as those beside them. NaN while no window, or no error, is known.
        """
        counts = sum_over_windows(self.samples > 0, size).round()
        known = np.isfinite(self.errors)
        with np.errstate(invalid="ignore", divide="ignore"):
            squares = sum_over_windows(np.where(known, self.errors.astype(np.float64), 0) ** 2, size).clip(0)
            n_known = sum_over_windows(known, size).round()
            errors = np.where(n_known > 0, np.sqrt(squares / n_known / counts), np.nan)
        values = np.stack([between_known(row) for row in self.values])
        return mean_over_windows(values, size).astype(np.float32), errors.astype(np.float32)

    def stride(self, grid: Grid) -> int | None:
        """The stride that all windows have been asked at; `None` before the first round is through."""
        reached = None
        for stride in grid.strides:
            if not self.samples[np.ix_(grid.along(grid.height, stride), grid.along(grid.width, stride))].all():
                break
            reached = stride
        return reached


def pixels(inputs: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Normalised inputs (..., C, H, W) -> what was normalised, in [0, 1]; same shape."""
    mean, std = _moments(inputs, preprocessing)
    return (inputs * std + mean).clamp(0, 1)


def _moments(inputs: Tensor, preprocessing: Preprocessing) -> tuple[Tensor, Tensor]:
    mean, std = (torch.tensor(x, device=inputs.device).view(-1, 1, 1) for x in (preprocessing.mean, preprocessing.std))
    return mean, std


def advance(
    loan: Loan,
    inputs: Tensor,
    grid: Grid,
    sampler: Sampler,
    measures: Sequence[Measure],
    effort: Effort,
    survey: Survey,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Survey]:
    """Ask about the windows that `survey` lacks, round by round, writing into it; yields it after every batch.

    `inputs` (C, H, W) float32, normalised; `measures` read `loan.scores`, and the survey has a row for each of their
    targets, one measure after another. Windows with fewer samples than `effort` wants are asked again. `progress`
    counts windows, those half through by their share, and may raise.
    """
    picture = pixels(inputs, loan.card.preprocessing)
    mean, std = _moments(inputs, loan.card.preprocessing)
    model = Incremental(loan, inputs, (grid.size, grid.size))
    total = grid.n_windows()

    def scores(places: np.ndarray, numbers: range) -> tuple[Tensor, Tensor]:
        """Scores (K,) of the picture, by the same way as the samples', and (W, S, K) of the samples."""
        drawn = (sampler.draw(picture, places, grid.size, numbers, effort.seed) - mean) / std
        at = np.repeat(places, len(numbers), 0)
        found = []
        for start in range(0, len(at), model.batch):
            part = slice(start, start + model.batch)
            row, column = at[start]
            clean = inputs[None, :, row : row + grid.size, column : column + grid.size]
            rows, columns = np.concatenate([at[start : start + 1], at[part]]).T
            found.append(model.scores(torch.cat([clean, drawn.flatten(0, 1)[part]]), rows, columns))
        samples = torch.cat([part[1:] for part in found])
        return found[0][0], samples.unflatten(0, (len(places), len(numbers)))

    def write(places: np.ndarray, clean: Tensor, samples: Tensor) -> None:
        found = [difference(measure, clean, samples, sampler.pairs, effort.jackknife) for measure in measures]
        rows, columns = places.T
        for known, new in zip((survey.values, survey.errors), zip(*found, strict=True), strict=True):
            known[:, rows, columns] = torch.cat(new, 1).T.float().cpu().numpy()
        survey.samples[rows, columns] = samples.shape[1]

    def glimpse(places: np.ndarray) -> None:
        write(places, *scores(places, range(GLIMPSE)))

    def ask_all(places: np.ndarray) -> None:
        write(places, *scores(places, range(effort.samples)))

    def ask(places: np.ndarray, settled: np.ndarray) -> None:
        clean, samples = scores(places, range(effort.at_first))
        write(places, clean, samples)
        unsettled = _unsettled(survey, settled)[places[:, 0], places[:, 1]]
        if effort.at_first < effort.samples and unsettled.any():
            _, more = scores(places[unsettled], range(effort.at_first, effort.samples))
            write(places[unsettled], clean, torch.cat([samples[torch.from_numpy(unsettled)], more], 1))

    def through(places: np.ndarray, n_samples: int, task: Callable[[np.ndarray], None]) -> Iterator[Survey]:
        at_once = max(1, model.batch // n_samples)
        for start in range(0, len(places), at_once):
            progress(n_asked(survey.samples, effort), total)
            task(places[start : start + at_once])
            yield survey

    for places in grid.rounds(effort.seed) if effort.glimpses else ():
        places = places[survey.samples[places[:, 0], places[:, 1]] == 0]
        yield from through(places, GLIMPSE, glimpse)
    settled = np.full(len(survey.values), np.inf)
    for number, places in enumerate(grid.rounds(effort.seed)):
        places = places[survey.samples[places[:, 0], places[:, 1]] < effort.at_first]
        yield from through(places, effort.at_first, partial(ask, settled=settled))
        if number == 0 and effort.at_first < effort.samples:  # only now is it known what is small
            if np.isnan(survey.typical).any():
                survey.typical[:] = _typical(survey, grid)
            settled = effort.settled * survey.typical
            again = _unsettled(survey, settled) & (survey.samples > 0) & (survey.samples < effort.samples)
            yield from through(np.argwhere(again), effort.samples, ask_all)


def n_asked(samples: np.ndarray, effort: Effort) -> int:
    """Windows that have samples (…) int enough to be settled; those that have fewer count by their share."""
    return int(samples.clip(0, effort.at_first).sum() / effort.at_first)


def _unsettled(survey: Survey, settled: np.ndarray) -> np.ndarray:
    """Where (h, w) bool an error is above `settled` (T,), or not known."""
    return np.logical_not((survey.errors <= settled[:, None, None]).all(0))


def _typical(survey: Survey, grid: Grid) -> np.ndarray:
    """Root mean square of the coarsest round's differences (T,)."""
    stride = grid.strides[0]
    rows, columns = np.ix_(grid.along(grid.height, stride), grid.along(grid.width, stride))
    first = survey.values[:, rows, columns]
    return np.sqrt(np.square(first, dtype=np.float64).mean((1, 2)))
