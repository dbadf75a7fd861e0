"""How a picture is written down: by its pixels or its frequencies, with the colours of photographs apart or not.

Whatever the numbers, the picture lies in [0, 1]: a sigmoid ends every parametrisation.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

PIXEL, FOURIER = "pixel", "fourier"
BASES = (FOURIER, PIXEL)

#: Square root of the covariance of colours in photographs (Olah et al. 2017, from ImageNet), its longest column one.
_COLOURS = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))
_LONGEST = math.sqrt(0.26**2 + 0.27**2 + 0.27**2)

#: Keeps a spectrum's picture from saturating at once (Olah et al. 2017).
_CALM = 4.0


class Basis(ABC):
    """Numbers that stand for a picture of `channels` × `height` × `width` before colours and sigmoid."""

    def __init__(self, channels: int, height: int, width: int) -> None:
        self.channels, self.height, self.width = channels, height, width

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Of one picture's numbers."""

    @abstractmethod
    def canvas(self, numbers: Tensor) -> Tensor:
        """(N, *shape) float32 -> (N, channels, height, width) float32, unbounded."""


class Pixels(Basis):
    """Each pixel for itself: nothing is assumed about pictures."""

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the picture."""
        return self.channels, self.height, self.width

    def canvas(self, numbers: Tensor) -> Tensor:
        """The numbers themselves."""
        return numbers


class Fourier(Basis):
    """A spectrum, each frequency f scaled by 1 / f, as in photographs (Mordvintsev et al. 2018).

    Steps of equal size then change large forms as much as fine grain, which gradients of nets favour.
    """

    def __init__(self, channels: int, height: int, width: int) -> None:
        super().__init__(channels, height, width)
        rows, columns = torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)
        frequency = (rows**2 + columns**2).sqrt().clamp(min=1 / max(height, width))
        self._scale = (1 / frequency)[..., None].repeat(1, 1, 2) / _CALM  # whole, since multiplying is faster then

    @property
    def shape(self) -> tuple[int, ...]:
        """Real and imaginary parts of the half of a spectrum that tells the other half."""
        return self.channels, self.height, self.width // 2 + 1, 2

    def canvas(self, numbers: Tensor) -> Tensor:
        """The inverse Fourier transform of the scaled spectrum."""
        spectrum = torch.view_as_complex((numbers * self._scale.to(numbers.device)).contiguous())
        return torch.fft.irfft2(spectrum, s=(self.height, self.width), norm="ortho")


@dataclass(frozen=True)
class Parametrisation:
    """A basis, whether colours are decorrelated, and whether the picture is smoothed by a Gaussian of one pixel."""

    basis: Basis
    decorrelated: bool
    smoothed: bool = False

    @classmethod
    def of(
        cls, channels: int, height: int, width: int, basis: str, decorrelated: bool, smoothed: bool
    ) -> Parametrisation:
        """By the basis' name; grey pictures have no colours to decorrelate."""
        made = (Fourier if basis == FOURIER else Pixels)(channels, height, width)
        return cls(made, decorrelated and channels == 3, smoothed)

    def start(self, seed: int, number: int, contrast: float) -> Tensor:
        """Numbers of a picture's beginning, Gaussian noise of standard deviation `contrast`: (*shape) float32.

        They depend on `seed` and the picture's `number` among those of its target alone.
        """
        generator = torch.Generator().manual_seed(1_000_003 * seed + number)
        return torch.randn(self.basis.shape, generator=generator) * contrast

    def __call__(self, numbers: Tensor) -> Tensor:
        """(N, *shape) float32 -> pictures (N, channels, height, width) float32 in [0, 1]."""
        canvas = self.basis.canvas(numbers)
        if self.decorrelated:
            canvas = (_colours(canvas.device) @ canvas.flatten(2)).view_as(canvas)
        pictures = canvas.sigmoid()
        if not self.smoothed:
            return pictures
        rows, columns = (_gaussian(side, pictures.device) for side in pictures.shape[2:])
        return rows @ pictures @ columns.T


@cache
def _gaussian(length: int, device: torch.device, reach: int = 3) -> Tensor:
    """(length, length): each pixel's weights of all of a line, by a Gaussian of one pixel.

    The ends mirror it with the last pixel repeated, so that sides of one pixel can be smoothed; torchvision's
    `gaussian_blur` leaves that pixel out.
    """
    weights = torch.zeros(length, length)
    for offset in range(-reach, reach + 1):
        places = torch.arange(length) + offset
        places = torch.where(places < 0, -places - 1, places)
        places = torch.where(places >= length, 2 * length - 1 - places, places).clamp(0, length - 1)
        weights[torch.arange(length), places] += math.exp(-(offset**2) / 2)
    return (weights / weights.sum(1, keepdim=True)).to(device)


def _colours(device: torch.device) -> Tensor:
    """(3, 3): from independent colour axes (brightness, red–blue, green–magenta) to red, green and blue."""
    return torch.tensor(_COLOURS, device=device) / _LONGEST
