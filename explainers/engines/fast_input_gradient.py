"""The gradient at a picture through layers whose weights want none, cheaper than the library's own.

Two kinds of layer gain by it. The gradient at the input of a convolution is a transposed convolution, which CPU kernels
do badly for the three channels of a picture: in a ResNet it took more than a third of a step. The same numbers come
from a plain convolution that works out blocks of b × b pixels as 3 b² channels, which are then interleaved (Shi et al.
2016, eq. 4). And a BatchNorm in evaluation mode only scales each channel, where the library's way back reads the
layer's input once more, which it keeps for that, and works out sums for the weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: More channels than pictures have are no first layer, and the library's kernels do well there.
_CHANNELS = 4


class Stem(NamedTuple):
    """A square convolution of `stride` that pads so much on each side, with its kernel as `kernel_of` has it.

    A block of pixels is `step` strides wide.
    """

    kernel: Tensor
    stride: int
    padding: int
    step: int

    @classmethod
    def of(cls, conv: nn.Conv2d) -> Stem:
        """With blocks of at least two pixels: one by one they are no better off than with the library."""
        stride = conv.stride[0]
        step = 2 if stride == 1 else 1
        return cls(kernel_of(conv.weight, stride, step), stride, int(conv.padding[0]), step)

    def back(self, gradient: Tensor, size: torch.Size) -> Tensor:
        """(N, o, i, j) -> (N, c, *size): what lies beyond the last whole stride gets none."""
        height, width = size
        blocks = F.conv2d(gradient, self.kernel, stride=self.step, padding=self.kernel.shape[2] - 1)
        start = self.stride * (self.step - 1) + self.padding
        pixels = F.pixel_shuffle(blocks, self.stride * self.step)[..., start:, start:][..., :height, :width]
        return F.pad(pixels, (0, width - pixels.shape[3], 0, height - pixels.shape[2]))


class Norm(NamedTuple):
    """A BatchNorm by running statistics: y = x · scale + shift for each channel."""

    scale: Tensor

    def back(self, gradient: Tensor, size: torch.Size) -> Tensor:
        """(N, c, *size) -> the same."""
        return gradient * self.scale.view(-1, *[1] * len(size))


def frozen_layers(module: nn.Module) -> dict[nn.Module, Stem | Norm]:
    """Those layers of a model that have a cheaper way back; none whose weights want a gradient.

    They are convolutions that see few channels, as pictures have, and BatchNorms in evaluation mode.
    """
    found: dict[nn.Module, Stem | Norm] = {}
    for child in module.modules():
        if any(weight.requires_grad for weight in child.parameters(recurse=False)):
            continue
        if type(child) is nn.Conv2d and _fits(child):
            found[child] = Stem.of(child)
        elif type(child) is nn.BatchNorm2d and not child.training and child.running_var is not None:
            scale = (child.running_var + child.eps).rsqrt()
            found[child] = Norm(scale if child.weight is None else scale * child.weight)
    return found


def _fits(conv: nn.Conv2d) -> bool:
    square = all(len(set(pair)) == 1 for pair in (conv.kernel_size, conv.stride, conv.padding))
    plain = conv.groups == 1 and conv.dilation == (1, 1) and conv.padding_mode == "zeros"
    return square and plain and not isinstance(conv.padding, str) and conv.in_channels <= _CHANNELS


def kernel_of(weight: Tensor, stride: int, step: int) -> Tensor:
    """Weights (o, c, k, k) of a convolution of stride s -> (c b², o, t, t) of that which leads back to blocks of b².

    b = s · step and t = ⌈k / s⌉ + step - 1.
    """
    side, block = weight.shape[2], stride * step
    taps = -(-side // stride) + step - 1
    whole = F.pad(weight, (block - stride, stride * taps - side) * 2)
    reached = whole.unfold(2, block, stride).unfold(3, block, stride)  # (o, c, t, t, b, b)
    kernel = reached.permute(1, 4, 5, 0, 2, 3).flip(4, 5).flatten(0, 2)
    return kernel.contiguous(memory_format=torch.channels_last)


@contextmanager
def cheap_gradients(layers: Mapping[nn.Module, Stem | Norm]) -> Iterator[None]:
    """Within the block, gradients go through `layers` the cheap way; their outputs are what they were."""
    given: dict[nn.Module, Tensor] = {}

    def before(layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Tensor] | None:
        if not (torch.is_grad_enabled() and len(inputs) == 1 and inputs[0].requires_grad):
            return None
        given[layer] = inputs[0]
        return (inputs[0].detach(),)

    def after(layer: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        seen = given.pop(layer, None)
        return output if seen is None else _Through.apply(seen, output, layers[layer])

    with ExitStack() as stack:
        for layer in layers:
            stack.callback(layer.register_forward_pre_hook(before).remove)
            stack.callback(layer.register_forward_hook(after).remove)
        yield


class _Through(torch.autograd.Function):
    """Hands a layer's output on, and the gradient back to its input."""

    @staticmethod
    def forward(ctx: Any, seen: Tensor, output: Tensor, layer: Stem | Norm) -> Tensor:
        ctx.layer, ctx.size = layer, seen.shape[2:]
        ctx.mark_dirty(output)  # so that an in-place ReLU may follow
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        """The gradient at the output -> that at the input."""
        return ctx.layer.back(gradient, ctx.size), None, None
