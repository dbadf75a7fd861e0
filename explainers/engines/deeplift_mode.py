"""DeepLIFT for any model: the run of the picture, with the run of its baseline beside it.

Every torch function that gets a followed tensor is run a second time, on the values that the baseline has there, and
its multiplier takes the place of its derivative (see `deeplift_rules`). One backward pass then gives the multipliers m
of the whole model, and these are complete: sum m · (x - x') = score(x) - score(x').

No axis is taken for the batch. Where the model branches on its data, it branches by the picture's. An operation without
a rule is refused, if the answer depends on it.
"""

import inspect
import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from common.errors import InputError
from explainers.engines.deeplift_rules import (
    DeepLIFTCall,
    elementwise,
    linear,
    mark_of,
    marked,
    max_pool,
    normalised,
    product,
    quotient,
    softmax,
)
from explainers.engines.interception import (
    CONVOLUTIONS,
    DROPOUTS,
    ELEMENTWISE,
    LINEAR,
    PRODUCTS,
    TRANSPOSED,
    FunctionCall,
    Interception,
    tensors_in,
)

#: Of degree two at most in the followed tensors.
_PRODUCTS = PRODUCTS | CONVOLUTIONS | TRANSPOSED | {
    "addbmm", "addmm", "addmv", "dot", "inner", "lerp", "linear", "mv", "outer", "rmatmul",
}  # fmt: skip

#: What they give is the same in both runs, or taken for a constant on purpose.
_CONSTANT = frozenset((
    "data", "detach", "empty_like", "full_like", "new_empty", "new_full", "new_ones", "new_tensor", "new_zeros",
    "ones_like", "rand_like", "randn_like", "zeros_like",
))  # fmt: skip


class DeepLIFTMode(Interception):
    """Inside the block, what is made of `follow`ed tensors hands back multipliers in place of gradients."""

    def follow(self, x: Tensor, value_at_baseline: Tensor) -> None:
        """Begin with a leaf `x` that requires a gradient, and its value in the baseline's run, same shape."""
        marked(x, value_at_baseline)

    def check(self, output: Tensor) -> None:
        """Raise `InputError` when `output` depends on the picture through an operation that has no rule."""
        mark = mark_of(output)
        if not isinstance(mark, Tensor):
            cure = "Take integrated gradients, which suit any net."
            raise InputError("operations with a rule for differences", f"{mark}, which has none", cure)

    def meet(self, call: FunctionCall) -> Any:
        """Run the call in both runs, by its rule; mark what it gives with its name where there is none."""
        marks = [mark for part in call.tensors() if (mark := mark_of(part)) is not None]
        if not marks or call.name in _CONSTANT or not torch.is_grad_enabled():
            return NotImplemented
        unknown = next((mark for mark in marks if isinstance(mark, str)), None)
        rule = _RULES.get(call.name) if unknown is None and call.kwargs.get("out") is None else None
        output = rule(DeepLIFTCall(self, call)) if rule is not None else NotImplemented
        if output is NotImplemented:  # no harm in that, unless the answer comes to depend on it
            output = call.run()
            for part in tensors_in((output, call.args[:1] if call.in_place else ())):
                marked(part, unknown or call.name)
        return output


def _in_evaluation(training: int, default: bool) -> Callable[[DeepLIFTCall], Any]:
    """Linear, unless the argument `training` at this place says that it draws or uses the batch's own statistics."""
    return lambda call: NotImplemented if call.argument(training, "training", default) else linear(call)


def _in_steps(steps: Callable[[DeepLIFTCall], Any]) -> Callable[[DeepLIFTCall], Any]:
    """A rule that writes the operation in other ones, which are followed in turn."""

    def rule(call: DeepLIFTCall) -> Any:
        with call.mode:
            return steps(call)

    return rule


