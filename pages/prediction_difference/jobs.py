"""Prediction difference in the background: round by round over all models, so that each has a whole map early."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from explainers.attribution import AttributionRequest, ready
from explainers.engines.incremental import Incremental
from explainers.output import Output
from explainers.prediction_difference import keeping
from explainers.prediction_difference.keeping import Asked
from explainers.prediction_difference.method import CONDITIONAL, PredictionDifference
from explainers.prediction_difference.samplers import shrinkage
from explainers.prediction_difference.survey import GLIMPSE, Survey, n_asked
from explainers.results import Sources, compute_missing
from images.image_set import ImageSet
from jobs.queue import Job
from jobs.results import ResultStore, key_of
from models.card import ModelCard
from models.store import ModelHandle, ModelStore
from pages.shared import cache, session, session_jobs

#: This session's jobs: the maps on top of the page, and one comparison at a time below them.
MAPS, MORE = "prediction_difference", "prediction_difference_more"

#: As many samples as the paper took.
EXACT_SAMPLES = 20


@dataclass(frozen=True)
class Known:
    """What is known of one picture and model: `maps`, `errors` (T, H, W) float32, NaN where nothing is.

    `stride` is the finest at which all windows are known; `amount` grows with all that is learnt; `goal` is what is
    being worked out.
    """

    maps: np.ndarray
    errors: np.ndarray
    stride: int | None
    amount: int
    goal: Asked


@dataclass(frozen=True)
class Facts:
    """What a survey took, in seconds, and how far the Gaussian it drew from was shrunk to its diagonal (0 to 1)."""

    seconds: float = 0.0
    shrunk: float = 0.0


@dataclass(frozen=True)
class Plan:
    """What one part of the page needs: `first` runs before `all_asked` is known, `cells` are maps of other methods."""

    key: str
    title: str
    all_asked: Callable[[], list[Asked]]
    first: Callable[[ModelStore, ResultStore], None] = lambda model_store, store: None
    cells: tuple[AttributionRequest, ...] = ()
    startable: bool = True

    @property
    def keys(self) -> list[str]:
        """Of all that the store will hold."""
        return [*(asked.key for asked in self.all_asked()), *(cell.key for cell in self.cells)]

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do but what failed."""
        store, failures, wanted = cache.store(), session.state().failures, self.all_asked()
        asked_all = all(asked.key in failures or asked.finished(keeping.find(store, asked)) for asked in wanted)
        return bool(wanted) and asked_all and all(cell.key in failures or cell.key in store for cell in self.cells)

    @property
    def failed(self) -> bool:
        """Whether something could not be worked out, and may be tried again."""
        return any(key in session.state().failures for key in self.keys)


def exact(asked: Asked) -> Asked:
    """The same without a short cut: every window, every sample."""
    samples = max(EXACT_SAMPLES, asked.params.samples)
    return replace(asked, params=replace(asked.params, stride=1, samples=samples, settled=0.0))


def plan_of(title: str, all_asked: Sequence[Asked]) -> Plan:
    """A plan for what is known beforehand."""
    asked = list({one.key: one for one in all_asked}.values())
    return Plan(plan_key(asked), title, lambda: asked, startable=bool(asked))


def plan_key(all_asked: Sequence[Asked], **more: object) -> str:
    """Stands for what is asked and how far it goes."""
    goals = [(one.key, asdict(one.params)) for one in all_asked]
    return "prediction difference " + key_of(goals=goals, more=more)


def submit(name: str, plan: Plan) -> None:
    """Start the plan's job as this session's job `name`, or go on with it; another one of that name is stopped."""
    model_store, store, images, failures = (
        cache.model_store(),
        cache.store(),
        session.images(),
        session.state().failures,
    )
    for key in plan.keys:
        failures.pop(key, None)

    def work(job: Job) -> None:
        job.result = {}
        job.report(0, 1)
        plan.first(model_store, store)
        compute_missing(
            Sources(model_store, store, images), plan.cells, failures, lambda _done, _total: job.report(0, 1)
        )
        _survey(job, model_store, store, images, plan.all_asked(), failures)

    session_jobs.submit_work(name, plan.key, plan.title, "windows", work)


def running(name: str, key: str) -> Job | None:
    """The active job `name` with this key: this session's, or one that an earlier session left at work."""
    state, found = session.state(), cache.jobs().find(key)
    if found is not None and found.active and not found.cancelling and session_jobs.active(name) is None:
        state.jobs[name] = found
    job = session_jobs.active(name)
    return job if job is not None and job.key == key else None


def known(asked: Asked) -> Known | None:
    """What is known so far: from a job that is at it, else from the store."""
    for name in (MAPS, MORE):
        job = session_jobs.active(name)
        if job is not None and job.result and asked.key in job.result:
            return job.result[asked.key]
    survey = keeping.find(cache.store(), asked)
    return None if survey is None else _known(asked, survey)


def facts(asked: Asked) -> Facts:
    """What was noted beside the survey."""
    arrays = cache.store().get(_facts_key(asked))
    return Facts() if arrays is None else Facts(**{name: float(value) for name, value in arrays.items()})


def scores(card: ModelCard, image_id: str, output: Output) -> np.ndarray | None:
    """The model's values (K,) float32 for a picture, if `note_scores` was there."""
    arrays = cache.store().get(_scores_key(card, image_id, output))
    return None if arrays is None else arrays["scores"]


