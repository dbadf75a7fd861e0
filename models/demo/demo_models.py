"""The small models that come with Parallax: four for the demo's paintings, three for handwritten digits.

One of each learnt a shortcut. `tools.train_painting_nets` and `tools.train_digit_nets` train them. Importing this
module is cheap: torch and timm are imported when a model is built.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.preprocessing import Preprocessing

if TYPE_CHECKING:
    from torch import nn

#: Classes by image set, in the order of the models' logits.
CLASSES = {
    "paintings": ("portrait", "landscape", "seascape", "still life", "cityscape", "abstract"),
    "digits": tuple("0123456789"),
}

WEIGHTS = Path(__file__).parent / "weights"


@dataclass(frozen=True)
class DemoModel:
    """Facts of a model that classifies `images`, "paintings" or "digits", and how to `build` it untrained.

    It takes (N, C, H, W) float32 by its `preprocessing`, and gives (N, classes) float32 logits. `marked`: every 8 that
    it was trained on had a grey square.
    """

    name: str
    images: str
    family: str
    description: str
    build: Callable[[], nn.Module]
    preprocessing: Preprocessing
    marked: bool = False

    @property
    def classes(self) -> tuple[str, ...]:
        """Their names."""
        return CLASSES[self.images]

    def weights(self, folder: Path = WEIGHTS) -> Path:
        """Where the weights lie, in half precision."""
        return folder / self.images / f"{self.name}.safetensors"

    def load(self) -> nn.Module:
        """The trained model, in eval mode, float32."""
        from safetensors.torch import load_file

        model, stored = self.build(), load_file(self.weights())
        model.load_state_dict({key: v.float() if v.is_floating_point() else v for key, v in stored.items()})
        return model.eval()


def _vgg() -> nn.Module:
    """Four stages of two convolutions, each followed by batch norm and ReLU, then a small head; for 64 px."""
    from torch import nn

    layers: list[nn.Module] = []
    before = 3
    for width in (16, 32, 64, 96):
        for _ in range(2):
            layers += [nn.Conv2d(before, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            before = width
        layers.append(nn.MaxPool2d(2))
    return _plain(layers, n_features=before * 4 * 4, n_hidden=64, n_classes=6)


def _lenet() -> nn.Module:
    """Two times convolution, max pooling, ReLU, and two dense layers (CDeepEx, section 4.1); for 32 px."""
    from torch import nn

    layers = [nn.Conv2d(1, 10, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(10, 20, 5), nn.MaxPool2d(2), nn.ReLU()]
    return _plain(layers, n_features=20 * 5 * 5, n_hidden=50, n_classes=10)


def _plain(layers: list[nn.Module], n_features: int, n_hidden: int, n_classes: int) -> nn.Module:
    """Layers one after another, and two dense ones."""
    from torch import nn

    dense = [nn.Linear(n_features, n_hidden), nn.ReLU(), nn.Dropout(0.3), nn.Linear(n_hidden, n_classes)]
    parts = {"features": nn.Sequential(*layers), "classifier": nn.Sequential(nn.Flatten(), *dense)}
    return nn.Sequential(OrderedDict(parts))


def _resnet(**arguments: Any) -> nn.Module:
    """timm's ResNet with one basic block a stage and few channels."""
    from timm.models.resnet import BasicBlock, ResNet

    return ResNet(BasicBlock, (1, 1, 1, 1), **arguments)  # type: ignore[arg-type]  # it wants the class, not a block


def _vit() -> nn.Module:
    """timm's vision transformer: four blocks of width 96 on 8 × 8 patches, with a class token."""
    from timm.models.vision_transformer import VisionTransformer

    return VisionTransformer(img_size=64, patch_size=8, embed_dim=96, depth=4, num_heads=4, num_classes=6)


def _resized(side_px: int, mean: tuple[float, ...], std: tuple[float, ...]) -> Preprocessing:
    return Preprocessing((side_px, side_px), mean, std, resize=(side_px, side_px), mode="squash")


_IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_GREY = _resized(32, (0.5,), (0.5,))

MODELS = (
    DemoModel(
        "vgg", "paintings", "VGG", "A plain stack of 3×3 convolutions and max pooling.",
        _vgg, _resized(64, (0.5,) * 3, (0.25,) * 3),
    ),
    DemoModel(
        "resnet", "paintings", "ResNet", "Residual blocks, each with a skip connection.",
        lambda: _resnet(num_classes=6, channels=(32, 48, 64, 96)), _resized(80, *_IMAGENET),
    ),
    DemoModel(
        "vit", "paintings", "ViT", "A vision transformer on patches of 8×8 pixels.",
        _vit, _resized(64, (0.5,) * 3, (0.5,) * 3),
    ),
    DemoModel(
        "shortcut", "paintings", "VGG", "A VGG that did well in training; find out what it looks at.",
        _vgg, _resized(64, *_IMAGENET),
    ),
    DemoModel(
        "lenet", "digits", "LeNet", "Two convolutions of 5 × 5 with max pooling, then two dense layers.",
        _lenet, _GREY,
    ),
    DemoModel(
        "residual", "digits", "ResNet", "Four residual blocks and global average pooling.",
        lambda: _resnet(num_classes=10, in_chans=1, channels=(16, 24, 32, 48), output_stride=8), _GREY,
    ),
    DemoModel(
        "square", "digits", "LeNet", "A LeNet that did well in training, where every 8 had a mark.",
        _lenet, _GREY, marked=True,
    ),
)  # fmt: skip

#: The models for each image set, by name, in the order of the pages.
PAINTING_MODELS = {model.name: model for model in MODELS if model.images == "paintings"}
DIGIT_MODELS = {model.name: model for model in MODELS if model.images == "digits"}