def _scaled(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    x = x if weight is None else x * weight
    return x if bias is None else x + bias


def _layer_norm(call: DeepLIFTCall) -> Tensor:
    x, shape = call.argument(0, "input"), call.argument(1, "normalized_shape")
    x = normalised(x, call, shape, call.argument(4, "eps", 1e-5))
    return _scaled(x, call.argument(2, "weight"), call.argument(3, "bias"))


def _group_norm(call: DeepLIFTCall) -> Tensor:
    x, groups = call.argument(0, "input"), call.argument(1, "num_groups")
    weight, bias = (
        part if part is None else part.view(-1, *(1,) * (x.ndim - 2))
        for part in (call.argument(2, "weight"), call.argument(3, "bias"))
    )
    grouped = x.unflatten(1, (groups, -1))
    grouped = normalised(grouped, call, grouped.shape[2:], call.argument(4, "eps", 1e-5))
    return _scaled(grouped.flatten(1, 2), weight, bias)


def _rms_norm(call: DeepLIFTCall) -> Tensor:
    """x / sqrt(mean of x² + eps)."""
    x, shape, weight, eps = (
        call.argument(i, name) for i, name in enumerate(("input", "normalized_shape", "weight", "eps"))
    )
    eps = torch.finfo(x.dtype).eps if eps is None else eps
    return _scaled(x / (x.square().mean(tuple(range(-len(shape), 0)), keepdim=True) + eps).sqrt(), weight, None)


def _instance_norm(call: DeepLIFTCall) -> Any:
    """A group norm whose groups are single channels; with running statistics, a batch norm."""
    if call.func is not F.instance_norm:
        return NotImplemented
    given = inspect.signature(F.instance_norm).bind(*call.args, **call.kwargs)
    given.apply_defaults()
    it = given.arguments
    x, weight, bias, eps = it["input"], it["weight"], it["bias"], it["eps"]
    if it["use_input_stats"]:
        return F.group_norm(x, x.shape[1], weight, bias, eps)
    return F.batch_norm(x, it["running_mean"], it["running_var"], weight, bias, False, 0.0, eps)


def _largest(call: DeepLIFTCall) -> Tensor:
    """`amax` over any dimensions, as the pooling of all that lies along them."""
    x, dims, keep = call.argument(0, "input"), call.argument(1, "dim", ()), call.argument(2, "keepdim", False)
    dims = (dims,) if isinstance(dims, int) else tuple(dims)
    taken = sorted(dim % x.ndim for dim in dims) or list(range(x.ndim))
    left = [dim for dim in range(x.ndim) if dim not in taken]
    rows = x.permute(*left, *taken).reshape(-1, 1, math.prod(x.shape[dim] for dim in taken))
    found = F.adaptive_max_pool1d(rows, 1)
    return found.reshape([1 if dim in taken else size for dim, size in enumerate(x.shape) if keep or dim in left])


def _smallest(call: DeepLIFTCall) -> Tensor:
    return -torch.amax(-call.args[0], *call.args[1:], **call.kwargs)


def _max(call: DeepLIFTCall, sign: int = 1) -> Any:
    """`max` and `min`: of all values, along one dimension (with the places), or of two tensors."""
    along = call.argument(1, "dim", call.kwargs.get("other"))
    if isinstance(along, Tensor):
        return _larger(call, sign)
    x = call.args[0] if sign > 0 else -call.args[0]
    if along is None:
        return torch.amax(x) if sign > 0 else -torch.amax(x)
    keep = call.argument(2, "keepdim", False)
    found, places = torch.amax(x, along, keep), torch.argmax(x.detach(), along, keep)
    kind = torch.return_types.max if sign > 0 else torch.return_types.min
    return kind((found if sign > 0 else -found, places))


def _larger(call: DeepLIFTCall, sign: int = 1) -> Tensor:
    """max(a, b) = a + relu(b - a), min(a, b) = a - relu(a - b)."""
    a, b = call.args[0], call.argument(1, "other")
    return a + sign * (sign * (b - a)).relu()


def _norm(call: DeepLIFTCall) -> Any:
    """Euclidean length."""
    order, dim = call.argument(1, "p", call.kwargs.get("ord", 2)), call.argument(2, "dim")
    if order not in (2, "fro") or dim is None:
        return NotImplemented
    return call.argument(0, "input").square().sum(dim, keepdim=call.argument(3, "keepdim", False)).sqrt()


def _normalize(call: DeepLIFTCall) -> Any:
    x, p, dim = call.argument(0, "input"), call.argument(1, "p", 2.0), call.argument(2, "dim", 1)
    if p != 2:
        return NotImplemented
    length = x.square().sum(dim, keepdim=True).sqrt()
    return x / length.clamp_min(call.argument(3, "eps", 1e-12))


def _gated(call: DeepLIFTCall) -> Tensor:
    a, gate = call.argument(0, "input").chunk(2, call.argument(1, "dim", -1))
    return a * gate.sigmoid()


def _attention(call: DeepLIFTCall) -> Any:
    """softmax(q k^T · scale + mask) v."""
    query, key, value = (call.argument(i, name) for i, name in enumerate(("query", "key", "value")))
    mask, dropout, causal = (call.argument(*x) for x in ((3, "attn_mask"), (4, "dropout_p"), (5, "is_causal")))
    if dropout or call.kwargs.get("enable_gqa"):
        return NotImplemented
    scale = call.kwargs.get("scale")
    if causal:
        mask = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool, device=query.device).tril()
    weights = _attention_weights(query, key, query.shape[-1] ** -0.5 if scale is None else scale, mask)
    return weights @ value


