"""What layer-wise relevance propagation needs beside zennit's rules for layers.

zennit puts a rule on every module. Relevance gets lost, or counted twice, where a net works without modules: a skip
connection that adds, a mean over space. zennit's canonizers rewrite the blocks of a few torchvision nets for that.
Here the same rules are put on the functions themselves, so that any net of known operations works, whoever wrote it;
and a net with an operation that has no rule is refused instead of explained wrongly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from zennit.canonizers import Canonizer, NamedMergeBatchNorm
from zennit.core import stabilize
from zennit.types import BatchNorm, Linear

from bank.errors import InputError
from explainers.rectifiers import called, ceiling

#: Operations that move values or choose among them: their gradient already is the rule.
_ROUTING = frozenset((
    "__getitem__", "adaptive_max_pool2d", "alpha_dropout", "cat", "chunk", "clone", "concat", "concatenate",
    "contiguous", "detach", "dropout", "dropout2d", "expand", "feature_dropout", "flatten", "flip", "float",
    "getitem", "identity", "max_pool2d", "movedim", "narrow", "pad", "permute", "pixel_shuffle", "pixel_unshuffle",
    "requires_grad", "reshape", "select", "slice", "split", "squeeze", "stack", "swapaxes", "to", "transpose",
    "unbind", "unflatten", "unsqueeze", "view", "view_as",
))  # fmt: skip

#: Elementwise operations that hand relevance through; batch norms are merged before where they can be.
_PASSING = frozenset({"batch_norm", "leaky_relu"})

#: Operations linear in what flows through them: every part gets relevance by its share of the outcome.
_SHARING: dict[str, Callable[..., Tensor]] = {
    "add": torch.add,
    "sub": torch.sub,
    "mean": torch.mean,
    "sum": torch.sum,
    "avg_pool2d": nn.functional.avg_pool2d,
    "adaptive_avg_pool2d": nn.functional.adaptive_avg_pool2d,
    "interpolate": nn.functional.interpolate,
}
_SCALING: dict[str, Callable[..., Tensor]] = {"mul": torch.mul, "div": torch.div}

#: Layers with weights; each must belong to a module that zennit has put a rule on.
_WEIGHTED = frozenset({"conv1d", "conv2d", "conv3d", "linear"})


class _Pass(torch.autograd.Function):
    """Any elementwise function, with a backward that hands relevance through unchanged."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, func: Callable[[Tensor], Tensor]) -> Tensor:
        output = func(x)
        if output is x:
            ctx.mark_dirty(x)
        return output

    @staticmethod
    def backward(ctx: Any, *relevance: Tensor) -> tuple[Tensor, None]:
        return relevance[0], None


class _Share(torch.autograd.Function):
    """A function linear in its parts x_i: R_i = x_i · d/dx_i (z · R / z), z the outcome (zennit's `Norm` rule)."""

    @staticmethod
    def forward(ctx: Any, func: Callable[..., Tensor], in_place: bool, *parts: Tensor) -> Tensor:
        ctx.func = func
        ctx.save_for_backward(*(part.clone() if in_place else part for part in parts))
        output = func(*parts)
        if not in_place:
            return output
        ctx.mark_dirty(parts[0])
        return parts[0].copy_(output)

    @staticmethod
    def backward(ctx: Any, *relevance: Tensor) -> tuple[Tensor | None, ...]:
        parts = [part.detach().requires_grad_() for part in ctx.saved_tensors]
        with torch.enable_grad():
            output = ctx.func(*parts)
        gradients = torch.autograd.grad(output, parts, relevance[0] / stabilize(output.detach()))
        return None, None, *(part.detach() * gradient for part, gradient in zip(parts, gradients, strict=True))


class RelevanceRules(TorchFunctionMode):
    """Inside the block, what runs in this thread outside zennit's modules conserves relevance as well.

    Sums, means and pools share relevance out, activations hand it through. Raises `InputError` at an operation that
    has no rule: a product of activations, an attention, a normalisation by the data's own statistics.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self._weights = {id(child.weight) for child in module.modules() if isinstance(child, Linear)}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        flowing = [i for i, arg in enumerate(args) if isinstance(arg, Tensor) and arg.requires_grad]
        in_place = called(func).endswith("_") and not called(func).endswith("__")
        name = called(func)[:-1] if in_place else called(func)
        if flowing == [0] and (name in _PASSING or ceiling(func, args, kwargs) is not None):
            return _Pass.apply(args[0], lambda x: func(x, *args[1:], **kwargs))
        linear = _SHARING.get(name) if flowing else None
        if len(flowing) == 1 and name in _SCALING and not (name == "div" and flowing == [1]):
            linear = _SCALING[name]
        if linear is not None and not any(_flows(value) for value in kwargs.values()):

            def share(*parts: Tensor) -> Tensor:
                filled = list(args)
                for i, part in zip(flowing, parts, strict=True):
                    filled[i] = part
                return linear(*filled, **kwargs)

            return _Share.apply(share, in_place, *(args[i] for i in flowing))
        output = func(*args, **kwargs)
        if name in _ROUTING or not _flows(output) or (name in _WEIGHTED and id(args[1]) in self._weights):
            return output
        cure = "Take integrated gradients or occlusion, which suit any net."
        raise InputError("operations with a rule for relevance", f"{name}, which has none", cure)


def _flows(value: object) -> bool:
    """Whether relevance goes through `value`: a tensor in the graph, or several."""
    if isinstance(value, tuple | list):
        return any(_flows(item) for item in value)
    return isinstance(value, Tensor) and value.requires_grad


def batch_norm_merger(module: nn.Module, probe: Tensor) -> Canonizer:
    """zennit's canonizer that folds every batch norm into the layer whose output it takes; undone on removal.

    The pairs are found by a forward pass of `probe` (1, C, H, W), by what the data does rather than by how the modules
    are listed, which also serves timm's batch norms with a built-in activation. Raises `InputError` for a net that
    runs a layer twice: zennit remembers one input for each.
    """
    names = {child: name for name, child in module.named_modules()}
    runs: Counter[nn.Module] = Counter()
    outputs: dict[nn.Module, Tensor] = {}
    pairs: list[tuple[list[str], str]] = []

    def keep(layer: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        runs[layer] += 1
        outputs[layer] = output

    def pair(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        runs[norm] += 1
        layer = next((layer for layer, output in outputs.items() if output is inputs[0]), None)
        if layer is not None and norm.weight is not None and norm.running_mean is not None:
            pairs.append(([names[layer]], names[norm]))

    handles = [child.register_forward_hook(keep) for child in names if isinstance(child, Linear)]
    handles += [child.register_forward_pre_hook(pair) for child in names if isinstance(child, BatchNorm)]
    try:
        with torch.no_grad():
            module(probe)
    finally:
        for handle in handles:
            handle.remove()
    for child, n_runs in runs.items():
        if n_runs > 1:
            cure = "Take integrated gradients or occlusion, which suit any net."
            raise InputError("a net that runs each layer once", f"{names[child]!r} running {n_runs} times", cure)
    return NamedMergeBatchNorm(pairs)
