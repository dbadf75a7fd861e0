"""How an image is parametrised: by its pixels or its frequencies, with decorrelated colours or not.

Whatever the numbers, the image lies in [0, 1]: a sigmoid ends every parametrisation.
"""

import math
from functools import lru_cache

import torch
from torch import Tensor

PIXEL, FOURIER = "pixel", "fourier"
BASES = (FOURIER, PIXEL)

#: Square root of the covariance of colours in photographs (Olah et al. 2017, from ImageNet), its longest column one.
_COLOURS = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))
_LONGEST = math.sqrt(0.26**2 + 0.27**2 + 0.27**2)

#: Keeps a spectrum's image from saturating at once (Olah et al. 2017).
_CALM = 4.0


class Parametrisation:
    """Numbers of a given `shape` that stand for an image of `channels` × `size` (height, width).

    `basis`: "pixel" takes each pixel by itself; "fourier" takes a spectrum, each frequency f scaled by 1 / f, as in
    photographs (Mordvintsev et al. 2018): steps of equal size then change large forms as much as fine grain, which
    gradients of networks favour. `decorrelated`: channels are independent axes of colour (grey images have none).
    `smoothed`: by a Gaussian of one pixel.
    """

    def __init__(
        self, channels: int, height: int, width: int, basis: str, decorrelated: bool = False, smoothed: bool = False
    ) -> None:
        self.size = height, width
        self.shape: tuple[int, ...] = (channels, height, width)
        self.decorrelated, self.smoothed = decorrelated and channels == 3, smoothed
        self._scale: Tensor | None = None
        if basis == FOURIER:
            # real and imaginary parts of the half of a spectrum that tells the other half
            self.shape = (channels, height, width // 2 + 1, 2)
            rows, columns = torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)
            frequency = (rows**2 + columns**2).sqrt().clamp(min=1 / max(height, width))
            self._scale = (1 / frequency)[..., None].repeat(1, 1, 2) / _CALM  # whole, since multiplying is faster then

    def start(self, seed: int, number: int, contrast: float) -> Tensor:
        """Numbers to start from, Gaussian noise of standard deviation `contrast`: (*shape) float32.

        They depend on `seed` and the image's `number` among those of its target alone.
        """
        generator = torch.Generator().manual_seed(1_000_003 * seed + number)
        return torch.randn(self.shape, generator=generator) * contrast

    def canvas(self, numbers: Tensor) -> Tensor:
        """(N, *shape) float32 -> (N, channels, height, width) float32, unbounded, before colours and sigmoid."""
        if self._scale is None:
            return numbers
        spectrum = torch.view_as_complex((numbers * self._scale.to(numbers.device)).contiguous())
        return torch.fft.irfft2(spectrum, s=self.size, norm="ortho")

    def __call__(self, numbers: Tensor) -> Tensor:
        """(N, *shape) float32 -> images (N, channels, height, width) float32 in [0, 1]."""
        canvas = self.canvas(numbers)
        if self.decorrelated:
            canvas = (_colours(canvas.device) @ canvas.flatten(2)).view_as(canvas)
        images = canvas.sigmoid()
        if not self.smoothed:
            return images
        rows, columns = (_gaussian(side, images.device) for side in self.size)
        return rows @ images @ columns.T


@lru_cache(maxsize=16)
def _gaussian(length: int, device: torch.device) -> Tensor:
    """(length, length): each pixel's weights of all of a line, by a Gaussian of one pixel.

    The ends mirror it with the last pixel repeated, so that sides of one pixel can be smoothed; torchvision's
    `gaussian_blur` leaves that pixel out.
    """
    weights = torch.zeros(length, length)
    for offset in range(-3, 4):
        places = torch.arange(length) + offset
        places = torch.where(places < 0, -places - 1, places)
        places = torch.where(places >= length, 2 * length - 1 - places, places).clamp(0, length - 1)
        weights[torch.arange(length), places] += math.exp(-(offset**2) / 2)
    return (weights / weights.sum(1, keepdim=True)).to(device)


def _colours(device: torch.device) -> Tensor:
    """(3, 3): from independent colour axes (brightness, red–blue, green–magenta) to red, green and blue."""
    return torch.tensor(_COLOURS, device=device) / _LONGEST
