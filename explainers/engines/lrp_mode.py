"""Relevance through whole nets: every torch function that runs gets its rule, whoever wrote the net and however."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from inspect import signature
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from common.errors import InputError
from explainers.engines.lrp_rules import Layer, Rules, carried, centred, recast
from explainers.engines.relu import called, ceiling

#: Functions whose gradient already is the rule: they move values, choose among them, or are linear in them. (Also
#: ReLUs and their like, which scale a value without a constant part.)
_PLAIN = frozenset((
    "abs", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d",
    "adaptive_max_pool2d", "add", "alpha_dropout", "amax", "amin", "avg_pool1d", "avg_pool2d", "avg_pool3d",
    "batch_norm", "broadcast_to", "cat", "channel_shuffle", "chunk", "clone", "concat", "concatenate", "contiguous",
    "copy", "cumsum", "detach", "diagonal", "dropout", "dropout1d", "dropout2d", "dropout3d", "dsplit", "dstack",
    "expand", "expand_as", "feature_alpha_dropout", "feature_dropout", "flatten", "flip", "float", "fold", "gather",
    "getitem", "hsplit", "hstack", "identity", "index_select", "interpolate", "leaky_relu", "masked_fill",
    "masked_select", "max", "max_pool1d", "max_pool2d", "max_pool3d", "maximum", "mean", "median", "min", "minimum",
    "movedim", "moveaxis", "narrow", "native_dropout", "neg", "pad", "permute", "pixel_shuffle", "pixel_unshuffle",
    "prelu", "ravel", "relu", "repeat", "repeat_interleave", "requires_grad", "reshape", "reshape_as", "roll",
    "rot90", "rrelu", "rsub", "select", "setitem", "slice", "sort", "split", "squeeze", "stack", "sub", "sum",
    "swapaxes", "swapdims", "take_along_dim", "tensor_split", "threshold", "tile", "to", "topk", "transpose", "type",
    "type_as", "unbind", "unflatten", "unfold", "unsqueeze", "upsample", "view", "view_as", "vsplit", "vstack", "where",
))  # fmt: skip

#: Functions that scale each value by a factor of its own, which is taken as a constant: activations f with f(0) = 0,
#: norms without a mean.
_SCALING = frozenset((
    "celu", "elu", "gelu", "hardshrink", "hardswish", "hardtanh", "local_response_norm", "mish", "normalize", "relu6",
    "rms_norm", "selu", "silu", "softshrink", "softsign", "tanh", "tanhshrink",
))  # fmt: skip

#: Functions linear in each of several arguments: relevance goes to one, the others are constants.
_PRODUCTS = frozenset(
    ("addcmul", "baddbmm", "bilinear", "bmm", "einsum", "matmul", "mm", "mul", "multiply", "tensordot")
)

_CONVOLUTIONS = frozenset(("conv1d", "conv2d", "conv3d", "convolution"))
_TRANSPOSED = frozenset(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"))
_WEIGHTED = _CONVOLUTIONS | _TRANSPOSED | {"linear"}

#: Functions of two tensors, of which the second only lends its shape or kind.
_SHAPED = frozenset(("expand_as", "reshape_as", "type_as", "view_as"))

#: Ways to read a number off a tensor, and to ask about it; nothing flows through either.
_READS = frozenset(("__bool__", "__float__", "__index__", "__int__", "item", "tolist"))
_FACTS = frozenset(("__len__", "data_ptr", "dim", "get_device", "is_contiguous", "is_floating_point", "ndimension",
                    "nelement", "numel", "requires_grad", "size", "storage_offset", "stride"))  # fmt: skip

#: What may happen to the picture before the first layer sees it.
_BEFORE = frozenset(("add", "clone", "contiguous", "div", "flatten", "float", "getitem", "mul", "pad", "permute",
                     "reshape", "squeeze", "sub", "to", "transpose", "unsqueeze", "view"))  # fmt: skip
_AVERAGES = frozenset(("adaptive_avg_pool2d", "avg_pool2d", "mean", "sum"))


class RelevanceFlow(TorchFunctionMode):
    """Inside the block, what runs in this thread builds a graph through which autograd hands back relevance.

    Layers with weights follow `rules`; a batch norm that follows one is folded into it, any other is one more linear
    layer. Attention weights and the denominators of norms are constants (Ali et al. 2022), and so are gates (Arras et
    al. 2017): relevance goes to what they weigh. Activations hand relevance on unchanged. At a function without a rule,
    relevance that arrives in the backward pass raises `InputError`; where none arrives, no rule is needed. No module
    is touched.
    """

    def __init__(self, rules: Rules) -> None:
        super().__init__()
        self._rules = rules

    def picture(self, inputs: Tensor) -> Tensor:
        """What to feed the net for `inputs` (N, C, H, W): the gradient that they get is the relevance."""
        if self._rules.first is None:
            return carried(inputs, inputs.detach())
        picture = inputs.clone()
        _assign(picture, self._rules.references)
        return picture

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        raw = getattr(func, "__name__", "")
        if raw in _READS:
            return func(*(arg.detach() if isinstance(arg, Tensor) else arg for arg in args), **kwargs)
        if raw in _FACTS or (raw == "__get__" and func.__self__.__name__ not in ("T", "mT", "H", "mH")):  # type: ignore[attr-defined]
            return func(*args, **kwargs)
        if not args and "input" in kwargs:
            args = (kwargs.pop("input"),)
        name = "transpose" if raw == "__get__" else called(func).strip("_")
        if name in _SHAPED:
            args = (args[0], args[1].detach())
        parts = list(_flowing((args, kwargs)))
        if not parts:
            return func(*args, **kwargs)
        if blocked := [_role(part) for part in parts if isinstance(_role(part), str)]:
            if len(blocked) == len(parts):  # a function of gates alone
                return _tagged(func(*args, **kwargs), blocked[0])
            if name in _PRODUCTS or name in _WEIGHTED:
                args = _mapped(args, lambda part: part.detach() if isinstance(_role(part), str) else part)
                parts = list(_flowing((args, kwargs)))
        role = _role(parts[0])
        if len(parts) == 1 and args and parts[0] is args[0]:
            if name in _WEIGHTED or (name in ("matmul", "mm") and not blocked):
                return self._weighted(name, func, args, kwargs)
            if isinstance(role, tuple) and name in _BEFORE:
                return self._before(name, func, role, args, kwargs)
            if name == "batch_norm" and isinstance(role, Layer) and args[0]._version == role.version:
                return self._folded(func, role, args, kwargs)
            limit = ceiling(func, args, kwargs)
            if isinstance(role, Layer) and self._rules.activated and (name in _SCALING or limit is not None):
                return self._activated(func, role, limit, args, kwargs)
        args, kwargs = _mapped(args, self._settled), _mapped(kwargs, self._settled)
        return self._plain(name, func, list(_flowing((args, kwargs))), args, kwargs)

    def _settled(self, part: Tensor) -> Tensor:
        """The tensor as any function may use it: under its layer's rule; of the picture, in shares of its value."""
        role = _role(part)
        if isinstance(role, Layer):
            if role.outcome is None:
                role.outcome = self._rules.settle(role, part)
            return role.outcome
        return carried(part, part.detach()) if isinstance(role, tuple) else part

    def _weighted(
        self, name: str, func: Callable[..., Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Tensor:
        """A layer with weights; its rule waits until it is known whether a batch norm follows."""
        x, role = args[0], _role(args[0])
        if isinstance(role, Layer) or (isinstance(role, tuple) and name not in _WEIGHTED):
            x, role = self._settled(x), None
        z = func(x, *args[1:], **kwargs)
        weight = args[1] if len(args) > 1 else kwargs.pop("weight", kwargs.pop("other", None))
        bias = args[2] if len(args) > 2 else kwargs.pop("bias", None)
        without = (None,) if name in _WEIGHTED else ()

        def run(x: Tensor, weight: Tensor) -> Tensor:
            return func(x, weight, *without, *args[3:], **kwargs)

        references = role if isinstance(role, tuple) else ()
        layer = Layer(x, weight, bias, run, name in _CONVOLUTIONS | _TRANSPOSED, z._version, references)
        if name in _TRANSPOSED or not without:  # channels lie elsewhere: nothing is folded
            return self._rules.settle(layer, z)
        _assign(z, layer)
        return z

    def _folded(self, func: Callable[..., Tensor], layer: Layer, args: tuple[Any, ...], kwargs: Any) -> Tensor:
        mean, var, weight, bias, training, eps = _statistics(func, args, kwargs)
        y = func(*args, **kwargs)
        if training or mean is None:
            return _stopped(y, "batch_norm over the batch's own statistics")
        scale = (var + eps).rsqrt() * (1 if weight is None else weight)
        _assign(y, layer.folded(scale, (0 if bias is None else bias) - mean * scale, y._version))
        return y

    def _activated(
        self, func: Callable[..., Tensor], layer: Layer, limit: float | None, args: tuple[Any, ...], kwargs: Any
    ) -> Tensor:
        """An activation straight behind a layer becomes part of it: one pass over the values instead of two."""
        if layer.outcome is not None or args[0]._version != layer.version:
            return self._plain(called(func).strip("_"), func, [args[0]], (self._settled(args[0]), *args[1:]), kwargs)
        output = self._rules.settle(layer, args[0], lambda x: func(x, *args[1:], **kwargs), limit)
        if args[0]._version != layer.version:
            layer.outcome = output  # worked on in place: who still holds the layer's output has this now
        return output

    def _before(
        self, name: str, func: Callable[..., Tensor], references: tuple[Tensor, ...], args: tuple[Any, ...], kwargs: Any
    ) -> Tensor:
        """On the way to the first layer relevance is moved, never scaled; references go the same way as the picture."""
        if name in ("add", "sub", "mul", "div"):
            factor = args[1] if name == "mul" else 1
            seen = torch.as_tensor(factor, device=args[0].device) != 0
            output = _scaled(args[0], lambda x: func(x, *args[1:], **kwargs), lambda _x, y: seen.to(y.dtype), True)
        else:
            output = func(*args, **kwargs)
        if name not in ("add", "sub") or len(references) > 1:  # a shift changes a box, but not which pixels are seen
            references = tuple(func(reference.clone(), *args[1:], **kwargs) for reference in references)
        _assign(output, references)
        return output

    def _plain(
        self, name: str, func: Callable[..., Any], parts: list[Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Functions of settled tensors."""
        one = len(parts) == 1 and bool(args) and parts[0] is args[0]
        if one and (name in _SCALING or (ceiling(func, args, kwargs) is not None and name != "relu")):
            in_place = called(func).endswith("_") or any(value is True for value in (*args[1:], *kwargs.values()))
            return _scaled(args[0], lambda x: func(x, *args[1:], **kwargs), _factor, in_place)
        if one and name in ("layer_norm", "group_norm"):
            kwargs.pop("cudnn_enable", None)
            given = signature(getattr(F, name)).bind(*args[:5], **kwargs)
            given.apply_defaults()
            return _normed(name, *given.args)
        if name == "div" and one:
            return func(*args, **kwargs)
        if name in ("div", "true_divide") and args[0].requires_grad:
            return func(args[0], *_mapped(args[1:], Tensor.detach), **kwargs)
        if name == "scaled_dot_product_attention" and args[2].requires_grad:
            return func(args[0].detach(), args[1].detach(), *args[2:], **kwargs)
        if name == "multi_head_attention_forward":
            return self._attention(*args, **kwargs)
        if one and name == "glu":
            values, gates = args[0].chunk(2, *args[1:], **kwargs)
            return values * gates.detach().sigmoid()
        if name == "batch_norm" and (_statistics(func, args, kwargs)[0] is None or _statistics(func, args, kwargs)[4]):
            return _stopped(func(*args, **kwargs), "batch_norm over the batch's own statistics")
        if name in _PLAIN or (name in _PRODUCTS and len(parts) == 1):
            if self._rules.excited and (name in _AVERAGES or name in ("add", "batch_norm", "sub")):
                return _excited(name, func, args, kwargs)
            return func(*args, **kwargs)
        return _stopped(func(*args, **kwargs), name)

    def _attention(self, query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Any]:
        """`multi_head_attention_forward` of (L, N, E): relevance goes to the values, by their shares of attention."""
        given = signature(F.multi_head_attention_forward).bind(query, key, value, *args, **kwargs).arguments
        held = _mapped(given, Tensor.detach) | {"need_weights": True, "average_attn_weights": False}
        attended: Any = F.multi_head_attention_forward(**held)
        output, weights = attended
        if any(given.get(key) is not None for key in ("bias_k", "bias_v", "static_v")) or given["add_zero_attn"]:
            return _stopped(output + 0 * value.sum(), "multi_head_attention_forward with keys of its own"), None
        weight, bias = given.get("v_proj_weight"), given["in_proj_bias"]
        weight = given["in_proj_weight"].chunk(3)[2] if weight is None else weight
        with self:
            values = F.linear(value, weight, None if bias is None else bias.chunk(3)[2])
            values = values.unflatten(2, (weights.shape[1], -1)).permute(1, 2, 0, 3)  # (N, heads, L, E / heads)
            output = F.linear(
                (weights @ values).permute(2, 0, 1, 3).flatten(2), given["out_proj_weight"], given["out_proj_bias"]
            )
        if not kwargs.get("need_weights", True):
            return output, None
        return output, weights.mean(1) if kwargs.get("average_attn_weights", True) else weights


def _excited(name: str, func: Callable[..., Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """A sum, or a batch norm by itself, whose relevance goes to its positive parts alone: z+ with weights of one."""
    if name == "batch_norm":
        value = func(args[0].detach(), *args[1:], **kwargs)
        x, weight = args[0].detach(), _statistics(func, args, kwargs)[2]
        part = x if weight is None else x * weight.view(-1, *(1,) * (x.ndim - 2))
        return recast(value, [(args[0], torch.where(part > 0, value / x, 0))])
    if name in _AVERAGES:
        excited = func(args[0].relu(), *args[1:], **kwargs)
    else:
        signs = (1, -1 if name == "sub" else 1)
        excited = sum((sign * part).relu() for sign, part in zip(signs, args, strict=False) if _flows(part))
    value = func(*_mapped(args, Tensor.detach), **kwargs)  # only now: it may work in place
    total = excited.detach()
    return recast(value, [(excited, torch.where(total > 0, value / total, 0))])


def _statistics(func: Callable[..., Tensor], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
    """Mean, variance, weight, bias, training and eps of a call of `batch_norm`: torch has it in two orders."""
    if func is F.batch_norm:
        given = signature(F.batch_norm).bind(*args, **kwargs)
        given.apply_defaults()
        _x, mean, var, weight, bias, training, _momentum, eps = given.args
    else:
        _x, weight, bias, mean, var, training, _momentum, eps, *_ = args
    return mean, var, weight, bias, training, eps


def _flowing(value: object) -> Iterator[Tensor]:
    """The tensors in `value` that relevance could flow through."""
    if isinstance(value, tuple | list):
        for item in value:
            yield from _flowing(item)
    elif isinstance(value, dict):
        yield from _flowing(list(value.values()))
    elif isinstance(value, Tensor) and value.requires_grad:
        yield value


def _flows(value: object) -> bool:
    return any(True for _ in _flowing(value))


def _mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """`value` with every tensor that relevance could flow through changed."""
    if isinstance(value, tuple | list):
        items = [_mapped(item, change) for item in value]
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, dict):
        return {key: _mapped(item, change) for key, item in value.items()}
    return change(value) if isinstance(value, Tensor) and value.requires_grad else value


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


def _scaled(
    x: Tensor, func: Callable[[Tensor], Tensor], factor: Callable[[Tensor, Tensor], Tensor], in_place: bool
) -> Tensor:
    """func(x), elementwise, in place or not; c goes back times factor(x, func(x))."""
    held = x.detach()
    before = held.clone() if in_place else held
    value = func(held)
    ratio = factor(before, value)
    return recast(None if value is held else value, [(x, ratio)])


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
    return centred(x, value, factors, grouped, n_dims)
