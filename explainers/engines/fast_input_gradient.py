"""The gradient at a model's input, through layers whose weights want none, faster than PyTorch's own backward pass.

Two kinds of layer gain by it. The gradient at the input of a convolution is a transposed convolution, which CPU kernels
do badly for the three channels of a picture: in a ResNet it took more than a third of a step. The same numbers come
from a plain convolution that works out blocks of b × b pixels as 3 b² channels, which are then interleaved (Shi et al.
2016, eq. 4). And a BatchNorm in evaluation mode only scales each channel, where PyTorch's backward pass reads the
layer's input once more, which it keeps for that, and works out sums for the weights.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from explainers.engines.interception import FunctionCall, Interception, batch_norm_arguments

#: A convolution of more channels than pictures have is no first layer, and PyTorch's kernels do well there.
_CHANNELS = 4


class FastInputGradient(Interception):
    """Inside the block, the layers that gain by it get the faster backward pass; all outputs are what they were.

    They are 2-D convolutions that see few channels, as pictures have, and batch norms by running statistics, both of
    weights that require no gradient.
    """

    def _convolution(self, call: FunctionCall) -> Any:
        """Square kernels without groups or dilation, padded by zeros."""
        weight, bias = call.argument(1, "weight"), call.argument(2, "bias")
        if not _wants_input_gradient(call, weight, bias) or weight.ndim != 4 or weight.shape[1] > _CHANNELS:
            return NotImplemented
        stride, padding, dilation = (
            _pair(call.argument(place, name, default))
            for place, name, default in ((3, "stride", 1), (4, "padding", 0), (5, "dilation", 1))
        )
        square = all(pair is not None and pair[0] == pair[1] for pair in (weight.shape[2:], stride, padding, dilation))
        if not square or dilation[0] != 1 or call.argument(6, "groups", 1) != 1 or call.args[0].ndim != 4:
            return NotImplemented
        height, width = call.args[0].shape[2:]

        def back(gradient: Tensor) -> Tensor:
            return convolution_input_gradient(gradient, weight, stride[0], padding[0], (height, width))

        return _with_backward(call, back)

    def _batch_norm(self, call: FunctionCall) -> Any:
        """y = x · scale + shift for each channel."""
        _x, mean, var, weight, bias, training, _momentum, eps = batch_norm_arguments(call)
        if training or var is None or not _wants_input_gradient(call, weight, bias, mean, var):
            return NotImplemented
        scale = (var + eps).rsqrt() if weight is None else (var + eps).rsqrt() * weight
        return _with_backward(call, lambda gradient: gradient * scale.view(-1, *[1] * (gradient.ndim - 2)))

    rules: ClassVar = {"conv2d": _convolution, "batch_norm": _batch_norm}


def convolution_input_gradient(
    gradient: Tensor, weight: Tensor, stride: int, padding: int, size: tuple[int, int]
) -> Tensor:
    """Gradient (N, o, i, j) at a convolution's output -> (N, c, *size) at its input.

    `weight` (o, c, k, k). Blocks of at least two pixels: one by one they are no faster than PyTorch's own. What lies
    beyond the last whole stride gets zero.
    """
    height, width = size
    step = 2 if stride == 1 else 1  # a block of pixels is so many strides wide
    kernel = _block_kernel(weight, stride, step)
    blocks = F.conv2d(gradient, kernel, stride=step, padding=kernel.shape[2] - 1)
    start = stride * (step - 1) + padding
    pixels = F.pixel_shuffle(blocks, stride * step)[..., start:, start:][..., :height, :width]
    return F.pad(pixels, (0, width - pixels.shape[3], 0, height - pixels.shape[2]))


#: Kernels made so far, by the weights they were made of: each model's are made once.
_kernels = WeakTensorKeyDictionary()


def _block_kernel(weight: Tensor, stride: int, step: int) -> Tensor:
    """Weights (o, c, k, k) of a convolution of stride s -> (c b², o, t, t) of that which leads back to blocks of b².

    b = s · step and t = ⌈k / s⌉ + step - 1.
    """
    made_of = weight._version, weight.data_ptr(), weight.dtype, stride  # other weights, another kernel
    known, kernel = _kernels.get(weight, (None, None))
    if known != made_of:
        kernel = _new_block_kernel(weight, stride, step)
        _kernels[weight] = made_of, kernel
    return kernel


def _new_block_kernel(weight: Tensor, stride: int, step: int) -> Tensor:
    side, block = weight.shape[2], stride * step
    taps = -(-side // stride) + step - 1
    whole = F.pad(weight, (block - stride, stride * taps - side) * 2)
    reached = whole.unfold(2, block, stride).unfold(3, block, stride)  # (o, c, t, t, b, b)
    kernel = reached.permute(1, 4, 5, 0, 2, 3).flip(4, 5).flatten(0, 2)
    return kernel.contiguous(memory_format=torch.channels_last)


def _pair(value: Any) -> Any:
    """One number for both axes as two of it; `None` for a padding in words."""
    if isinstance(value, str):
        return None
    return (value, value) if isinstance(value, int) else (value[0], value[-1])


def _wants_input_gradient(call: FunctionCall, *constants: Tensor | None) -> bool:
    """Whether a gradient is wanted at the first argument, and at none of `constants`."""
    x = call.args[0]
    wanted = torch.is_grad_enabled() and x.requires_grad
    return wanted and not any(constant is not None and constant.requires_grad for constant in constants)


def _with_backward(call: FunctionCall, back: Callable[[Tensor], Tensor]) -> Tensor:
    """The output of `call`, with `back` in place of its backward pass to its first argument."""
    x = call.args[0]
    return _Backward.apply(x, call.applied_to(x.detach()), back)


class _Backward(torch.autograd.Function):
    """Hands `output` on, and `back` of its gradient to `x`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, output: Tensor, back: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.back = back
        ctx.mark_dirty(output)  # so that an in-place ReLU may follow
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return ctx.back(gradients[0]), None, None
