"""`Job` and its queue: progress, time left, cancel, result; nothing long ever runs in a page script.

Every job has an owner, who alone sees it. Owners share the workers in turns: see `JobQueue`.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from common.errors import InputError, first_line, of_disk
from common.settings import without_paths

log = logging.getLogger(__name__)

#: Ended jobs that stay in the list, so that a page can show how they ended: of each owner, and of all together.
N_REMEMBERED, N_REMEMBERED_IN_ALL = 50, 2000

#: Seconds that a job computes before it lets another owner's have a turn; how often one that waits sees a `cancel`.
TURN_S, _CANCEL_S = 1.0, 0.2

#: Owners whose last turn is remembered.
_N_OWNERS = 1000

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

    `parts` stand for what it computes: what was stopped by hand must not start again in a job with another key. `work`
    is let go when the job ends, and with it all that it holds, such as an upload.
    """

    title: str
    work: Callable[[Job], Any] | None
    unit: str = "steps"
    key: str = ""
    parts: frozenset[str] = frozenset()
    owner: str = ""
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
    _lane: _Lane | None = None
    _turn_began: float = 0.0
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

    def turn(self) -> None:
        """Let the jobs of other owners have their turn, if this one has had its own; it may hold no model meanwhile."""
        if self.turn_is_over() and self._lane is not None:
            self._lane.wait_behind_others(self)
            self._turn_began = time.monotonic()

    def report_in_between(self, done: float, total: float) -> None:
        """As `report`, where the job holds no model: the jobs of others may have their turn first."""
        self.turn()
        self.report(done, total)

    def turn_is_over(self) -> bool:
        """Whether the job has computed long enough, and jobs of other owners wait for their turn."""
        had_it = time.monotonic() - self._turn_began > TURN_S
        return had_it and self._lane is not None and self._lane.others_wait(self)

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
            self._turn_began = self.started
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
    """A user's mistake, or the disk's, in words; anything else with its type, since nobody wrote it for them."""
    error = of_disk(error) or error
    text = without_paths(" ".join(str(error).split()))
    if isinstance(error, ValueError) and text:
        return text
    text = first_line(error) if isinstance(error, OSError) else text if len(text) <= 200 else text[:199] + "…"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class _Lane:
    """Slots that jobs hold while they compute; the next one goes to the owner whose last turn is longest ago."""

    def __init__(self, n_slots: int, most_running: int) -> None:
        self._free, self._most = n_slots, most_running
        self._asking: list[tuple[Job, Callable[[], None]]] = []
        self._holding: Counter[str] = Counter()
        self._last_turn: dict[str, int] = {}
        self._turns = itertools.count(1)
        self._guard = threading.Lock()

    def start(self, job: Job) -> None:
        """Run a new job as soon as it has a slot, in a thread of its own."""
        thread = threading.Thread(target=self._run, args=(job,), name=f"job-{job.number}", daemon=True)
        with self._guard:
            self._ask(job, thread.start)

    def others_wait(self, job: Job) -> bool:
        """Whether jobs of other owners wait for a slot that they may have."""
        with self._guard:
            return any(other.owner != job.owner for other, _ in self._allowed())

    def wait_behind_others(self, job: Job) -> None:
        """Give a slot away, and take the next that is due."""
        go = threading.Event()
        with self._guard:
            self._give_back(job)
            self._ask(job, go.set)
        while not go.wait(_CANCEL_S):
            with self._guard:
                if job.cancelling and not go.is_set():
                    self._take(job, go.set)  # it only has to end, and needs no slot for that

    def _run(self, job: Job) -> None:
        job.run()
        with self._guard:
            self._give_back(job)

    def _ask(self, job: Job, go: Callable[[], None]) -> None:
        self._asking.append((job, go))
        self._hand_out()

    def _allowed(self) -> list[tuple[Job, Callable[[], None]]]:
        return [(job, go) for job, go in self._asking if self._holding[job.owner] < self._most]

    def _hand_out(self) -> None:
        while self._free > 0 and (allowed := self._allowed()):
            self._take(*min(allowed, key=lambda one: self._last_turn.get(one[0].owner, 0)))

    def _take(self, job: Job, go: Callable[[], None]) -> None:
        self._asking.remove((job, go))
        self._free -= 1
        self._holding[job.owner] += 1
        self._last_turn.pop(job.owner, None)
        self._last_turn[job.owner] = next(self._turns)
        if len(self._last_turn) > _N_OWNERS:
            del self._last_turn[next(iter(self._last_turn))]
        go()

    def _give_back(self, job: Job) -> None:
        self._free += 1
        self._holding[job.owner] -= 1
        self._holding += Counter()  # forgets owners that hold none
        self._hand_out()


