"""Checkpoints whose entries have an architecture's older names, or those of the repository that it came from."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping

from torch import Tensor, nn

#: Names in torchvision's own files that its models have given up since: DenseNets, vision transformers.
_OLD_NAMES = (
    (re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12])\."), r"\1\2."),
    (re.compile(r"(encoder_layer_\d+\.mlp)\.linear_1\."), r"\1.0."),
    (re.compile(r"(encoder_layer_\d+\.mlp)\.linear_2\."), r"\1.3."),
)


def modern(entries: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The entries with today's names."""
    renamed = {}
    for key, value in entries.items():
        for old, new in _OLD_NAMES:
            key = old.sub(new, key)
        renamed[key] = value
    return renamed


def converted(weights: dict[str, Tensor], plain: nn.Module) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Weights of the repository that an architecture of timm came from, in timm's names, and a note.

    timm converts them itself for what it publishes. `plain` is the architecture. Weights that timm does not know, or
    that have its names, stay as they are.
    """
    own = plain.state_dict()
    convert = getattr(sys.modules[type(plain).__module__], "checkpoint_filter_fn", None)
    n_named = len(own.keys() & weights.keys())
    if convert is None or n_named > len(own) // 2:
        return weights, ()
    try:
        found = dict(convert(dict(weights), plain))
    except (KeyError, IndexError, AttributeError, TypeError, ValueError, RuntimeError):  # it expects other weights
        return weights, ()
    if len(own.keys() & found.keys()) <= n_named:
        return weights, ()
    return found, ("Its entries had the names of another repository; timm converted them.",)
