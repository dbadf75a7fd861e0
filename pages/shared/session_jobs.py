"""This session's jobs, one of each name at a time; unfinished results and failures are kept by the requests' keys."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from explainers.results import R, Request, Sources, compute_missing, missing, unit_of
from images.image_set import ImageSet
from jobs.queue import Job, State
from jobs.results import key_of
from pages.shared import cache, session

#: What stands in the place of a result whose job was stopped, and of one that is gone as soon as it is there.
STOPPED, NO_ROOM = "stopped", "Computed, but the store has no room to keep it. Let the store have more room."

#: Requests, or a function that knows them when it is asked.
Phase = Sequence[Request[Any]] | Callable[[], Sequence[Request[Any]]]


def submit(
    name: str,
    title: str,
    images: ImageSet,
    *phases: Phase,
    key: str = "",
    unit: str = "",
    lane: str = "interactive",
) -> None:
    """Compute what the store lacks as this session's job `name`; one for an older choice is cancelled.

    A phase begins when the one before is through; a function as a phase is asked then what there is to compute. `key`
    is the job's, by default that of `key_for` all requests. What is halted, see `halted`, is left alone.
    """
    model_store, store = cache.model_store(), cache.store()
    failures, stay = session.state().failures, halted(name)
    known = [request for phase in phases if not callable(phase) for request in phase]
    wanted = [request for request in known if request.goal not in stay]
    idle = len(missing(store, wanted, failures)) == 0 and not any(map(callable, phases))

    def lacking(requests: Sequence[Request[Any]]) -> list[Request[Any]]:
        return [request for request in missing(store, requests, failures) if request.goal not in stay]

    def work(job: Job) -> None:
        unfinished: dict[str, Any] = {}
        job.result = unfinished
        draws_on = of_job(Sources(model_store, store, images), job)

        def show(request: Request[Any], result: Any) -> None:
            if result is None:
                unfinished.pop(request.key, None)
            else:
                unfinished[request.key] = result

        before = 0.0
        try:
            for number, phase in enumerate(phases):
                now = lacking(phase() if callable(phase) else phase)
                later = [request for phase in phases[number + 1 :] if not callable(phase) for request in phase]
                after = sum(request.size for request in lacking(later))
                compute_missing(draws_on, now, failures, partial(_report, job, before, after), show)
                failures.update(dict.fromkeys([request.key for request in lacking(now)], NO_ROOM))
                before += sum(request.size for request in now)
        finally:
            unfinished.clear()  # what can be resumed is in the store

    parts = frozenset(request.goal for request in known)
    submit_work(name, key or key_for(name, known), title, unit or unit_of(known), None if idle else work, parts, lane)


def _report(job: Job, before: float, after: float, done: float, total: float) -> None:
    job.report(before + done, before + total + after)


def sources(images: ImageSet) -> Sources:
    """What computing on the server draws on."""
    return Sources(cache.model_store(), cache.store(), images)


def of_job(sources: Sources, job: Job) -> Sources:
    """The same for a job: it tells what it does, and takes turns with those of other workspaces."""
    return replace(sources, say=job.say, turn=job.turn, turn_is_over=job.turn_is_over)


def key_for(name: str, requests: Sequence[Request[Any]]) -> str:
    """The key of the job that computes these requests."""
    return f"{name} " + key_of(goals=[request.goal for request in requests])


def submit_work(
    name: str,
    key: str,
    title: str,
    unit: str,
    work: Callable[[Job], None] | None,
    parts: frozenset[str] = frozenset(),
    lane: str = "interactive",
) -> None:
    """Start `work` as this session's job `name` unless it runs already; one for an older choice is cancelled.

    `None` when there is nothing left to do. `parts` are what it computes, by default its key alone: what is halted is
    not to be among the work.
    """
    jobs = session.state().jobs
    parts = parts or frozenset([key])
    if parts <= halted(name).keys():
        return
    old = jobs.get(name)
    if old is not None and old.active:
        if old.key == key:
            return
        if not old.cancelling:
            old.cancel()
            del jobs[name]
    if work is not None:
        jobs[name] = cache.jobs().submit(Job(title, work, unit=unit, key=key, parts=parts), lane)


def halted(name: str) -> dict[str, str]:
    """What this session's job `name` is not to begin by itself, and the line that says why.

    It was stopped by hand, or the job that was at it failed as a whole. `retry` and `resume` forget that.
    """
    known = session.state().halted.setdefault(name, {})
    job = session.state().jobs.get(name)
    if job is not None and (job.stopped or job.state is State.FAILED):
        known.update(dict.fromkeys(job.parts, job.error or STOPPED))
    return known


def resume(name: str) -> None:
    """Let the job `name` begin again with all that is halted."""
    session.state().halted.pop(name, None)
    session.state().jobs.pop(name, None)


def words(name: str, request: Request[Any], otherwise: str = "computing …") -> str:
    """What stands in the place of a result that is not there: why not, or that it is on its way."""
    return session.state().failures.get(request.key) or halted(name).get(request.goal) or otherwise


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


def retry(name: str, requests: Sequence[Request[Any]]) -> None:
    """Forget that these could not be computed, or were halted, in the job `name`."""
    for request in requests:
        session.state().failures.pop(request.key, None)
    resume(name)
