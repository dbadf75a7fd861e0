"""Tiny seeded nets, each with one thing that explanation methods trip over, and how they come into a model store."""

import zlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from timm.layers import BatchNormAct2d, Conv2dSame, SelectAdaptivePool2d
from timm.models import ConvNeXt, DenseNet, SwinTransformer
from timm.models._efficientnet_blocks import DepthwiseSeparableConv, InvertedResidual, SqueezeExcite
from timm.models.resnet import BasicBlock, ResNet
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torchvision.models import VisionTransformer as TorchvisionVisionTransformer

from explainers.base import Sampled
from explainers.registry import METHODS
from models.card import ModelCard, Recipe
from models.loaders.base import Loaded
from models.preprocessing import Preprocessing
from models.store import ModelStore

PX = 32
N_CLASSES = 4

#: What two pictures are explained towards.
TARGETS = torch.tensor([2, 0])


class ReusedReLU(nn.Module):
    """A residual net with every careless way to write a ReLU: one module used twice, in place, function, method."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.first, self.second = (nn.Conv2d(8, 8, 3, padding=1, bias=False) for _ in range(2))
        self.norm = nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Linear(8, N_CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.stem(x))
        y = F.relu(self.norm(self.first(x)), inplace=True)
        y = self.second(y)
        y += x
        x = F.max_pool2d(self.relu(y), 2)
        x = x.relu_().mean((2, 3))
        return self.head(torch.relu(x))


class Functional(nn.Module):
    """No module but layers with weights."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3)
        self.head = nn.Linear(8, N_CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = F.avg_pool2d(F.relu(self.first(x)), 2)
        x = torch.flatten(F.adaptive_avg_pool2d(F.relu(self.second(x)), 1), 1)
        return self.head(x)


def plain() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 12, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(48, N_CLASSES),
    )  # fmt: skip


def grey(px: int) -> nn.Module:
    """A one-channel LeNet."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(6 * ((px - 4) // 2) ** 2, N_CLASSES)
    )


def resnet() -> nn.Module:
    return ResNet(BasicBlock, (1, 1, 1, 1), num_classes=N_CLASSES, channels=(8, 8, 12, 16))


def mobile() -> nn.Module:
    """MobileNetV2 in small: batch norms with a built-in ReLU6, TensorFlow padding, skip connections."""
    options: dict = {"pad_type": "same", "act_layer": nn.ReLU6}
    return nn.Sequential(
        Conv2dSame(3, 8, 3, stride=2, bias=False), BatchNormAct2d(8, act_layer=nn.ReLU6),
        DepthwiseSeparableConv(8, 8, **options), InvertedResidual(8, 8, exp_ratio=2, **options),
        InvertedResidual(8, 12, exp_ratio=2, stride=2, **options),
        SelectAdaptivePool2d(flatten=True), nn.Linear(12, N_CLASSES),
    )  # fmt: skip


def gated() -> nn.Module:
    """MobileNetV3 in small: hard-swish, and gates that multiply."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), BatchNormAct2d(8, act_layer=nn.Hardswish),
        InvertedResidual(8, 8, exp_ratio=2, act_layer=nn.Hardswish, se_layer=SqueezeExcite),
        SelectAdaptivePool2d(flatten=True), nn.Linear(8, N_CLASSES),
    )  # fmt: skip


