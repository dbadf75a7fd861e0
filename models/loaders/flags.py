"""Choices of a constructor that no state dict holds: which of them the weights imply, and what is said of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor

#: torchvision's architectures that may rescale their input themselves: first convolution and its BatchNorm, what the
#: auxiliary heads' entries begin with.
_RESCALING = {
    "torchvision/googlenet": ("conv1.conv", "conv1.bn", "aux1."),
    "torchvision/inception_v3": ("Conv2d_1a_3x3.conv", "Conv2d_1a_3x3.bn", "AuxLogits."),
}

#: Mean of natural images normalised by ImageNet's mean and std, once it is rescaled to mean 0.5 and std 0.5.
_RESCALED_MEAN = ((0.485 - 0.5) / 0.5, (0.456 - 0.5) / 0.5, (0.406 - 0.5) / 0.5)

#: Heads that train a network and are not asked for its answer.
AUXILIARY = ("aux1.", "aux2.", "AuxLogits.", "aux_classifier.")

#: Families of timm that have come from TensorFlow, too, and take `pad_type`.
_PADS_AS_TOLD = (
    "mobilenetv",
    "efficientnet",
    "mnasnet",
    "mixnet",
    "fbnet",
    "spnasnet",
    "semnasnet",
    "tinynet",
    "lcnet",
)

_IMAGENET = 1000


def implied(architecture: str, weights: Mapping[str, Tensor], n_classes: int) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Flags of `architecture` that `weights` imply, by name, and a note on each that is a guess."""
    if architecture not in _RESCALING:
        return {}, ()
    convolution, norm, auxiliary = _RESCALING[architecture]
    rescales, why = _rescales(weights, convolution, norm, n_classes)
    flags = {"aux_logits": any(key.startswith(auxiliary) for key in weights)}
    if rescales:  # the constructors do not, unless told
        flags["transform_input"] = True
    return flags, (f"transform_input={str(rescales).lower()} assumed: {why}.",)


def _rescales(weights: Mapping[str, Tensor], convolution: str, norm: str, n_classes: int) -> tuple[bool, str]:
    """Whether the network rescaled its input in training, and why it seems so.

    torchvision's ImageNet weights did. Of others the first BatchNorm tells: what it met on average is its convolution
    of the input's mean, which is 0 for ImageNet's normalisation, and `_RESCALED_MEAN` behind the rescaling.
    """
    if n_classes == _IMAGENET:
        return True, "with 1000 outputs, as torchvision's own weights have it"
    met = weights.get(f"{norm}.running_mean", torch.zeros(0)).float()
    if not met.any():
        return False, "the constructor's default, for weights that were never trained"
    kernel = weights[f"{convolution}.weight"].float().sum((2, 3))
    if kernel.shape[1] == len(_RESCALED_MEAN):
        expected = kernel @ torch.tensor(_RESCALED_MEAN)
        share = float(met @ expected / expected.square().sum())
        rest = float((met - share * expected).norm() / expected.norm())
        if rest < 0.5 and min(abs(share), abs(share - 1)) < 0.3:
            return share > 0.5, "the first BatchNorm's mean fits that"
    return True, "as in networks that go on from torchvision's own weights"


def twins(architecture: str, known: Collection[str]) -> tuple[str, ...]:
    """A note on what takes the very same weights, of the architectures `known`, and computes something else."""
    plain = architecture.partition(".")[0]
    library, _, name = plain.rpartition("/")
    pairs = {
        name.removeprefix("tf_"): "TensorFlow's padding and BatchNorm",
        f"tf_{name}": "PyTorch's padding and BatchNorm",
        name.replace("_clip_", "_clip_quickgelu_"): "GELU",
        name.replace("_clip_quickgelu_", "_clip_"): "QuickGELU",
    }
    notes = tuple(
        f"Computes with {what}, which no checkpoint tells; {library}/{twin} takes the same weights and does not."
        for twin, what in pairs.items()
        if twin != name and f"{library}/{twin}" in known
    )
    if not notes and library != "torchvision" and name.startswith(_PADS_AS_TOLD):
        return ("Pads as PyTorch does, which no checkpoint tells; weights from TensorFlow need pad_type=same.",)
    return notes
