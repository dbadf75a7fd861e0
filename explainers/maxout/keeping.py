"""MaxOut's pictures on disk: stopped at any step, and taken up again as if they had never stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
import torch

from common.errors import InputError
from explainers.maxout.ascent import Ascent
from explainers.maxout.method import MaxOutParams
from explainers.maxout.state import ASLEEP, BROKEN, DEAD, LOWERED, SILENT, State
from explainers.output import CLASS_SCORE, UNIT, Output
from explainers.results import reason_for
from jobs.results import ResultStore, key_of
from models.card import ModelCard
from models.store import ModelStore

#: Targets that climb in one batch, and seconds between two looks at their pictures.
AT_ONCE, _SHOW_S = 16, 0.5

#: Seconds that a batch has the model for itself before what it reached is kept, and of the pause in which somebody else
#: gets the model.
_TURN_S, _PAUSE_S = 3.0, 0.01

#: Shares of the way after which all targets are looked at, so that each has a picture early.
_ROUNDS = (0.125, 0.5, 1.0)

DEFAULTS = MaxOutParams()

#: Counts up when the ascent comes to other pictures, so that those kept before are made anew.
_RULE = 2

#: What to say of a picture that did not fare well.
FATES = {
    LOWERED: "A step led to no number: went back to the best picture, at a quarter of the learning rate.",
    ASLEEP: "Nothing that it came to excites it yet. Go on to look further.",
    BROKEN: "Steps led to no number twice; stopped, the best picture is kept. Try a lower learning rate.",
    DEAD: "No gradient: nothing that it starts from or came to excites it. The first picture is kept.",
    SILENT: "No gradient beyond this picture, however short the steps; stopped, it is kept.",
}


@dataclass(frozen=True)
class Asked:
    """One target, a column of `output`, of one model."""

    card: ModelCard
    target: int
    output: Output = CLASS_SCORE
    params: MaxOutParams = DEFAULTS

    @property
    def key(self) -> str:
        """Stands for all that makes the pictures but for the number of iterations."""
        return key_of(
            what="maxout",
            rule=_RULE,
            model=self.card.digest,
            target=(self.target, asdict(self.output)),
            params=self.params.cache_fields,
        )

    @property
    def title(self) -> str:
        """In words."""
        return self.output.title(self.card, self.target)


@dataclass(frozen=True)
class Made:
    """A target's pictures (d, H, W, 3) uint8 RGB, as the net sees them, after the steps of the `curve`.

    `values` (d,) float32 are what exactly these pictures reach; `answers` (d,) int64 the class that the net takes them
    for, -1 where none was asked for, with `probability` (d,) float32. `curve` (steps, d) float32 are the values on the
    way, NaN where there was none; `fates` (d,) see `FATES`.
    """

    pictures: np.ndarray
    values: np.ndarray
    answers: np.ndarray
    probability: np.ndarray
    curve: np.ndarray
    fates: np.ndarray

    @property
    def step(self) -> int:
        """Steps taken."""
        return len(self.curve)

    @property
    def notes(self) -> tuple[str, ...]:
        """What to say of how it fared."""
        return tuple(FATES[fate] for fate in sorted(set(self.fates.tolist())) if fate in FATES)

    def finished(self, iterations: int) -> bool:
        """Whether all steps are taken, or can be."""
        return self.step >= iterations or bool((self.fates >= BROKEN).all())


def find(store: ResultStore, asked: Asked) -> Made | None:
    """What was made so far, if anything."""
    arrays = store.get(asked.key)
    return None if arrays is None else Made(**arrays)


def go_on(
    model_store: ModelStore,
    store: ResultStore,
    all_asked: Sequence[Asked],
    until: int,
    report: Callable[[int, int], None] = lambda done, total: None,
    show: Callable[[Asked, Made], None] = lambda asked, made: None,
) -> None:
    """Take pictures of one model, output and setting up to step `until`, in one batch.

    All must stand at the same step, as `batches` has them. What is reached is kept every few seconds and when stopped;
    `show` gets the growing pictures twice a second. `report` counts steps and may raise to stop.
    """
    first = all_asked[0]
    targets = [asked.target for asked in all_asked]
    found = [_find_state(store, asked) for asked in all_asked]
    known = [state for state in found if state is not None]
    state = State.joined(known) if len(known) == len(all_asked) else None
    shown = time.monotonic()
    while state is None or (state.step < until and bool(state.active.any())):
        with model_store.borrow(first.card) as model:
            ascent = Ascent(model, first.output, targets, first.params)
            start = state = ascent.new() if state is None else state
            turn_ends = time.monotonic() + _TURN_S
            try:
                for state in ascent.climb(start, until, report):
                    now = time.monotonic()
                    if now - shown >= _SHOW_S:
                        for asked, made in zip(all_asked, _made(ascent, state), strict=True):
                            show(asked, made)
                        shown = now
                    if now >= turn_ends:
                        break
            finally:
                if state.step:
                    _keep(store, all_asked, ascent, state, show)
        time.sleep(_PAUSE_S)


def batches(store: ResultStore, all_asked: Iterable[Asked], until: int) -> list[list[Asked]]:
    """Those that are not at step `until` yet, together where they can climb in one batch."""
    groups: dict[tuple[object, ...], list[Asked]] = {}
    for asked in all_asked:
        made = find(store, asked)
        if made is None or not made.finished(until):
            step = 0 if made is None or _state_key(asked) not in store else made.step
            groups.setdefault((asked.card, asked.output, asked.params, step), []).append(asked)
    return [group[at : at + AT_ONCE] for group in groups.values() for at in range(0, len(group), AT_ONCE)]


def work_out(
    model_store: ModelStore,
    store: ResultStore,
    all_asked: Sequence[Asked],
    failures: dict[str, str],
    report: Callable[[int, int], None] = lambda done, total: None,
    show: Callable[[Asked, Made], None] = lambda asked, made: None,
) -> None:
    """Take each to its `iterations`, round by round, so that all have a picture early.

    `report` counts steps of all targets. What cannot be made puts its reason into `failures` under its key; the others
    go on.
    """
    for asked in all_asked:
        try:
            asked.output.check(asked.card, asked.target)
        except InputError as error:
            failures[asked.key] = str(error)
    reached = {asked.key: made.step if (made := find(store, asked)) else 0 for asked in all_asked}
    total = sum(max(asked.params.iterations, reached[asked.key]) for asked in all_asked)

    def count(batch: Sequence[Asked], done: int, _total: int) -> None:
        reached.update({asked.key: max(done, reached[asked.key]) for asked in batch})
        report(sum(reached.values()), total)

    for share in _ROUNDS:
        for goal in sorted({asked.params.iterations for asked in all_asked}):
            until = max(1, round(share * goal))
            wanted = [asked for asked in all_asked if asked.params.iterations == goal and asked.key not in failures]
            for batch in batches(store, wanted, until):
                try:
                    go_on(model_store, store, batch, until, partial(count, batch), show)
                except (InputError, RuntimeError) as error:
                    failures.update({asked.key: reason_for(error) for asked in batch})
    report(total, total)


def _made(ascent: Ascent, state: State, exactly: bool = False) -> list[Made]:
    """What the state shows of each target; the values are those of the pictures `exactly`, or the last on the way."""
    d = ascent.params.pictures
    made = ascent.pictures(state).mul(255).round().to(torch.uint8)
    values = torch.from_numpy(state.curve[-1].copy())
    answers, probability = torch.full((len(made),), -1), torch.full((len(made),), torch.nan)
    if exactly:
        values = ascent.values(made.float() / 255).cpu()
        if ascent.objective.output.kind != UNIT:
            answers, probability = ascent.answers(made.float() / 255)
    pixels = made.permute(0, 2, 3, 1).cpu().numpy()
    pixels = np.repeat(pixels, 3, axis=3) if pixels.shape[3] == 1 else pixels
    parts = [slice(start, start + d) for start in range(0, len(made), d)]
    fates = state.fate.cpu().numpy()
    return [
        Made(
            pictures=pixels[part],
            values=values[part].float().numpy(),
            answers=answers[part].cpu().numpy(),
            probability=probability[part].float().cpu().numpy(),
            curve=state.curve[:, part].copy(),
            fates=fates[part],
        )
        for part in parts
    ]


def _keep(
    store: ResultStore, all_asked: Sequence[Asked], ascent: Ascent, state: State, show: Callable[[Asked, Made], None]
) -> None:
    d = ascent.params.pictures
    for number, (asked, made) in enumerate(zip(all_asked, _made(ascent, ascent.judged(state), True), strict=True)):
        own = state.rows(d * number, d * number + d).to(torch.device("cpu"))
        arrays = {
            name: value.numpy() if isinstance(value, torch.Tensor) else value for name, value in vars(own).items()
        }
        store.put(_state_key(asked), **{**arrays, "step": np.array(own.step)})
        store.put(asked.key, **vars(made))
        show(asked, made)


def _find_state(store: ResultStore, asked: Asked) -> State | None:
    arrays = store.get(_state_key(asked))
    if arrays is None:
        return None
    step, curve = int(arrays.pop("step")), np.array(arrays.pop("curve"))
    return State(**{name: torch.tensor(values) for name, values in arrays.items()}, curve=curve, step=step)


def _state_key(asked: Asked) -> str:
    return key_of(what="maxout state", of=asked.key)