def efficient() -> nn.Module:
    """EfficientNet in small: SiLU, and gates that multiply."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), BatchNormAct2d(8, act_layer=nn.SiLU),
        InvertedResidual(8, 8, exp_ratio=2, act_layer=nn.SiLU, se_layer=SqueezeExcite),
        SelectAdaptivePool2d(flatten=True), nn.Linear(8, N_CLASSES),
    )  # fmt: skip


def densenet() -> nn.Module:
    return DenseNet(growth_rate=4, block_config=(2, 2), bn_size=2, num_classes=N_CLASSES)


def convnext() -> nn.Module:
    return ConvNeXt(depths=(1, 1, 1, 1), dims=(8, 8, 12, 16), patch_size=2, num_classes=N_CLASSES)


def vit() -> nn.Module:
    return VisionTransformer(img_size=PX, patch_size=8, embed_dim=24, depth=2, num_heads=2, num_classes=N_CLASSES)


def torchvision_vit() -> nn.Module:
    """Attention in one function, `multi_head_attention_forward`."""
    return TorchvisionVisionTransformer(PX, 8, 2, 2, 24, 48, num_classes=N_CLASSES)


def swin() -> nn.Module:
    """Attention in windows, some of them shifted, and layers that put channels last."""
    return SwinTransformer(
        img_size=PX, patch_size=4, embed_dim=12, depths=(2, 2), num_heads=(2, 2), window_size=4, num_classes=N_CLASSES
    )


class Branching(nn.Module):
    """Which way its forward goes depends on the picture: no graph can be traced."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(3, 8, 3, padding=1) for _ in range(2))
        self.head = nn.Linear(8, N_CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        convolution = self.first if x.shape[2] > 2 and x.abs().max() < 1e4 else self.second
        return self.head(F.relu(convolution(x)).mean((2, 3)))


#: Each family that methods meet, and each careless way to write a net.
NETS: dict[str, Callable[[], nn.Module]] = {
    "plain": plain,
    "resnet": resnet,
    "reused": ReusedReLU,
    "functional": Functional,
    "mobile": mobile,
    "gated": gated,
    "efficient": efficient,
    "densenet": densenet,
    "convnext": convnext,
    "vit": vit,
    "torchvision vit": torchvision_vit,
    "swin": swin,
    "branching": Branching,
}


def seeded(build: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    """A net whose weights, biases and batch statistics are all away from zero and one."""
    torch.manual_seed(seed)
    module = build().eval()
    for child in module.modules():
        if isinstance(child, nn.Linear) and not child.weight.any():  # torchvision's heads begin at zero
            nn.init.normal_(child.weight, 0, 0.1)
        if isinstance(child, nn.BatchNorm2d):
            child.running_mean.normal_(0, 0.1)
            child.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(child.weight, 0.5, 1.5)
            nn.init.normal_(child.bias, 0, 0.1)
    return module


class Own(torch.autograd.Function):
    """A function of a model's own, for which nobody has a rule."""

    @staticmethod
    def forward(ctx, x):
        return x.sign() * x.square()

    @staticmethod
    def backward(ctx, gradient):
        return gradient


def add(
    model_store: ModelStore, module: nn.Module, name: str = "net", px: int = PX, channels: int = 3, **facts
) -> ModelCard:
    """The card of `module`, which takes px × px pictures with mean 0.5 and standard deviation 0.25."""
    preprocessing = Preprocessing((px, px), (0.5,) * channels, (0.25,) * channels, (px, px), mode="squash")
    return model_store.add(
        Loaded(name, "test", type(module).__name__, name, module, preprocessing, None, Recipe("test"), **facts)
    )


def pictures(n: int = 2, px: int = PX, seed: int = 0) -> list[np.ndarray]:
    """(px, px, 3) uint8 noise."""
    return list(np.random.default_rng(seed).integers(0, 256, (n, px, px, 3), dtype=np.uint8))


def normalised(n: int = 2, px: int = PX, channels: int = 3, seed: int = 0) -> Tensor:
    """(n, channels, px, px) float32 in channels-last memory, as a net is fed."""
    values = np.random.default_rng(seed).normal(size=(n, channels, px, px)).astype(np.float32)
    return torch.from_numpy(values).contiguous(memory_format=torch.channels_last)


def silent(_done: int, _total: int) -> None:
    """A progress function for nobody."""


def attribute(model_store: ModelStore, module: nn.Module, method, inputs: Tensor, targets=TARGETS, batch=64, **params):
    """What a method, or the one of this name, says of a net that sees `inputs`: (N, h, w), or `Sampled`."""
    method = METHODS[method] if isinstance(method, str) else method
    card = add(model_store, module, px=inputs.shape[-1], channels=inputs.shape[1])
    with model_store.borrow(card) as model:
        model = replace(model, batch=batch)
        return method.attribute(model, inputs, targets[: len(inputs)], method.Params(**params), silent)


def maps_of(*args, **params) -> np.ndarray:
    """The maps of `attribute` alone, as numpy."""
    found = attribute(*args, **params)
    return (found.maps if isinstance(found, Sampled) else found).numpy()


def state_of(module: nn.Module) -> tuple[object, ...]:
    """All that a borrower could have changed: weights, flags, gradients, hooks, and attributes on the instances."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return (
        {key: zlib.crc32(value.numpy().tobytes()) for key, value in module.state_dict().items()},
        [(parameter.requires_grad, parameter.grad) for parameter in module.parameters()],
        [child.training for child in module.modules()],
        [len(getattr(child, kind)) for child in module.modules() for kind in hooks],
        [sorted(vars(child)) for child in module.modules()],
        [type(child) for child in module.modules()],
    )