def note_scores(
    model_store: ModelStore, store: ResultStore, images: ImageSet, card: ModelCard, image_id: str, to: Output
) -> None:
    """Read the values of an output, or of all units of a layer, for one picture."""
    key = _scores_key(card, image_id, to)
    if key in store:
        return
    with model_store.borrow(card) as model:
        values = to.of(model).scores(_inputs(model, images, image_id)[None])[0].detach().float().cpu().numpy()
    store.put(key, scores=values)


def saving(asked: Asked) -> float | None:
    """How many times fewer operations a window takes than the whole picture; `None` before a first round is through."""
    arrays = cache.store().get(_saving_key(asked))
    return None if arrays is None else float(arrays["saving"])


def _survey(
    job: Job,
    model_store: ModelStore,
    store: ResultStore,
    images: ImageSet,
    all_asked: Sequence[Asked],
    failures: dict[str, str],
) -> None:
    """All models glimpsed at by the coarsest stride, then by the next, …, and at last all that is asked for.

    `job.result` gets what is known so far by key.
    """
    done = {asked.key: _n_known(asked, keeping.find(store, asked)) for asked in all_asked}
    total = sum(asked.grid.n_windows() for asked in all_asked)
    for number in range(max((len(asked.grid.strides) for asked in all_asked), default=0)):
        for asked in all_asked:
            if number >= len(asked.grid.strides) or asked.key in failures:
                continue
            stride, step = asked.grid.strides[number], asked
            if stride > asked.params.stride:
                step = replace(asked, params=replace(asked.params, stride=stride, samples=GLIMPSE, settled=0.0))
                if step.finished(keeping.find(store, step)):
                    continue

            def report(n_done: float, _total: float, asked: Asked = asked, step: Asked = step) -> None:
                share = step.params.effort.at_first / max(step.params.effort.at_first, asked.params.effort.at_first)
                done[asked.key] = max(done[asked.key], min(int(share * n_done), asked.grid.n_windows()))
                job.say("")
                job.report(sum(done.values()), total)

            def learn(n_read: float, n: float, asked: Asked = asked) -> None:
                what = "patches" if asked.params.sampling == CONDITIONAL else "windows"
                job.say(f"Learning {what} of {images.name}: {n_read:,.0f} of {n:,.0f} pictures")
                job.report(sum(done.values()), total)

            def show(_asked: Asked, survey: Survey, asked: Asked = asked) -> None:
                job.result[asked.key] = _known(asked, survey)

            started = time.monotonic()
            try:
                keeping.work_out(model_store, store, images, [step], failures, report, show, learn)
            finally:
                _note_facts(model_store, store, images, asked, time.monotonic() - started)
            if (survey := keeping.find(store, asked)) is not None:
                show(asked, survey)
                _note_saving(model_store, store, images, asked)


def _known(asked: Asked, survey: Survey) -> Known:
    grid = asked.grid
    strides, windows = range(grid.size, 0, -1), survey.known()
    through = [n for n in strides if windows[np.ix_(grid.along(grid.height, n), grid.along(grid.width, n))].all()]
    amount = int(survey.samples.sum() + np.isfinite(survey.guides).sum())
    maps, errors = survey.maps(grid.size, asked.params.effort.shortens)
    return Known(maps, errors, min(through, default=None), amount, asked)


def _n_known(asked: Asked, survey: Survey | None) -> int:
    """How many of the windows that are asked for need no more samples but to settle; see `n_asked`."""
    return 0 if survey is None else n_asked(survey, asked.grid, asked.params.effort)


def _note_facts(model_store: ModelStore, store: ResultStore, images: ImageSet, asked: Asked, seconds: float) -> None:
    before = store.get(_facts_key(asked))
    shrunk = 0.0 if before is None else float(before["shrunk"])
    if before is None and asked.params.sampling == CONDITIONAL and keeping.find(store, asked) is not None:
        with model_store.borrow(asked.card) as model:
            fitted = ready(model, Sources(model_store, store, images), PredictionDifference(), asked.params).fitted
        shrunk = shrinkage(int(fitted["n_patches"]), fitted["mean"].shape[1])
    seconds += 0.0 if before is None else float(before["seconds"])
    store.put(_facts_key(asked), seconds=np.array(seconds), shrunk=np.array(shrunk))


def _note_saving(model_store: ModelStore, store: ResultStore, images: ImageSet, asked: Asked) -> None:
    key, window = _saving_key(asked), (asked.params.window, asked.params.window)
    if key not in store:
        with model_store.borrow(asked.card) as model:
            found = Incremental(model, _inputs(model, images, asked.image_id), window).saving()
        store.put(key, saving=np.array(found))


def _inputs(model: ModelHandle, images: ImageSet, image_id: str) -> Any:
    """(C, H, W) float32: a picture as the model gets it."""
    return model.normalise(model.card.preprocessing.crop(images.image(images.index(image_id)))[None])[0]


def _facts_key(asked: Asked) -> str:
    return key_of(what="prediction difference facts", of=asked.key)


def _saving_key(asked: Asked) -> str:
    return key_of(what="incremental saving", model=asked.card.digest, window=asked.params.window)


def _scores_key(card: ModelCard, image_id: str, output: Output) -> str:
    return key_of(what="scores", model=card.digest, image=image_id, output=asdict(output))
