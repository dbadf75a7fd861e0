"""Occlusion: cover a part of the picture and see what it costs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from explainers.base import Explainer, ExplainerParams, Progress, setting
from explainers.engines.baselines import BASELINES, baseline
from explainers.engines.incremental import Incremental
from explainers.engines.perturbation import Steps
from models.store import ModelHandle


class Occlusion(Explainer):
    """Drop of the target's score when a window is covered (Zeiler & Fergus 2014, section 4.2).

    M(p) = mean over the windows W that cover pixel p of score(x) - score(x with W filled in). Needs no gradient.
    """

    name, title, family, signed = "occlusion", "Occlusion", "perturbation", True
    question = "How much does the answer lose when this part of the image is covered?"
    reference = "Zeiler & Fergus 2014, Visualizing and Understanding Convolutional Networks"
    caution = "A covered image is unlike any the model has seen; evidence that is there twice may show nowhere."
    recipe = (
        "A window slides over the image and covers what is beneath it; each pixel gets the mean drop of the score "
        "over the windows that covered it."
    )
    chunk = 8

    @dataclass(frozen=True)
    class Params(ExplainerParams):
        """The window and what fills it."""

        window: float = setting(0.125, low=0.04, high=0.9, help="Side of the window, as a share of the image's.")
        stride: float = setting(0.5, low=0.25, high=1.0, help="Step between windows, as a share of the window.")
        fill: str = setting("mean", choices=BASELINES, help="What the covered part shows instead; mean is plain grey.")
        seed: int = setting(0, low=0, high=2**31 - 1, help="Seed of the noise fill.")

    def attribute(
        self, model: ModelHandle, inputs: Tensor, targets: Tensor, params: Params, progress: Progress
    ) -> Tensor:
        """(N, C, H, W) float32, normalised -> (N, H, W) float32, in the target's unit."""
        rows, columns = (_Axis.of(side, params.window, params.stride) for side in inputs.shape[2:])
        places = np.stack(np.meshgrid(range(len(rows.starts)), range(len(columns.starts)), indexing="ij"), -1)
        fills = baseline(params.fill, inputs, model.card.preprocessing, params.seed)
        step = Steps(progress, len(inputs) * (places.size // 2))
        maps = []
        for image, fill, target in zip(inputs, fills, targets.tolist(), strict=True):
            incremental = Incremental(model, image, (rows.length, columns.length))
            drops = []
            for part in np.array_split(places.reshape(-1, 2), -(-(places.size // 2) // incremental.batch)):
                down, right = rows.places[part[:, 0]], columns.places[part[:, 1]]
                shown = _cut(image, down, right, rows.length, columns.length)
                hidden = rows.covers(part[:, 0])[:, :, None] & columns.covers(part[:, 1])[:, None]
                filled = _cut(fill, down, right, rows.length, columns.length)
                covered = torch.where(torch.from_numpy(hidden).to(image.device)[:, None], filled, shown)
                # the picture itself goes first, by the same way: what the net does not see costs exactly nothing
                scores = incremental.scores(
                    torch.cat([shown[:1], covered]), *(np.r_[at[:1], at] for at in (down, right))
                )
                drops.append(scores[0, target] - scores[1:, target])
                step(len(part))
            drop = torch.cat(drops).view(places.shape[:2])
            maps.append(rows.mean_over(drop.device).T @ drop @ columns.mean_over(drop.device))
        return torch.stack(maps)


@dataclass(frozen=True)
class _Axis:
    """Where the window begins along one side, `starts`; the last ones are cut off at the far edge of `side`.

    `places` are the same, moved inward so that `length` pixels fit.
    """

    side: int
    length: int
    starts: np.ndarray

    @classmethod
    def of(cls, side: int, window: float, stride: float) -> _Axis:
        """`window` is a share of the side, `stride` a share of the window; no pixel is left out."""
        length = max(1, round(window * side))
        step = max(1, round(stride * length))
        return cls(side, length, np.arange(0, side - length + step, step))

    @property
    def places(self) -> np.ndarray:
        return self.starts.clip(max=self.side - self.length)

    def covers(self, index: np.ndarray) -> np.ndarray:
        """Which of the `length` pixels from its place on each window covers, (n, length) bool."""
        return np.arange(self.length) >= (self.starts - self.places)[index, None]

    def mean_over(self, device: torch.device) -> Tensor:
        """Weights (windows, side) float32 with which each window counts at a pixel."""
        pixels = np.arange(self.side)
        covers = (pixels >= self.starts[:, None]) & (pixels < self.starts[:, None] + self.length)
        return torch.from_numpy(covers / covers.sum(0)).float().to(device)


def _cut(picture: Tensor, rows: np.ndarray, columns: np.ndarray, height: int, width: int) -> Tensor:
    """Windows (n, C, height, width) of a picture (C, H, W) that begin at `rows` and `columns`."""
    return picture.unfold(1, height, 1).unfold(2, width, 1)[:, rows, columns].transpose(0, 1)
