"""Layer-wise relevance propagation through any model: every torch function that runs gets its rule."""

from collections.abc import Callable
from inspect import signature
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from common.errors import InputError
from explainers.engines.interception import (
    CONVOLUTIONS,
    DROPOUTS,
    LINEAR,
    PIECEWISE,
    PRODUCTS,
    TRANSPOSED,
    ZERO_PRESERVING,
    FunctionCall,
    Interception,
    batch_norm_arguments,
    mapped,
    tensors_in,
)
from explainers.engines.lrp_rules import Layer, Rules, norm_of, relevance_of, with_sources
from explainers.engines.relu import ceiling

#: Functions whose gradient already is the rule: they move values, choose among them, or are linear in them. (Also
#: ReLUs and their like, which scale a value without a constant part.)
_GRADIENT = LINEAR | PIECEWISE | DROPOUTS | {
    "adaptive_max_pool1d", "adaptive_max_pool2d", "amax", "amin", "batch_norm", "detach", "masked_select", "max",
    "max_pool1d", "max_pool2d", "max_pool3d", "maximum", "median", "min", "minimum", "native_dropout", "requires_grad",
    "sort", "topk", "type",
}  # fmt: skip

#: Functions that scale each value by a factor of its own, which is taken as a constant: activations f with f(0) = 0,
#: norms without a mean.
_SCALING = ZERO_PRESERVING | {"local_response_norm", "normalize", "rms_norm"}

#: Activations with f(0) != 0, whose constant part counts as a bias: it takes relevance and hands none on. Where one
#: weighs other values, it is a gate.
_SHIFTED = frozenset(("hardsigmoid", "sigmoid", "softplus"))

#: Products of values that all depend on the picture.
_MULTILINEAR = frozenset(("bmm", "einsum", "matmul", "mm", "mul"))

_WEIGHTED = CONVOLUTIONS | TRANSPOSED | {"linear"}

#: Functions of two tensors, of which the second gives its shape or type alone.
_SHAPED = frozenset(("expand_as", "reshape_as", "type_as", "view_as"))

#: What may happen to the picture before the first layer sees it.
_BEFORE = frozenset(("add", "clone", "contiguous", "div", "flatten", "getitem", "mul", "pad", "permute", "reshape",
                     "squeeze", "sub", "to", "transpose", "unsqueeze", "view"))  # fmt: skip
_AVERAGES = frozenset(("adaptive_avg_pool2d", "avg_pool2d", "mean", "sum"))


