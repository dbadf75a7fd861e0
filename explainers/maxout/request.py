"""MaxOut's images as requests of the result cache: many targets in one batch, stopped at any step and resumed."""

import time
from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any, Self

import numpy as np
import torch

from explainers.base import Progress
from explainers.maxout.ascent import Ascent
from explainers.maxout.method import MaxOutParams
from explainers.maxout.state import State, Status
from explainers.output import CLASS_SCORE, UNIT, Output
from explainers.results import Resumable, Sources, Step, Steps
from jobs.results import Arrays, ResultStore, key_of
from models.card import ModelCard

#: Seconds that a batch has the model for itself, and of the pause in which somebody else gets the model.
_TURN_S, _PAUSE_S = 3.0, 0.01

#: Shares of the iterations after which all targets are looked at, so that each has an image early.
_STAGES = (0.125, 0.5, 1.0)

DEFAULTS = MaxOutParams()

#: Counts up when the ascent comes to other images, so that those stored before are computed anew.
_VERSION = 3

#: What to say of an image that did not fare well.
STATUS_NOTES = {
    Status.LOWERED_RATE: "A step led to no number: went back to the best image, at a quarter of the learning rate.",
    Status.NO_SIGNAL: "Nothing activates it yet. Resume to search further.",
    Status.NOT_FINITE: "Steps led to no number twice; stopped, the best image is kept. Try a lower learning rate.",
    Status.DEAD: "No gradient: no start activates it. The first image is kept.",
    Status.ZERO_GRADIENT: "No gradient beyond this image, however short the steps; stopped, it is kept.",
}


@dataclass(frozen=True)
class MaxOutImages:
    """A target's images (d, H, W, 3) uint8 RGB, as the model sees them, after the steps of the `curve`.

    `values` (d,) float32 are what exactly these images reach; `answers` (d,) int64 the class that the model takes them
    for, -1 where none was asked for, with `probability` (d,) float32. `curve` (steps, d) float32 are the values on the
    way, NaN where there was none; `status` (d,) see `Status`. `state` is what the ascent resumes from, in memory alone.
    """

    pictures: np.ndarray
    values: np.ndarray
    answers: np.ndarray
    probability: np.ndarray
    curve: np.ndarray
    status: np.ndarray
    state: State | None = field(default=None, compare=False)

    @property
    def step(self) -> int:
        """Steps taken."""
        return len(self.curve)

    @property
    def notes(self) -> tuple[str, ...]:
        """What to say of how it fared."""
        return tuple(STATUS_NOTES[Status(one)] for one in sorted(set(self.status.tolist())) if one != Status.OK)

    def finished(self, iterations: int) -> bool:
        """Whether all steps are taken, or can be."""
        return self.step >= iterations or bool((self.status >= Status.NOT_FINITE).all())


