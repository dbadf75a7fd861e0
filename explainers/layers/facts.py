"""What the layers of a model are, whatever the picture: who feeds whom, and the kernels of the first convolution."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from common.errors import InputError
from jobs.results import ResultStore, key_of
from models.card import ModelCard
from models.graph import Graph, Node, graph
from models.store import ModelHandle, ModelStore


@dataclass(frozen=True)
class Kernels:
    """The kernels of a convolution, `weights` (N, C, h, w) float32, as they were learnt; C = 3 is RGB, C = 1 grey."""

    layer: str
    weights: np.ndarray


def network(model: ModelHandle) -> Graph:
    """Who feeds whom among the layers of the card."""
    card = model.card
    height, width = card.input_size
    crop = np.random.default_rng(0).integers(0, 256, (1, height, width, card.preprocessing.channels), dtype=np.uint8)
    return graph(model.module, model.normalise(crop), {layer.name for layer in card.layers})


def first_kernels(model: ModelHandle) -> Kernels:
    """The kernels of the convolution that runs first; raises `InputError` for a model without one."""
    for layer in model.card.layers:
        module = model.module.get_submodule(layer.name)
        if isinstance(module, nn.Conv2d):
            return Kernels(layer.name, module.weight.detach().float().cpu().contiguous().numpy())
    received = f"{model.card.name}, which has none"
    raise InputError("a model with a convolution", received, "Look at the maps of its units instead.")


def find_network(store: ResultStore, card: ModelCard) -> Graph | None:
    """The model's graph, if it was ever worked out."""
    arrays = store.get(_network_key(card))
    if arrays is None:
        return None
    names, calls = arrays["names"].tolist(), arrays["calls"].tolist()
    nodes = tuple(Node(str(name), int(call)) for name, call in zip(names, calls, strict=True))
    return Graph(nodes, tuple((int(start), int(stop)) for start, stop in arrays["links"]))


def find_kernels(store: ResultStore, card: ModelCard) -> Kernels | None:
    """The model's first kernels, if `work_out` was there; no kernels for a model without a convolution."""
    arrays = store.get(_kernels_key(card))
    return None if arrays is None else Kernels(str(arrays["layer"]), arrays["weights"])


def work_out(model_store: ModelStore, store: ResultStore, card: ModelCard) -> None:
    """Put graph and first kernels into `store`, which hold for every picture."""
    with model_store.borrow(card) as model, torch.no_grad():
        found = network(model)
        try:
            kernels = first_kernels(model)
        except InputError:
            kernels = Kernels("", np.zeros((0, 0, 0, 0), np.float32))
    names, calls = np.array([node.name for node in found.nodes]), np.array([node.call for node in found.nodes])
    store.put(_kernels_key(card), layer=np.array(kernels.layer), weights=kernels.weights)
    store.put(_network_key(card), names=names, calls=calls, links=np.array(found.links).reshape(-1, 2))


def _network_key(card: ModelCard) -> str:
    return key_of(what="network", model=card.digest)


def _kernels_key(card: ModelCard) -> str:
    return key_of(what="first kernels", model=card.digest)
