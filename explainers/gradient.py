"""Gradients of the target's logit with respect to the input: plain, averaged over noise, averaged along a path."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bank.bank import Loan
from explainers.base import Explainer, ExplainerParams, Progress, setting, target_scores
from explainers.baselines import BASELINES, baseline

#: Pictures per pass when a method needs many passes for each image.
_PASS = 16


def input_gradient(loan: Loan, inputs: Tensor, targets: Tensor) -> Tensor:
    """d logit of the target / d input, for each of `inputs` (N, C, H, W); same shape."""
    inputs = inputs.detach().requires_grad_()
    with torch.enable_grad():
        scores = target_scores(loan.scores(inputs), targets)
    return torch.autograd.grad(scores.sum(), inputs)[0]


def strongest(gradient: Tensor) -> Tensor:
    """Of each pixel's channels (N, C, H, W) the value of largest magnitude, with its sign (N, H, W)."""
    return gradient.gather(1, gradient.abs().argmax(1, keepdim=True)).squeeze(1)


def _repeated(inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """(N, k, C, H, W) variants of N images -> one batch (N·k, C, H, W) in channels-last memory, and its targets."""
    flat = inputs.flatten(0, 1).contiguous(memory_format=torch.channels_last)
    return flat, targets.repeat_interleave(inputs.shape[1])


class Saliency(Explainer):
    """Gradient of the target's logit (Simonyan et al. 2014, section 3).

    M = w_c with c = argmax_c |w_c|, w = d logit / d input: the magnitude is the paper's M = max_c |w_c|, the sign is
    kept. On a linear model w is the model's weight.
    """

    name, title, family, signed = "saliency", "Saliency", "gradient", True
    question = "Which pixels would change the answer fastest if they changed a little?"
    reference = "Simonyan et al. 2014, Deep Inside Convolutional Networks: Visualising Image Classification Models"
    caution = "It tells what a small change would do, not what the answer rests on; it is noisy in deep nets."
    chunk = 16

    def attribute(
        self, loan: Loan, inputs: Tensor, targets: Tensor, params: ExplainerParams, progress: Progress
    ) -> Tensor:
        """(N, C, H, W) float32, normalised -> (N, H, W) float32, logits per unit of normalised input."""
        return strongest(input_gradient(loan, inputs, targets))


class SmoothGrad(Explainer):
    """Mean gradient over noisy copies of the picture (Smilkov et al. 2017, section 3).

    M = 1/n sum_i w(x + e_i), e_i ~ N(0, sigma²), sigma a share of the picture's own range of values. The same noise
    serves every image, so that a map does not depend on the others in its batch.
    """

    name, title, family, signed = "smoothgrad", "SmoothGrad", "gradient", True
    question = "Which pixels matter for the answer to this picture and to slightly noisy copies of it?"
    reference = "Smilkov et al. 2017, SmoothGrad: removing noise by adding noise"
    caution = "Cleaner than a plain gradient, but smoothing can also hide that the model is erratic here."
    chunk = 8

    @dataclass(frozen=True)
    class Params(ExplainerParams):
        """How many noisy copies, and how noisy."""

        samples: int = setting(20, low=1, high=200, help="Noisy copies to average over.")
        sigma: float = setting(0.1, low=0.0, high=1.0, help="Noise, as a share of the picture's range of values.")
        seed: int = setting(0, low=0, high=2**31 - 1, help="Seed of the noise.")

    def attribute(self, loan: Loan, inputs: Tensor, targets: Tensor, params: Params, progress: Progress) -> Tensor:
        """(N, C, H, W) float32, normalised -> (N, H, W) float32, logits per unit of normalised input."""
        generator = torch.Generator().manual_seed(params.seed)
        sigma = params.sigma * (inputs.amax((1, 2, 3)) - inputs.amin((1, 2, 3)))
        total = torch.zeros_like(inputs)
        k = max(1, _PASS // len(inputs))
        for start in range(0, params.samples, k):
            n_samples = min(k, params.samples - start)
            noise = torch.randn((n_samples, *inputs.shape[1:]), generator=generator).to(inputs.device)
            noisy = inputs[:, None] + sigma.view(-1, 1, 1, 1, 1) * noise
            total += input_gradient(loan, *_repeated(noisy, targets)).unflatten(0, noisy.shape[:2]).sum(1)
            progress(start + n_samples, params.samples)
        return strongest(total / params.samples)


class IntegratedGradients(Explainer):
    """Gradients along the straight path from a baseline to the picture (Sundararajan et al. 2017, eq. 1).

    M = sum_c (x - x')_c · integral over a in [0, 1] of d logit(x' + a (x - x')) / d x_c, by Gauss-Legendre
    quadrature. Complete: the map sums to logit(x) - logit(x'), up to the error of the quadrature.
    """

    name, title, family, signed = "integrated-gradients", "Integrated gradients", "gradient", True
    question = "How does each pixel's difference from a baseline add up to the answer?"
    reference = "Sundararajan et al. 2017, Axiomatic Attribution for Deep Networks"
    caution = "Everything is relative to the baseline: where the picture equals it (black on black), the map is zero."
    chunk = 8

    @dataclass(frozen=True)
    class Params(ExplainerParams):
        """The baseline, and how finely the path is walked."""

        steps: int = setting(50, low=1, high=500, help="Points on the path; more make the sum more exact.")
        baseline: str = setting("black", choices=BASELINES, help="The picture that stands for no evidence.")
        seed: int = setting(0, low=0, high=2**31 - 1, help="Seed of the noise baseline.")

    def attribute(self, loan: Loan, inputs: Tensor, targets: Tensor, params: Params, progress: Progress) -> Tensor:
        """(N, C, H, W) float32, normalised -> (N, H, W) float32, logits."""
        start = baseline(params.baseline, inputs, loan.card.preprocessing, params.seed)
        nodes, weights = np.polynomial.legendre.leggauss(params.steps)  # on [-1, 1], weights sum to 2
        position, share = (torch.tensor(x, dtype=inputs.dtype, device=inputs.device) for x in (nodes, weights))
        position, share = (position + 1) / 2, share / 2
        total = torch.zeros_like(inputs)
        k = max(1, _PASS // len(inputs))
        for a, weight in zip(position.split(k), share.split(k), strict=True):
            path = torch.lerp(start[:, None], inputs[:, None], a.view(1, -1, 1, 1, 1))
            gradient = input_gradient(loan, *_repeated(path, targets)).unflatten(0, path.shape[:2])
            total += torch.einsum("nkchw,k->nchw", gradient, weight)
            progress(len(a), params.steps)
        return ((inputs - start) * total).sum(1)
