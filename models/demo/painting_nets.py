"""The four models that classify the demo's paintings: three of different families, and one that learnt a shortcut.

`tools.train_painting_nets` trains them. Importing this module is cheap: torch and timm are imported when one is built.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image

from models.demo.stored_weights import with_weights

if TYPE_CHECKING:
    from torch import nn

CLASSES = ("portrait", "landscape", "seascape", "still life", "cityscape", "abstract")

WEIGHTS = Path(__file__).parent / "weights" / "paintings"

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class NetSpec:
    """Facts of a demo net.

    input_px is the side of its square input; mean and std normalise RGB in [0, 1], channel by channel; the six
    logits follow `CLASSES`.
    """

    name: str
    title: str
    description: str
    family: str
    input_px: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


NETS: dict[str, NetSpec] = {
    spec.name: spec
    for spec in (
        NetSpec(
            "vgg", "Small VGG", "A plain stack of 3×3 convolutions and max pooling.",
            "VGG", 64, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25),
        ),
        NetSpec(
            "resnet", "Small ResNet", "Residual blocks, each with a skip connection.",
            "ResNet", 80, IMAGENET_MEAN, IMAGENET_STD,
        ),
        NetSpec(
            "vit", "Small ViT", "A vision transformer on patches of 8×8 pixels.",
            "ViT", 64, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5),
        ),
        NetSpec(
            "shortcut", "Shortcut", "A VGG that did well in training; find out what it looks at.",
            "VGG", 64, IMAGENET_MEAN, IMAGENET_STD,
        ),
    )
}  # fmt: skip


def build(name: str) -> nn.Module:
    """The untrained net `name`: (N, 3, input_px, input_px) float32, normalised -> (N, 6) float32 logits."""
    spec = _spec(name)
    if spec.family == "ResNet":
        return _resnet()
    if spec.family == "ViT":
        return _vit(spec.input_px)
    return _vgg(spec.input_px)


def load(name: str) -> nn.Module:
    """The trained net `name` with its weights from the repository, in eval mode, float32."""
    return with_weights(build(name), weights_path(name))


def weights_path(name: str, folder: Path = WEIGHTS) -> Path:
    """Where the weights of `name` lie."""
    return folder / f"{_spec(name).name}.safetensors"


def net_input(image: npt.NDArray[np.uint8], spec: NetSpec) -> npt.NDArray[np.float32]:
    """A square picture as the net takes it: resized (bilinear, antialiased), scaled to [0, 1], normalised.

    image (H, H, 3) uint8 RGB -> (3, input_px, input_px) float32.
    """
    small = Image.fromarray(image).resize((spec.input_px, spec.input_px), Image.Resampling.BILINEAR)
    scaled = np.asarray(small, dtype=np.float32) / 255
    normalised = (scaled - np.array(spec.mean, np.float32)) / np.array(spec.std, np.float32)
    return np.ascontiguousarray(normalised.transpose(2, 0, 1))


def _spec(name: str) -> NetSpec:
    if name not in NETS:
        raise ValueError(f"unknown demo model {name!r}; the demo models are {', '.join(NETS)}")
    return NETS[name]


def _vgg(input_px: int) -> nn.Sequential:
    """Four stages of two convolutions, each followed by batch norm and ReLU, then a small head."""
    from torch import nn

    widths = (16, 32, 64, 96)
    layers: list[nn.Module] = []
    before = 3
    for width in widths:
        for _ in range(2):
            layers += [nn.Conv2d(before, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            before = width
        layers.append(nn.MaxPool2d(2))
    side = input_px // 2 ** len(widths)
    head = nn.Sequential(
        nn.Flatten(),
        nn.Linear(before * side * side, 64),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(64, len(CLASSES)),
    )
    return nn.Sequential(OrderedDict(features=nn.Sequential(*layers), classifier=head))


def _resnet() -> nn.Module:
    """timm's ResNet with one basic block a stage and few channels."""
    from timm.models.resnet import BasicBlock, ResNet

    # timm's annotation asks for a block, its code for the block's class
    return ResNet(BasicBlock, (1, 1, 1, 1), num_classes=len(CLASSES), channels=(32, 48, 64, 96))  # type: ignore[arg-type]


def _vit(input_px: int) -> nn.Module:
    """timm's vision transformer: four blocks of width 96 on 8x8 patches, with a class token."""
    from timm.models.vision_transformer import VisionTransformer

    return VisionTransformer(
        img_size=input_px, patch_size=8, embed_dim=96, depth=4, num_heads=4, num_classes=len(CLASSES)
    )
