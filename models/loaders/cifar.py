"""The residual networks that He et al. trained on CIFAR-10, small enough to read and to explain on any computer."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.preprocessing import Preprocessing

#: Residual blocks a stage; with two convolutions a block, n of them make 6n + 2 layers.
DEPTHS = {"resnet20": 3, "resnet32": 5, "resnet44": 7, "resnet56": 9}

INPUT_PX = 32


class Shortcut(nn.Module):
    """Option A: every second pixel, and zeros for the channels that are new; it has no parameters."""

    def __init__(self, n_new: int) -> None:
        super().__init__()
        self.n_new = n_new

    def forward(self, maps: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, C + n_new, h / 2, w / 2)."""
        return F.pad(maps[:, :, ::2, ::2], (0, 0, 0, 0, self.n_new // 2, self.n_new - self.n_new // 2))


class Block(nn.Module):
    """Two 3 × 3 convolutions whose answer is added to what came in (He et al. 2016, eq. 1 and 2)."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.shortcut = Shortcut(n_out - n_in) if stride > 1 else nn.Identity()
        self.relu2 = nn.ReLU()

    def forward(self, maps: Tensor) -> Tensor:
        """(N, n_in, h, w) -> (N, n_out, h / stride, w / stride)."""
        residual = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(maps)))))
        return self.relu2(residual + self.shortcut(maps))


class CifarResNet(nn.Module):
    """Residual network for 32 × 32 pixels (He et al. 2016, section 4.2): three stages of 16, 32 and 64 channels.

    Module names are those of akamaster/pytorch_resnet_cifar10, whose checkpoints load as they are.
    """

    def __init__(self, n_blocks: int, num_classes: int = 10) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU()
        self.layer1 = _stage(16, 16, n_blocks)
        self.layer2 = _stage(16, 32, n_blocks)
        self.layer3 = _stage(32, 64, n_blocks)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(64, num_classes)
        for child in self.modules():
            if isinstance(child, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(child.weight)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, 32, 32) normalised -> (N, classes) logits."""
        maps = self.relu(self.bn1(self.conv1(images)))
        maps = self.layer3(self.layer2(self.layer1(maps)))
        return self.linear(torch.flatten(self.pool(maps), 1))


def build(name: str, create: dict[str, Any]) -> tuple[CifarResNet, Preprocessing]:
    """The model called `name` with random weights, and the preprocessing that its checkpoints were trained with."""
    size = (INPUT_PX, INPUT_PX)
    preprocessing = Preprocessing(size, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), resize=size, mode="squash")
    return CifarResNet(DEPTHS[name], **create), preprocessing


def _stage(n_in: int, n_out: int, n_blocks: int) -> nn.Sequential:
    first = Block(n_in, n_out, stride=1 if n_in == n_out else 2)
    return nn.Sequential(first, *(Block(n_out, n_out, stride=1) for _ in range(n_blocks - 1)))