@dataclass(frozen=True)
class MaxOutRequest(Resumable[MaxOutImages]):
    """The images of one target, a column of `output`, of one model."""

    card: ModelCard
    target: int
    output: Output = CLASS_SCORE
    params: MaxOutParams = DEFAULTS

    unit = "steps"
    together = 16

    @property
    def key(self) -> str:
        """Stands for all that makes the images but for the number of iterations."""
        return key_of(
            what="maxout",
            version=_VERSION,
            model=self.card.digest,
            target=(self.target, asdict(self.output)),
            params=self.params.cache_fields,
        )

    @property
    def _state_key(self) -> str:
        return key_of(what="maxout state", of=self.key)

    @property
    def title(self) -> str:
        """The target in words."""
        return self.output.title(self.card, self.target)

    @property
    def size(self) -> float:
        """The iterations."""
        return self.params.iterations

    def check(self, sources: Sources) -> None:
        """Raise `InputError` for a target that is none."""
        self.output.check(self.card, self.target)

    def complete(self, result: MaxOutImages) -> bool:
        """Whether all steps are taken, or can be."""
        return result.finished(self.params.iterations)

    def reached(self, result: MaxOutImages) -> float:
        """Steps taken."""
        return result.step

    def up_to(self, iterations: int) -> Self:
        """The same with another number of iterations."""
        return replace(self, params=replace(self.params, iterations=iterations))

    def stages(self) -> Sequence[Self]:
        """An early image, a better one, the last one."""
        return [self.up_to(max(1, round(share * self.params.iterations))) for share in _STAGES]

    def group(self, sources: Sources) -> Hashable:
        """Targets of one model, output and setting that stand at the same step climb together."""
        state = sources.store.get(self._state_key)  # a process may be killed between keeping it and its images
        step = 0 if state is None else int(state["step"])
        return self.card.digest, self.output, self.params, step

    def pack(self, result: MaxOutImages) -> Arrays:
        """The images and what is known of them; `keep` stores the state beside them."""
        return {name: value for name, value in vars(result).items() if name != "state"}

    def unpack(self, arrays: Arrays) -> MaxOutImages:
        """See `pack`."""
        values: dict[str, Any] = dict(arrays)
        return MaxOutImages(**values)

    def keep(self, store: ResultStore, result: MaxOutImages) -> None:
        """The images, and under a key of its own the state."""
        assert result.state is not None
        store.put(self._state_key, **{name: np.asarray(value) for name, value in vars(result.state).items()})
        super().keep(store, result)

    def _state(self, store: ResultStore) -> State | None:
        arrays = store.get(self._state_key)
        if arrays is None:
            return None
        step, curve = int(arrays.pop("step")), np.array(arrays.pop("curve"))
        return State(**{name: torch.tensor(values) for name, values in arrays.items()}, curve=curve, step=step)

    @classmethod
    def compute(cls, requests: Sequence[Self], sources: Sources, progress: Progress) -> Steps[MaxOutImages]:
        """Climb together; every few seconds somebody else may have the model."""
        first, until = requests[0], requests[0].params.iterations
        known = [state for request in requests if (state := request._state(sources.store)) is not None]
        state = State.joined(known) if len(known) == len(requests) else None
        ended = False
        while not ended:
            with sources.model_store.borrow(first.card) as model:
                ascent = Ascent(model, first.output, [request.target for request in requests], first.params)
                turn_ends = time.monotonic() + _TURN_S
                start = ascent.new() if state is None else state
                for state in [start] if start.ended(until) else ascent.climb(start, until):
                    exact, quick = partial(_images, ascent, state, True), partial(_images, ascent, state, False)
                    ended = state.ended(until)
                    yield Step(state.step, exact, ended, quick)
                    if time.monotonic() >= turn_ends:
                        break
            time.sleep(_PAUSE_S)


def _images(ascent: Ascent, state: State, exactly: bool) -> list[MaxOutImages]:
    """What the state shows of each target; `exactly`: with the values of these very images, and to be resumed."""
    d = ascent.params.pictures
    made = ascent.pictures(ascent.judged(state) if exactly else state).mul(255).round().to(torch.uint8)
    values = torch.from_numpy(state.curve[-1].copy())
    answers, probability = torch.full((len(made),), -1), torch.full((len(made),), torch.nan)
    if exactly:
        values = ascent.values(made.float() / 255).cpu()
        if ascent.objective.output.kind != UNIT:
            answers, probability = ascent.answers(made.float() / 255)
    pixels = made.permute(0, 2, 3, 1).cpu().numpy()
    pixels = np.repeat(pixels, 3, axis=3) if pixels.shape[3] == 1 else pixels
    parts = [slice(start, start + d) for start in range(0, len(made), d)]
    status = state.status.cpu().numpy()
    return [
        MaxOutImages(
            pictures=pixels[part],
            values=values[part].float().numpy(),
            answers=answers[part].cpu().numpy(),
            probability=probability[part].float().cpu().numpy(),
            curve=state.curve[:, part].copy(),
            status=status[part],
            state=state.rows(part.start, part.stop).to(torch.device("cpu")) if exactly else None,
        )
        for part in parts
    ]
