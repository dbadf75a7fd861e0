"""What the Reason page asks for: every layer's map of one picture, model and target, found on disk or worked out."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from common.errors import InputError
from explainers.base import Progress, nobody, out_of_memory, part_of
from explainers.methods.multi_layer_cam import BY_EVIDENCE, MEAN, LayerMap, aggregate, density, reason
from explainers.output import CLASS_SCORE, Output
from images.image_set import ImageSet
from jobs.results import ResultStore, key_of
from models.card import ModelCard
from models.store import ModelStore


@dataclass(frozen=True)
class Reason:
    """What the layers of one model found in one picture for one target, in the model's order.

    `maps` (h, w) float32 >= 0 each, raw Grad-CAM; `guided` (H, W) float32, signed, of the layers that have one;
    `size` (height, width) of the model's input; `score` is what is explained.
    """

    layers: tuple[str, ...]
    maps: tuple[np.ndarray, ...]
    guided: dict[str, np.ndarray]
    size: tuple[int, int]
    score: float
    seconds: float

    def evidence(self) -> tuple[float, ...]:
        """What each layer found, in the units of the score: the sum of its map."""
        return tuple(float(found.sum()) for found in self.maps)

    def density(self, layer: str) -> np.ndarray:
        """A layer's map, sharpened if it is guided, (h, w) float32 >= 0: its mean is the layer's evidence."""
        return density(self._as_tensors()[self.layers.index(layer)])[0].numpy()

    def aggregate(self, how: str = MEAN, weigh: str = BY_EVIDENCE, smoothing: float = 0.0) -> np.ndarray:
        """All layers together, (height, width) float32 >= 0 over the model's input; see `aggregate`."""
        return aggregate(self._as_tensors(), self.size, how, weigh, smoothing)[0].numpy()

    def _as_tensors(self) -> list[LayerMap]:
        fine = {name: torch.tensor(guided)[None] for name, guided in self.guided.items()}
        pairs = zip(self.layers, self.maps, strict=True)
        return [LayerMap(name, torch.tensor(found)[None], fine.get(name)) for name, found in pairs]


@dataclass(frozen=True)
class ReasonCell:
    """What to ask: `target` is a column of `output`."""

    card: ModelCard
    image_id: str
    layers: tuple[str, ...]
    target: int
    guided: bool = False
    output: Output = CLASS_SCORE

    @property
    def key(self) -> str:
        """Stands for all that makes the maps: equal keys, equal maps."""
        return key_of(
            what="reason",
            model=self.card.digest,
            image=self.image_id,
            layers=sorted(self.layers),
            target=(self.target, asdict(self.output)),
            guided=self.guided,
        )


def find(store: ResultStore, cell: ReasonCell) -> Reason | None:
    """The cell's maps, if they were ever worked out."""
    arrays = store.get(cell.key)
    if arrays is None:
        return None
    facts: dict[str, Any] = json.loads(str(arrays["facts"]))
    layers = tuple(facts["layers"])
    maps = tuple(arrays[f"map_{position}"] for position in range(len(layers)))
    guided = {name: arrays[key] for p, name in enumerate(layers) if (key := f"guided_{p}") in arrays}
    return Reason(layers, maps, guided, tuple(facts["size"]), facts["score"], facts["seconds"])


def work_out(
    model_store: ModelStore,
    store: ResultStore,
    images: ImageSet,
    cells: Sequence[ReasonCell],
    failures: dict[str, str],
    report: Progress = nobody,
) -> None:
    """Work out the cells that `store` lacks, in order, each stored as it is ready.

    A cell that cannot be explained puts its reason into `failures` under its key; the others go on.
    """
    for done, cell in enumerate(cells):
        report(done, len(cells))
        if cell.key in store or cell.key in failures:
            continue
        try:
            _put(store, cell, _look(model_store, images, cell, part_of(report, done, 1, len(cells))))
        except (InputError, RuntimeError) as error:
            lack = isinstance(error, RuntimeError) and out_of_memory(error)
            failures[cell.key] = "Not enough memory: choose fewer layers." if lack else str(error).splitlines()[0]
    report(len(cells), len(cells))


def _look(model_store: ModelStore, images: ImageSet, cell: ReasonCell, progress: Progress) -> Reason:
    cell.output.check(cell.card, cell.target)
    started = time.perf_counter()
    with model_store.borrow(cell.card) as model:
        picture = images.image(images.index(cell.image_id))
        inputs = model.normalise(cell.card.preprocessing.crop(picture)[None])
        targets = torch.tensor([cell.target], device=model.device)
        layers, scores = reason(cell.output.of(model), inputs, targets, cell.layers, cell.guided, progress)
        found = Reason(
            layers=tuple(layer.layer for layer in layers),
            maps=tuple(layer.maps[0].cpu().numpy() for layer in layers),
            guided={layer.layer: layer.guided[0].cpu().numpy() for layer in layers if layer.guided is not None},
            size=(inputs.shape[2], inputs.shape[3]),
            score=float(scores[0]),
            seconds=time.perf_counter() - started,
        )
    if not all(np.isfinite(values).all() for values in (*found.maps, *found.guided.values())):
        cure = "Check the model's weights, or leave layers out."
        raise InputError("finite maps", f"NaN or infinity from {cell.card.name}", cure)
    return found


def _put(store: ResultStore, cell: ReasonCell, found: Reason) -> None:
    facts = {"layers": found.layers, "size": found.size, "score": found.score, "seconds": found.seconds}
    arrays = {f"map_{position}": values for position, values in enumerate(found.maps)}
    arrays |= {f"guided_{found.layers.index(name)}": values for name, values in found.guided.items()}
    store.put(cell.key, facts=np.array(json.dumps(facts)), **arrays)
