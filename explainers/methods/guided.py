"""Guided backpropagation and deconvolution: the gradient, with another rule at every ReLU."""

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from common.errors import InputError
from explainers.base import Explainer, ExplainerParams, Need, Progress
from explainers.engines.interception import FunctionCall, Interception
from explainers.engines.relu import ceiling, is_other_activation, other_activations
from explainers.methods.cam import GradCAM, LayerParams
from explainers.methods.gradient import input_gradient, strongest
from models.card import ModelCard
from models.store import ModelHandle

_WARNING = "fails the randomisation check"
_CAUTION = (
    "It fails the randomisation check of Adebayo et al. 2018 (Nie et al. 2018 show why): models with random weights "
    "get nearly the same maps. "
    "It draws the image's edges more than the model's reasons."
)


class ReLURule(Interception):
    """Inside the block, every ReLU follows the rule of guided backpropagation if `masked`, else that of the deconvnet.

    `n_met` counts the ReLUs. Raises `InputError` at an activation that is no ReLU.
    """

    def __init__(self, masked: bool) -> None:
        super().__init__()
        self.masked = masked
        self.n_met = 0

    def meet(self, call: FunctionCall) -> Any:
        """A ReLU by its rule, all else as ever."""
        limit = ceiling(call)
        if limit is None:
            if is_other_activation(call.name):
                raise InputError("a ReLU network", f"one that uses {call.name}", "Take saliency instead.")
            return NotImplemented
        self.n_met += 1
        return _PositiveBackward.apply(call.args[0], call, limit, self.masked)


class _PositiveBackward(torch.autograd.Function):
    """A ReLU whose backward lets through R · 1[R > 0], times 1[x > 0] if `masked` (Springenberg et al. 2015, figure 1).

    A ReLU6 also masks where it is full, x >= 6. Without the mask, what went in plays no part.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, relu: FunctionCall, limit: float, masked: bool) -> Tensor:
        if masked:
            ctx.save_for_backward((x > 0) & (x < limit))
        output = relu.applied_to(x)
        if output is x:
            ctx.mark_dirty(x)
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        relevance = gradients[0].clamp(min=0)
        for active in ctx.saved_tensors:
            relevance *= active
        return relevance, None, None, None


class _RuledGradient(Explainer):
    """A gradient with another rule at the ReLUs; methods differ in whether it is `masked` by what went in.

    A model suits when it has no activation module but ReLU or ReLU6 (gates such as sigmoid may stay). Functional
    activations are no modules: they are looked at while the model runs, and refused there.
    """

    family, signed = "guided", True
    needs = frozenset({Need.RELU})
    caution = _CAUTION
    warning = _WARNING
    tried_as = ("guided-backprop",)
    chunk = 16
    masked: ClassVar[bool]

    def applies(self, card: ModelCard) -> str | None:
        """`None` for nets of ReLUs, else the activation that has no such rule."""
        return super().applies(card) or _needs_relu(self, card)

    def attribute(
        self, model: ModelHandle, inputs: Tensor, targets: Tensor, params: ExplainerParams, progress: Progress
    ) -> Tensor:
        """(N, C, H, W) float32, normalised -> (N, H, W) float32, logits per unit of normalised input."""
        with ReLURule(self.masked) as relus:
            gradient = input_gradient(model, inputs, targets)
        if not relus.n_met:
            raise InputError("a ReLU network", f"{model.card.name}, in which none ran", "Take saliency instead.")
        return strongest(gradient)


class GuidedBackprop(_RuledGradient):
    """Gradient in which negative signals die at every ReLU (Springenberg et al. 2015, figure 1).

    R^l = 1[x^l > 0] · 1[R^(l+1) > 0] · R^(l+1) at each ReLU, the gradient elsewhere. Of each pixel's channels the
    one of largest magnitude is kept, with its sign.
    """

    name, title, masked = "guided-backprop", "Guided backprop", True
    question = "Which fine structures of the image drive units that only push the class up?"
    recipe = (
        "Go back from the class through the model as the gradient does, but drop at every ReLU what would lower it."
    )
    reference = "Springenberg et al. 2015, Striving for Simplicity: The All Convolutional Net"


class Deconvolution(_RuledGradient):
    """The answer sent back through a deconvnet (Zeiler & Fergus 2014, section 2.1; Springenberg et al. 2015, figure 1).

    R^l = 1[R^(l+1) > 0] · R^(l+1) at each ReLU, whatever went into it (at a ReLU6, too): units that were off in the
    forward pass speak as well. The gradient elsewhere: filters transposed, max-pooling by its switches. Of each
    pixel's channels the one of largest magnitude is kept, with its sign.
    """

    name, title, masked = "deconvolution", "Deconvolution", False
    question = "Which structures would the class's signal draw if it ran backwards through the model?"
    recipe = (
        "Send the class back through the model's filters and pooling switches, drop at every ReLU what is negative, "
        "without asking which units were on."
    )
    reference = "Zeiler & Fergus 2014, Visualizing and Understanding Convolutional Networks"


class GuidedGradCAM(Explainer):
    """Guided backpropagation times Grad-CAM, upsampled bilinearly (Selvaraju et al. 2017, section 3.2).

    M = guided backprop · upsampled Grad-CAM: fine lines where Grad-CAM finds the class, zero elsewhere.
    """

    name, title, family, signed = "guided-grad-cam", "Guided Grad-CAM", "guided", True
    needs = frozenset({Need.RELU, Need.SPATIAL_LAYER})
    question = "Which fine structures lie where the layer found what speaks for this class?"
    recipe = "Multiply the fine map of guided backprop by the coarse map of Grad-CAM."
    reference = GradCAM.reference
    caution = _CAUTION
    warning = _WARNING
    tried_as = ("guided-backprop", "grad-cam")
    chunk = 16
    Params = LayerParams

    def applies(self, card: ModelCard) -> str | None:
        """`None` for nets of ReLUs with a spatial layer, else what is missing."""
        return super().applies(card) or _needs_relu(self, card)

    def attribute(
        self, model: ModelHandle, inputs: Tensor, targets: Tensor, params: LayerParams, progress: Progress
    ) -> Tensor:
        """(N, C, H, W) float32, normalised -> (N, H, W) float32."""
        coarse = GradCAM().attribute(model, inputs, targets, params, progress)
        guided = GuidedBackprop().attribute(model, inputs, targets, ExplainerParams(), progress)
        return guided * F.interpolate(coarse[:, None], guided.shape[1:], mode="bilinear").squeeze(1)


def _needs_relu(method: Explainer, card: ModelCard) -> str | None:
    others = other_activations(card)
    return f"{method.title} needs ReLU activations; {card.name} uses {' and '.join(others)}." if others else None
