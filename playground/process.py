"""Networks train in a process of their own, one for all trainings of a server, a slice of each in turn."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import ParamSpec, Self, TypeVar

import numpy as np
import torch

from common.errors import InputError
from jobs.process import OwnProcess, ProcessEndedError
from models.stack import Stack
from playground.data import TrainingData
from playground.training import Run, Training, TrainingParams

P = ParamSpec("P")
R = TypeVar("R")

PROCESS = OwnProcess(__name__)

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
            _call(_open, self._number, *self._made_of)
        except BaseException:
            PROCESS.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if PROCESS.running:  # else nothing is left to close
                _call(_close, self._number)
        finally:
            PROCESS.__exit__()

    def restore(self, run: Run, arrays: Mapping[str, np.ndarray]) -> None:
        """As `Training.restore`."""
        self.latest = _call(_restore, self._number, run, arrays)

    def run(self, until: int) -> Iterator[float]:
        """As `Training.run`."""
        while True:
            epoch, latest = _call(_go_on, self._number, until)
            self.latest = latest or self.latest
            if epoch is None:
                return
            yield epoch


def _call(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    try:
        return PROCESS.call(function, *args, **kwargs)
    except ProcessEndedError:
        cure = "Press Resume. If memory ran out, take fewer filters, smaller images or a smaller batch."
        raise InputError("a process that trains the network", "none: it ended", cure) from None


# What follows runs in the process.

_trainings: dict[int, Training] = {}
_steps: dict[int, Iterator[float]] = {}


def _open(number: int, stack: Stack, params: TrainingParams, data: TrainingData, device: torch.device | str) -> None:
    _trainings[number] = Training(stack, params, data, device)


def _opened(number: int) -> Training:
    if number not in _trainings:
        raise ProcessEndedError  # and this is its successor
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
