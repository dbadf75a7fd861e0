"""RISE: the score under random soft masks, credited to the pixels that showed."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from explainers.base import ExplainerParams, Progress, Progressive, Sampled, setting
from explainers.engines.baselines import BASELINES, baseline
from explainers.engines.perturbation import as_pictures, pixelwise, score
from models.store import ModelHandle

#: Masks between two looks at the map.
_ROUND = 250


class RISE(Progressive):
    """Randomized input sampling for explanation (Petsiuk et al. 2018, eq. 5-6).

    M(p) = 1 / (n E[m]) sum_i (score(x m_i) - mean score) m_i(p), an estimate of E[score | p shows] - E[score]: the
    paper's map less its own mean level, so that a pixel without influence gets 0 and logits of either sign can be
    explained. In the sum m_i(p) counts from its mean over the masks, which takes most of the paper's sampling noise
    away. The masks m_i in [0, 1] are grids of coins, enlarged bilinearly and shifted at random (section 3.2); x m
    stands for m x + (1 - m) fill. The same masks serve all images.
    """

    name, title, family, signed = "rise", "RISE", "perturbation", True
    question = "Is the answer stronger than on average when this pixel shows and much of the rest is hidden?"
    recipe = (
        "Thousands of random soft masks hide about half of the image each. A pixel's value is how far the mean score "
        "of the masks that show it lies above the mean over all masks."
    )
    reference = "Petsiuk et al. 2018, RISE: Randomized Input Sampling for Explanation of Black-box Models"
    caution = "Blurry by nature, about one cell of the masks; grainy with few masks (see the error)."
    chunk = 1

    @dataclass(frozen=True)
    class Params(ExplainerParams):
        """The masks, and what shows where they hide; plain grey as in the paper."""

        masks: int = setting(2000, low=100, high=8000, help="Random masks; more make the map less grainy.")
        cells: int = setting(7, low=2, high=32, help="Cells of a mask along each side; more give finer detail.")
        p: float = setting(0.5, low=0.05, high=0.95, help="Chance that a cell shows.")
        fill: str = setting("mean", choices=BASELINES, help="What a hidden part shows instead; mean is plain grey.")
        seed: int = setting(0, low=0, high=2**31 - 1, help="Seed of the masks and of the noise fill.")

    def refine(
        self, model: ModelHandle, inputs: Tensor, targets: Tensor, params: Params, progress: Progress
    ) -> Iterator[Sampled]:
        """(N, C, H, W) float32, normalised -> (N, H, W) float32 and its error, in the target's unit."""
        masks = Masks(params, inputs)
        fills = baseline(params.fill, inputs, model.card.preprocessing, params.seed)
        moments = [Moments(params.p, inputs.shape[2:], inputs.device) for _ in inputs]
        shown = done = 0
        for part in torch.arange(params.masks).split(model.batch):
            mask, flat = masks.of(part), masks.of(part, inputs.shape[1]).flatten(1)
            for image, fill, target, moment in zip(inputs, fills, targets.tolist(), moments, strict=True):
                base = pixelwise(fill)
                pictures = as_pictures((flat * (pixelwise(image) - base)).add_(base), image)
                moment.add(mask, score(model, pictures, target))
                progress(done := done + len(part), len(inputs) * params.masks)
            seen = int(part[-1]) + 1
            if seen - shown >= _ROUND or seen == params.masks:
                shown = seen
                maps, errors = zip(*(moment.estimate() for moment in moments), strict=True)
                yield Sampled(torch.stack(maps), torch.stack(errors))


class Masks:
    """Random soft masks, made a few at a time as they are needed: all of them would fill gigabytes."""

    def __init__(self, params: RISE.Params, inputs: Tensor) -> None:
        generator = torch.Generator().manual_seed(params.seed)
        n, cells = params.masks, params.cells
        self._coins = (torch.rand((n, cells, cells), generator=generator) < params.p).float().to(inputs.device)
        self._shifts, self._weights = [], []
        for side in inputs.shape[2:]:
            cell = -(-side // cells)
            whole = F.interpolate(torch.eye(cells)[None], (cells + 1) * cell, mode="linear")[0]
            self._weights.append(whole.unfold(1, side, 1)[:, :cell].permute(1, 2, 0).to(inputs.device))
            self._shifts.append(torch.randint(0, cell, (n,), generator=generator))

    def of(self, index: Tensor, repeat: int = 1) -> Tensor:
        """Masks (k, H, W · `repeat`) float32 in [0, 1]; each value of a row `repeat` times side by side.

        Bilinear enlargement is a matrix for the rows and one for the columns; shifting picks the matrices' rows.
        """
        rows, columns = (
            weights[shifts[index].to(weights.device)]
            for weights, shifts in zip(self._weights, self._shifts, strict=True)
        )
        return rows @ self._coins[index.to(rows.device)] @ columns.repeat_interleave(repeat, 1).mT


class Moments:
    """Running sums of score^a mask(p)^b, a and b up to 2: all that the map and its standard error need."""

    def __init__(self, p: float, size: torch.Size, device: torch.device) -> None:
        self._p, self._size, self._n = p, size, 0
        self._level: Tensor | float = 0.0
        self._sums = torch.zeros((2, 3, size.numel()), device=device)
        self._scores = torch.zeros(3, device=device)

    def add(self, masks: Tensor, scores: Tensor) -> None:
        """Take in `masks` (k, H, W) and their `scores` (k,)."""
        if not self._n:
            self._level = scores.mean()  # sums of what is near zero lose no digits
        near = scores - self._level
        powers = torch.stack([torch.ones_like(near), near, near.square()])
        mask = masks.flatten(1) - self._p
        self._sums[0] += powers @ mask
        self._sums[1] += powers @ mask.square_()
        self._scores += powers.sum(1)
        self._n += len(scores)

    def estimate(self) -> tuple[Tensor, Tensor]:
        """Map and standard error, (H, W) each."""
        (m, sm, ssm), (mm, smm, ssmm) = self._sums / self._n
        _, s, ss = self._scores / self._n
        covariance = sm - s * m
        # mean of (score - s)² (mask - m)², multiplied out
        product = ssmm - 2 * m * ssm - 2 * s * smm + 4 * s * m * sm + m**2 * ss + s**2 * mm - 3 * s**2 * m**2
        error = ((product - covariance**2).clamp(min=0) / (self._n - 1)).sqrt()
        return (covariance / self._p).view(self._size), (error / self._p).view(self._size)