class LRPMode(Interception):
    """Inside the block, the model builds a graph through which autograd hands back relevance.

    Layers with weights follow `rules`; a batch norm that follows one is folded into it, any other is one more linear
    layer. Attention weights and the denominators of norms are constants (Ali et al. 2022), and so are gates (Arras et
    al. 2017): relevance goes to what they weigh. The factors of other products get equal shares (Achtibat et al. 2024,
    AttnLRP, the uniform rule). Activations hand relevance on unchanged. At a function without a rule,
    relevance that arrives in the backward pass raises `InputError`; where none arrives, no rule is needed.
    """

    def __init__(self, layer_rules: Rules) -> None:
        super().__init__()
        self._layer_rules = layer_rules

    def picture(self, inputs: Tensor) -> Tensor:
        """What to feed the net for `inputs` (N, C, H, W): the gradient that they get is the relevance."""
        if self._layer_rules.first is None:
            return relevance_of(inputs, inputs.detach())
        picture = inputs.clone()
        _assign(picture, self._layer_rules.references)
        return picture

    def meet(self, call: FunctionCall) -> Any:
        """By what is known of the arguments: a layer that waits for its rule, the picture, gates, or plain values."""
        if call.reads_a_number:
            return call.run_with(Tensor.detach)
        if call.asks_a_fact:
            return NotImplemented
        if call.name in _SHAPED:
            call.args = (call.args[0], call.args[1].detach())
        parts = _flowing((call.args, call.kwargs))
        if not parts:
            return NotImplemented
        gates = [_role(part) for part in parts if isinstance(_role(part), str)]
        if gates and _SHIFTED.issuperset(gates) and call.name in _WEIGHTED and len(gates) == len(parts):
            gates = []  # an activation after all
        if gates and len(gates) == len(parts):  # a function of gates alone
            held = _SHIFTED.isdisjoint(gates) or call.name in _GRADIENT or (call.name in PRODUCTS and len(parts) == 1)
            return _tagged(call.run(), gates[0]) if held else _stopped(call.run(), call.name)
        if gates and (call.name in PRODUCTS or call.name in _WEIGHTED):
            call.args = _mapped(call.args, lambda part: part.detach() if isinstance(_role(part), str) else part)
            parts = _flowing((call.args, call.kwargs))
        if len(parts) == 1 and call.args and parts[0] is call.args[0]:
            found = self._of_one(call, bool(gates))
            if found is not NotImplemented:
                return found
        call.args, call.kwargs = _mapped((call.args, call.kwargs), self._ruled)
        return self._of_values(call)

    def _of_one(self, call: FunctionCall, gated: bool) -> Any:
        """A function of one tensor that relevance flows through, its first; `NotImplemented` if it is any other's."""
        role = _role(call.args[0])
        if call.name in _WEIGHTED or (call.name in ("matmul", "mm") and not gated):
            return self._weighted(call)
        if isinstance(role, tuple) and call.name in _BEFORE:
            return self._before(call, role)
        if isinstance(role, Layer):
            if call.name == "batch_norm" and call.args[0]._version == role.version:
                return self._folded(call, role)
            limit = ceiling(call)
            if self._layer_rules.activated and (call.name in _SCALING or limit is not None):
                return self._activated(call, role, limit)
        return NotImplemented

    def _ruled(self, part: Tensor) -> Tensor:
        """The tensor as any function may use it: under its layer's rule; the picture in shares of its value."""
        role = _role(part)
        if isinstance(role, Layer):
            if role.outcome is None:
                role.outcome = self._layer_rules.apply_rule(role, part)
            return role.outcome
        return relevance_of(part, part.detach()) if isinstance(role, tuple) else part

    def _weighted(self, call: FunctionCall) -> Tensor:
        """A layer with weights; its rule waits until it is known whether a batch norm follows."""
        name, func, args, kwargs = call.name, call.func, call.args, dict(call.kwargs)
        x, role = args[0], _role(args[0])
        if isinstance(role, Layer) or (isinstance(role, tuple) and name not in _WEIGHTED):
            x, role = self._ruled(x), None
        z = func(x, *args[1:], **kwargs)
        weight = args[1] if len(args) > 1 else kwargs.pop("weight", kwargs.pop("other", None))
        bias = args[2] if len(args) > 2 else kwargs.pop("bias", None)
        without = (None,) if name in _WEIGHTED else ()

        def run(x: Tensor, weight: Tensor) -> Tensor:
            return func(x, weight, *without, *args[3:], **kwargs)

        references = role if isinstance(role, tuple) else ()
        layer = Layer(x, weight, bias, run, name in CONVOLUTIONS | TRANSPOSED, z._version, references)
        if name in TRANSPOSED or not without:  # channels lie elsewhere: nothing is folded
            return self._layer_rules.apply_rule(layer, z)
        _assign(z, layer)
        return z

    def _folded(self, call: FunctionCall, layer: Layer) -> Tensor:
        _x, mean, var, weight, bias, training, _momentum, eps = batch_norm_arguments(call)
        y = call.run()
        if training or mean is None:
            return _stopped(y, "batch_norm over the batch's own statistics")
        scale = (var + eps).rsqrt() * (1 if weight is None else weight)
        _assign(y, layer.folded(scale, (0 if bias is None else bias) - mean * scale, y._version))
        return y

    def _activated(self, call: FunctionCall, layer: Layer, limit: float | None) -> Tensor:
        """An activation straight behind a layer becomes part of it: one pass over the values instead of two."""
        x = call.args[0]
        if layer.outcome is not None or x._version != layer.version:
            return NotImplemented
        output = self._layer_rules.apply_rule(layer, x, call.applied_to, limit)
        if x._version != layer.version:
            layer.outcome = output  # changed in place: who still holds the layer's output has this now
        return output

    def _before(self, call: FunctionCall, references: tuple[Tensor, ...]) -> Tensor:
        """On the way to the first layer relevance is moved, never scaled; references go the same way as the picture."""
        if call.name in ("add", "sub", "mul", "div"):
            factor = call.args[1] if call.name == "mul" else 1
            seen = torch.as_tensor(factor, device=call.args[0].device) != 0
            output = _scaled(call, lambda _x, y: seen.to(y.dtype), True)
        else:
            output = call.run()
        if (
            call.name not in ("add", "sub") or len(references) > 1
        ):  # a shift changes a box, but not which pixels are seen
            references = tuple(call.applied_to(reference.clone()) for reference in references)
        _assign(output, references)
        return output

    def _of_values(self, call: FunctionCall) -> Any:
        """A function of tensors that stand under their rules."""
        parts = _flowing((call.args, call.kwargs))
        one = len(parts) == 1 and bool(call.args) and parts[0] is call.args[0]
        if one and (call.name in _SCALING or (ceiling(call) is not None and call.name != "relu")):
            return _scaled(call, _factor, call.in_place or any(value is True for value in call.args[1:]))
        if one and call.name in _SHIFTED and not call.in_place:
            at_zero = float(call.applied_to(torch.zeros(())))
            output = _scaled(call, lambda x, y: _factor(x, y - at_zero), False)
            return _tagged(output, call.name)
        if len(parts) > 1 and call.name in _MULTILINEAR and not call.in_place:
            y = call.run()
            return with_sources(y.detach(), [(y, torch.tensor(1 / len(parts), device=y.device))])
        rule = _VALUE_RULES.get(call.name)
        output = NotImplemented if rule is None else rule(self, call, one)
        if output is not NotImplemented:
            return output
        if call.name in _GRADIENT or (call.name in PRODUCTS and len(parts) == 1):
            if self._layer_rules.excited and (call.name in _AVERAGES or call.name in ("add", "batch_norm", "sub")):
                return _excited(call)
            return call.run()
        return _stopped(call.run(), call.name)

    def _norm(self, call: FunctionCall, one: bool) -> Any:
        if not one:
            return NotImplemented
        kwargs = {key: value for key, value in call.kwargs.items() if key != "cudnn_enable"}
        given = signature(getattr(F, call.name)).bind(*call.args[:5], **kwargs)
        given.apply_defaults()
        return _normed(call.name, *given.args)

    def _quotient(self, call: FunctionCall, one: bool) -> Any:
        """The denominator is a constant."""
        if not one and call.args[0].requires_grad:
            return call.func(call.args[0], *_mapped(call.args[1:], Tensor.detach), **call.kwargs)
        return call.run() if one else NotImplemented

    def _dot_product_attention(self, call: FunctionCall, one: bool) -> Any:
        """Relevance goes to the values, by their shares of attention."""
        query, key, value, *rest = call.args
        return (
            call.func(query.detach(), key.detach(), value, *rest, **call.kwargs)
            if value.requires_grad
            else NotImplemented
        )

    def _gated(self, call: FunctionCall, one: bool) -> Any:
        if not one:
            return NotImplemented
        values, gates = call.args[0].chunk(2, *call.args[1:], **call.kwargs)
        return values * gates.detach().sigmoid()

    def _batch_norm(self, call: FunctionCall, one: bool) -> Any:
        _x, mean, _var, _weight, _bias, training, *_ = batch_norm_arguments(call)
        if mean is None or training:
            return _stopped(call.run(), "batch_norm over the batch's own statistics")
        return NotImplemented

    def _instance_norm(self, call: FunctionCall, one: bool) -> Any:
        """A group norm whose groups are single channels; with running statistics, a batch norm."""
        names = ("input", "running_mean", "running_var", "weight", "bias", "use_input_stats", "momentum", "eps")
        if not one or call.func is not F.instance_norm:
            return NotImplemented
        given = signature(F.instance_norm).bind(*call.args, **call.kwargs)
        given.apply_defaults()
        x, mean, var, weight, bias, of_input, _, eps = (given.arguments[name] for name in names)
        with self:
            if of_input:
                return F.group_norm(x, x.shape[1], weight, bias, eps)
            return F.batch_norm(x, mean, var, weight, bias, False, 0.0, eps)

    def _multi_head_attention(self, call: FunctionCall, one: bool) -> tuple[Tensor, Any]:
        """`multi_head_attention_forward` of (L, N, E): relevance goes to the values, by their shares of attention."""
        given = signature(F.multi_head_attention_forward).bind(*call.args, **call.kwargs)
        given.apply_defaults()
        it = given.arguments
        held = _mapped(dict(it), Tensor.detach) | {"need_weights": True, "average_attn_weights": False}
        attended: Any = F.multi_head_attention_forward(**held)
        output, weights = attended
        if any(it[key] is not None for key in ("bias_k", "bias_v", "static_v")) or it["add_zero_attn"]:
            return _stopped(output + 0 * it["value"].sum(), "multi_head_attention_forward with keys of its own"), None
        weight, bias = it["v_proj_weight"], it["in_proj_bias"]
        weight = it["in_proj_weight"].chunk(3)[2] if weight is None else weight
        with self:
            values = F.linear(it["value"], weight, None if bias is None else bias.chunk(3)[2])
            values = values.unflatten(2, (weights.shape[1], -1)).permute(1, 2, 0, 3)  # (N, heads, L, E / heads)
            output = F.linear(
                (weights @ values).permute(2, 0, 1, 3).flatten(2), it["out_proj_weight"], it["out_proj_bias"]
            )
        if not it["need_weights"]:
            return output, None
        return output, weights.mean(1) if it["average_attn_weights"] else weights


