"""What is maximised: one column of an `Output` for each picture, many in one batch; and how alike pictures are."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from common.errors import InputError
from explainers.output import PROBABILITY, UNIT, Output
from models.card import Layer, ModelCard
from models.layers import as_maps, as_units, capture, n_calls, run_to
from models.store import ModelHandle


class Reached(NamedTuple):
    """What pictures reach: `values` (N,) of their targets, and `likeness` (N,) in [0, 1] to others of their group."""

    values: Tensor
    likeness: Tensor | None


class Objective:
    """Values of `output` for a batch of pictures, each with a target of its own.

    A unit's value is its mean over space, or what it is at the output's place; the forward pass ends behind its layer.
    `group` pictures after another share a target, and with more than one of them their likeness is wanted too. Raises
    `InputError` for a layer without units, and for a model whose answer has no gradient.
    """

    def __init__(self, model: ModelHandle, output: Output, group: int = 1) -> None:
        self.model, self.output, self.group = model, output, group
        card = model.card
        probe = torch.zeros(1, card.preprocessing.channels, *card.input_size, device=model.device)
        self.spec = card.layer(output.layer) if output.kind == UNIT else None
        if self.spec is not None and not self.spec.n_units:
            cure = "Pick another layer."
            raise InputError("a layer with units", f"{self.spec.name!r} of shape {self.spec.shape}", cure)
        self._layer = model.layer(self.spec.name) if self.spec is not None else None
        self._calls = n_calls(model.module, self._layer, probe) if self._layer is not None else 0
        self._alike = _layer_to_compare(card, self.spec) if group > 1 else None
        self._check_gradient(probe)

    def __call__(self, inputs: Tensor, targets: Tensor) -> Reached:
        """`inputs` (N, C, h, w) float32, normalised; `targets` (N,) int64 columns of the output."""
        if self._alike is None:
            return Reached(self.values(inputs, targets), None)
        layer = self.model.layer(self._alike.name)
        with capture(layer) as outputs:
            values = self.values(inputs, targets)
        return Reached(values, likeness(as_maps(outputs[layer], self._alike), self.group))

    def values(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """What `inputs` (N, C, h, w) float32, normalised, reach of their `targets` (N,) int64: (N,) float32."""
        if self._layer is None or self.spec is None:
            scores = self.model.logits(inputs)
            scores = scores.softmax(1) if self.output.kind == PROBABILITY else scores
            return scores.gather(1, targets[:, None]).squeeze(1)
        found = run_to(self.model.module, self._layer, inputs, self._calls)
        rows = torch.arange(len(found), device=found.device)
        if self.spec.spatial is None:
            return as_units(found, self.spec)[rows, targets]
        maps = as_maps(found, self.spec)[rows, targets]
        return maps.mean((1, 2)) if self.output.place is None else maps[(rows, *self.output.place)]

    def _check_gradient(self, probe: Tensor) -> None:
        with torch.enable_grad():
            targets = torch.zeros(1, dtype=torch.int64, device=probe.device)
            values = self.values(probe.clone().requires_grad_(), targets)
        if not values.requires_grad:
            received = f"{self.model.card.name}, whose answer has none"
            cure = "A quantised model cannot be climbed: bring it with floating-point weights."
            raise InputError("a model with gradients", received, cure)


def _layer_to_compare(card: ModelCard, target: Layer | None) -> Layer | None:
    """Where pictures are compared: the last layer with a grid up to the target's own; `None` where there is none."""
    if target is None:
        return card.layer() if card.default_layer is not None else None
    before = [layer for layer in card.layers if layer.spatial and layer.order <= target.order]
    return before[-1] if before else None


def likeness(maps: Tensor, group: int) -> Tensor:
    """How much each picture's texture is that of the others of its group (Olah et al. 2017, "Diversity").

    The mean cosine between Gram matrices G = A Aᵀ of the maps A (channels × places): `maps` (N, C, h, w), N a multiple
    of `group` -> (N,).
    """
    flat = maps.flatten(2)
    grams = F.normalize(torch.einsum("ncp,ndp->ncd", flat, flat).flatten(1), dim=1).unflatten(0, (-1, group))
    cosines = torch.einsum("gid,gjd->gij", grams, grams)
    own = torch.eye(group, dtype=torch.bool, device=maps.device)
    return cosines.masked_fill(own, 0.0).sum(2).flatten() / max(1, group - 1)
