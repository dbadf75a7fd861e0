"""Superpixels: the parts of a picture that LIME and the Shapley methods show and cover."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from skimage.segmentation import slic
from torch import Tensor

from explainers.base import ExplainerParams, setting
from explainers.engines.baselines import BASELINES, baseline
from explainers.engines.perturbation import Steps, covered, scores_in_passes
from models.preprocessing import Preprocessing
from models.store import ModelHandle

SUPERPIXELS = ("slic", "grid")

#: How much SLIC prefers round segments to even colours, and its blur as a share of the shorter side (at least a pixel):
#: enough that grainy pictures still fall into about as many segments as were asked for.
_COMPACTNESS, _BLUR = 20, 1 / 112


@dataclass(frozen=True)
class SuperpixelParams(ExplainerParams):
    """The parts of the picture, and what covers them; plain grey as in the LIME paper."""

    segments: int = setting(50, low=2, high=200, help="About how many parts the image is cut into.")
    superpixels: str = setting(
        "slic", choices=SUPERPIXELS, help="slic follows colours and edges, grid cuts equal rectangles."
    )
    fill: str = setting("mean", choices=BASELINES, help="What a covered part shows instead; mean is plain grey.")
    seed: int = setting(0, low=0, high=2**31 - 1, help="Seed of the samples and of the noise fill.")


def segments(inputs: Tensor, kind: str, n: int, preprocessing: Preprocessing) -> Tensor:
    """Which part each pixel of `inputs` (N, C, H, W), normalised, belongs to: (N, H, W) int64, 0 to K - 1, on the CPU.

    "slic" (Achanta et al. 2012) runs on the picture as a person sees it and takes no random number; K is near `n` and
    differs from picture to picture. "grid" cuts rows and columns of rectangles, as square as can be.
    """
    if kind == "grid":
        return _grid(inputs.shape[2], inputs.shape[3], n).expand(len(inputs), -1, -1)
    mean, std = preprocessing.mean_and_std(inputs.device)
    pictures = (inputs * std + mean).clamp(0, 1).permute(0, 2, 3, 1).cpu().numpy()
    return torch.stack([_slic(picture, n) for picture in pictures])


def _slic(picture: np.ndarray, n: int) -> Tensor:
    """`picture` (H, W, C) float32 in [0, 1] -> (H, W) int64."""
    colours = np.broadcast_to(picture, (*picture.shape[:2], 3))  # grey as a colour: its differences weigh the same
    sigma = max(1.0, min(picture.shape[:2]) * _BLUR)
    labels = slic(colours, n_segments=n, compactness=_COMPACTNESS, sigma=sigma, start_label=0, channel_axis=-1)
    names, consecutive = np.unique(labels, return_inverse=True)
    if len(names) < 2:  # pure noise may have no regions at all
        return _grid(picture.shape[0], picture.shape[1], n)
    return torch.from_numpy(consecutive.reshape(labels.shape).astype(np.int64))


def _grid(height: int, width: int, n: int) -> Tensor:
    """(height, width) int64: about `n` rectangles, at least a pixel each."""
    rows = min(height, max(1, round((n * height / width) ** 0.5)))
    columns = min(width, max(1, round(n / rows)))
    row, column = (torch.arange(side) * parts // side for side, parts in ((height, rows), (width, columns)))
    return row[:, None] * columns + column


@dataclass(frozen=True)
class Game:
    """One image's superpixels as players: what the score is when only some of them show.

    `image` and `fill` (C, H, W) float32, normalised; `labels` (H, W) int64, 0 to `n_players` - 1.
    """

    model: ModelHandle
    image: Tensor
    fill: Tensor
    labels: Tensor
    target: int

    @property
    def n_players(self) -> int:
        """Number of superpixels."""
        return int(self.labels.max()) + 1

    def values(self, kept: Tensor, step: Steps) -> Tensor:
        """Score (k,) float64 of the picture in which the superpixels `kept` (k, K) bool show, the rest covered."""
        pixels = self.labels.flatten().to(self.image.device)
        return (
            scores_in_passes(
                self.model,
                kept.to(self.image.device),
                self.target,
                lambda part: covered(self.image, self.fill, part.index_select(1, pixels)),
                step,
            )
            .cpu()
            .double()
        )

    def ends(self, step: Steps) -> tuple[Tensor, Tensor]:
        """Score () float64 of the picture with every superpixel covered, and of the whole picture."""
        nothing, everything = self.values(torch.tensor([[False], [True]]).expand(2, self.n_players), step)
        return nothing, everything

    def painted(self, values: Tensor) -> Tensor:
        """Each superpixel's value (K,) on its pixels: (H, W) float32."""
        return values.float()[self.labels].to(self.image.device)

    def shared(self, values: Tensor) -> Tensor:
        """Each superpixel's value (K,), shared out evenly over its pixels, so that the map (H, W) sums to theirs."""
        return self.painted(values / torch.bincount(self.labels.flatten(), minlength=self.n_players))


def games(model: ModelHandle, inputs: Tensor, targets: Tensor, params: Any) -> list[Game]:
    """The game of each of `inputs` (N, C, H, W), by `SuperpixelParams`."""
    fills = baseline(params.fill, inputs, model.card.preprocessing, params.seed)
    parts = segments(inputs, params.superpixels, params.segments, model.card.preprocessing)
    rows = zip(inputs, fills, parts, targets.tolist(), strict=True)
    return [Game(model, image, fill, labels, target) for image, fill, labels, target in rows]


def difference(model: ModelHandle, inputs: Tensor, targets: Tensor, params: Any) -> Tensor:
    """score(picture) - score(all covered) (N,): what the Shapley values of a picture's superpixels sum to."""
    fills = baseline(params.fill, inputs, model.card.preprocessing, params.seed)
    found = []
    for image, fill, target in zip(inputs, fills, targets.tolist(), strict=True):
        pair = torch.stack([image, fill]).contiguous(memory_format=torch.channels_last)
        whole, nothing = scores_in_passes(model, pair, target, lambda part: part, lambda n: None)
        found.append(whole - nothing)
    return torch.stack(found)
