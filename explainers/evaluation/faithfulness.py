"""How far a map may be believed, measured on the map itself: what its pixels are worth to the model, whether it lies
on what it should lie on, and whether it keeps still when the image moves a little.

Each figure is a pure function with its paper. None of them is the truth: images with pixels taken out are unlike any
that the model was trained on, and a map may be right where a mask says otherwise (a model that cheats looks elsewhere).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from explainers.base import Explainer, ExplainerParams, Progress, nobody, out_of_memory, part_of
from explainers.engines.baselines import baseline
from explainers.output import CLASS_SCORE, Output
from models.store import ModelHandle


def insertion_deletion(
    model: ModelHandle,
    inputs: Tensor,
    maps: np.ndarray,
    targets: Tensor,
    steps: int = 16,
    deleted: str = "mean",
    progress: Progress = nobody,
) -> tuple[np.ndarray, np.ndarray]:
    """Areas under the insertion and deletion curves of each map, (N,) float32 in [0, 1] each.

    Petsiuk et al. 2018, section 4.1: pixels go in `steps` (at least 2) equal parts, most relevant first, into the
    blurred image (insertion, high is good), or out of the image, which turns "black" or "mean" grey there (deletion,
    low is good). The area is that of the trapezoids under the target's probability against the share of pixels. The
    order of a signed map is that of its signed values; equal values go in one fixed shuffled order, since pixels from
    the top down would favour a side.

    `inputs` (N, C, H, W) float32, normalised; `maps` (N, h, w), brought to the input's size bilinearly; `targets` (N,)
    classes. At most `model.batch` images per pass, halved when memory runs out.
    """
    height, width = inputs.shape[2:]
    ranks = _ranks(torch.from_numpy(np.array(maps, dtype=np.float32)).to(inputs.device), height, width)
    bounds = torch.arange(1, steps, device=inputs.device) * height * width // steps
    with torch.no_grad():
        blurred, empty = (baseline(kind, inputs, model.card.preprocessing) for kind in ("blurred", deleted))
        at_blurred, at_whole, at_empty = (_answers(model, x, targets)[:, None] for x in (blurred, inputs, empty))
        inserted = _walk(model, inputs, blurred, ranks, bounds, targets, part_of(progress, 0, 1, 2))
        taken = _walk(model, empty, inputs, ranks, bounds, targets, part_of(progress, 1, 1, 2))
    curves = torch.stack([torch.cat([at_blurred, inserted, at_whole], 1), torch.cat([at_whole, taken, at_empty], 1)])
    insertion, deletion = torch.trapezoid(curves, dx=1 / steps).cpu().numpy()
    return insertion, deletion


def _ranks(maps: Tensor, height: int, width: int) -> Tensor:
    """(N, height, width) int64: 0 for a map's most relevant pixel, height · width - 1 for its least."""
    values = F.interpolate(maps[:, None], (height, width), mode="bilinear").flatten(1)
    shuffled = torch.randperm(values.shape[1], generator=torch.Generator().manual_seed(0)).to(values.device)
    order = shuffled[values[:, shuffled].argsort(dim=1, descending=True, stable=True)]
    places = torch.arange(values.shape[1], device=values.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places).view(-1, height, width)


