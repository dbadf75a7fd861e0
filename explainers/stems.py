"""The gradient at a picture through a strided first convolution, several times cheaper than the library's own.

The gradient at the input of a convolution of stride s is a transposed convolution, which CPU kernels do badly for the
three channels of a picture: in a ResNet it took more than a third of a step. The same numbers come from a plain
convolution of stride one to 3 s² channels whose pixels are then interleaved (Shi et al. 2016, eq. 4).
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
    """A square convolution of `stride` with its kernel as `kernel_of` has it, and what it pads on each side."""

    kernel: Tensor
    stride: int
    padding: int


def stems_of(module: nn.Module) -> dict[nn.Module, Stem]:
    """Those convolutions of a model that see few channels and stride; none whose weights want a gradient."""
    return {
        child: Stem(kernel_of(child.weight, child.stride[0]), child.stride[0], int(child.padding[0]))
        for child in module.modules()
        if type(child) is nn.Conv2d and _fits(child)
    }


def _fits(conv: nn.Conv2d) -> bool:
    square = all(len(set(pair)) == 1 for pair in (conv.kernel_size, conv.stride, conv.padding))
    plain = conv.groups == 1 and conv.dilation == (1, 1) and conv.padding_mode == "zeros"
    frozen = not conv.weight.requires_grad and (conv.bias is None or not conv.bias.requires_grad)
    strided = conv.stride[0] > 1 and not isinstance(conv.padding, str)
    return square and plain and frozen and strided and conv.in_channels <= _CHANNELS


def kernel_of(weight: Tensor, stride: int) -> Tensor:
    """Weights (o, c, k, k) of a convolution of stride s -> (c s², o, t, t), t = ⌈k / s⌉, of that which leads back."""
    n_out, n_in, side, _ = weight.shape
    taps = -(-side // stride)
    whole = F.pad(weight, (0, taps * stride - side) * 2).view(n_out, n_in, taps, stride, taps, stride)
    kernel = whole.permute(1, 3, 5, 0, 2, 4).flip(4, 5).reshape(n_in * stride**2, n_out, taps, taps)
    return kernel.contiguous(memory_format=torch.channels_last)


@contextmanager
def cheap_gradients(stems: Mapping[nn.Module, Stem]) -> Iterator[None]:
    """Within the block, gradients go through `stems` the cheap way; their outputs are what they were."""
    given: dict[nn.Module, Tensor] = {}

    def before(conv: nn.Module, inputs: tuple[Any, ...]) -> tuple[Tensor] | None:
        if not (torch.is_grad_enabled() and len(inputs) == 1 and inputs[0].requires_grad):
            return None
        given[conv] = inputs[0]
        return (inputs[0].detach(),)

    def after(conv: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        seen = given.pop(conv, None)
        return output if seen is None else _Through.apply(seen, output, stems[conv])

    with ExitStack() as stack:
        for conv in stems:
            stack.callback(conv.register_forward_pre_hook(before).remove)
            stack.callback(conv.register_forward_hook(after).remove)
        yield


class _Through(torch.autograd.Function):
    """Hands a stem's output on, and the gradient back to its input."""

    @staticmethod
    def forward(ctx: Any, seen: Tensor, output: Tensor, stem: Stem) -> Tensor:
        ctx.stem, ctx.size = stem, seen.shape[2:]
        ctx.mark_dirty(output)  # so that an in-place ReLU may follow
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        """(N, o, i, j) -> (N, c, h, w): what lies beyond the last whole stride gets none."""
        stem, (height, width) = ctx.stem, ctx.size
        apart = F.conv2d(gradient, stem.kernel, padding=stem.kernel.shape[2] - 1)
        padded = F.pixel_shuffle(apart, stem.stride)[..., stem.padding :, stem.padding :][..., :height, :width]
        return F.pad(padded, (0, width - padded.shape[3], 0, height - padded.shape[2])), None, None
