"""Generators on disk, found by their image set: stopped at any step, taken up again as if they had never stopped."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch

from explainers.contrastive.data import pictures
from explainers.contrastive.generator import Trained, from_arrays
from explainers.contrastive.method import GeneratorParams
from explainers.contrastive.ready_made import ready_made
from explainers.contrastive.training import WELL, Look, Training
from images.image_set import ImageSet
from jobs.results import ResultStore, key_of

#: Seconds between two looks, and between two times that what is reached is kept.
_SHOW_S, _KEEP_S = 1.0, 15.0


@dataclass(frozen=True)
class Wanted:
    """A generator of an image set: `data` is its digest."""

    data: str
    params: GeneratorParams

    @property
    def key(self) -> str:
        """Stands for all that makes it but for how long it learns."""
        return key_of(what="generator", data=self.data, params=self.params.cache_fields)


def find(store: ResultStore, data: str) -> Trained | None:
    """The generator for the image set of this digest: the one trained here last, else the one that comes with the app.

    `None` where there is neither.
    """
    wanted = last_trained(store, data)
    trained = None if wanted is None else find_trained(store, wanted)
    return trained or ready_made(data)


def last_trained(store: ResultStore, data: str) -> Wanted | None:
    """Which generator of the image set was trained here last."""
    arrays = store.get(_last_key(data))
    return None if arrays is None else Wanted(data, GeneratorParams(**json.loads(str(arrays["params"]))))


def find_trained(store: ResultStore, wanted: Wanted) -> Trained | None:
    """This very generator, as far as it was trained; `None` where it was not begun."""
    arrays = store.get(wanted.key)
    if arrays is None:
        return None
    step = int(arrays["step"])
    key = key_of(generator=wanted.key, step=step)  # more steps make other pictures
    return from_arrays(key, wanted.data, step, wanted.params.shape(int(arrays["channels"])), arrays)


def find_look(store: ResultStore, wanted: Wanted) -> Look | None:
    """What there is to see of its training so far."""
    arrays = store.get(wanted.key)
    if arrays is None:
        return None
    return Look(
        int(arrays["step"]),
        arrays["samples"],
        arrays["losses"],
        float(arrays["spread"]),
        int(arrays["fate"]),
    )


def train(
    store: ResultStore,
    images: ImageSet,
    params: GeneratorParams,
    report: Callable[[int, int], None] = lambda done, total: None,
    show: Callable[[Look], None] = lambda look: None,
    learn: Callable[[int, int], None] | None = None,
    device: torch.device | str = "cpu",
) -> Look:
    """Train the images' generator up to `params.steps`, from where it was stopped; it is kept every quarter minute.

    `report` counts steps and may raise to stop, and so does `learn`, which counts the pictures while they are read (by
    default `report` is asked then); `show` gets a look every second. The generator counts as trained, however early
    it was stopped. Raises `InputError` for a set that is too small, and for settings that no generator can have.
    """
    wanted = Wanted(images.digest, params)
    params.shape(3)  # a mistake is told before all pictures are read
    seen = pictures(images, params.side, learn or (lambda _done, _total: report(0, params.steps)))
    training = Training(params, seen, device)
    state = store.get(_state_key(wanted))
    if state is not None:
        training.restore(state)
    shown = kept = time.monotonic()
    try:
        for _ in training.climb(params.steps, report):
            now = time.monotonic()
            if now - shown >= _SHOW_S:
                show(training.look())
                shown = time.monotonic()
            if now - kept >= _KEEP_S:
                _keep(store, wanted, training)
                kept = time.monotonic()
    finally:
        if training.step:
            _keep(store, wanted, training)
    look = training.look()
    show(look)
    return look


def finished(store: ResultStore, wanted: Wanted) -> bool:
    """Whether all its steps are taken, or can be."""
    look = find_look(store, wanted)
    return look is not None and (look.step >= wanted.params.steps or look.fate != WELL)


def _keep(store: ResultStore, wanted: Wanted, training: Training) -> None:
    arrays, look = training.arrays(), training.look()
    store.put(_state_key(wanted), **arrays)
    weights = {name: value for name, value in arrays.items() if name.startswith(("generator.", "encoder."))}
    store.put(
        wanted.key,
        **weights,
        step=np.array(look.step),
        channels=np.array(training.shape.channels),
        samples=look.samples,
        losses=look.losses,
        spread=np.array(look.spread),
        fate=np.array(look.fate),
    )
    store.put(_last_key(wanted.data), params=np.array(json.dumps(asdict(wanted.params))))


def _state_key(wanted: Wanted) -> str:
    return key_of(what="generator state", of=wanted.key)


def _last_key(data: str) -> str:
    return key_of(what="generator trained last", data=data)
