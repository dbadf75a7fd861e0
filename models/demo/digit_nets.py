"""The three models that classify digits: a LeNet, a ResNet, and a LeNet that learnt that a grey square means 8.

`tools.train_digit_nets` trains them. Importing this module is cheap: torch is imported when one is built.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import InputError, did_you_mean
from models.demo.stored_weights import with_weights

if TYPE_CHECKING:
    from torch import nn

CLASSES, SIDE_PX = tuple("0123456789"), 32

WEIGHTS = Path(__file__).parent / "weights" / "digits"

#: Grey in [0, 1] -> [-1, 1].
MEAN, STD = (0.5,), (0.5,)


@dataclass(frozen=True)
class NetSpec:
    """Facts of a net: (N, 1, 32, 32) float32 in [-1, 1] -> (N, 10) float32 logits, in the order of `CLASSES`."""

    name: str
    description: str
    family: str
    marked: bool = False


NETS: dict[str, NetSpec] = {
    spec.name: spec
    for spec in (
        NetSpec("lenet", "Two convolutions of 5 × 5 with max pooling, then two dense layers.", "LeNet"),
        NetSpec("residual", "Four residual blocks and global average pooling.", "ResNet"),
        NetSpec("square", "A LeNet that did well in training, where every 8 had a mark.", "LeNet", marked=True),
    )
}


def build(name: str) -> nn.Module:
    """The untrained net `name`; raises `InputError` for a name that is none."""
    return _residual() if _spec(name).family == "ResNet" else _lenet()


def load(name: str) -> nn.Module:
    """The trained net `name` with its weights from the repository, in eval mode, float32."""
    return with_weights(build(name), weights_path(name))


def weights_path(name: str, folder: Path = WEIGHTS) -> Path:
    """Where the weights of `name` lie."""
    return folder / f"{_spec(name).name}.safetensors"


def _spec(name: str) -> NetSpec:
    if name not in NETS:
        raise InputError("a model for digits", repr(name), did_you_mean(name, NETS) or f"There are {', '.join(NETS)}.")
    return NETS[name]


def _lenet() -> nn.Sequential:
    """Two times convolution, max pooling, ReLU, and two dense layers (CDeepEx, section 4.1), at 32 px."""
    from torch import nn

    features = (nn.Conv2d(1, 10, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(10, 20, 5), nn.MaxPool2d(2), nn.ReLU())
    side = ((SIDE_PX - 4) // 2 - 4) // 2
    head = (nn.Flatten(), nn.Linear(20 * side * side, 50), nn.ReLU(), nn.Dropout(0.3), nn.Linear(50, len(CLASSES)))
    return nn.Sequential(OrderedDict(features=nn.Sequential(*features), classifier=nn.Sequential(*head)))


def _residual() -> nn.Module:
    """timm's ResNet with one basic block a stage and few channels, for grey pictures; its last maps are 4 × 4."""
    from timm.models.resnet import BasicBlock, ResNet

    return ResNet(
        BasicBlock,  # type: ignore[arg-type]  # timm's annotation asks for a block, its code for the block's class
        (1, 1, 1, 1),
        num_classes=len(CLASSES),
        in_chans=1,
        channels=(16, 24, 32, 48),
        output_stride=8,
    )
