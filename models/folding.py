"""BatchNorm folded into the convolution before it, for work that asks for nothing but a model's answers.

At rest BatchNorm scales and shifts each channel, so that W' = W γ/√(σ² + ε) and b' = (b - μ) γ/√(σ² + ε) + β give its
answer in one pass over memory (Jacob et al. 2018, section 3.2).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_CONVOLUTION = torch.ops.aten.convolution.default

#: timm's BatchNorm that drops out and activates as well, by its name: timm takes a second to import.
_WITH_ACTIVATION = "BatchNormAct2d"


def folded(module: nn.Module, probe: Tensor) -> nn.Module | None:
    """A copy of a model in eval mode that gives equal answers (to float32's rounding), faster; `None` for no gain.

    `probe` (N, C, H, W) float32 as the model is fed, is passed forward once to see who feeds whom. A convolution is
    folded if it runs once, and BatchNorm alone sees what it gives. The layers of the copy give other things than the
    model's own: it is for whole answers, not for hooks.
    """
    pairs = _pairs(module, probe)
    if not pairs:
        return None
    copy = deepcopy(module)
    for convolution, norm in pairs:
        _fold(copy.get_submodule(convolution), copy.get_submodule(norm))
        parent, _, name = norm.rpartition(".")
        setattr(copy.get_submodule(parent), name, _after(copy.get_submodule(norm)))
    return copy


def _fold(convolution: Any, norm: Any) -> None:
    weight, bias = fuse_conv_bn_weights(
        convolution.weight, convolution.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )  # fmt: skip
    convolution.weight = nn.Parameter(weight.contiguous(memory_format=torch.channels_last), requires_grad=False)
    convolution.bias = nn.Parameter(bias, requires_grad=False)


def _after(norm: Any) -> nn.Module:
    """What is left of BatchNorm once it is folded."""
    return nn.Sequential(norm.drop, norm.act) if type(norm).__name__ == _WITH_ACTIVATION else nn.Identity()


def _pairs(module: nn.Module, probe: Tensor) -> list[tuple[str, str]]:
    """Names of convolutions and of the BatchNorm that each can be folded with."""
    convolutions: dict[int, str] = {}
    norms: dict[int, str] = {}
    n_homes = Counter[int]()
    for name, child in module.named_modules(remove_duplicate=False):
        n_homes.update([id(child), *map(id, child.parameters(recurse=False))])
        if type(child) is nn.Conv2d:
            convolutions[id(child.weight)] = name
        elif _is_norm(child) and child.running_mean is not None:
            norms[id(child.running_mean)] = name
    with torch.no_grad(), _Watch() as watch:
        module(probe)
    found = []
    for output, weight in watch.convolved:
        norm = watch.normed.get(id(output))
        convolution, following = convolutions.get(id(weight)), norms.get(id(norm))
        if convolution is None or following is None:
            continue
        used_once = all(watch.n_uses[id(one)] == 1 for one in (output, weight, norm))
        homes = module.get_submodule(convolution), module.get_submodule(following), weight
        if used_once and all(n_homes[id(one)] == 1 for one in homes):
            found.append((convolution, following))
    return found


def _is_norm(module: nn.Module) -> bool:
    return type(module) is nn.BatchNorm2d or type(module).__name__ == _WITH_ACTIVATION


class _Watch(TorchDispatchMode):
    """Takes down what every convolution gives, and who sees it.

    It holds what it has seen, so that no two tensors have the same id.
    """

    def __init__(self) -> None:
        super().__init__()
        self.convolved: list[tuple[Tensor, Tensor]] = []
        self.normed: dict[int, Tensor] = {}
        self.n_uses = Counter[int]()
        self._held: list[Tensor] = []

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
        self.n_uses.update(map(id, given))
        self._held += given
        result = func(*args, **(kwargs or {}))
        if func is _CONVOLUTION and not args[6]:
            self.convolved.append((result, args[1]))
        elif "batch_norm" in func.__name__:
            self.normed[id(args[0])] = args[3]
        return result
