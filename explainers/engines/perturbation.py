"""What all methods share that change the picture and look at the score again."""

from collections.abc import Callable

import torch
from torch import Tensor

from explainers.base import Progress
from models.store import ModelHandle


def pixelwise(image: Tensor) -> Tensor:
    """(C, H, W) -> (H·W·C,), the channels of a pixel side by side: channels-last memory, laid out flat."""
    return image.permute(1, 2, 0).reshape(-1)


def as_pictures(values: Tensor, image: Tensor) -> Tensor:
    """(k, H·W·C) rows as `pixelwise` has them -> (k, C, H, W) in channels-last memory, of `image`'s shape; no copy."""
    channels, height, width = image.shape
    return values.view(len(values), height, width, channels).permute(0, 3, 1, 2)


def covered(image: Tensor, fill: Tensor, shown: Tensor) -> Tensor:
    """Pictures (k, C, H, W) of one `image` (C, H, W), with `fill`, same shape, where `shown` (k, H·W) bool is False."""
    # one flat mask value for each number: broadcasting over three channels takes four times as long
    mask = shown[:, :, None].expand(-1, -1, len(image)).reshape(len(shown), -1)
    return as_pictures(torch.where(mask, pixelwise(image), pixelwise(fill)), image)


def score(model: ModelHandle, pictures: Tensor, target: int) -> Tensor:
    """Score (k,) float32 of column `target` for each of `pictures` (k, C, H, W), in one pass; no gradient."""
    with torch.no_grad():
        return model.scores(pictures)[:, target]


def scores_in_passes(
    model: ModelHandle, masks: Tensor, target: int, picture: Callable[[Tensor], Tensor], step: Callable[[int], None]
) -> Tensor:
    """Score (k,) float32 of `picture(part)` for `masks` (k, ...), in passes of even size and at most `model.batch`.

    `step(n)` is called after each pass of n pictures.
    """
    found = [masks.new_zeros(0, dtype=torch.float32)]
    if len(masks):
        for part in masks.chunk(-(-len(masks) // model.batch)):
            found.append(score(model, picture(part), target))
            step(len(part))
    return torch.cat(found)


class Steps:
    """Counts the pictures that have been through the model and tells `progress`."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def __call__(self, n: int) -> None:
        """`n` more pictures are through."""
        self._done += n
        self._progress(self._done, self._total)
