"""What the layers of a model are, whatever the image: who feeds whom, and the kernels of the first convolution."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import nn

from explainers.base import Progress
from explainers.results import Request, Sources, Step, Steps
from jobs.results import Arrays, key_of
from models.card import ModelCard
from models.graph import Graph, Node, graph
from models.store import ModelHandle


class Facts(NamedTuple):
    """What holds for every image: who feeds whom, and the kernels of the convolution that runs first.

    `weights` (N, C, h, w) float32 as trained, of `layer`; C = 3 is RGB, C = 1 grey. "" and shape (0, 0, 0, 0) where
    there is no convolution.
    """

    network: Graph
    layer: str
    weights: np.ndarray


def network(model: ModelHandle) -> Graph:
    """Who feeds whom among the layers of the card."""
    card = model.card
    height, width = card.input_size
    crop = np.random.default_rng(0).integers(0, 256, (1, height, width, card.preprocessing.channels), dtype=np.uint8)
    return graph(model.module, model.normalise(crop), {layer.name for layer in card.layers})


def first_kernels(model: ModelHandle) -> tuple[str, np.ndarray]:
    """The layer of the convolution that runs first, and its weights; see `Facts`."""
    for layer in model.card.layers:
        module = model.module.get_submodule(layer.name)
        if isinstance(module, nn.Conv2d):
            return layer.name, module.weight.detach().float().cpu().contiguous().numpy()
    return "", np.zeros((0, 0, 0, 0), np.float32)


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
        return {
            "names": np.array([node.name for node in result.network.nodes]),
            "calls": np.array([node.call for node in result.network.nodes]),
            "links": np.array(result.network.links).reshape(-1, 2),
            "layer": np.array(result.layer),
            "weights": result.weights,
        }

    def unpack(self, arrays: Arrays) -> Facts:
        """See `pack`."""
        names, calls = arrays["names"].tolist(), arrays["calls"].tolist()
        nodes = tuple(Node(str(name), int(call)) for name, call in zip(names, calls, strict=True))
        links = tuple((int(start), int(stop)) for start, stop in arrays["links"])
        return Facts(Graph(nodes, links), str(arrays["layer"]), arrays["weights"])

    @classmethod
    def compute(cls, requests: Sequence[Self], sources: Sources, progress: Progress) -> Steps[Facts]:
        """One forward pass of noise."""
        with sources.model_store.borrow(requests[0].card) as model, torch.no_grad():
            facts = Facts(network(model), *first_kernels(model))
        yield Step.of(facts)