def _walk(
    model: ModelHandle,
    over: Tensor,
    under: Tensor,
    ranks: Tensor,
    bounds: Tensor,
    targets: Tensor,
    progress: Progress,
) -> Tensor:
    """Probabilities (N, bounds): of `under` where the pixels of rank below each bound are those of `over`."""
    over, under = (x.permute(0, 2, 3, 1).contiguous() for x in (over, under))  # the mixture is channels-last at once
    found = []
    for rows in torch.arange(len(ranks), device=ranks.device).split(max(1, model.batch // len(bounds))):
        parts = []
        for part in bounds.split(model.batch):
            first = ranks[rows, None] < part[:, None, None]
            mixed = torch.where(first[..., None], over[rows, None], under[rows, None]).flatten(0, 1)
            wanted = targets[rows].repeat_interleave(len(part))
            parts.append(_answers(model, mixed.permute(0, 3, 1, 2), wanted).view(len(rows), -1))
        found.append(torch.cat(parts, 1))
        progress(int(rows[-1]) + 1, len(ranks))
    return torch.cat(found)


def _answers(model: ModelHandle, inputs: Tensor, targets: Tensor) -> Tensor:
    """Probability (N,) of each target; when memory runs out, the passes are halved."""
    size = min(model.batch, len(inputs))
    while True:
        try:
            logits = torch.cat([model.logits(part) for part in inputs.split(size)])
        except RuntimeError as error:
            if not out_of_memory(error) or size == 1:
                raise
            size //= 2
        else:
            return model.probabilities(logits).gather(1, targets[:, None]).squeeze(1)


def pointing_game(attribution: np.ndarray, mask: np.ndarray) -> float:
    """Whether the map's maximum lies on the mask, 1 or 0 (Zhang et al. 2018, the pointing game).

    `attribution` (H, W) float32 in the image's pixels, NaN where the model never saw; `mask` (H, W) bool, exact: the
    paper's tolerance of 15 pixels is for hand-drawn boxes. Of several equal maxima, the share that hits. NaN for a map
    without positive values, or where the model saw nothing of the mask.
    """
    seen = np.isfinite(attribution)
    if not (mask & seen).any() or not (highest := np.nanmax(attribution, initial=-np.inf)) > 0:
        return float("nan")
    return float(mask[attribution == highest].mean())


def relevance_mass(attribution: np.ndarray, mask: np.ndarray) -> float:
    """Share of the positive relevance that lies on the mask, in [0, 1] (Arras et al. 2022, relevance mass accuracy).

    `attribution` (H, W) float32 in the image's pixels, NaN where the model never saw; `mask` (H, W) bool. NaN for a
    map without positive values, or where the model saw nothing of the mask.
    """
    positive = np.where(attribution > 0, attribution, 0.0).astype(np.float64)  # NaN is not above 0
    total = positive.sum()
    if total <= 0 or not (mask & np.isfinite(attribution)).any():
        return float("nan")
    return float(positive[mask].sum() / total)


def share_seen(attribution: np.ndarray, mask: np.ndarray) -> float:
    """Share of what the model saw that `mask` (H, W) bool covers: the mass of a map that says the same everywhere."""
    seen = np.isfinite(attribution)
    return float((mask & seen).sum() / seen.sum())


#: How images (H, W, 3) uint8 are explained, whatever the model: maps (N, h, w) float32.
Explain = Callable[[ModelHandle, Sequence[np.ndarray], Progress], np.ndarray]


def explained_by(
    method: Explainer, targets: Sequence[int], params: ExplainerParams, output: Output = CLASS_SCORE
) -> Explain:
    """`method` at these settings, towards `targets` (columns of `output`), one for each image."""
    return lambda model, images, progress: (
        method.explain(model, images, [""] * len(images), targets, params, progress, output).maps
    )


def sensitivity(
    explain: Explain,
    model: ModelHandle,
    images: Sequence[np.ndarray],
    maps: np.ndarray,
    shift_px: int = 2,
    progress: Progress = nobody,
) -> np.ndarray:
    """How much each map changes when its image moves a little (N,): 0 is the same, 1 is nothing alike, at most 2.

    Yeh et al. 2019 (max-sensitivity) take the map's largest change over small changes of the image. Here the change
    is one that a person calls none: what the model sees moves `shift_px` of its own pixels down and to the right (the
    edge is repeated), is explained anew, and the map is moved back. The figure is 1 - r, with r Pearson's correlation
    of both maps on the part that both images share. A single move, so no maximum; a correlation, so the map's scale
    plays no part. Two maps without any contrast are the same; one without and one with are nothing alike.

    `images` (H, W, 3) uint8 each; `maps` (N, h, w), what `explain` said about them.
    """
    preprocessing = model.card.preprocessing
    crops = [preprocessing.crop(image) for image in images]
    height, width = crops[0].shape[:2]
    as_it_is = replace(preprocessing, resize=preprocessing.input_size, mode="squash")  # neither resizes nor cuts crops
    uncropped = replace(model, card=replace(model.card, preprocessing=as_it_is))
    rows, columns = (np.maximum(np.arange(side) - shift_px, 0) for side in (height, width))
    moved = [crop[rows][:, columns] for crop in crops]
    shown = [np.repeat(crop, 3, 2) if crop.shape[2] == 1 else crop for crop in moved]
    again = explain(uncropped, shown, progress)
    first, second = (_resized(part, height, width) for part in (maps, again))
    first = first[:, : height - shift_px, : width - shift_px]
    second = second[:, shift_px:, shift_px:]
    return np.array([1 - correlation(a, b) for a, b in zip(first, second, strict=True)])


def _resized(maps: np.ndarray, height: int, width: int) -> np.ndarray:
    whole = torch.from_numpy(np.array(maps, dtype=np.float32))[:, None]
    return F.interpolate(whole, (height, width), mode="bilinear").squeeze(1).numpy()


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson's r of two arrays of one shape; of two without contrast 1, of one without and one with 0."""
    flat = [values.astype(np.float64).ravel() for values in (first, second)]
    even = [np.ptp(values) <= 1e-6 * np.abs(values).max() for values in flat]  # resizing leaves ripples of rounding
    if any(even):
        return float(all(even))
    return float(np.corrcoef([values / np.abs(values).max() for values in flat])[0, 1])  # tiny ones survive squaring
