"""Occlusion: cover a part of the picture and see what it costs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bank.bank import Loan
from explainers.base import Explainer, ExplainerParams, Progress, setting
from explainers.baselines import BASELINES, baseline
from explainers.perturbation import Steps, covered, scores_in_passes


def _intervals(side: int, window: float, stride: float) -> Tensor:
    """Masks (K, side) bool of the window's places along one side; cut off at the far edge, and no pixel is left out.

    `window` is a share of the side, `stride` a share of the window.
    """
    length = max(1, round(window * side))
    step = max(1, round(stride * length))
    starts = torch.arange(0, side - length + step, step)[:, None]
    pixels = torch.arange(side)[None]
    return (pixels >= starts) & (pixels < starts + length)


class Occlusion(Explainer):
    """Drop of the target's score when a window is covered (Zeiler & Fergus 2014, section 4.2).

    M(p) = mean over the windows W that cover pixel p of score(x) - score(x with W filled in). Needs no gradient.
    """

    name, title, family, signed = "occlusion", "Occlusion", "perturbation", True
    question = "How much does the answer lose when this part of the picture is covered?"
    reference = "Zeiler & Fergus 2014, Visualizing and Understanding Convolutional Networks"
    caution = "A covered picture is unlike any the model has seen; evidence that is there twice may show nowhere."
    recipe = (
        "A window slides over the picture and covers what is beneath it; each pixel gets the mean drop of the score "
        "over the windows that covered it."
    )
    chunk = 8

    @dataclass(frozen=True)
    class Params(ExplainerParams):
        """The window and what fills it."""

        window: float = setting(0.125, low=0.04, high=0.9, help="Side of the window, as a share of the picture's.")
        stride: float = setting(0.5, low=0.25, high=1.0, help="Step between windows, as a share of the window.")
        fill: str = setting("mean", choices=BASELINES, help="What the covered part shows instead; mean is plain grey.")
        seed: int = setting(0, low=0, high=2**31 - 1, help="Seed of the noise fill.")

    def attribute(self, loan: Loan, inputs: Tensor, targets: Tensor, params: Params, progress: Progress) -> Tensor:
        """(N, C, H, W) float32, normalised -> (N, H, W) float32, in the target's unit."""
        rows, columns = (_intervals(side, params.window, params.stride).to(inputs.device) for side in inputs.shape[2:])
        top = torch.cat([rows, torch.zeros_like(rows[:1])])  # the last window covers nothing: the whole picture
        places = torch.arange(len(rows) * len(columns) + 1, device=inputs.device)
        fills = baseline(params.fill, inputs, loan.card.preprocessing, params.seed)
        step = Steps(progress, len(inputs) * len(places))
        maps = []
        for image, fill, target in zip(inputs, fills, targets.tolist(), strict=True):

            def picture(part: Tensor, image: Tensor = image, fill: Tensor = fill) -> Tensor:
                window = top[part // len(columns), :, None] & columns[part % len(columns), None]
                return covered(image, fill, ~window.flatten(1))

            scores = scores_in_passes(loan, places, target, picture, step)
            drop = (scores[-1] - scores[:-1]).view(len(rows), len(columns))
            maps.append(_mean_over(rows.float()).T @ drop @ _mean_over(columns.float()))
        return torch.stack(maps)


def _mean_over(intervals: Tensor) -> Tensor:
    """Weights (K, side) float32 with which each place of the window counts at a pixel."""
    return intervals / intervals.sum(0)
