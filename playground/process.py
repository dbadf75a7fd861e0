"""Networks train in a process of their own: their many small steps would wait for the interpreter while pages run.

One process serves all trainings of a server, a slice of each in turn. It starts with the first, ends when there has
been none for a while, and never outlives the server, whose end of the pipe it reads from. It is no worker of
`multiprocessing`, which would run the app's script in it.
"""

from __future__ import annotations

import itertools
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, ParamSpec, Self, TypeVar, cast

import numpy as np
import torch

from common.errors import InputError
from jobs.turns import Turns
from models.stack import Stack
from playground.data import TrainingData
from playground.training import Run, Training, TrainingParams

#: Seconds without a training after which the process ends, and gives its memory back.
_IDLE_S = 300.0

_COMMAND = [sys.executable, "-c", "from playground.process import serve; serve()"]

P = ParamSpec("P")
R = TypeVar("R")


class TrainingProcess:
    """The process, as the server sees it."""

    def __init__(self) -> None:
        self._turns, self._guard = Turns(), threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._timer: threading.Timer | None = None
        self._n_users = 0

    def start(self) -> None:
        """Start it ahead, for somebody who is going to train."""
        with self:
            self._started()

    def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a function there, in turn; raises what it raises, and `InputError` if the process ends meanwhile."""
        asked = pickle.dumps((function, args, kwargs))
        with self._turns.turn():
            process = self._started()
            there, back = cast(BinaryIO, process.stdin), cast(BinaryIO, process.stdout)
            try:
                there.write(asked)
                there.flush()
                answer, error = pickle.load(back)
            except (OSError, EOFError, pickle.UnpicklingError):
                with self._guard:
                    if self._process is process:
                        self._bury(process)
                raise _ended() from None
        if error is not None:
            raise error
        return cast(R, answer)

    def _started(self) -> subprocess.Popen[bytes]:
        with self._guard:
            if self._process is not None and self._process.poll() is not None:
                self._bury(self._process)
            if self._process is None:
                root, pipe = Path(__file__).parents[1], subprocess.PIPE
                self._process = subprocess.Popen(_COMMAND, cwd=root, stdin=pipe, stdout=pipe)
            return self._process

    def _bury(self, process: subprocess.Popen[bytes]) -> None:
        """See that it is gone, and close its pipes."""
        process.kill()
        process.communicate()
        self._process = None

    def __enter__(self) -> Self:
        with self._guard:
            self._n_users += 1
            if self._timer is not None:
                self._timer.cancel()
        return self

    def __exit__(self, *_: object) -> None:
        with self._guard:
            self._n_users -= 1
            if self._n_users == 0:
                self._timer = threading.Timer(_IDLE_S, self.end)
                self._timer.daemon = True
                self._timer.start()

    def end(self) -> None:
        """End it, unless there is a training."""
        with self._guard:
            process, self._process = (self._process, None) if self._n_users == 0 else (None, self._process)
        if process is not None:
            process.communicate()  # it reads the end of its input, and ends


def _ended() -> InputError:
    cure = "Press Resume. If memory ran out, take fewer filters, smaller images or a smaller batch."
    return InputError("a process that trains the network", "none: it ended", cure)


PROCESS = TrainingProcess()

_numbers = itertools.count()


class TrainingElsewhere:
    """A `Training` in that process; `latest` comes back after every epoch.

    Example:
        >>> with TrainingElsewhere(stack, params, data, "cpu") as training:
        ...     for epoch in training.run(20):
        ...         ...
    """

    def __init__(self, stack: Stack, params: TrainingParams, data: TrainingData, device: torch.device | str) -> None:
        self._number, self._made_of = next(_numbers), (stack, params, data, device)
        self.latest: Run

    def __enter__(self) -> Self:
        PROCESS.__enter__()
        try:
            PROCESS.call(_open, self._number, *self._made_of)
        except BaseException:
            PROCESS.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            PROCESS.call(_close, self._number)
        finally:
            PROCESS.__exit__()

    def restore(self, run: Run, arrays: Mapping[str, np.ndarray]) -> None:
        """As `Training.restore`."""
        self.latest = PROCESS.call(_restore, self._number, run, arrays)

    def run(self, until: int) -> Iterator[float]:
        """As `Training.run`."""
        while True:
            epoch, latest = PROCESS.call(_go_on, self._number, until)
            self.latest = latest or self.latest
            if epoch is None:
                return
            yield epoch


# What follows runs in the process.

_trainings: dict[int, Training] = {}
_steps: dict[int, Iterator[float]] = {}


def serve() -> None:
    """Answer what is asked until the server closes the pipe; what is printed goes to its log."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl+C is the server's
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with suppress(EOFError, OSError):
        while True:
            function, args, kwargs = pickle.load(sys.stdin.buffer)
            answers.write(_answer(function, args, kwargs))
            answers.flush()


def _answer(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
    try:
        return pickle.dumps((function(*args, **kwargs), None))
    except Exception as error:
        try:
            return pickle.dumps((None, error))
        except (pickle.PicklingError, TypeError, AttributeError):
            return pickle.dumps((None, RuntimeError(f"{type(error).__name__}: {error}")))


def _open(number: int, stack: Stack, params: TrainingParams, data: TrainingData, device: torch.device | str) -> None:
    _trainings[number] = Training(stack, params, data, device)


def _opened(number: int) -> Training:
    if number not in _trainings:
        raise _ended()  # and this is its successor
    return _trainings[number]


def _restore(number: int, run: Run, arrays: Mapping[str, np.ndarray]) -> Run:
    training = _opened(number)
    training.restore(run, arrays)
    return training.latest


def _go_on(number: int, until: int) -> tuple[float | None, Run | None]:
    """How far the training is after a slice, `None` once it is through; and how it stands, after an epoch."""
    training = _opened(number)
    before = training.latest
    torch.set_num_threads(training.n_threads)
    epoch = next(_steps.setdefault(number, training.run(until)), None)
    return epoch, None if training.latest is before else training.latest


def _close(number: int) -> None:
    _trainings.pop(number, None)
    _steps.pop(number, None)
