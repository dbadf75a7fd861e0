"""Grad-CAM of many layers for one image, model and target, as a request of the result cache."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import torch

from common.errors import InputError
from explainers.base import Progress
from explainers.methods.multi_layer_cam import BY_EVIDENCE, MEAN, LayerMap, aggregate, density, reason
from explainers.output import CLASS_SCORE, Output
from explainers.results import Request, Sources, Step, Steps
from jobs.results import Arrays, key_of
from models.card import ModelCard


@dataclass(frozen=True)
class MultiLayerMaps:
    """What the layers of one model found in one image for one target, in the model's order.

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
class MultiLayerRequest(Request[MultiLayerMaps]):
    """The maps of `layers`; `target` is a column of `output`."""

    card: ModelCard
    image_id: str
    layers: tuple[str, ...]
    target: int
    guided: bool = False
    output: Output = CLASS_SCORE

    unit = "targets"
    memory_cure = "Choose fewer layers."

    @property
    def key(self) -> str:
        """Stands for all that makes the maps."""
        return key_of(
            what="reason",
            model=self.card.digest,
            image=self.image_id,
            layers=sorted(self.layers),
            target=(self.target, asdict(self.output)),
            guided=self.guided,
        )

    @property
    def title(self) -> str:
        """In words."""
        return f"{self.output.title(self.card, self.target)} in the layers of {self.card.name}"

    def check(self, sources: Sources) -> None:
        """Raise `InputError` for a target that is none."""
        self.output.check(self.card, self.target)

    def pack(self, result: MultiLayerMaps) -> Arrays:
        """Maps by their layers' positions, and the facts as JSON."""
        facts = {"layers": result.layers, "size": result.size, "score": result.score, "seconds": result.seconds}
        arrays = {f"map_{position}": values for position, values in enumerate(result.maps)}
        arrays |= {f"guided_{result.layers.index(name)}": values for name, values in result.guided.items()}
        return {"facts": np.array(json.dumps(facts)), **arrays}

    def unpack(self, arrays: Arrays) -> MultiLayerMaps:
        """See `pack`."""
        facts: dict[str, Any] = json.loads(str(arrays["facts"]))
        layers = tuple(facts["layers"])
        maps = tuple(arrays[f"map_{position}"] for position in range(len(layers)))
        guided = {name: arrays[key] for p, name in enumerate(layers) if (key := f"guided_{p}") in arrays}
        return MultiLayerMaps(layers, maps, guided, tuple(facts["size"]), facts["score"], facts["seconds"])

    @classmethod
    def compute(cls, requests: Sequence[Self], sources: Sources, progress: Progress) -> Steps[MultiLayerMaps]:
        """All layers from one pass there and back."""
        (request,) = requests
        card, started = request.card, time.perf_counter()
        with sources.model_store.borrow(card) as model:
            image = sources.images.image(sources.images.index(request.image_id))
            inputs = model.normalise(card.preprocessing.crop(image)[None])
            targets = torch.tensor([request.target], device=model.device)
            layers, scores = reason(request.output.of(model), inputs, targets, request.layers, request.guided, progress)
            found = MultiLayerMaps(
                layers=tuple(layer.layer for layer in layers),
                maps=tuple(layer.maps[0].cpu().numpy() for layer in layers),
                guided={layer.layer: layer.guided[0].cpu().numpy() for layer in layers if layer.guided is not None},
                size=(inputs.shape[2], inputs.shape[3]),
                score=float(scores[0]),
                seconds=time.perf_counter() - started,
            )
        if not all(np.isfinite(values).all() for values in (*found.maps, *found.guided.values())):
            cure = "Check the model's weights, or leave layers out."
            raise InputError("finite maps", f"NaN or infinity from {card.name}", cure)
        yield Step.of(found)
