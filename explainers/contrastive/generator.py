"""The three nets of a generator: what makes pictures, what judges them, and what guesses where a picture comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn

from common.errors import InputError

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
            raise InputError("one or three channels", repr(self.channels), "Take 1 for grey pictures, 3 for colour.")

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels from the maps of 4 × 4 up to those of half the side: each half of those before."""
        n = (self.side // _FIRST).bit_length() - 1
        return tuple(self.width * 2 ** (n - 1 - step) for step in range(n))


class Generator(nn.Sequential):
    """G: z (N, latent) -> pictures (N, channels, side, side) in [0, 1]; a DCGAN's layers (Radford et al. 2015)."""

    def __init__(self, shape: Shape) -> None:
        first, layers = shape.widths[0], list[nn.Module]()
        layers += [nn.Linear(shape.latent, first * _FIRST * _FIRST), nn.Unflatten(1, (first, _FIRST, _FIRST))]
        layers += [nn.BatchNorm2d(first), nn.ReLU()]
        for before, after in pairwise(shape.widths):
            layers += [nn.ConvTranspose2d(before, after, 4, 2, 1), nn.BatchNorm2d(after), nn.ReLU()]
        super().__init__(*layers, nn.ConvTranspose2d(shape.width, shape.channels, 4, 2, 1), nn.Sigmoid())
        self.shape = shape


def _downward(shape: Shape, n_outputs: int) -> list[nn.Module]:
    """Strided convolutions from a picture to `n_outputs` numbers.

    Without batch norm: the gradient penalty is each picture's own (Gulrajani et al. 2017, section 4).
    """
    layers: list[nn.Module] = []
    for before, after in pairwise((shape.channels, *reversed(shape.widths))):
        layers += [nn.Conv2d(before, after, 4, 2, 1), nn.LeakyReLU(0.2)]
    return [*layers, nn.Flatten(), nn.Linear(shape.widths[0] * _FIRST * _FIRST, n_outputs)]


class Critic(nn.Sequential):
    """D: pictures (N, channels, side, side) -> (N, 1), higher for real ones."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(*_downward(shape, 1))


class Encoder(nn.Sequential):
    """E: pictures (N, channels, side, side) -> z (N, latent), a first guess for the inversion."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(*_downward(shape, shape.latent))


@dataclass(frozen=True, eq=False)
class Trained:
    """A generator that is ready: both nets in eval mode without gradients of weights, and where they come from.

    `key` stands for all that made it; `data` is the digest of the image set; `step` the generator's steps taken.
    """

    key: str
    data: str
    step: int
    generator: Generator
    encoder: Encoder

    @property
    def shape(self) -> Shape:
        """Its measures."""
        return self.generator.shape

    def to(self, device: torch.device) -> Trained:
        """The same on `device`; a copy unless it is there already."""
        if next(self.generator.parameters()).device == device:
            return self
        return from_arrays(self.key, self.data, self.step, self.shape, to_arrays(self), device)


def to_arrays(trained: Trained) -> dict[str, np.ndarray]:
    """The weights of both nets, by name."""
    nets = {"generator": trained.generator, "encoder": trained.encoder}
    return {
        f"{name}.{key}": value.cpu().numpy() for name, net in nets.items() for key, value in net.state_dict().items()
    }


def from_arrays(
    key: str,
    data: str,
    step: int,
    shape: Shape,
    arrays: Mapping[str, np.ndarray],
    device: torch.device | str = "cpu",
) -> Trained:
    """The generator whose weights `to_arrays` gave; arrays of other names are left alone."""
    nets: dict[str, Any] = {"generator": Generator(shape), "encoder": Encoder(shape)}
    for name, net in nets.items():
        found = {key: torch.tensor(arrays[f"{name}.{key}"]) for key in net.state_dict()}
        net.load_state_dict(
            {key: value.float() if value.is_floating_point() else value for key, value in found.items()}
        )
        net.eval().requires_grad_(False).to(device)
    return Trained(key, data, step, **nets)


def shape_facts(shape: Shape) -> dict[str, int]:
    """Plain numbers, for a key or a file."""
    return asdict(shape)
