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
    """A long computation: `work(job)` runs in a worker and calls `job.report(done, total)` as it goes on."""

    title: str
    work: Callable[[Job], Any]
    unit: str = "steps"
    key: str = ""
    number: int = 0
    state: State = State.WAITING
    done: float = 0
    total: float = 0
    note: str = ""
    result: Any = None
    error: str = ""
    started: float = 0.0
    finished: float = 0.0
    _first_done: float | None = None
    _cancel: threading.Event = field(default_factory=threading.Event)
    _ended: threading.Event = field(default_factory=threading.Event)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def report(self, done: float, total: float) -> None:
        """Take down how far the work is; raises `Cancelled` once somebody has cancelled the job."""
        if self._cancel.is_set():
            raise Cancelled
        if self._first_done is None:
            self._first_done = done  # what an earlier run finished does not count as speed
        self.done, self.total = done, total

    def say(self, words: str) -> None:
        """Take down what is being done beside what `report` counts; "" when that is done."""
        self.note = words

    def cancel(self) -> None:
        """Stop the job at its next report, or before it starts; what it finished stays."""
        self._cancel.set()
        with self._guard:
            if self.state is State.WAITING:
                self.state = State.CANCELLED
                self._ended.set()

    def run(self) -> None:
        """Do the work, here and now, unless somebody cancelled it before; a worker calls this."""
        with self._guard:
            if self.state is not State.WAITING:
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
            self.finished, self.state = time.monotonic(), state
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
        """Units per second in this run."""
        return (self.done - (self._first_done or 0)) / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """By the rate so far; `None` while there is none."""
        return (self.total - self.done) / self.rate if self.rate > 0 and self.total else None


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

    def _run(self, lane: str) -> None:
        while True:
            self._lanes[lane].get().run()
