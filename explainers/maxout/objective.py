"""What is maximised: one column of an `Output` for each image, many in one batch; and what an image costs.

The penalties lie in [0, 1], so that a weight is what the worst image costs, in the units of what is maximised.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from common.errors import InputError
from explainers.base import target_scores
from explainers.layers.maps import check_layer
from explainers.output import UNIT, Output
from models.card import Layer, ModelCard
from models.layers import as_maps, as_units, capture, n_calls, run_to
from models.store import ModelHandle


class Objective:
    """Values of `output` for a batch of images, each with a target of its own.

    A unit's value is its mean over space, or what it is at the output's place; the forward pass ends behind its layer.
    `group` images after another share a target, and with more than one of them their likeness is wanted too. Raises
    `InputError` for a layer without units, and for a model whose answer has no gradient.
    """

    def __init__(self, model: ModelHandle, output: Output, group: int = 1) -> None:
        self.model, self.output, self.group = model, output, group
        card = model.card
        probe = torch.zeros(1, card.preprocessing.channels, *card.input_size, device=model.device)
        self.spec = check_layer(card, output.layer) if output.kind == UNIT else None
        self._layer = model.layer(self.spec.name) if self.spec is not None else None
        self._calls = n_calls(model.module, self._layer, probe) if self._layer is not None else 0
        self._alike = _layer_to_compare(card, self.spec) if group > 1 else None
        with torch.enable_grad():
            values = self.values(probe.requires_grad_(), torch.zeros(1, dtype=torch.int64, device=model.device))
        if not values.requires_grad:
            cure = "A quantised model cannot be maximised: add it with floating-point weights."
            raise InputError("a model with gradients", f"{card.name}, whose answer has none", cure)

    def __call__(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | None]:
        """What `inputs` (N, C, h, w) float32, normalised, reach of their `targets` (N,) int64 columns of the output.

        Values (N,), and likeness (N,) in [0, 1] to others of the group; `None` where it is not wanted.
        """
        if self._alike is None:
            return self.values(inputs, targets), None
        layer = self.model.layer(self._alike.name)
        with capture(layer) as outputs:
            values = self.values(inputs, targets)
        return values, likeness(as_maps(outputs[layer], self._alike), self.group)

    def values(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """What `inputs` (N, C, h, w) float32, normalised, reach of their `targets` (N,) int64: (N,) float32."""
        if self._layer is None or self.spec is None:
            return target_scores(self.output.of(self.model).scores(inputs), targets)
        found = run_to(self.model.module, self._layer, inputs, self._calls)
        rows = torch.arange(len(found), device=found.device)
        if self.spec.spatial is None:
            return as_units(found, self.spec)[rows, targets]
        maps = as_maps(found, self.spec)[rows, targets]
        return maps.mean((1, 2)) if self.output.place is None else maps[(rows, *self.output.place)]


def _layer_to_compare(card: ModelCard, target: Layer | None) -> Layer | None:
    """Where images are compared: the last layer with a grid up to the target's own; `None` where there is none."""
    if target is None:
        return card.layer() if card.default_layer is not None else None
    before = [layer for layer in card.layers if layer.spatial and layer.order <= target.order]
    return before[-1] if before else None


def likeness(maps: Tensor, group: int) -> Tensor:
    """How much each image's texture is that of the others of its group (Olah et al. 2017, "Diversity").

    The mean cosine between Gram matrices G = A Aᵀ of the maps A (channels × places): `maps` (N, C, h, w), N a multiple
    of `group` -> (N,).
    """
    flat = maps.flatten(2)
    grams = F.normalize(torch.einsum("ncp,ndp->ncd", flat, flat).flatten(1), dim=1).unflatten(0, (-1, group))
    cosines = torch.einsum("gid,gjd->gij", grams, grams)
    own = torch.eye(group, dtype=torch.bool, device=maps.device)
    return cosines.masked_fill(own, 0.0).sum(2).flatten() / max(1, group - 1)


def total_variation(images: Tensor) -> Tensor:
    """Mean of |difference| between neighbouring pixels (N,), 1 for single pixels of black and white in turn.

    `images` (N, C, h, w) in [0, 1]. (Mahendran and Vedaldi 2015, eq. 4, with β = 1.)
    """
    down = (images[:, :, 1:] - images[:, :, :-1]).abs().mean((1, 2, 3))
    right = (images[:, :, :, 1:] - images[:, :, :, :-1]).abs().mean((1, 2, 3))
    return (down + right) / 2


def norm(images: Tensor) -> Tensor:
    """Mean of (2 x - 1)² (N,), 0 for grey, 1 for black and white. `images` (N, C, h, w) in [0, 1].

    (Simonyan et al. 2014, eq. 1, about mid-grey.)
    """
    return (2 * images - 1).square().mean((1, 2, 3))
