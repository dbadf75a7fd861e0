"""The rules of layer-wise relevance propagation: how a layer shares the relevance of its outputs among its inputs.

Relevance R is carried as c = R / a, the relevance of an activation in shares of its value. Wherever a net adds, pools,
moves or chooses values, or multiplies them by constants, c is the plain gradient, and autograd is the propagation
(Montavon et al. 2019, section 10.4). A rule says only what is special of a layer with weights: in place of its own
backward pass, which linear maps of its input c goes through, and what it is multiplied by before.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

#: Added to each denominator with its sign, so that nothing is divided by zero.
EPSILON = 1e-6


def stabilised(values: Tensor, epsilon: float = EPSILON) -> Tensor:
    """`values` moved away from zero by `epsilon`; zero counts as positive."""
    return values + torch.where(values < 0, -epsilon, epsilon)


@dataclass
class Layer:
    """A layer with weights as it ran: z = run(x, weight) + bias, any batch norm behind it folded into both.

    `references` stand beside an `x` that is still the picture itself; `version` is z's own, fresh from the layer;
    `outcome` is z under the layer's rule, once that has been worked out.
    """

    x: Tensor
    weight: Tensor
    bias: Tensor | None
    run: Callable[[Tensor, Tensor], Tensor]
    convolves: bool
    version: int
    references: tuple[Tensor, ...] = ()
    outcome: Tensor | None = None

    def folded(self, scale: Tensor, shift: Tensor, version: int) -> Layer:
        """The layer with what follows it, z · scale + shift for each of its channels (C,), taken in."""
        weight = self.weight * scale.view(-1, *(1,) * (self.weight.ndim - 1))
        bias = shift if self.bias is None else self.bias * scale + shift
        return Layer(self.x, weight, bias, self.run, self.convolves, version, self.references)

    def through(self, change: Callable[[Tensor], Tensor]) -> Tensor:
        """x+ through change(w) plus x- through -change(-w): with change(w) = w+, all positive contributions to z."""
        if self.x.detach().amin() >= 0:
            return self.run(self.x, change(self.weight))
        return self.run(self.x.relu(), change(self.weight)) + self.run(self.x.clamp(max=0), -change(-self.weight))

    def changed_bias(self, change: Callable[[Tensor], Tensor]) -> Tensor | float:
        """change(bias), in a shape that adds to z."""
        if self.bias is None:
            return 0.0
        return change(self.bias.view(-1, *(1,) * (self.weight.ndim - 2)) if self.convolves else self.bias)


#: Linear maps of the layer's input whose backward passes relevance takes, each with a divisor. With y the layer's
#: output behind any activation, R = y c, so that c is multiplied by y / divisor before each (`None`: by one).
BackwardPasses = list[tuple[Tensor, Tensor | None]]

#: (layer, z, z as its activation leaves it, whether that is nowhere below zero) -> backward passes
Rule = Callable[[Layer, Tensor, Tensor, bool], BackwardPasses]


@dataclass(frozen=True)
class Epsilon:
    """R_i = sum_j x_i w_ij / (z_j + epsilon sign z_j) · R_j (Bach et al. 2015, eq. 58)."""

    epsilon: float = EPSILON

    def __call__(self, layer: Layer, z: Tensor, value: Tensor, rectified: bool) -> BackwardPasses:
        """The layer's own backward pass."""
        return [(z, value + self.epsilon if rectified else stabilised(value, self.epsilon))]


@dataclass(frozen=True)
class AlphaBeta:
    """R_i = sum_j (alpha (x_i w_ij)+ / P_j - beta (x_i w_ij)- / N_j) · R_j (Bach et al. 2015, eq. 60; no biases).

    P_j and N_j are the sums of the positive and negative contributions to z_j, beta = alpha - 1; alpha = 1 is z+.
    """

    alpha: float = 1.0

    def __call__(self, layer: Layer, z: Tensor, value: Tensor, rectified: bool) -> BackwardPasses:
        """One pass over the positive contributions, one over the negative where they count."""
        positive = layer.through(lambda weight: weight.clamp(min=0))
        if self.alpha == 1:
            return [(positive, positive.detach() + EPSILON)]
        negative = layer.through(lambda weight: weight.clamp(max=0))
        divisors = (positive.detach() + EPSILON) / self.alpha, (negative.detach() - EPSILON) / (1 - self.alpha)
        return [(positive, divisors[0]), (negative, divisors[1])]


@dataclass(frozen=True)
class Gamma:
    """R_i = sum_j x_i (w_ij + gamma w_ij+) / sum_0,i x_i (w_ij + gamma w_ij+) · R_j (Montavon et al. 2019, table 10.1).

    So for units with z_j > 0; units with z_j < 0 favour their negative contributions instead, and inputs below zero
    count as in `Layer.through` (Andéol et al. 2021). The sum has the bias b + gamma b+ as its part 0.
    """

    gamma: float

    def __call__(self, layer: Layer, z: Tensor, value: Tensor, rectified: bool) -> BackwardPasses:
        """One pass over changed weights; the weights' own pass completes it where negative units carry relevance."""
        favoured = layer.through(self._favour)
        above = favoured.detach() + layer.changed_bias(self._favour)
        if rectified:
            return [(favoured, stabilised(above))]
        below = (2 + self.gamma) * value - above  # z + gamma N; above is z + gamma P, and z = P + N
        divisor = torch.where(value < 0, below - EPSILON, above + EPSILON)
        return [(favoured, divisor.abs()), (z, torch.where(value < 0, divisor / (2 + self.gamma), torch.inf))]

    def _favour(self, weight: Tensor) -> Tensor:
        return weight + self.gamma * weight.clamp(min=0)


