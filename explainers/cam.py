"""Class activation maps: a layer's feature maps, weighted by what they are worth to the target."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bank.bank import Loan
from bank.errors import InputError
from bank.layers import as_maps, capture
from explainers.base import Explainer, ExplainerParams, Need, Progress, setting, target_scores


class GradCAM(Explainer):
    """Gradient-weighted class activation map (Selvaraju et al. 2017, eq. 1-2).

    alpha_k = mean over space of d logit / d A^k weights each feature map A^k of a layer, and
    M = ReLU(sum_k alpha_k A^k) keeps what speaks for the target. Coarse, class-specific, never negative.
    The graph starts at the layer: all that comes before it is a bare forward pass.
    """

    name, title, family, signed = "grad-cam", "Grad-CAM", "class activation", False
    needs = frozenset({Need.SPATIAL_LAYER})
    question = "Where did the layer find what speaks for this class?"
    reference = "Selvaraju et al. 2017, Grad-CAM: Visual Explanations via Gradient-based Localization"
    caution = (
        "As coarse as the layer, and blind to evidence against the class: an empty map means none was found for it."
    )

    @dataclass(frozen=True)
    class Params(ExplainerParams):
        """The layer to look at."""

        layer: str | None = setting(None, help="Layer to look at; the last one with spatial extent.", kind="layer")

    def attribute(self, loan: Loan, inputs: Tensor, targets: Tensor, params: Params, progress: Progress) -> Tensor:
        """(N, C, H, W) float32, normalised -> (N, h, w) float32 >= 0 at the layer's resolution."""
        spec, layer = loan.card.layer(params.layer), loan.layer(params.layer)
        with torch.enable_grad(), capture(layer, leaf=True) as outputs:
            scores = target_scores(loan.scores(inputs), targets)
        gradient = None
        if scores.requires_grad:
            (gradient,) = torch.autograd.grad(scores.sum(), outputs[layer], allow_unused=True)
        if gradient is None:
            cure = "Pick a layer on the way to the output."
            raise InputError("a layer that the logits depend on", repr(spec.name), cure)
        maps, weights = as_maps(outputs[layer].detach(), spec), as_maps(gradient, spec).mean((2, 3))
        return torch.einsum("nk,nkhw->nhw", weights, maps).relu()
