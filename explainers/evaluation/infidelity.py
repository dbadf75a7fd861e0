"""Infidelity and max-sensitivity of a map by Captum, seeded and in batches that fit."""

from collections.abc import Sequence
from typing import Any

import captum.metrics
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from explainers.base import Explainer, Progress, Sampled, nobody
from explainers.engines.baselines import baseline
from models.store import ModelHandle

#: Side of a removed square, as a share of the image's.
_SQUARE = 0.25


def infidelity(
    model: ModelHandle,
    inputs: Tensor,
    maps: np.ndarray,
    targets: Tensor,
    samples: int = 16,
    seed: int = 0,
    progress: Progress = nobody,
) -> np.ndarray:
    """How badly each map foretells what the score loses without a part of the image: (N,) in [0, 1], 0 is best.

    Yeh et al. 2019, eq. 1, by `captum.metrics.infidelity`: E (I · phi - (f(x) - f(x - I)))², where x - I is the image
    with a square turned to mean grey at a random place (their square removal), phi the map, read as each pixel's part
    of the score and scaled as suits it best, as in the authors' code. Divided by E (f(x) - f(x - I))²: 1 is a map that
    foretells nothing. NaN where no square changes the score.

    `inputs` (N, C, H, W) float32, normalised; `maps` (N, h, w), brought to the input's size bilinearly; `targets` (N,)
    columns of `model.scores`. The same squares for every image.
    """
    height, width = inputs.shape[2:]
    parts = F.interpolate(torch.from_numpy(np.array(maps, dtype=np.float32))[:, None], (height, width), mode="bilinear")
    parts = parts.to(inputs.device).expand_as(inputs) / inputs.shape[1]  # a pixel's channels share its part
    grey = baseline("mean", inputs[:1], model.card.preprocessing)

    def errors(image: Tensor, part: Tensor, target: Tensor, scaled: bool) -> float:
        squares = _squares(samples, height, width, seed).to(inputs.device)

        def remove(images: Tensor) -> tuple[Tensor, Tensor]:
            removed = torch.stack([next(squares_left) for _ in images])[:, None].expand_as(images)
            return removed.float(), torch.where(removed, grey, images)

        squares_left = iter(squares)
        options: dict[str, Any] = {"n_perturb_samples": samples, "max_examples_per_batch": min(model.batch, samples)}
        found = captum.metrics.infidelity(
            model.scores, remove, image[None], part[None], target=target[None], normalize=scaled, **options
        )
        return float(found)

    found = []
    for done, (image, part, target) in enumerate(zip(inputs, parts, targets, strict=True)):
        progress(done, len(inputs))
        change = errors(image, torch.zeros_like(part), target, scaled=False)
        found.append(errors(image, part, target, scaled=True) / change if change > 0 else float("nan"))
    progress(len(inputs), len(inputs))
    return np.clip(np.array(found), 0, 1)  # rounding goes below 0


def _squares(n: int, height: int, width: int, seed: int) -> Tensor:
    """(n, height, width) bool: a square each, at random places that lie whole in the image."""
    side = max(1, round(_SQUARE * min(height, width)))
    generator = torch.Generator().manual_seed(seed)
    top, left = (torch.randint(0, length - side + 1, (n, 1), generator=generator) for length in (height, width))
    rows, columns = torch.arange(height), torch.arange(width)
    return ((rows >= top) & (rows < top + side))[:, :, None] & ((columns >= left) & (columns < left + side))[:, None]


def max_sensitivity(
    method: Explainer,
    model: ModelHandle,
    inputs: Tensor,
    targets: Sequence[int],
    params: Any,
    samples: int = 4,
    radius: float = 0.02,
    seed: int = 0,
    progress: Progress = nobody,
) -> np.ndarray:
    """How much each map changes, at most, under noise that nobody sees: (N,), 0 is best.

    Yeh et al. 2019, definition 2, by `captum.metrics.sensitivity_max`: max over `samples` of |phi(x + d) - phi(x)| /
    |phi(x)|, with d uniform in [-radius, radius] in units of the normalised `inputs` (N, C, H, W). `targets` are
    columns of `model.scores`; the noise is the same for every image. Takes `samples` + 1 explanations an image.
    """
    found = []
    for done, (image, target) in enumerate(zip(inputs, targets, strict=True)):
        progress(done, len(inputs))
        generator = torch.Generator().manual_seed(seed)

        def explain(images: Tensor | tuple[Tensor], target: int = target) -> tuple[Tensor]:
            several = images if isinstance(images, Tensor) else images[0]
            wanted = torch.full((len(several),), target, device=inputs.device)
            with torch.enable_grad():  # Captum switches it off
                maps = method.attribute(model, several, wanted, params, nobody)
            return (maps.maps if isinstance(maps, Sampled) else maps,)

        def disturb(images: Tensor, radius: float, generator: torch.Generator = generator) -> Tensor:
            noise = torch.rand(images.shape, generator=generator).mul_(2 * radius).sub_(radius)
            return images + noise.to(inputs.device)

        change = captum.metrics.sensitivity_max(
            explain, image[None], disturb, radius, samples, max_examples_per_batch=min(method.chunk, samples)
        )
        found.append(float(change))
    progress(len(inputs), len(inputs))
    return np.array(found)
