"""Redirected ReLU (Lucid, the code of Olah et al. 2017): a gradient for targets that an image does not activate.

A unit whose ReLU is off has no gradient, though what feeds it has one. Led past the ReLU, the gradient says how to come
near, until the unit is activated and can be climbed by its own gradient.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor

from explainers.engines.interception import FunctionCall, Interception
from explainers.engines.relu import RELUS, ceiling


class RedirectedReLU(Interception):
    """Inside the block, a ReLU that would let nothing of an image's gradient through hands it on where it is off.

    Only what would switch it on is handed on: where the gradient wants less still, there is none. Values are what they
    were. The first axis of all that ReLUs see are the images.
    """

    def _redirect(self, call: FunctionCall) -> Any:
        if call.name == "clamp" and ceiling(call) is None:
            return NotImplemented
        x = call.args[0]
        if not (torch.is_grad_enabled() and isinstance(x, Tensor) and x.requires_grad and x.ndim):
            return NotImplemented
        before = x.clone()  # an in-place ReLU overwrites it
        return _Redirected.apply(before, call.run())

    #: ReLUs, and other functions that let no gradient through below zero, or below less.
    rules: ClassVar = dict.fromkeys((*RELUS, "hardsigmoid", "hardswish"), _redirect)


class _Redirected(torch.autograd.Function):
    """Hands on the value `after` a ReLU; the gradient goes back there, and to what was `before` if that is no use."""

    @staticmethod
    def forward(ctx: Any, before: Tensor, after: Tensor) -> Tensor:
        ctx.save_for_backward(before)
        return after.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor]:
        """(N, …) of what follows -> (N, …) of what was before, where nothing gets through, and itself."""
        (gradient,), (before,) = gradients, ctx.saved_tensors
        on = before > 0
        through = gradient.where(on, 0.0)[..., None].any(tuple(range(1, before.ndim + 1)), keepdim=True)[..., 0]
        if bool(through.all()):
            return None, gradient
        return gradient.clamp(min=0).where(~(on | through), 0.0), gradient
