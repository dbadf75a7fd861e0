"""This session's jobs, one of each name at a time; unfinished results and failures are kept by the requests' keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from explainers.results import Request, Sources, compute_missing, missing, unit_of
from images.image_set import ImageSet
from jobs.queue import Job
from jobs.results import key_of
from pages.shared import cache, session


def submit(name: str, title: str, requests: Sequence[Request[Any]], images: ImageSet) -> None:
    """Compute what the store lacks, in order, as this session's job `name`; one for an older choice is stopped."""
    state, model_store, store = session.state(), cache.model_store(), cache.store()
    failures, unfinished = state.failures, state.unfinished
    lacking = missing(store, requests, failures)

    def show(request: Request[Any], result: Any) -> None:
        if result is None:
            unfinished.pop(request.key, None)
        else:
            unfinished[request.key] = result

    def work(job: Job) -> None:
        sources = Sources(model_store, store, images, say=job.say)
        try:
            compute_missing(sources, lacking, failures, job.report, show)
        finally:
            for request in lacking:
                unfinished.pop(request.key, None)

    submit_work(name, key_for(name, requests), title, unit_of(requests), work if lacking else None)


def key_for(name: str, requests: Sequence[Request[Any]]) -> str:
    """The key of the job that computes these requests."""
    return f"{name} " + key_of(goals=[request.goal for request in requests])


def submit_work(name: str, key: str, title: str, unit: str, work: Callable[[Job], None] | None) -> None:
    """Start `work` as this session's job `name` unless it runs already; one for an older choice is stopped.

    `None` when there is nothing left to do.
    """
    state = session.state()
    old = state.jobs.get(name)
    if old is not None and old.active:
        if old.key == key:
            return
        old.cancel()
    if work is not None:
        state.jobs[name] = cache.jobs().submit(Job(title, work, unit=unit, key=key), "interactive")


def active(*names: str) -> Job | None:
    """The first of this session's jobs of these names that still runs or waits."""
    jobs = [session.state().jobs.get(name) for name in names]
    return next((job for job in jobs if job is not None and job.active), None)
