"""Occlusion: cover a part of the picture and see what it costs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bank.bank import Loan
from explainers.base import Explainer, ExplainerParams, Progress, setting, target_scores
from explainers.baselines import BASELINES, baseline

#: Covered pictures per pass.
_PASS = 64


def windows(height: int, width: int, window: float, stride: float) -> Tensor:
    """Masks (K, height, width) bool of a sliding window, True where it covers; cut off at the far edges.

    `window` is a share of each side, `stride` a share of the window; every pixel is covered at least once.
    """
    rows, columns = (_intervals(side, window, stride) for side in (height, width))
    return (rows[:, None, :, None] & columns[None, :, None, :]).flatten(0, 1)


def _intervals(side: int, window: float, stride: float) -> Tensor:
    """Masks (K, side) bool of the window's places along one side."""
    length = max(1, round(window * side))
    step = max(1, round(stride * length))
    starts = torch.arange(0, side - length + step, step)[:, None]
    pixels = torch.arange(side)[None]
    return (pixels >= starts) & (pixels < starts + length)


class Occlusion(Explainer):
    """Drop of the target's logit when a window is covered (Zeiler & Fergus 2014, section 4.2).

    M(p) = mean over the windows W that cover pixel p of logit(x) - logit(x with W filled in). Needs no gradient.
    """

    name, title, family, signed = "occlusion", "Occlusion", "perturbation", True
    question = "How much does the answer lose when this part of the picture is covered?"
    reference = "Zeiler & Fergus 2014, Visualizing and Understanding Convolutional Networks"
    caution = "A covered picture is unlike any the model has seen; evidence that is there twice may show nowhere."
    chunk = 8

    @dataclass(frozen=True)
    class Params(ExplainerParams):
        """The window and what fills it."""

        window: float = setting(0.125, low=0.04, high=0.9, help="Side of the window, as a share of the picture's.")
        stride: float = setting(0.5, low=0.25, high=1.0, help="Step between windows, as a share of the window.")
        fill: str = setting("mean", choices=BASELINES, help="What the covered part shows instead; mean is plain grey.")
        seed: int = setting(0, low=0, high=2**31 - 1, help="Seed of the noise fill.")

    def attribute(self, loan: Loan, inputs: Tensor, targets: Tensor, params: Params, progress: Progress) -> Tensor:
        """(N, C, H, W) float32, normalised -> (N, H, W) float32, logits."""
        height, width = inputs.shape[2:]
        masks = windows(height, width, params.window, params.stride).to(inputs.device)
        fill = baseline(params.fill, inputs, loan.card.preprocessing, params.seed)
        total = torch.zeros_like(inputs[:, 0])
        with torch.no_grad():
            whole = target_scores(loan.scores(inputs), targets)
            done = 0
            for part in masks.split(max(1, _PASS // len(inputs))):
                covered = torch.where(part[:, None, None], fill, inputs).flatten(0, 1)
                logits = loan.scores(covered.contiguous(memory_format=torch.channels_last))
                drop = whole - target_scores(logits, targets.repeat(len(part))).view(len(part), -1)
                total += torch.einsum("kn,khw->nhw", drop, part.to(drop.dtype))
                progress(done := done + len(part), len(masks))
        return total / masks.sum(0)
