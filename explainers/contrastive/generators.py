"""Generators of image sets as requests of the result cache: their training can stop at any step and resume."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Self

import numpy as np

from common.errors import InputError
from explainers.base import Progress
from explainers.contrastive.data import pictures
from explainers.contrastive.generator import Trained, from_arrays
from explainers.contrastive.method import GeneratorParams
from explainers.contrastive.ready_made import ready_made
from explainers.contrastive.training import Snapshot, Status, Training
from explainers.results import Resumable, Sources, Step, Steps
from jobs.results import Arrays, ResultStore, key_of


@dataclass(frozen=True)
class GeneratorRequest(Resumable[Snapshot]):
    """The generator of an image set: `data` is its digest. It counts as trained, however early it was stopped."""

    data: str
    params: GeneratorParams

    unit = "steps"
    show_s = 1.0
    keep_s = 15.0

    @property
    def key(self) -> str:
        """Stands for all that makes it but for how long it is trained."""
        return key_of(what="trained generator", data=self.data, params=self.params.cache_fields)

    @property
    def title(self) -> str:
        """In words."""
        return f"Generator of {self.params.side} px"

    @property
    def how_far(self) -> int:
        """The steps."""
        return self.params.steps

    @property
    def size(self) -> float:
        """The steps."""
        return self.params.steps

    def complete(self, result: Snapshot) -> bool:
        """Whether all steps are taken, or can be."""
        return result.step >= self.params.steps or result.status != Status.OK

    def reached(self, result: Snapshot) -> float:
        """Steps taken."""
        return result.step

    def check(self, sources: Sources) -> None:
        """Raise `InputError` for settings that no generator can have, and for another image set."""
        self.params.shape(3)
        if self.data != sources.images.digest:
            raise InputError("the image set that the generator is of", sources.images.name, "Name its own images.")

    def pack(self, result: Snapshot) -> Arrays:
        """The weights, and what there is to see; `keep` stores the optimisers' state beside them."""
        arrays = result.arrays or {}
        return {
            **{name: value for name, value in arrays.items() if name.startswith(("generator.", "encoder."))},
            "step": np.array(result.step),
            "channels": np.array(result.samples.shape[3]),
            "samples": result.samples,
            "losses": result.losses,
            "spread": np.array(result.spread),
            "status": np.array(result.status),
        }

    def unpack(self, arrays: Arrays) -> Snapshot:
        """What there is to see."""
        step, spread, status = int(arrays["step"]), float(arrays["spread"]), Status(int(arrays["status"]))
        return Snapshot(step, arrays["samples"], arrays["losses"], spread, status)

    def keep(self, store: ResultStore, result: Snapshot) -> None:
        """The generator, what its training resumes from, and that it was trained last."""
        store.put(self._state_key, **(result.arrays or {}))
        super().keep(store, result)
        store.put(_last_key(self.data), params=np.array(json.dumps(asdict(self.params))))

    @property
    def _state_key(self) -> str:
        return key_of(what="generator state", of=self.key)

    def trained(self, store: ResultStore) -> Trained | None:
        """This very generator, as far as it was trained; `None` where it was not begun."""
        arrays = store.get(self.key)
        if arrays is None:
            return None
        step = int(arrays["step"])
        key = key_of(generator=self.key, step=step)  # more steps make other images
        return from_arrays(key, self.data, step, self.params.shape(int(arrays["channels"])), arrays)

    @classmethod
    def compute(cls, requests: Sequence[Self], sources: Sources, progress: Progress) -> Steps[Snapshot]:
        """Read the images, then train step by step; raises `InputError` for a set that is too small."""
        (request,) = requests

        def reading(done: float, total: float) -> None:
            sources.say(f"Reading {sources.images.name}: {done:,.0f} of {total:,.0f} images")
            progress(0, 1)

        seen = pictures(sources.images, request.params.side, reading)
        sources.say("")
        training = Training(request.params, seen, sources.model_store.device)
        state = sources.store.get(request._state_key)
        if state is not None:
            training.restore(state)
        for _ in training.run(request.params.steps):
            ended = training.step >= request.params.steps or training.status != Status.OK
            yield Step(training.step, partial(_to_keep, training), ended, lambda: [training.snapshot()])


def _to_keep(training: Training) -> list[Snapshot]:
    return [replace(training.snapshot(), arrays=training.arrays())]


def find(store: ResultStore, data: str) -> Trained | None:
    """The generator for the image set of this digest: the one trained here last, else the one that comes with the app.

    `None` where there is neither.
    """
    request = last_trained(store, data)
    trained = None if request is None else request.trained(store)
    return trained or ready_made(data)


def last_trained(store: ResultStore, data: str) -> GeneratorRequest | None:
    """Which generator of the image set was trained here last."""
    arrays = store.get(_last_key(data))
    return None if arrays is None else GeneratorRequest(data, GeneratorParams(**json.loads(str(arrays["params"]))))


def _last_key(data: str) -> str:
    return key_of(what="generator trained last", data=data)
