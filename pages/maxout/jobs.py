"""MaxOut in the background: what is asked for, and the jobs that make images and measure those of the data set."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from explainers.maxout.request import MaxOutRequest
from explainers.output import UNIT, Output
from jobs.queue import Job
from jobs.results import key_of
from models.card import ModelCard
from pages.shared import cache, session, session_jobs
from suggestion import activations

#: This session's jobs: the images that are made, and the measuring of the data set's own images beside them.
MAXOUT, IMAGES = "maxout", "maxout_images"

#: Image sets up to this size are measured without being asked to; of more targets than so many, figures take long.
UNASKED_IMAGES, MANY_TARGETS = 2000, 30


@dataclass(frozen=True)
class Row:
    """One class or unit: what is asked of each model in turn, or why there is nothing to ask."""

    title: str
    cells: tuple[MaxOutRequest | str, ...]


@dataclass(frozen=True)
class TargetGrid:
    """What is on show: `rows` of the `cards`."""

    cards: tuple[ModelCard, ...]
    rows: tuple[Row, ...]

    @property
    def requests(self) -> list[MaxOutRequest]:
        """Each once, in the order in which they are made."""
        cells = [cell for row in self.rows for cell in row.cells if isinstance(cell, MaxOutRequest)]
        return list({cell.key: cell for cell in cells}.values())

    @property
    def key(self) -> str:
        """Stands for the targets and their settings."""
        return "maxout " + key_of(keys=[request.key for request in self.requests])


def goal(grid: TargetGrid) -> int | None:
    """Up to which step to go on: the iterations that are set, as many again once they are done; `None` for nowhere."""
    failures = session.state().failures
    wanted = [request for request in grid.requests if request.key not in failures] or grid.requests
    if not wanted:
        return None
    found = {request.key: request.load(cache.store()) for request in wanted}
    iterations = wanted[0].params.iterations
    if any(made is None or not made.finished(iterations) for made in found.values()):
        return iterations
    steps = [made.step for made in found.values() if made is not None and not made.finished(made.step + 1)]
    return min(steps) + iterations if steps else None


def submit(grid: TargetGrid, until: int) -> None:
    """Take all targets up to step `until`; a job for an older choice is stopped."""
    requests = [request.up_to(until) for request in grid.requests]
    title = f"MaxOut of {len(requests)} targets" if len(requests) > 1 else f"MaxOut of {requests[0].title}"
    session_jobs.retry(MAXOUT, requests)
    session_jobs.submit(MAXOUT, title, session.images(), requests, key=grid.key)


def what_it_takes(grid: TargetGrid, until: int) -> str:
    """The steps up to step `until` of all targets, in words."""
    left = [max(0.0, until - request.up_to(until).done(cache.store())) for request in grid.requests]
    wanted = [steps for steps in left if steps]
    each = f" × {wanted[0]:,.0f}" if len(set(wanted)) == 1 else ""
    return f"Takes {sum(wanted):,.0f} steps: {len(wanted)} targets{each}. A step is a pass through the model and back."


def layer_of(output: Output) -> str | None:
    """The layer that the data set's images are measured at; `None` for the model's own answer."""
    return output.layer if output.kind == UNIT else None


def image_values(request: MaxOutRequest) -> np.ndarray | None:
    """(N,) float32: the target's value on every image, logits for classes; `None` until they are measured."""
    values = cache.unit_activations(request.card, session.images(), layer_of(request.output))
    return None if values is None else values[:, request.target]


def unmeasured(grid: TargetGrid) -> list[tuple[ModelCard, str | None]]:
    """Models and layers whose answers to the image set are not known yet."""
    images, store = session.images(), cache.store()
    wanted = dict.fromkeys((request.card, layer_of(request.output)) for request in grid.requests)
    return [(card, layer) for card, layer in wanted if not activations.through(card, images, layer, store)]


def were_halted(missing: Sequence[tuple[ModelCard, str | None]]) -> bool:
    """Whether the measuring of one of these was stopped, or has failed."""
    return any(_part(card, layer) in session_jobs.halted(IMAGES) for card, layer in missing)


def _part(card: ModelCard, layer: str | None) -> str:
    return f"{session.images().digest} {card.digest} {layer}"


def measure(missing: Sequence[tuple[ModelCard, str | None]]) -> None:
    """Measure the image set in the background."""
    model_store, store, images = cache.model_store(), cache.store(), session.images()

    def count(job: Job, before: int, done: int, _total: int) -> None:
        job.report_in_between(before + done, len(missing) * len(images))

    def work(job: Job) -> None:
        for number, (card, layer) in enumerate(missing):
            activations.measure(model_store, card, images, layer, store, partial(count, job, number * len(images)))

    key = f"maxout images {images.digest} " + " ".join(f"{card.digest} {layer}" for card, layer in missing)
    parts = frozenset(_part(card, layer) for card, layer in missing)
    session_jobs.submit_work(IMAGES, key, "Activations of the images", "images", work, parts)