#: Rules of functions of values; `NotImplemented` where the gradient is the rule, or there is none.
_VALUE_RULES: dict[str, Callable[[LRPMode, FunctionCall, bool], Any]] = {
    "batch_norm": LRPMode._batch_norm,
    "div": LRPMode._quotient,
    "glu": LRPMode._gated,
    "group_norm": LRPMode._norm,
    "instance_norm": LRPMode._instance_norm,
    "layer_norm": LRPMode._norm,
    "multi_head_attention_forward": LRPMode._multi_head_attention,
    "scaled_dot_product_attention": LRPMode._dot_product_attention,
}


def _excited(call: FunctionCall) -> Tensor:
    """A sum, or a batch norm by itself, whose relevance goes to its positive parts alone: z+ with weights of one."""
    x = call.args[0]
    if call.name == "batch_norm":
        value, weight = call.run_with(Tensor.detach), batch_norm_arguments(call)[3]
        held = x.detach()
        part = held if weight is None else held * weight.view(-1, *(1,) * (x.ndim - 2))
        return with_sources(value, [(x, torch.where(part > 0, value / held, 0))])
    if call.name in _AVERAGES:
        excited = call.applied_to(x.relu())
    else:
        signs = (1, -1 if call.name == "sub" else 1)
        excited = sum((sign * part).relu() for sign, part in zip(signs, call.args, strict=False) if _flowing(part))
    value = call.run_with(Tensor.detach)  # only now: it may write into its argument
    total = excited.detach()
    return with_sources(value, [(excited, torch.where(total > 0, value / total, 0))])


