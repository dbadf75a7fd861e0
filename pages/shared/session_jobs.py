"""This session's jobs, one of each name at a time; unfinished results and failures are kept by the requests' keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from explainers.results import R, Request, Sources, compute_missing, missing, unit_of
from images.image_set import ImageSet
from jobs.queue import Job
from jobs.results import key_of
from pages.shared import cache, session


def submit(name: str, title: str, requests: Sequence[Request[Any]], images: ImageSet, key: str = "") -> None:
    """Compute what the store lacks, in order, as this session's job `name`; one for an older choice is stopped.

    `key` is the job's, by default that of `key_for`.
    """
    state, model_store, store = session.state(), cache.model_store(), cache.store()
    failures = state.failures
    lacking = missing(store, requests, failures)

    def work(job: Job) -> None:
        unfinished: dict[str, Any] = {}
        job.result = unfinished

        def show(request: Request[Any], result: Any) -> None:
            if result is None:
                unfinished.pop(request.key, None)
            else:
                unfinished[request.key] = result

        compute_missing(Sources(model_store, store, images, say=job.say), lacking, failures, job.report, show)

    submit_work(name, key or key_for(name, requests), title, unit_of(requests), work if lacking else None)


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


def running(name: str, key: str) -> Job | None:
    """The active job `name` with this key: this session's, or one that an earlier session left at work."""
    state, found = session.state(), cache.jobs().find(key)
    if found is not None and found.active and not found.cancelling and active(name) is None:
        state.jobs[name] = found
    job = active(name)
    return job if job is not None and job.key == key else None


def unfinished(request: Request[R]) -> R | None:
    """The result so far, from a job of this session that is at it and has a newer one than the store."""
    for job in session.state().jobs.values():
        if job.active and isinstance(job.result, dict) and (found := job.result.get(request.key)) is not None:
            return found
    return None


def known(request: Request[R]) -> R | None:
    """The result so far: from a job that is at it, else from the store."""
    return unfinished(request) or request.load(cache.store())


def retry(requests: Sequence[Request[Any]]) -> None:
    """Forget that these could not be computed."""
    for request in requests:
        session.state().failures.pop(request.key, None)
