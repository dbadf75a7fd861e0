"""MaxOut in the background: what is asked for, what is known of it, and the jobs that make and measure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from explainers.maxout import keeping
from explainers.maxout.keeping import Asked, Made
from explainers.output import UNIT, Output
from jobs.queue import Job
from jobs.results import key_of
from models.card import ModelCard
from pages.shared import cache, session, session_jobs
from suggestion import activations

#: This session's jobs: the pictures, and the measuring of the data set's own images beside them.
MAXOUT, IMAGES = "maxout", "maxout_images"

#: Image sets up to this size are measured, and up to so many targets are begun, without being asked to.
UNASKED_IMAGES, UNASKED_TARGETS = 2000, 30


@dataclass(frozen=True)
class Row:
    """One class or unit: what is asked of each model in turn, or why there is nothing to ask."""

    title: str
    cells: tuple[Asked | str, ...]


@dataclass(frozen=True)
class Choice:
    """What is on show: `rows` of the `cards`."""

    cards: tuple[ModelCard, ...]
    rows: tuple[Row, ...]

    @property
    def all_asked(self) -> list[Asked]:
        """Each once, in the order in which they are made."""
        return list({cell.key: cell for row in self.rows for cell in row.cells if isinstance(cell, Asked)}.values())

    @property
    def key(self) -> str:
        """Stands for the targets and their settings."""
        return "maxout " + key_of(keys=[asked.key for asked in self.all_asked])


def known(asked: Asked) -> Made | None:
    """What is made so far: from a job that is at it, else from the store."""
    job = session_jobs.active(MAXOUT)
    if job is not None and job.result and asked.key in job.result:
        return job.result[asked.key]
    return keeping.find(cache.store(), asked)


def goal(choice: Choice) -> int | None:
    """Up to which step to go on: the iterations that are set, as many again once they are done; `None` for nowhere."""
    failures = session.state().failures
    wanted = [asked for asked in choice.all_asked if asked.key not in failures]
    if not wanted:
        return None
    found = {asked.key: keeping.find(cache.store(), asked) for asked in wanted}
    iterations = wanted[0].params.iterations
    if any(made is None or not made.finished(iterations) for made in found.values()):
        return iterations
    steps = [made.step for made in found.values() if made is not None and not made.finished(made.step + 1)]
    return min(steps) + iterations if steps else None


def begun(choice: Choice) -> bool:
    """Whether there is a picture of any target."""
    return any(asked.key in cache.store() for asked in choice.all_asked)


def running(choice: Choice) -> Job | None:
    """The active job for this choice: this session's, or one that an earlier session left at work."""
    found = cache.jobs().find(choice.key)
    if found is not None and found.active and not found.cancelling and session_jobs.active(MAXOUT) is None:
        session.state().jobs[MAXOUT] = found
    job = session_jobs.active(MAXOUT)
    return job if job is not None and job.key == choice.key else None


def submit(choice: Choice, until: int) -> None:
    """Take all targets up to step `until`; a job for an older choice is stopped."""
    model_store, store, failures = cache.model_store(), cache.store(), session.state().failures
    all_asked = [replace(asked, params=replace(asked.params, iterations=until)) for asked in choice.all_asked]
    for asked in all_asked:
        failures.pop(asked.key, None)

    def work(job: Job) -> None:
        job.result = {}

        def show(asked: Asked, made: Made) -> None:
            job.result[asked.key] = made

        keeping.work_out(model_store, store, all_asked, failures, job.report, show)

    title = f"MaxOut of {len(all_asked)} targets" if len(all_asked) > 1 else f"MaxOut of {all_asked[0].title}"
    session_jobs.submit_work(MAXOUT, choice.key, title, "steps", work)


def active() -> frozenset[str]:
    """Which of this session's jobs of the page are at work."""
    return frozenset(name for name in (MAXOUT, IMAGES) if session_jobs.active(name) is not None)


def layer_of(output: Output) -> str | None:
    """The layer that the data set's images are measured at; `None` for the model's own answer."""
    return output.layer if output.kind == UNIT else None


def image_values(asked: Asked) -> np.ndarray | None:
    """(N,) float32: the target's value on every image, logits for classes; `None` until they are measured."""
    values = cache.unit_activations(asked.card, session.images(), layer_of(asked.output))
    return None if values is None else values[:, asked.target]


def unmeasured(choice: Choice) -> list[tuple[ModelCard, str | None]]:
    """Models and layers whose answers to the image set are not known yet."""
    images, store = session.images(), cache.store()
    wanted = dict.fromkeys((asked.card, layer_of(asked.output)) for asked in choice.all_asked)
    return [(card, layer) for card, layer in wanted if not activations.through(card, images, layer, store)]


def measure(missing: Sequence[tuple[ModelCard, str | None]]) -> None:
    """Measure the image set in the background."""
    model_store, store, images = cache.model_store(), cache.store(), session.images()

    def count(job: Job, before: int, done: int, _total: int) -> None:
        job.report(before + done, len(missing) * len(images))

    def work(job: Job) -> None:
        for number, (card, layer) in enumerate(missing):
            activations.measure(model_store, card, images, layer, store, partial(count, job, number * len(images)))

    key = f"maxout images {images.digest} " + " ".join(f"{card.digest} {layer}" for card, layer in missing)
    session_jobs.submit_work(IMAGES, key, "Images that excite them", "images", work)
