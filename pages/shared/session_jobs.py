"""This session's jobs, one of each name at a time; unfinished results and failures are kept by the requests' keys."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from explainers.results import R, Request, Sources, compute_missing, missing, unit_of
from images.image_set import ImageSet
from jobs.queue import Job
from jobs.results import key_of
from pages.shared import cache, session

#: Requests, or a function that knows them when it is asked.
Phase = Sequence[Request[Any]] | Callable[[], Sequence[Request[Any]]]


def submit(name: str, title: str, images: ImageSet, *phases: Phase, key: str = "", unit: str = "") -> None:
    """Compute what the store lacks as this session's job `name`; one for an older choice is stopped.

    A phase begins when the one before is through; a function as a phase is asked then what there is to compute. `key`
    is the job's, by default that of `key_for` all requests.
    """
    state, model_store, store = session.state(), cache.model_store(), cache.store()
    failures = state.failures
    known = [request for phase in phases if not callable(phase) for request in phase]
    idle = len(missing(store, known, failures)) == 0 and not any(map(callable, phases))

    def work(job: Job) -> None:
        unfinished: dict[str, Any] = {}
        job.result = unfinished
        draws_on = Sources(model_store, store, images, say=job.say)

        def show(request: Request[Any], result: Any) -> None:
            if result is None:
                unfinished.pop(request.key, None)
            else:
                unfinished[request.key] = result

        before = 0.0
        for number, phase in enumerate(phases):
            lacking = missing(store, phase() if callable(phase) else phase, failures)
            later = [request for phase in phases[number + 1 :] if not callable(phase) for request in phase]
            after = sum(request.size for request in missing(store, later, failures))
            compute_missing(draws_on, lacking, failures, partial(_report, job, before, after), show)
            before += sum(request.size for request in lacking)

    submit_work(name, key or key_for(name, known), title, unit or unit_of(known), None if idle else work)


def _report(job: Job, before: float, after: float, done: float, total: float) -> None:
    job.report(before + done, before + total + after)


def sources(images: ImageSet) -> Sources:
    """What computing on the server draws on."""
    return Sources(cache.model_store(), cache.store(), images)


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
    jobs = session.state().jobs
    return next((jobs[name] for name in names if name in jobs and jobs[name].active), None)


def active_names(*names: str) -> tuple[str, ...]:
    """Which of this session's jobs of these names still run or wait."""
    return tuple(name for name in names if active(name) is not None)


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
