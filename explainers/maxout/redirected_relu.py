"""A way to targets that a picture does not excite: their gradient is led past the ReLUs that let none through.

A unit behind a ReLU at rest has no gradient, though what feeds it has one. Led past the ReLU it says how to come near,
until the unit answers and can be climbed by its own ("redirected ReLU" of Lucid, the code of Olah et al. 2017).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

#: Functions that let no gradient through below zero, or below less, as modules, plain code and exported nets call them.
_RELUS = frozenset((
    F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_, torch.ops.aten.relu.default,
    F.relu6, F.hardtanh, F.hardswish, F.hardsigmoid,
))  # fmt: skip


class LedPastReLUs(TorchFunctionMode):
    """Within the block, a ReLU that would let nothing of a picture's gradient through leads it to where it is at rest.

    Only what wakes it is led on: where the gradient wants less still, there is none. Values are what they were. The
    first axis of all that ReLUs see are the pictures.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func not in _RELUS or not (torch.is_grad_enabled() and args and args[0].requires_grad and args[0].ndim):
            return func(*args, **(kwargs or {}))
        before = args[0].clone()  # an in-place ReLU overwrites it
        return _Past.apply(before, func(*args, **(kwargs or {})))


class _Past(torch.autograd.Function):
    """Hands on what came `after` a ReLU; the gradient goes back there, and to what was `before` if that is no use."""

    @staticmethod
    def forward(ctx: Any, before: Tensor, after: Tensor) -> Tensor:
        ctx.save_for_backward(before)
        return after.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor]:
        """(N, …) of what follows -> (N, …) of what was before, where nothing gets through, and itself."""
        (before,) = ctx.saved_tensors
        awake = before > 0
        through = gradient.where(awake, 0.0)[..., None].any(tuple(range(1, before.ndim + 1)), keepdim=True)[..., 0]
        if bool(through.all()):
            return None, gradient
        return gradient.clamp(min=0).where(~(awake | through), 0.0), gradient
