"""A generator's networks (what makes images, what judges them, what guesses an image's latent code), once trained."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from common.errors import InputError
from models.preprocessing import Preprocessing

#: Sides that a generator can have, in pixels, and that of its first maps.
SIDES, _FIRST = (32, 64), 4


@dataclass(frozen=True)
class Shape:
    """A generator's measures: `latent` numbers -> `channels` × `side` × `side`; `width` channels before the last layer.

    Raises `InputError` for a side other than 32 or 64, or for channels that are neither grey nor colour.
    """

    side: int = 32
    channels: int = 1
    latent: int = 64
    width: int = 32

    def __post_init__(self) -> None:
        if self.side not in SIDES:
            raise InputError("a generator of 32 or 64 pixels", repr(self.side), "Take 32, or 64 for more detail.")
        if self.channels not in (1, 3):
            raise InputError("one or three channels", repr(self.channels), "Take 1 for grey images, 3 for colour.")

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels from the maps of 4 × 4 up to those of half the side: each half of those before."""
        n = (self.side // _FIRST).bit_length() - 1
        return tuple(self.width * 2 ** (n - 1 - step) for step in range(n))


class Generator(nn.Sequential):
    """G: z (N, latent) -> images (N, channels, side, side) in [0, 1]; a DCGAN's layers (Radford et al. 2015)."""

    def __init__(self, shape: Shape) -> None:
        first, layers = shape.widths[0], list[nn.Module]()
        layers += [nn.Linear(shape.latent, first * _FIRST * _FIRST), nn.Unflatten(1, (first, _FIRST, _FIRST))]
        layers += [nn.BatchNorm2d(first), nn.ReLU()]
        for before, after in pairwise(shape.widths):
            layers += [nn.ConvTranspose2d(before, after, 4, 2, 1), nn.BatchNorm2d(after), nn.ReLU()]
        super().__init__(*layers, nn.ConvTranspose2d(shape.width, shape.channels, 4, 2, 1), nn.Sigmoid())
        self.shape = shape


def _downward(shape: Shape, n_outputs: int) -> list[nn.Module]:
    """Strided convolutions from an image to `n_outputs` numbers.

    Without batch norm: the gradient penalty is each image's own (Gulrajani et al. 2017, section 4).
    """
    layers: list[nn.Module] = []
    for before, after in pairwise((shape.channels, *reversed(shape.widths))):
        layers += [nn.Conv2d(before, after, 4, 2, 1), nn.LeakyReLU(0.2)]
    return [*layers, nn.Flatten(), nn.Linear(shape.widths[0] * _FIRST * _FIRST, n_outputs)]


class Critic(nn.Sequential):
    """D: images (N, channels, side, side) -> (N, 1), higher for real ones."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(*_downward(shape, 1))


class Encoder(nn.Sequential):
    """E: images (N, channels, side, side) -> z (N, latent), a first guess for the inversion."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(*_downward(shape, shape.latent))


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained generator: both networks in eval mode without gradients of weights, and where they come from.

    `key` stands for all that made it; `data` is the digest of the image set; `step` the generator's steps taken.
    """

    key: str
    data: str
    step: int
    generator: Generator
    encoder: Encoder

    @classmethod
    def of(cls, key: str, data: str, step: int, shape: Shape, arrays: Mapping[str, np.ndarray]) -> Trained:
        """From the weights of both networks by name, `generator.…` and `encoder.…`, float16 or float32."""
        generator, encoder = Generator(shape), Encoder(shape)
        both = nn.ModuleDict({"generator": generator, "encoder": encoder}).eval().requires_grad_(False)
        both.load_state_dict({name: torch.tensor(arrays[name]) for name in both.state_dict()})
        return cls(key, data, step, generator, encoder)

    @property
    def shape(self) -> Shape:
        """Its measures."""
        return self.generator.shape

    def to(self, device: torch.device) -> Trained:
        """The same on `device`; a copy unless it is there already."""
        if next(self.generator.parameters()).device == device:
            return self
        return replace(self, generator=deepcopy(self.generator).to(device), encoder=deepcopy(self.encoder).to(device))

    def samples(self) -> np.ndarray:
        """Images of random codes, always the same ones: (32, side, side, C) uint8."""
        z = torch.randn(32, self.shape.latent, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            return to_pixels(self.generator(z.to(next(self.generator.parameters()).device)))


def to_pixels(made: Tensor) -> np.ndarray:
    """What a generator makes, (N, C, side, side) float32 in [0, 1], as images (N, side, side, C) uint8."""
    return made.mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()


def squeezed(image: np.ndarray, side: int, channels: int) -> np.ndarray:
    """An image (H, W, 3) uint8 RGB as generators see it: (channels, side, side) uint8, squeezed to a square."""
    size = (side, side)
    whole = Preprocessing(size, (0.0,) * channels, (1.0,) * channels, resize=size, mode="squash")
    return whole.crop(image).transpose(2, 0, 1)
