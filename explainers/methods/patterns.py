"""Patterns: directions in which the signal of a data set really varies, learnt for every unit of a sequential net."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from common.errors import InputError
from explainers.base import ExplainerParams, Fitted, Need, Progress, target_scores
from explainers.engines.lrp_mode import LRPMode
from explainers.engines.lrp_rules import BackwardPasses, Layer, Rules
from explainers.engines.relu import obstacle
from explainers.methods.gradient import strongest
from explainers.output import LOGIT, UNIT
from models.card import ModelCard
from models.store import ModelHandle

_WEIGHTED = (nn.Linear, nn.modules.conv._ConvNd)


class PatternMethod(Fitted):
    """What PatternNet and pattern attribution share: patterns (Kindermans et al. 2018, eq. 8), fitted once for both.

    A weight w filters the signal out of a layer's input x and cancels distractors; the signal itself lies along the
    pattern a. With y = w · x, E+ the mean over inputs for which the unit's ReLU is open and E the mean over all,

        a = (E+[x y] - E+[x] E[y]) / (w · E+[x y] - w · E+[x] E[y])

    so that w · a = 1. Units without a ReLU get the linear estimator, cov(x, y) / var(y): the same with all inputs
    (eq. 6). Batch norms are folded into the layers before them.
    """

    family = "pattern"
    outputs = (LOGIT, UNIT)
    needs = frozenset({Need.DATA, Need.SEQUENTIAL, Need.RELU})
    tried_as = ("lrp-epsilon",)
    reference = "Kindermans et al. 2018, Learning How to Explain Neural Networks: PatternNet and PatternAttribution"
    chunk = 16

    @abstractmethod
    def direction(self, weight: Tensor, pattern: Tensor) -> Tensor:
        """What stands in place of a layer's weight on the way back; all of one shape."""

    def applies(self, card: ModelCard) -> str | None:
        """`None` for ReLU nets whose layers run one after another, else what is in the way."""
        if reason := obstacle(card):
            return f"{self.title} is made for ReLU networks; {card.name} {reason}."
        if not card.sequential:
            return f"{self.title} needs layers that run one after another, each once; {card.name} is not built so."
        return super().applies(card)

    def fit(self, model: ModelHandle, batches: Iterable[Tensor], params: ExplainerParams) -> dict[str, np.ndarray]:
        """Patterns of the layers with weights, by their place in the net, each in the shape of its weight.

        `batches` yield inputs (n, C, H, W), normalised. Four forward passes' time for each picture.
        """
        moments: list[_Moments] = []
        rectified = _rectified(model)
        for inputs in batches:
            order = iter(range(len(rectified)))

            def learn(
                layer: Layer, z: Tensor, _value: Tensor, _rectified: bool, order: Iterator[int] = order
            ) -> BackwardPasses:
                at = next(order)
                if at == len(moments):
                    moments.append(_Moments(rectified[at]))
                moments[at].see(layer)
                return [(z, None)]

            with torch.enable_grad(), LRPMode(Rules(learn, learn, activated=False)):
                model.logits(inputs.detach().requires_grad_()).sum()
        if not moments:
            raise InputError("images to fit patterns on", "none", "Add an image set first.")
        return {str(at): known.pattern().cpu().numpy() for at, known in enumerate(moments)}

    def back(self, model: ModelHandle, inputs: Tensor, targets: Tensor) -> Tensor:
        """The score projected back through `direction` of each layer, (N, C, H, W)."""
        patterns = (torch.tensor(model.fitted[str(at)]) for at in range(len(model.fitted)))

        def project(layer: Layer, _z: Tensor, _value: Tensor, _rectified: bool) -> BackwardPasses:
            pattern = next(patterns).to(layer.weight.device)
            return [(layer.run(layer.x, self.direction(layer.weight, pattern)), None)]

        inputs = inputs.detach().requires_grad_()
        with torch.enable_grad(), LRPMode(Rules(project, project, activated=False)):
            scores = target_scores(model.scores(inputs), targets)
        return torch.autograd.grad(scores, inputs, scores.detach())[0]


