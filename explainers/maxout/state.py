"""Where an ascent stands: all that its next step depends on, so that it can stop at any step and go on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

import numpy as np
import torch
from torch import Tensor

from explainers.maxout.method import MaxOutParams
from explainers.maxout.parametrisation import Parametrisation

#: Contrast of the noise at the start; where a target is not reached from it, it starts anew with the next.
CONTRASTS = (0.01, 0.1, 1.0, 4.0, 16.0)


class Status(IntEnum):
    """How the ascent of an image stands; from `NOT_FINITE` on it is given up."""

    OK = 0
    #: A step led to NaN: back at the best image, at a lower rate.
    LOWERED_RATE = 1
    #: Nothing activated the target yet.
    NO_SIGNAL = 2
    #: Given up after a second NaN.
    NOT_FINITE = 3
    #: Given up: no gradient from any start.
    DEAD = 4
    #: Given up: no gradient beyond this image.
    ZERO_GRADIENT = 5


@dataclass
class State:
    """Where N images stand after `step` steps: all that the next step depends on, and the best so far.

    `numbers` (N, …) float32 are the parametrisation's, `mean` and `square` Adam's moments of them since `age` (N,)
    steps, `rate` (N,) its rates; `best` (N, …) had the highest `score` (N,), value less penalties. `curve` (step, N)
    float32 are the values on the way, NaN where there was none. `status` (N,) see `Status`, `n_zero` (N,) steps in a
    row without gradient.
    """

    numbers: Tensor
    mean: Tensor
    square: Tensor
    age: Tensor
    rate: Tensor
    best: Tensor
    score: Tensor
    status: Tensor
    n_zero: Tensor
    curve: np.ndarray
    step: int = 0

    @classmethod
    def new(cls, parametrisation: Parametrisation, n_targets: int, params: MaxOutParams) -> State:
        """Noise, the same for every target: its `params.pictures` images follow one after another."""
        one = torch.stack([parametrisation.start(params.seed, n, CONTRASTS[0]) for n in range(params.pictures)])
        numbers = one.repeat(n_targets, *[1] * (one.ndim - 1))
        n = len(numbers)
        return cls(
            numbers=numbers,
            mean=torch.zeros_like(numbers),
            square=torch.zeros_like(numbers),
            age=torch.zeros(n, dtype=torch.int64),
            rate=torch.full((n,), params.learning_rate),
            best=numbers.clone(),
            score=torch.full((n,), -torch.inf),
            status=torch.zeros(n, dtype=torch.int64),
            n_zero=torch.zeros(n, dtype=torch.int64),
            curve=np.zeros((0, n), dtype=np.float32),
        )

    def to(self, device: torch.device) -> State:
        """A copy on `device`."""
        tensors = {name: value.to(device, copy=True) for name, value in self._tensors().items()}
        return replace(self, **tensors, curve=self.curve.copy())

    def rows(self, start: int, stop: int) -> State:
        """The images from `start` to `stop` alone."""
        tensors = {name: value[start:stop].clone() for name, value in self._tensors().items()}
        return replace(self, **tensors, curve=self.curve[:, start:stop].copy())

    @classmethod
    def joined(cls, states: Sequence[State]) -> State:
        """Images of several states that stand at the same step, in one batch."""
        tensors = {name: torch.cat([getattr(state, name) for state in states]) for name in states[0]._tensors()}
        return cls(**tensors, curve=np.concatenate([state.curve for state in states], axis=1), step=states[0].step)

    def restart(self, rows: Tensor) -> None:
        """Adam starts anew for these images."""
        self.mean[rows], self.square[rows], self.age[rows] = 0.0, 0.0, 0

    def _tensors(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}

    def ended(self, until: int) -> bool:
        """Whether `until` steps are taken, or every image is given up."""
        return self.step >= until or not bool(self.active.any())

    @property
    def active(self) -> Tensor:
        """(N,) bool: images that are not given up."""
        return self.status < Status.NOT_FINITE