def flat(layer: Layer, seen: Tensor) -> BackwardPasses:
    """R_i = sum_j R_j / n_j over the n_j inputs that unit j sees (Lapuschkin et al. 2019), whatever their values."""
    counted = layer.run(relevance_of(layer.x, (seen != 0).to(seen.dtype)), torch.ones_like(layer.weight))
    return [(counted, stabilised(counted.detach()))]


def box(layer: Layer, low: Tensor, high: Tensor) -> BackwardPasses:
    """R_i = sum_j (x_i w_ij - l_i w_ij+ - h_i w_ij-) / sum_i (the same) · R_j (Montavon et al. 2017, section 4)."""
    from_high = layer.run(relevance_of(layer.x, layer.x.detach() - high), layer.weight)  # w- = w - w+ saves a pass
    width = layer.run(relevance_of(layer.x, high - low), layer.weight.clamp(min=0))
    divisor = stabilised((from_high + width).detach())
    return [(from_high, divisor), (width, divisor)]


@dataclass(frozen=True)
class Rules:
    """Which rule each layer gets. `first`, with its `references` (N, C, H, W), is for layers that see the picture.

    With `excited`, sums share relevance among their positive parts alone, as z+ does in layers. With `activated`,
    a layer's rule takes the activation behind it in; that needs rules with divisors.
    """

    convolution: Rule
    dense: Rule
    first: Callable[..., BackwardPasses] | None = None
    references: tuple[Tensor, ...] = ()
    excited: bool = False
    activated: bool = True

    def apply_rule(
        self,
        layer: Layer,
        z: Tensor,
        activation: Callable[[Tensor], Tensor] | None = None,
        ceiling: float | None = None,
    ) -> Tensor:
        """The layer's output z, or activation(z), under its rule.

        `ceiling` is where the activation stops growing if it is a ReLU of some kind; it may work in place.
        """
        output = value = z.detach()
        if activation is not None and ceiling is not None:
            value = value.relu() if ceiling < math.inf else activation(value)
        if layer.references and self.first is not None:
            passes = self.first(layer, *layer.references)
        else:
            passes = (self.convolution if layer.convolves else self.dense)(layer, z, value, ceiling is not None)
        if activation is not None:
            output = value if ceiling == math.inf else activation(output)
        return with_sources(
            output, [(source, None if divisor is None else output / divisor) for source, divisor in passes]
        )


def with_sources(value: Tensor | None, sources: list[tuple[Tensor, Tensor | None]]) -> Tensor:
    """`value` with another backward pass: c times a factor (`None`: one) goes to each of the `sources`.

    A `value` of `None` stands for that of the only source, which has been changed in place.
    """
    parts, factors = zip(*sources, strict=True)
    return _WithSources.apply(None if value is None else (value,), factors, *parts)


def relevance_of(x: Tensor, reference: Tensor) -> Tensor:
    """`reference` in place of the picture `x`: what comes back as c goes on to `x` as relevance, reference · c."""
    return _RelevanceOf.apply(x, reference)


def norm_of(x: Tensor, value: Tensor, factors: tuple[Tensor, ...], grouped: tuple[int, ...], n_dims: int) -> Tensor:
    """`value`, the norm of `x`, whose `factors` are constants and whose mean is not.

    c · factors goes back, minus its mean over the last `n_dims` of `grouped`, the shape in which the norm sees `x`.
    """
    return _NormOf.apply(x, (value,), factors, grouped, tuple(range(-n_dims, 0)))


class _WithSources(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: tuple[Tensor] | None, factors: tuple[Tensor | None, ...], *sources: Tensor) -> Tensor:
        ctx.factors = factors
        if value is not None:
            return value[0]
        ctx.mark_dirty(sources[0])
        return sources[0]

    @staticmethod
    def backward(ctx: Any, *relevance: Tensor) -> tuple[Tensor | None, ...]:
        first, *others = (relevance[0] if factor is None else relevance[0] * factor for factor in ctx.factors)
        return None, None, first, *(other if other.any() else None for other in others)  # None: no need to go there


class _RelevanceOf(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, reference: Tensor) -> Tensor:
        ctx.reference = reference
        return reference.clone()

    @staticmethod
    def backward(ctx: Any, *relevance: Tensor) -> tuple[Tensor, None]:
        return relevance[0] * ctx.reference, None


class _NormOf(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, value: tuple[Tensor], factors: tuple[Tensor, ...], grouped: tuple[int, ...], dims: Any
    ) -> Tensor:
        ctx.factors, ctx.grouped, ctx.dims = factors, grouped, dims
        return value[0]

    @staticmethod
    def backward(ctx: Any, *relevance: Tensor) -> tuple[Tensor | None, ...]:
        shares = relevance[0]
        for factor in ctx.factors:
            shares = shares * factor
        groups = shares.reshape(ctx.grouped)
        return (groups - groups.mean(ctx.dims, keepdim=True)).reshape(shares.shape), None, None, None, None