class PatternNet(PatternMethod):
    """The signal that a score was read from, in the picture's own units (Kindermans et al. 2018, section 4).

    s = a y for one unit; through a net, the score is handed back like a gradient with patterns in place of weights.
    Of each pixel's channels the one of largest magnitude is kept, with its sign.
    """

    name, title, signed = "pattern-net", "PatternNet", True
    question = "What in the image is the signal that the class was recognised by?"
    recipe = "Learns from the data set how each unit's input varies with its answer, and draws that back to the pixels."
    caution = (
        "It shows what goes along with the class in this data set, even pixels that the model itself does not look at; "
        "with few images the patterns are rough."
    )

    def direction(self, weight: Tensor, pattern: Tensor) -> Tensor:
        """The pattern."""
        return pattern

    def attribute(
        self, model: ModelHandle, inputs: Tensor, targets: Tensor, params: ExplainerParams, progress: Progress
    ) -> Tensor:
        """(N, C, H, W) float32, normalised -> (N, H, W) float32, in units of normalised input."""
        return strongest(self.back(model, inputs, targets))


class PatternAttribution(PatternMethod):
    """How much the signal in each pixel gives to the score (Kindermans et al. 2018, section 4).

    r = w ⊙ a y for one unit; through a net, the score is handed back like a gradient with w ⊙ a in place of weights: a
    Deep Taylor decomposition whose root points are the distractors. Summed over channels.
    """

    name, title, signed = "pattern-attribution", "Pattern attribution", True
    question = "How much did the signal in each pixel, without what merely distracts, give to the score?"
    recipe = "Learns from the data set which part of each unit's input is signal, and shares the score out among it."
    caution = "What counts as signal is what this data set shows; with few images the patterns are rough."

    def direction(self, weight: Tensor, pattern: Tensor) -> Tensor:
        """Weight times pattern."""
        return weight * pattern

    def attribute(
        self, model: ModelHandle, inputs: Tensor, targets: Tensor, params: ExplainerParams, progress: Progress
    ) -> Tensor:
        """(N, C, H, W) float32, normalised -> (N, H, W) float32, in units of the score."""
        return self.back(model, inputs, targets).sum(1)


@dataclass
class _Moments:
    """Running means of one layer over all places where it looked: E+[x y] and E+[x] for each weight, E[y], P(open)."""

    rectified: bool
    n: int = 0
    mean: dict[str, Any] = field(default_factory=dict)
    weight: Tensor | None = None

    def see(self, layer: Layer) -> None:
        """Take a batch in."""
        x, self.weight = layer.x.detach(), layer.weight
        weight = layer.weight.detach().requires_grad_()
        with torch.enable_grad():
            y = layer.run(x, weight)
        seen = y.detach()
        channel = 1 if layer.convolves else seen.ndim - 1
        others = [dim for dim in range(seen.ndim) if dim != channel]
        active = (seen + layer.changed_bias(lambda bias: bias) > 0).to(seen.dtype)
        if not self.rectified:
            active = torch.ones_like(seen)
        n = seen.numel() // seen.shape[channel]
        means = {
            "xy": torch.autograd.grad(y, weight, active * seen, retain_graph=True)[0] / n,
            "x": torch.autograd.grad(y, weight, active)[0] / n,
            "y": seen.mean(others),
            "active": active.mean(others),
        }
        self.n += n
        for key, value in means.items():
            known = self.mean.setdefault(key, torch.zeros_like(value))
            known += (value - known) * (n / self.n)

    def pattern(self) -> Tensor:
        """One pattern for each unit, in the shape of the weights; zero for units that never opened."""
        assert self.weight is not None
        y = self.mean["y"].view(-1, *(1,) * (self.weight.ndim - 1))
        covariance = self.mean["xy"] - self.mean["x"] * y  # times P(open), which cancels
        scale = (self.weight * covariance).flatten(1).sum(1).view_as(y)
        size = (self.weight * self.mean["xy"]).flatten(1).abs().sum(1).view_as(y)
        return torch.where(scale.abs() > 1e-6 * size, covariance / scale, 0)


def _rectified(model: ModelHandle) -> list[bool]:
    """For each layer with weights, in the order in which they run, whether a ReLU follows before the next one."""
    found: list[bool] = []
    for layer in model.card.layers:
        module = model.module.get_submodule(layer.name)
        if isinstance(module, _WEIGHTED):
            found.append(False)
        elif found and isinstance(module, nn.ReLU | nn.ReLU6):
            found[-1] = True
    return found
