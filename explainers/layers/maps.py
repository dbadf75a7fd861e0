"""What every unit of a layer answers to one image (Yosinski et al. 2015, section 2), and in which order to look.

The values are the layer's own output: `(units, h, w) float32` over the model's input for layers with a grid,
`(units,) float32` for those without; no scaling, no sign taken away.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from common.errors import InputError, check_known
from explainers.base import Progress
from explainers.results import Request, Sources, Step, Steps
from jobs.results import Arrays, key_of
from models.card import Layer, ModelCard
from models.layers import as_maps, as_units, capture
from models.store import ModelHandle

#: How units can be ordered, as pages and command lines name it.
STRONGEST, PEAK, NUMBER = "strongest", "peak", "number"
ORDERS = (STRONGEST, PEAK, NUMBER)

#: One more, for which `order` is not enough: by how far two models are apart.
DIFFER = "differ"


def unit_maps(model: ModelHandle, inputs: Tensor, name: str) -> np.ndarray:
    """Every unit's answer in the layer `name`, from one forward pass of one image.

    `inputs` (1, C, H, W) float32, normalised -> (units, h, w) float32 for a layer with a grid (class and register
    tokens have no place on it), else (units,). Raises `InputError` for a layer that is none, or has no units.
    """
    layer = check_layer(model.card, name)
    module = model.layer(layer.name)
    with torch.inference_mode(), capture(module) as outputs:
        model.logits(inputs)
    units = as_maps(outputs[module], layer) if layer.spatial is not None else as_units(outputs[module], layer)
    return units[0].float().cpu().contiguous().numpy()


@dataclass(frozen=True)
class UnitMapsRequest(Request[np.ndarray]):
    """Maps of all units of one layer for one image: (units, h, w) or (units,) float32, as `unit_maps` gives them."""

    card: ModelCard
    image_id: str
    layer: str

    unit = "layers"

    @property
    def key(self) -> str:
        """Stands for all that makes the maps."""
        return key_of(what="unit maps", model=self.card.digest, image=self.image_id, layer=self.layer)

    @property
    def title(self) -> str:
        """In words."""
        return f"Units of {self.layer} of {self.card.name}"

    def pack(self, result: np.ndarray) -> Arrays:
        """The values."""
        return {"values": result}

    def unpack(self, arrays: Arrays) -> np.ndarray:
        """See `pack`."""
        return arrays["values"]

    @classmethod
    def compute(cls, requests: Sequence[Self], sources: Sources, progress: Progress) -> Steps[np.ndarray]:
        """One forward pass."""
        (request,) = requests
        card, image = request.card, sources.images.image(sources.images.index(request.image_id))
        with sources.model_store.borrow(card) as model:
            values = unit_maps(model, model.normalise(card.preprocessing.crop(image)[None]), request.layer)
        if not np.isfinite(values).all():
            received = f"NaN or infinity from {card.name}"
            raise InputError(f"finite values in {request.layer}", received, "Check the model's weights.")
        yield Step.of(values)


def check_layer(card: ModelCard, name: str | None) -> Layer:
    """The layer called `name` (the default one for `None`); raises `InputError` for one without units."""
    layer = card.layer(name)
    if layer.n_units < 1:
        received = f"{layer.name!r} of shape {layer.shape}"
        raise InputError(f"a layer of {card.name} that has units", received, "Pick a layer with channels or neurons.")
    return layer


def strength(values: np.ndarray) -> np.ndarray:
    """(units,) float32: each unit's mean over its grid, which is what a data set's activations are measured by."""
    return values.reshape(len(values), -1).mean(axis=1)


def peak(values: np.ndarray) -> np.ndarray:
    """(units,) float32: the highest value on each unit's grid."""
    return values.reshape(len(values), -1).max(axis=1)


def order(values: np.ndarray, by: str = STRONGEST) -> np.ndarray:
    """(units,) int64: the units, the strongest first, or by their peak, or as they are numbered.

    Units of equal strength stay in their own order. Raises `InputError` for another `by`.
    """
    check_known(by, ORDERS, f"an order of units, one of {', '.join(ORDERS)}")
    if by == NUMBER:
        return np.arange(len(values))
    return np.argsort(-(strength(values) if by == STRONGEST else peak(values)), kind="stable")


def difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(units,) float32: how far each unit of one model is from that of another, mean |a − b| over the grid.

    Raises `InputError` when the two have other numbers of units or other grids.
    """
    if first.shape != second.shape:
        cure = "Compare models of one architecture and input size."
        raise InputError(f"units of shape {first.shape} in both models", str(second.shape), cure)
    return np.abs(first - second).reshape(len(first), -1).mean(axis=1)


def comparable(first: ModelCard, second: ModelCard, name: str) -> str | None:
    """`None` when both models have a layer `name` of the same shape; else why their units cannot be compared."""
    known = {layer.name: layer for layer in second.layers}
    layer, other = first.layer(name), known.get(name)
    if other is None:
        return f"{second.name} has no layer called {name}."
    if layer.n_units != other.n_units:
        return f"{name} has {layer.n_units} units in {first.name}, and {other.n_units} in {second.name}."
    if layer.spatial != other.spatial:
        one, two = ("×".join(map(str, found.spatial or ("no grid",))) for found in (layer, other))
        return f"The grid of {name} is {one} in {first.name}, and {two} in {second.name}."
    return None