def _attention_weights(query: Tensor, key: Tensor, scale: float, mask: Tensor | None) -> Tensor:
    scores = (query * scale) @ key.transpose(-2, -1)
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask
    return scores.softmax(-1)


def _multi_head_attention(call: DeepLIFTCall) -> Any:
    """PyTorch's attention layer in one function: (length, N, width), projected, per head, projected back."""
    given = inspect.signature(F.multi_head_attention_forward).bind(*call.args, **call.kwargs)
    given.apply_defaults()
    it = given.arguments
    unusual = ("bias_k", "bias_v", "key_padding_mask", "static_k", "static_v")
    if it["query"].ndim != 3 or it["add_zero_attn"] or any(it[name] is not None for name in unusual):
        return NotImplemented
    if it["training"] and it["dropout_p"]:
        return NotImplemented
    n_heads, mask = it["num_heads"], it["attn_mask"]
    names = ("q_proj_weight", "k_proj_weight", "v_proj_weight")
    weights = [it[name] for name in names] if it["use_separate_proj_weight"] else it["in_proj_weight"].chunk(3)
    biases = (None,) * 3 if it["in_proj_bias"] is None else it["in_proj_bias"].chunk(3)
    parts = (F.linear(it[x], w, b) for x, w, b in zip(("query", "key", "value"), weights, biases, strict=True))
    query, key, value = (x.unflatten(2, (n_heads, -1)).permute(1, 2, 0, 3) for x in parts)  # (N, heads, length, width)
    if mask is not None:  # True hides here, and shows in the other function
        mask = mask if mask.ndim == 2 else mask.unflatten(0, (-1, n_heads))
        mask = ~mask if mask.dtype == torch.bool else mask
    shares = _attention_weights(query, key, query.shape[-1] ** -0.5, mask)
    output = (shares @ value).permute(2, 0, 1, 3).flatten(2)
    output = F.linear(output, it["out_proj_weight"], it["out_proj_bias"])
    if not it["need_weights"]:
        return output, None
    return output, shares.mean(1) if it["average_attn_weights"] else shares


_RULES: dict[str, Callable[[DeepLIFTCall], Any]] = {
    **dict.fromkeys(LINEAR, linear),
    **dict.fromkeys(_PRODUCTS, product),
    **dict.fromkeys(ELEMENTWISE, elementwise),
    **dict.fromkeys(("softmax", "log_softmax"), softmax),
    **dict.fromkeys(("max_pool1d", "max_pool2d", "max_pool3d"), max_pool),
    **dict.fromkeys(("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d"), max_pool),
    "div": quotient,
    "rdiv": _in_steps(lambda call: call.args[0].reciprocal() * call.args[1]),
    **dict.fromkeys(DROPOUTS, _in_evaluation(2, False)),
    **dict.fromkeys(("dropout", "dropout1d", "dropout2d", "dropout3d"), _in_evaluation(2, True)),
    "rrelu": lambda call: NotImplemented if call.argument(3, "training", False) else elementwise(call),
    "batch_norm": _in_evaluation(5, False),
    "instance_norm": _in_steps(_instance_norm),
    "amax": _in_steps(_largest),
    "amin": _in_steps(_smallest),
    "max": _in_steps(_max),
    "min": _in_steps(lambda call: _max(call, -1)),
    "maximum": _in_steps(_larger),
    "minimum": _in_steps(lambda call: _larger(call, -1)),
    "layer_norm": _in_steps(_layer_norm),
    "rms_norm": _in_steps(_rms_norm),
    "group_norm": _in_steps(_group_norm),
    **dict.fromkeys(("norm", "linalg_vector_norm"), _in_steps(_norm)),
    "normalize": _in_steps(_normalize),
    "glu": _in_steps(_gated),
    "scaled_dot_product_attention": _in_steps(_attention),
    "multi_head_attention_forward": _in_steps(_multi_head_attention),
    "iter": _in_steps(lambda call: iter(call.args[0].unbind(0))),
}