class JobQueue:
    """Runs jobs in lanes, so that a long scoring never makes a person wait for a map, and fairly among their owners.

    Each lane runs so many jobs at once; no owner has more than `most_running` of them, or more than `most_waiting` jobs
    that wait. Where jobs of several owners wait, they take turns, also with those that run, whenever these call
    `Job.turn`.
    """

    def __init__(self, most_running: int = 1_000_000, most_waiting: int = 1_000_000, **n_slots: int) -> None:
        """`n_slots` says how many jobs a lane runs at once: `JobQueue(background=1, interactive=2)`."""
        self._numbers = itertools.count(1)
        self._guard = threading.Lock()
        self._most_waiting = most_waiting
        self._jobs: list[Job] = []
        self._lanes = {lane: _Lane(n, most_running) for lane, n in n_slots.items()}

    def submit(self, job: Job, lane: str = "background") -> Job:
        """Queue a job; an active one of its owner with the same non-empty key is returned instead of working twice.

        Raises `InputError` where its owner has too many jobs waiting already.
        """
        with self._guard:
            own = [other for other in self._jobs if other.owner == job.owner]
            if job.key:
                for other in own:
                    if other.key == job.key and other.active and not other.cancelling:
                        return other
            if (n := sum(other.state is State.WAITING for other in own)) >= self._most_waiting:
                cure = "Wait until one of them is through, or stop some."
                raise InputError(f"at most {self._most_waiting} jobs that wait", f"one more than {n}", cure)
            job.number, job._lane = next(self._numbers), self._lanes[lane]
            ended = [old.number for old in self._jobs if not old.active]
            ended_own = [old.number for old in own if not old.active]
            forgotten = {*ended[:-N_REMEMBERED_IN_ALL], *ended_own[:-N_REMEMBERED]}
            self._jobs = [old for old in self._jobs if old.number not in forgotten] + [job]
        self._lanes[lane].start(job)
        return job

    @property
    def jobs(self) -> list[Job]:
        """The jobs of all owners, the oldest first: those that wait or run, and the last ones that ended."""
        return list(self._jobs)

    def of(self, owner: str) -> OwnJobs:
        """The queue as an owner sees it."""
        return OwnJobs(self, owner)


class OwnJobs:
    """The jobs of one owner in a queue that many share."""

    def __init__(self, queue: JobQueue, owner: str) -> None:
        self._queue, self._owner = queue, owner

    @property
    def jobs(self) -> list[Job]:
        """The owner's jobs, the oldest first."""
        return [job for job in self._queue.jobs if job.owner == self._owner]

    def submit(self, job: Job, lane: str = "background") -> Job:
        """See `JobQueue.submit`."""
        job.owner = self._owner
        return self._queue.submit(job, lane)

    def find(self, key: str) -> Job | None:
        """The latest job with this key."""
        return next((job for job in reversed(self.jobs) if job.key == key), None)

    def last_at(self, parts: frozenset[str]) -> Job | None:
        """The latest job that has one of these parts."""
        return next((job for job in reversed(self.jobs) if job.parts & parts), None)
