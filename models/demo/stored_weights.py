"""Weights of the nets that come with the repository: stored in half precision, used in float32."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def with_weights(net: nn.Module, path: Path) -> nn.Module:
    """The net with the weights of a safetensors file, in eval mode, float32."""
    from safetensors.torch import load_file

    stored = load_file(path)
    net.load_state_dict({key: value.float() if value.is_floating_point() else value for key, value in stored.items()})
    return net.eval()
