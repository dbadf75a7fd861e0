"""`Job` and its queue: progress, time left, cancel, result; nothing long ever runs in a page script."""

from __future__ import annotations

import itertools
import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

log = logging.getLogger(__name__)

#: Ended jobs that stay in the list, so that a page can show how they ended.
N_REMEMBERED = 50

#: The speed is told when the work has been counted for so many seconds, and foretells the end where the speed of the
#: last part, which is this share of what was done, is the same but for a factor.
_SPEED_S, _LAST_PART, _STEADY = 2.0, 0.3, 1.6

#: Reports that are remembered for that; of more, every other is forgotten.
_MOST_COUNTS = 200


class State(StrEnum):
    """Where a job stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Cancelled(Exception):  # noqa: N818 - it is no error
    """Raised inside a job at the next report of progress after somebody cancelled it."""


@dataclass
class Job:
    """A long computation: `work(job)` runs in a worker and calls `job.report(done, total)` as it goes on.

    `parts` stand for what it computes: what was stopped by hand must not start again in a job with another key. Once it
    has ended, `work` is `None`: what that draws on, such as an upload, is not kept for those who look at the job.
    """

    title: str
    work: Callable[[Job], Any] | None
    unit: str = "steps"
    key: str = ""
    parts: frozenset[str] = frozenset()
    number: int = 0
    state: State = State.WAITING
    done: float = 0
    total: float = 0
    note: str = ""
    result: Any = None
    error: str = ""
    started: float = 0.0
    finished: float = 0.0
    stopped: bool = False
    _counts: list[tuple[float, float]] = field(default_factory=list)
    _cancel: threading.Event = field(default_factory=threading.Event)
    _ended: threading.Event = field(default_factory=threading.Event)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def report(self, done: float, total: float) -> None:
        """Take down how far the work is; raises `Cancelled` once somebody has cancelled the job."""
        if self._cancel.is_set():
            raise Cancelled
        if not self._counts or total != self.total:
            self._counts = []  # what an earlier run finished, or other work, does not count as speed
        self._counts.append((time.monotonic(), done))
        if len(self._counts) > _MOST_COUNTS:
            self._counts = [self._counts[0], *self._counts[2::2]]
        self.done, self.total = done, total

    def say(self, words: str) -> None:
        """Take down what is being done beside what `report` counts; "" when that is done."""
        self.note = words

    def stop(self) -> None:
        """Cancel the job because somebody wants it to stop: nothing of it is to start again by itself."""
        self.stopped = self.active
        self.cancel()

    def cancel(self) -> None:
        """End the job at its next report, or before it starts, since nobody needs it now; what it finished stays."""
        self._cancel.set()
        with self._guard:
            if self.state is State.WAITING:
                self.state, self.work = State.CANCELLED, None
                self._ended.set()

    def run(self) -> None:
        """Do the work, here and now, unless somebody cancelled it before; a worker calls this."""
        with self._guard:
            if self.state is not State.WAITING or self.work is None:
                return
            self.started, self.state = time.monotonic(), State.RUNNING
        state = State.FAILED
        try:
            self.result = self.work(self)
            state = State.DONE
        except Cancelled:
            state = State.CANCELLED
        except Exception as error:  # a worker outlives its jobs: the page shows the line, the log the trace
            self.error = _one_line(error)
            if not isinstance(error, ValueError):
                log.exception("Job %r failed", self.title)
        finally:
            self.finished, self.state, self.work = time.monotonic(), state, None
            self._ended.set()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for the end; `False` when the time is up first."""
        return self._ended.wait(timeout_s)

    @property
    def active(self) -> bool:
        """Whether the job is waiting or running."""
        return self.state in (State.WAITING, State.RUNNING)

    @property
    def cancelling(self) -> bool:
        """Whether somebody has cancelled the job, be it still running."""
        return self._cancel.is_set()

    @property
    def fraction(self) -> float:
        """Share done, 0 to 1."""
        return min(1.0, self.done / self.total) if self.total else 0.0

    @property
    def seconds(self) -> float:
        """Time since the work began."""
        return (self.finished or time.monotonic()) - self.started if self.started else 0.0

    @property
    def rate(self) -> float:
        """Units per second in this run, as far as it was counted; 0 while that says nothing."""
        return self._rate_of(1.0)

    @property
    def seconds_left(self) -> float | None:
        """By the rate so far; `None` where the speed changes so much that nobody can tell."""
        overall, last = self.rate, self._rate_of(_LAST_PART)
        if not self.total or min(overall, last) <= 0 or max(overall, last) > _STEADY * min(overall, last):
            return None
        return (self.total - self.done) / last

    def _rate_of(self, share: float) -> float:
        """Units per second over the last `share` of what was done."""
        counts, now = list(self._counts), time.monotonic()
        if not counts or now - counts[0][0] < _SPEED_S:
            return 0.0
        done = counts[-1][1] - share * (counts[-1][1] - counts[0][1])
        start = next(one for one in reversed(counts) if one[1] <= done)
        return (counts[-1][1] - start[1]) / (now - start[0]) if now > start[0] else 0.0


def _one_line(error: Exception) -> str:
    """A user's mistake in its own words; anything else with its type, since nobody wrote it for them."""
    text = " ".join(str(error).split())
    if isinstance(error, ValueError) and text:
        return text
    text = text if len(text) <= 200 else text[:199] + "…"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class JobQueue:
    """Workers that run jobs, in lanes: a long scoring never makes a person wait for a map."""

    def __init__(self, **workers: int) -> None:
        """`workers` gives each lane's number of threads: `JobQueue(background=1, interactive=2)`."""
        self._numbers = itertools.count(1)
        self._guard = threading.Lock()
        self.jobs: list[Job] = []
        self._lanes: dict[str, queue.Queue[Job]] = {lane: queue.Queue() for lane in workers}
        for lane, n_threads in workers.items():
            for index in range(n_threads):
                threading.Thread(target=self._run, args=(lane,), name=f"{lane}-{index}", daemon=True).start()

    def submit(self, job: Job, lane: str = "background") -> Job:
        """Queue a job; an active one with the same non-empty key is returned instead of working twice."""
        waiting = self._lanes[lane]
        with self._guard:
            if job.key:
                for other in self.jobs:
                    if other.key == job.key and other.active and not other.cancelling:
                        return other
            job.number = next(self._numbers)
            ended = [old.number for old in self.jobs if not old.active]
            forgotten = set(ended[:-N_REMEMBERED])
            self.jobs = [old for old in self.jobs if old.number not in forgotten] + [job]
        waiting.put(job)
        return job

    def find(self, key: str) -> Job | None:
        """The latest job with this key."""
        with self._guard:
            return next((job for job in reversed(self.jobs) if job.key == key), None)

    def last_at(self, parts: frozenset[str]) -> Job | None:
        """The latest job that has one of these parts."""
        with self._guard:
            return next((job for job in reversed(self.jobs) if job.parts & parts), None)

    def _run(self, lane: str) -> None:
        while True:
            self._lanes[lane].get().run()
