"""What the layers of a model are, whatever the picture: who feeds whom, and the kernels of the first convolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import nn

from common.errors import InputError
from explainers.base import Progress
from explainers.results import Request, Sources, Step, Steps
from jobs.results import Arrays, key_of
from models.card import ModelCard
from models.graph import Graph, Node, graph
from models.store import ModelHandle


@dataclass(frozen=True)
class Kernels:
    """The kernels of a convolution, `weights` (N, C, h, w) float32, as trained; C = 3 is RGB, C = 1 grey."""

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


class Facts(NamedTuple):
    """What holds for every image: `kernels` of no layer ("") and shape (0, 0, 0, 0) without a convolution."""

    network: Graph
    kernels: Kernels


@dataclass(frozen=True)
class FactsRequest(Request[Facts]):
    """A model's network and first kernels."""

    card: ModelCard

    unit = "models"

    @property
    def key(self) -> str:
        """Stands for the model."""
        return key_of(what="network and kernels", model=self.card.digest)

    @property
    def title(self) -> str:
        """In words."""
        return f"Network of {self.card.name}"

    def pack(self, result: Facts) -> Arrays:
        """Nodes, links and weights."""
        graph, kernels = result
        return {
            "names": np.array([node.name for node in graph.nodes]),
            "calls": np.array([node.call for node in graph.nodes]),
            "links": np.array(graph.links).reshape(-1, 2),
            "layer": np.array(kernels.layer),
            "weights": kernels.weights,
        }

    def unpack(self, arrays: Arrays) -> Facts:
        """See `pack`."""
        names, calls = arrays["names"].tolist(), arrays["calls"].tolist()
        nodes = tuple(Node(str(name), int(call)) for name, call in zip(names, calls, strict=True))
        links = tuple((int(start), int(stop)) for start, stop in arrays["links"])
        return Facts(Graph(nodes, links), Kernels(str(arrays["layer"]), arrays["weights"]))

    @classmethod
    def compute(cls, requests: Sequence[Self], sources: Sources, progress: Progress) -> Steps[Facts]:
        """One forward pass of noise."""
        with sources.model_store.borrow(requests[0].card) as model, torch.no_grad():
            try:
                kernels = first_kernels(model)
            except InputError:
                kernels = Kernels("", np.zeros((0, 0, 0, 0), np.float32))
            facts = Facts(network(model), kernels)
        yield Step.of(facts)