def _flowing(value: object) -> list[Tensor]:
    """The tensors in `value` that relevance could flow through."""
    return [part for part in tensors_in(value) if part.requires_grad]


def _mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """`value` with every tensor that relevance could flow through changed."""
    return mapped(value, lambda part: change(part) if part.requires_grad else part)


def _assign(part: Tensor, role: Layer | tuple[Tensor, ...] | str | None) -> None:
    """Note on a tensor what it is: a layer's output whose rule waits, the picture, a gate; it goes with the tensor."""
    part._role = role  # type: ignore[attr-defined]


def _role(part: Tensor) -> Any:
    return getattr(part, "_role", None)


def _tagged(output: Any, name: str) -> Any:
    for part in _flowing(output):
        _assign(part, name)
    return output


def _stopped(output: Any, name: str) -> Any:
    """`output` of a function that has no rule: no harm while it is a gate, or flows nowhere."""

    def refuse(relevance: Tensor) -> None:
        if relevance.any():
            cure = "Take integrated gradients or occlusion, which suit any net."
            raise InputError("operations with a rule for relevance", f"{name}, which has none", cure)

    for part in _flowing(output):
        part.register_hook(refuse)
    return _tagged(output, name)


def _scaled(call: FunctionCall, factor: Callable[[Tensor, Tensor], Tensor], in_place: bool) -> Tensor:
    """An elementwise function y of x, in place or not; c goes back times factor(x, y)."""
    held = call.args[0].detach()
    before = held.clone() if in_place else held
    value = call.applied_to(held)
    ratio = factor(before, value)
    return with_sources(None if value is held else value, [(call.args[0], ratio)])


def _factor(x: Tensor, y: Tensor) -> Tensor:
    """What a function scaled each value by: then R is the same before and behind it."""
    return (y / x).nan_to_num_(nan=0.0)


def _normed(name: str, x: Tensor, shape: Any, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """Layer norm and group norm, (x - mean) / sd · weight + bias, with sd as a constant."""
    held = x.detach()
    if name == "layer_norm":
        value, _mean, per_sd = torch.native_layer_norm(held, shape, weight, bias, eps)
        grouped, n_dims = tuple(x.shape), len(shape)
    else:
        value = F.group_norm(held, shape, weight, bias, eps)
        grouped, n_dims = (len(x), shape, -1), 1
        per_sd = (held.reshape(grouped).var(2, correction=0) + eps).rsqrt().repeat_interleave(x.shape[1] // shape, 1)
        per_sd = per_sd.view(*x.shape[:2], *(1,) * (x.ndim - 2))
        weight = None if weight is None else weight.view(-1, *(1,) * (x.ndim - 2))
    factors = (per_sd,) if weight is None else (per_sd, weight)
    return norm_of(x, value, factors, grouped, n_dims)
