"""Surveys on disk: stopped at any time, and taken up again where they stopped, after a restart too."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields

import numpy as np

from bank.bank import Bank
from bank.card import ModelCard
from bank.errors import InputError
from bank.images import ImageSet
from explainers.cells import in_one_line, ready
from explainers.output import Output
from explainers.prediction_difference.method import (
    PredictionDifference,
    PredictionDifferenceParams,
    question,
    sampler_for,
)
from explainers.prediction_difference.survey import Survey, advance
from explainers.prediction_difference.windows import Grid
from jobs.results import ResultStore, key_of

#: Seconds of work between two writes, and between two looks at the map.
_KEEP_S, _SHOW_S = 5.0, 0.5

#: Settings that say how far to go, not what is found: a survey goes on when they change.
_HOW_FAR = ("stride", "samples", "settled")


@dataclass(frozen=True)
class Asked:
    """One picture and model: `targets` are columns of each of `outputs`, the survey's rows in that order.

    `data` is the digest of the image set that windows are drawn from.
    """

    card: ModelCard
    image_id: str
    params: PredictionDifferenceParams
    targets: tuple[int, ...]
    outputs: tuple[Output, ...]
    data: str

    @property
    def grid(self) -> Grid:
        """Where the windows lie on the model's input."""
        return Grid(*self.card.input_size, self.params.window, self.params.stride)

    @property
    def key(self) -> str:
        """Stands for all that makes a window's value: the same for a finer stride or more samples."""
        return key_of(
            what="prediction difference",
            model=self.card.digest,
            image=self.image_id,
            data=self.data,
            params={name: value for name, value in asdict(self.params).items() if name not in _HOW_FAR},
            targets=self.targets,
            outputs=[asdict(output) for output in self.outputs],
        )

    def finished(self, survey: Survey | None) -> bool:
        """Whether all windows that were asked for are known, by at least as many samples as all get."""
        if survey is None:
            return False
        grid = self.grid
        known = survey.samples[np.ix_(grid.along(grid.height), grid.along(grid.width))]
        return bool((known >= self.params.effort.at_first).all())


def find(store: ResultStore, asked: Asked) -> Survey | None:
    """What is known already."""
    arrays = store.get(asked.key)
    return None if arrays is None else Survey(**{item.name: arrays[item.name].copy() for item in fields(Survey)})


def work_out(
    bank: Bank,
    store: ResultStore,
    images: ImageSet,
    all_asked: Sequence[Asked],
    failures: dict[str, str],
    report: Callable[[int, int], None] = lambda done, total: None,
    show: Callable[[Asked, Survey], None] = lambda asked, survey: None,
) -> None:
    """Go on with each survey to the end of its settings, in order; each is kept every few seconds, and when stopped.

    What cannot be explained puts its reason into `failures` under its key; the others go on. `report` counts windows of
    all surveys and may raise to stop; `show` gets a survey that is still growing, twice a second.
    """
    method = PredictionDifference()
    totals = [asked.grid.n_windows() for asked in all_asked]
    for number, asked in enumerate(all_asked):
        before = sum(totals[:number])

        def stay_cancellable(done: int, _total: int, before: int = before) -> None:
            report(before + done, sum(totals))

        try:
            with bank.lend(asked.card) as loan:
                if reason := method.applies(asked.card):
                    raise InputError(f"a model that suits {method.title}", asked.card.name, reason)
                loan = ready(loan, store, images, method, asked.params, lambda _done, _total: stay_cancellable(0, 0))
                inputs = loan.normalise(loan.card.preprocessing.crop(images.image(images.index(asked.image_id)))[None])[
                    0
                ]
                sampler = sampler_for(loan, inputs, asked.params)
                loan, measures = question(loan, asked.outputs, asked.targets, asked.params.laplace)
                survey = find(store, asked) or Survey.new(asked.grid, len(asked.targets) * len(asked.outputs))
                kept = shown = time.monotonic()
                steps = advance(
                    loan, inputs, asked.grid, sampler, measures, asked.params.effort, survey, stay_cancellable
                )
                try:
                    for _ in steps:
                        now = time.monotonic()
                        if now - shown >= _SHOW_S:
                            show(asked, survey)
                            shown = now
                        if now - kept >= _KEEP_S:
                            store.put(asked.key, **vars(survey))
                            kept = now
                finally:
                    store.put(asked.key, **vars(survey))
        except (InputError, RuntimeError) as error:
            failures[asked.key] = in_one_line(error)
    report(sum(totals), sum(totals))
