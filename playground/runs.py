"""Runs: trainings as requests of the result cache, with the weights of their epochs, and their way into the app."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import nn

from common.errors import InputError
from explainers.base import Progress, nobody
from explainers.results import Resumable, Sources, Step, Steps
from images.image_set import ImageSet
from jobs.results import Arrays, ResultStore, key_of
from models import stack as stacks
from models.loaders import playground as loader
from models.stack import Stack
from playground.data import TrainingData, training_data
from playground.process import TrainingElsewhere
from playground.training import Run, Status, TrainingParams, stopped_early, weights_of

#: Bytes of the weights that are kept of a run: of longer runs, or larger networks, every second epoch, every third, …
KEPT_BYTES = 100 * 1024**2

#: Image sets that are held decoded, the one used last included.
_MOST_HELD = 3

_held: OrderedDict[tuple[object, ...], TrainingData] = OrderedDict()
_guard = threading.Lock()


def data_for(
    images: ImageSet, side: int, shortcut: str = "", seed: int = 0, progress: Progress = nobody
) -> TrainingData:
    """`training_data`, at hand where it was used lately."""
    key = (images.digest, side, shortcut, seed)
    with _guard:
        if key in _held:
            _held.move_to_end(key)
            return _held[key]
    data = training_data(images, side, shortcut, seed, progress)
    with _guard:
        _held[key] = data
        while len(_held) > _MOST_HELD:
            _held.popitem(last=False)
    return data


@dataclass(frozen=True)
class TrainingRequest(Resumable[Run]):
    """The training of a `stack` on the image set with the digest `data`; see `training_data` for the `shortcut`.

    More epochs, or another patience, go on with the same run.
    """

    data: str
    stack: Stack
    params: TrainingParams
    shortcut: str = ""

    unit = "epochs"
    keep_s = 0.0
    memory_cure = "Take fewer filters, smaller images or a smaller batch."

    @classmethod
    def of(cls, plain: dict[str, Any]) -> Self:
        """What `plain` gave."""
        params = TrainingParams(**plain["params"])
        return cls(plain["data"], stacks.stack_of(plain["stack"]), params, plain["shortcut"])

    @property
    def plain(self) -> dict[str, Any]:
        """All of it as plain data."""
        return {
            "data": self.data, "stack": stacks.to_json(self.stack), "params": asdict(self.params),
            "shortcut": self.shortcut,
        }  # fmt: skip

    @property
    def key(self) -> str:
        """Stands for all that makes an epoch's weights."""
        return key_of(what="playground run", **{**self.plain, "params": self.params.cache_fields})

    @property
    def title(self) -> str:
        """In words."""
        return "Training of " + "-".join(layer.title for layer in self.stack)

    @property
    def size(self) -> float:
        """Epochs."""
        return self.params.epochs

    @property
    def how_far(self) -> object:
        """Epochs, and when to stop before."""
        return [self.params.epochs, self.params.patience]

    def complete(self, result: Run) -> bool:
        """Whether all epochs are done, or it ended before."""
        ended = result.status is Status.DIVERGED or stopped_early(result.history, self.params.patience)
        return ended or result.epoch >= self.params.epochs

    def reached(self, result: Run) -> float:
        """Epochs done."""
        return result.epoch

    def check(self, sources: Sources) -> None:
        """Raise `InputError` for another image set."""
        if self.data != sources.images.digest:
            raise InputError("the image set that the run is of", sources.images.name, "Choose its own images.")

    def pack(self, result: Run) -> Arrays:
        """What there is to see; `keep` stores the rest beside it."""
        return {
            "history": result.history, "seconds": np.array(result.seconds), "n_images": np.array(result.n_images),
            "status": np.array(result.status),
        }  # fmt: skip

    def unpack(self, arrays: Arrays) -> Run:
        """What there is to see."""
        status = Status(int(arrays["status"]))
        return Run(arrays["history"], float(arrays["seconds"]), int(arrays["n_images"]), status)

    def keep(self, store: ResultStore, result: Run) -> None:
        """An epoch: its weights, what the next one depends on, and what there is to see; nothing for an old one."""
        known = self.load(store)
        if known is not None and (known.epoch, known.status) == (result.epoch, result.status):
            return
        weights = weights_of(result.arrays)
        n_bytes = sum(value.nbytes for value in weights.values())
        every = 1 + self.params.epochs * n_bytes // KEPT_BYTES
        if result.epoch % every == 0:
            store.put(self._weights_key(result.epoch), **weights)
        if result.epoch == result.best_epoch:
            store.put(self._weights_key("best"), **weights)
        store.put(self._state_key, **result.arrays, **self.pack(result))
        super().keep(store, result)

    @property
    def _state_key(self) -> str:
        return key_of(what="playground state", of=self.key)

    def _weights_key(self, epoch: int | str) -> str:
        return key_of(what="playground weights", of=self.key, epoch=epoch)

    def kept_epochs(self, store: ResultStore, run: Run) -> list[int]:
        """The epochs whose weights are kept, in order: the best and the last among them."""
        kept = {epoch for epoch in range(run.epoch + 1) if self._weights_key(epoch) in store}
        kept |= {run.best_epoch} if self._weights_key("best") in store else set()
        return sorted(kept | ({run.epoch} if self._state_key in store else set()))

    def network(self, store: ResultStore, run: Run, epoch: int, data: TrainingData) -> nn.Module:
        """The network as it was after an epoch, in eval mode on the CPU; raises `InputError` where it is not kept."""
        weights = store.get(self._weights_key(epoch))
        if weights is None and epoch == run.best_epoch:
            weights = store.get(self._weights_key("best"))
        if weights is None and epoch == run.epoch:
            weights = weights_of(store.get(self._state_key) or {})
        if not weights:
            cure = "Choose another epoch, or train it again."
            raise InputError(f"the weights of epoch {epoch}", "nothing: they made room for newer results", cure)
        with torch.device("meta"):
            net = loader.build(self.stack, data.shape, len(data.classes))
        net.load_state_dict({name: torch.tensor(value) for name, value in weights.items()}, assign=True)
        return net.eval().requires_grad_(False)

    @classmethod
    def compute(cls, requests: Sequence[Self], sources: Sources, progress: Progress) -> Steps[Run]:
        """Read the images, then train epoch by epoch."""
        (request,) = requests
        params = request.params

        def reading(done: float, total: float) -> None:
            sources.say(f"Reading {sources.images.name}: {done:,.0f} of {total:,.0f} images")
            progress(0, 1)

        data = data_for(sources.images, params.side, request.shortcut, params.seed, reading)
        sources.say("")
        state = sources.store.get(request._state_key)
        with TrainingElsewhere(request.stack, params, data, sources.model_store.device) as training:
            if state is not None:
                seen = request.unpack(state)
                training.restore(seen, {name: value for name, value in state.items() if name not in request.pack(seen)})
                if request.complete(training.latest):  # killed between keeping the last state and the rest
                    yield Step(params.epochs, lambda: [training.latest], True)
            for done in training.run(params.epochs):
                yield Step(min(done, params.epochs), lambda: [training.latest], request.complete(training.latest))


def save(request: TrainingRequest, run: Run, epoch: int, store: ResultStore, images: ImageSet, folder: Path) -> Path:
    """A run, as it was after an epoch, as a file under `folder` that `models.loaders.playground` loads as a model.

    Raises `InputError` where its weights are not kept.
    """
    data = data_for(images, request.params.side, request.shortcut, request.params.seed)
    net = request.network(store, run, epoch, data)
    note = f"Trained on the Playground with {images.name}: epoch {epoch} of {run.epoch}."
    if request.shortcut:
        note += f" Every training image of {request.shortcut} had a white square in a corner."
    path = folder / "playground" / f"{request.key}-{epoch}.safetensors"
    loader.save(path, net, request.stack, data.classes, data.preprocessing, note)
    return path
