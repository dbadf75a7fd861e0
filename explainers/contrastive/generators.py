"""Generators of image sets: those that come with the app, and those trained here, as requests of the result cache."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Self

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file

from common.errors import InputError
from explainers.base import Progress, nobody
from explainers.contrastive.generator import Shape, Trained, squeezed
from explainers.contrastive.method import FEWEST_IMAGES, MOST_IMAGES, GeneratorParams
from explainers.contrastive.training import Snapshot, Status, Training
from explainers.results import Resumable, Sources, Step, Steps
from images.image_set import ImageSet
from jobs.results import Arrays, ResultStore, key_of

WEIGHTS = Path(__file__).parent / "weights"

#: Those of the generators that come with the app, which `tools.train_generators` trains: five times the paper's
#: learning rate, at which 500 steps make digits of what were shadows.
PARAMS = GeneratorParams(width=16, learning_rate=5e-4)


@lru_cache(maxsize=64)
def ready_made(data: str) -> Trained | None:
    """The generator that comes with the app for the image set of this digest, if there is one."""
    for path in sorted(WEIGHTS.glob("*.safetensors")):
        with safe_open(str(path), "numpy") as file:
            facts = json.loads(file.metadata()["facts"])
        if facts["data"] == data:
            key = key_of(what="ready-made generator", weights=hashlib.sha256(path.read_bytes()).hexdigest())
            return Trained.of(key, data, facts["step"], Shape(**facts["shape"]), load_file(path))
    return None


def training_images(images: ImageSet, side: int, progress: Progress = nobody) -> np.ndarray:
    """The set's images (N, C, side, side) uint8, squeezed to squares: C is 1 where all are grey, else 3.

    Of a set of more than 20,000, as many spread evenly over it. `progress` counts images and may raise to stop.
    """
    rows = np.linspace(0, len(images) - 1, min(len(images), MOST_IMAGES)).round().astype(int)
    found = np.empty((len(rows), 3, side, side), dtype=np.uint8)
    for done, row in enumerate(rows.tolist()):
        progress(done, len(rows))
        found[done] = squeezed(images.image(row), side, 3)
    progress(len(rows), len(rows))
    grey = bool((found[:, :1] == found[:, 1:]).all())
    return found[:, :1].copy() if grey else found


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
        """Raise `InputError` for settings that no generator can have, another image set, or one that is too small."""
        self.params.shape(3)
        if self.data != sources.images.digest:
            raise InputError("the image set that the generator is of", sources.images.name, "Name its own images.")
        if len(sources.images) < FEWEST_IMAGES:
            cure = "Add more images of the kind, or ask about the digits, whose generator is ready."
            raise InputError(f"at least {FEWEST_IMAGES} images to train a generator", f"{len(sources.images)}", cure)

    def pack(self, result: Snapshot) -> Arrays:
        """The weights, and what there is to see; `keep` stores the optimisers' state beside them."""
        weights = {name: value for name, value in result.arrays.items() if name.startswith(("generator.", "encoder."))}
        seen = {name: np.array(getattr(result, name)) for name in ("step", "samples", "losses", "spread", "status")}
        return weights | seen

    def unpack(self, arrays: Arrays) -> Snapshot:
        """What there is to see."""
        step, spread, status = int(arrays["step"]), float(arrays["spread"]), Status(int(arrays["status"]))
        return Snapshot(step, arrays["samples"], arrays["losses"], spread, status)

    def keep(self, store: ResultStore, result: Snapshot) -> None:
        """The generator, what its training resumes from, and that it was trained last."""
        store.put(self._state_key, **result.arrays)
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
        return Trained.of(key, self.data, step, self.params.shape(arrays["samples"].shape[3]), arrays)

    @classmethod
    def compute(cls, requests: Sequence[Self], sources: Sources, progress: Progress) -> Steps[Snapshot]:
        """Read the images, then train step by step."""
        (request,) = requests

        def reading(done: float, total: float) -> None:
            sources.say(f"Reading {sources.images.name}: {done:,.0f} of {total:,.0f} images")
            progress(0, 1)

        seen = training_images(sources.images, request.params.side, reading)
        sources.say("")
        training = Training(request.params, seen, sources.model_store.device)
        state = sources.store.get(request._state_key)
        if state is not None:
            training.restore(state)

        def ended() -> bool:
            return training.step >= request.params.steps or training.status != Status.OK

        if ended():  # a process was killed between keeping the last state and what there is to see of it
            yield Step(training.step, lambda: [training.snapshot()], True)
        for _ in training.run(request.params.steps):
            yield Step(training.step, lambda: [training.snapshot()], ended())


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
