"""Surveys on disk: stopped at any time, and taken up again where they stopped, after a restart too."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial

import numpy as np

from common.errors import InputError
from explainers.attribution import ready
from explainers.base import Attribution, Progress, nobody, part_of
from explainers.output import Output
from explainers.prediction_difference.method import (
    PredictionDifference,
    PredictionDifferenceParams,
    question,
    sampler_for,
)
from explainers.prediction_difference.survey import Survey, advance
from explainers.prediction_difference.windows import Grid
from explainers.results import Sources, reason_for
from images.image_set import ImageSet
from jobs.results import ResultStore, key_of
from models.card import ModelCard
from models.store import ModelStore

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
            holds=[item.name for item in fields(Survey)],  # what an older version kept is not taken up
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


def go_on(
    model_store: ModelStore,
    store: ResultStore,
    images: ImageSet,
    asked: Asked,
    report: Progress = nobody,
    show: Callable[[Survey], None] = lambda survey: None,
    data: ImageSet | None = None,
    learn: Progress | None = None,
) -> Survey:
    """Go on with a survey to the end of its settings; it is kept every few seconds, and when stopped.

    `report` counts windows and may raise to stop, and so does `learn`, which counts the images while what windows are
    drawn from is learnt (by default `report` is asked then); `show` gets the growing survey twice a second. `data` are
    the images that windows are drawn from, by default `images`. Raises `InputError` when the method does not suit the
    model.
    """
    method = PredictionDifference()
    with model_store.borrow(asked.card) as model:
        if reason := method.applies(asked.card):
            raise InputError(f"a model that suits {method.title}", asked.card.name, reason)
        total = asked.grid.n_windows()
        learn = learn or part_of(report, 0, 0, total)
        model = ready(model, Sources(model_store, store, data or images), method, asked.params, learn)
        inputs = model.normalise(model.card.preprocessing.crop(images.image(images.index(asked.image_id)))[None])[0]
        sampler = sampler_for(model, inputs, asked.params)
        model, measures = question(model, asked.outputs, asked.targets, asked.params.laplace)
        survey = find(store, asked) or Survey.new(asked.grid, len(asked.targets) * len(asked.outputs))
        kept = shown = time.monotonic()
        try:
            for _ in advance(model, inputs, asked.grid, sampler, measures, asked.params.effort, survey, report):
                now = time.monotonic()
                if now - shown >= _SHOW_S:
                    show(survey)
                    shown = now
                if now - kept >= _KEEP_S:
                    store.put(asked.key, **vars(survey))
                    kept = now
        finally:
            store.put(asked.key, **vars(survey))
    return survey


def work_out(
    model_store: ModelStore,
    store: ResultStore,
    images: ImageSet,
    all_asked: Sequence[Asked],
    failures: dict[str, str],
    report: Progress = nobody,
    show: Callable[[Asked, Survey], None] = lambda asked, survey: None,
    learn: Progress | None = None,
) -> None:
    """`go_on` with each, in order; `report` counts windows of all, `learn` is that of `go_on`.

    What cannot be explained puts its reason into `failures` under its key; the others go on.
    """
    totals = [asked.grid.n_windows() for asked in all_asked]
    for number, asked in enumerate(all_asked):
        before = sum(totals[:number])
        count = part_of(report, before, totals[number], sum(totals))
        try:
            go_on(model_store, store, images, asked, count, partial(show, asked), learn=learn)
        except (InputError, RuntimeError) as error:
            failures[asked.key] = reason_for(error)
    report(sum(totals), sum(totals))


def attribution(all_asked: Sequence[Asked], surveys: Sequence[Survey], seconds: float) -> Attribution:
    """The maps of one model and method, of the first target and output of each, as any other method gives them."""
    first = all_asked[0]
    maps, errors = zip(
        *(survey.maps(first.params.window, first.params.effort.shortens) for survey in surveys), strict=True
    )
    return Attribution(
        maps=np.stack([some[0] for some in maps]),
        method=PredictionDifference.name,
        model=first.card.digest,
        image_ids=tuple(asked.image_id for asked in all_asked),
        targets=tuple(asked.targets[0] for asked in all_asked),
        params=asdict(first.params),
        seconds=seconds,
        output=asdict(first.outputs[0]),
        error=np.stack([some[0] for some in errors]),
    )
