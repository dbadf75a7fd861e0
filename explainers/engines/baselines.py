"""What "nothing" looks like: the pictures that stand for missing evidence."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from models.preprocessing import Preprocessing

BASELINES = ("black", "mean", "blurred", "noise")

#: Standard deviation of the blur, as a share of the input's shorter side: shapes go, large patches of colour stay.
_BLUR = 1 / 12


def baseline(kind: str, inputs: Tensor, preprocessing: Preprocessing, seed: int = 0) -> Tensor:
    """A picture without evidence for each of `inputs` (N, C, H, W), normalised as they are; same shape.

    "black", "mean" (the grey or colour that normalises to zero), "blurred" (the picture itself, out of focus) or
    "noise" (every pixel drawn evenly from black to white with `seed`, the same for all pictures).
    """
    if kind == "mean":
        return torch.zeros_like(inputs[:1]).expand_as(inputs)
    if kind == "blurred":
        return blurred(inputs)
    mean, std = preprocessing.mean_and_std(inputs.device)
    pixels = torch.zeros(inputs.shape[1:])
    if kind == "noise":
        pixels = torch.rand(inputs.shape[1:], generator=torch.Generator().manual_seed(seed))
    return ((pixels.to(inputs.device) - mean) / std).expand_as(inputs)


def mixed_baselines(inputs: Tensor, preprocessing: Preprocessing, n_baselines: int, seed: int) -> Iterator[Tensor]:
    """`n_baselines` times a picture without evidence for each of `inputs` (N, C, H, W), as `baseline` gives them.

    The four kinds take turns; every noise picture is another one. Those that do not depend on the picture have one
    and the same in all N places (a view).
    """
    fixed = {kind: baseline(kind, inputs, preprocessing) for kind in BASELINES[:n_baselines] if kind != "noise"}
    for i in range(n_baselines):
        kind = BASELINES[i % len(BASELINES)]
        yield fixed[kind] if kind in fixed else baseline(kind, inputs, preprocessing, seed + i)


def blurred(inputs: Tensor) -> Tensor:
    """`inputs` (N, C, H, W) through a Gaussian, rows and columns one after the other; same shape."""
    side = min(inputs.shape[2:])
    sigma = side * _BLUR
    length = 2 * min(math.ceil(3 * sigma), side - 1) + 1
    from torchvision.transforms.functional import gaussian_blur  # late: see models.libraries

    rows = gaussian_blur(inputs, [length, 1], [sigma, sigma])
    return gaussian_blur(rows, [1, length], [sigma, sigma])
