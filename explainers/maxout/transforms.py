"""Small random moves of the image before each step: what survives them is no accident of single pixels.

Jitter, scale and rotation of one step are one affine map, that also brings the image to the model's input size: the
image is sampled once. (Mordvintsev et al. 2015, Olah et al. 2017, "Transformation robustness".)
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Move:
    """Where the image goes: by `down` and `right` input pixels, `scale` times larger, turned by `degrees`."""

    down: float = 0.0
    right: float = 0.0
    scale: float = 1.0
    degrees: float = 0.0

    def matrix(self, height: int, width: int) -> Tensor:
        """(2, 3) float32: from places of the output, in [-1, 1], to places of the image, as `affine_grid` has it."""
        angle = math.radians(self.degrees)
        cosine, sine = math.cos(angle) / self.scale, math.sin(angle) / self.scale
        aspect = height / width
        return torch.tensor([
            [cosine, -sine * aspect, -2 * self.right / width],
            [sine / aspect, cosine, -2 * self.down / height],
        ])  # fmt: skip


@dataclass(frozen=True)
class Transforms:
    """How far images may move, at most: `jitter` and `scale` as shares of their sides, `rotate` in degrees."""

    jitter: float = 0.0
    scale: float = 0.0
    rotate: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.jitter or self.scale or self.rotate)

    def draw(self, seed: int, step: int, size: tuple[int, int]) -> Move:
        """The move of one step for an input of `size` (height, width), by whole pixels; the same for every image.

        It depends on nothing but `seed` and `step`.
        """
        random = np.random.default_rng((seed, step))
        down, right = (round(self.jitter * side * random.uniform(-1, 1)) for side in size)
        scale, degrees = 1 + random.uniform(-self.scale, self.scale), random.uniform(-self.rotate, self.rotate)
        return Move(down, right, float(scale), float(degrees))


def moved(images: Tensor, move: Move, size: tuple[int, int]) -> Tensor:
    """Images (N, C, h, w) moved and resized to `size` (height, width), bilinear; beyond its rim an image mirrors."""
    matrix = move.matrix(*size)[None].to(images)
    grid = F.affine_grid(matrix, [1, 1, *size], align_corners=False).expand(len(images), -1, -1, -1)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def resized(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Images (N, C, h, w) at `size` (height, width), bilinear, where they stand."""
    if tuple(images.shape[2:]) == size:
        return images
    return F.interpolate(images, size, mode="bilinear", align_corners=False)
