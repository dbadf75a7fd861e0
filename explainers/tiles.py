"""Convolutions whose windows tile the picture, as a transformer's patch embedding: a linear layer on each tile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

#: Channels of a picture, at most; for feature maps torch's own convolution is as fast.
_FEW_CHANNELS = 4


class TiledConvolutions(TorchFunctionMode):
    """Within the block, convolutions that tile a picture run as matrix products on a CPU; equal but for rounding.

    There, the backward pass of a strided convolution takes three times as long as that of the product: of a gradient
    through ViT-tiny 5 %.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """Hand on everything else."""
        return (_tiled if func is F.conv2d else func)(*args, **(kwargs or {}))


def _tiled(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """`torch.nn.functional.conv2d`, with its names: input (N, C, H, W), weight (K, C, h, w) -> (N, K, H / h, W / w)."""
    height, width = weight.shape[2:]
    tiles = (
        weight.device.type == "cpu"
        and input.ndim == 4
        and input.shape[1] <= _FEW_CHANNELS
        and min(height, width) > 1
        and stride in ((height, width), [height, width], height if height == width else None)
        and padding in (0, (0, 0), [0, 0], "valid")
        and groups == 1
        and dilation in (1, (1, 1), [1, 1])
        and input.shape[2] % height == input.shape[3] % width == 0
    )
    if not tiles:
        return F.conv2d(input, weight, bias, stride, padding, dilation, groups)
    rows = input.permute(0, 2, 3, 1).unflatten(2, (-1, width)).unflatten(1, (-1, height)).transpose(2, 3)
    return F.linear(rows.flatten(3), weight.permute(0, 2, 3, 1).flatten(1), bias).permute(0, 3, 1, 2)
