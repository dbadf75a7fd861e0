"""Gradients on the way from a baseline to the picture, which add up to what the picture has over the baseline."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import captum.attr
import torch
from torch import Tensor

from explainers.base import Explainer, ExplainerParams, Progress, Sampled, setting, target_scores
from explainers.engines.baselines import BASELINES, baseline, mixed_baselines
from explainers.engines.captum import fast, n_passes
from explainers.methods.gradient import input_gradient, plain_scores, repeated
from explainers.methods.smoothgrad import Moments
from models.store import ModelHandle


class IntegratedGradients(Explainer):
    """Gradients along the straight path from a baseline to the picture (Sundararajan et al. 2017, eq. 1).

    M = sum_c (x - x')_c · integral over a in [0, 1] of d score(x' + a (x - x')) / d x_c, by Gauss-Legendre
    quadrature. Complete: the map sums to score(x) - score(x'), up to the error of the quadrature.
    """

    name, title, family, signed = "integrated-gradients", "Integrated gradients", "gradient", True
    tried_as = ("saliency",)
    question = "How does each pixel's difference from a baseline add up to the answer?"
    recipe = "Fade from a baseline to the image in small steps, and add up what each pixel contributes on the way."
    reference = "Sundararajan et al. 2017, Axiomatic Attribution for Deep Networks"
    caution = "Everything is relative to the baseline: where the image equals it (black on black), the map is zero."
    chunk = 8

    @dataclass(frozen=True)
    class Params(ExplainerParams):
        """The baseline, and how finely the path is walked."""

        steps: int = setting(50, low=1, high=500, help="Points on the path; more make the sum more exact.")
        baseline: str = setting("black", choices=BASELINES, help="The image that stands for no evidence.")
        seed: int = setting(0, low=0, high=2**31 - 1, help="Seed of the noise baseline.")

    def attribute(
        self, model: ModelHandle, inputs: Tensor, targets: Tensor, params: Params, progress: Progress
    ) -> Tensor:
        """(N, C, H, W) float32, normalised -> (N, H, W) float32, score."""
        start = baseline(params.baseline, inputs, model.card.preprocessing, params.seed)
        method = fast(captum.attr.IntegratedGradients(model.scores), progress, params.steps * len(inputs))
        n, at_once = n_passes(model, len(inputs)), max(1, model.batch // 2)
        parts = zip(inputs.chunk(n), start.chunk(n), targets.chunk(n), strict=True)
        found = [
            method.attribute(*part, n_steps=params.steps, internal_batch_size=max(at_once, len(part[0])))
            for part in parts
        ]
        return torch.cat(found).sum(1)

    def promised(self, model: ModelHandle, inputs: Tensor, targets: Tensor, params: Params) -> Tensor:
        """score(x) - score(x') (N,)."""
        start = baseline(params.baseline, inputs, model.card.preprocessing, params.seed)
        return plain_scores(model, inputs, targets) - plain_scores(model, start, targets)


class GradientSHAP(Explainer):
    """Expected gradients, from random baselines (Erion et al. 2021; after Lundberg & Lee 2017, section 4).

    M = mean over i of sum_c (x + e_i - b_i)_c · d score(b_i + a_i (x + e_i - b_i)) / d x_c, a_i ~ U(0, 1), e_i ~
    N(0, sigma²). The b_i are black, mean, blurred and noise in turn, every noise picture another one; the draws serve
    every image. On average over the draws the map sums to score(x) - mean of score(b_i).
    """

    name, title, family, signed = "gradient-shap", "GradientSHAP", "gradient", True
    tried_as = ("saliency",)
    question = "How does each pixel add up to the answer, averaged over several ideas of an empty image?"
    recipe = (
        "Pick a random point on the way from a random baseline to the image, and see what each pixel contributes "
        "there; average over many such points."
    )
    reference = "Lundberg & Lee 2017, A Unified Approach to Interpreting Model Predictions"
    caution = (
        "It is an average over few random points: the gap of its sum is a sampling error and shrinks with more samples."
    )
    chunk = 8

    @dataclass(frozen=True)
    class Params(ExplainerParams):
        """How many points, and how noisy the picture."""

        samples: int = setting(20, low=1, high=500, help="Random points to average over; multiples of 4 suit best.")
        sigma: float = setting(0.0, low=0.0, high=1.0, help="Noise on the image, as a share of its range of values.")
        seed: int = setting(0, low=0, high=2**31 - 1, help="Seed of the points, the noise and the noise baselines.")

    def attribute(
        self, model: ModelHandle, inputs: Tensor, targets: Tensor, params: Params, progress: Progress
    ) -> Sampled:
        """(N, C, H, W) float32, normalised -> (N, H, W) float32, score; the error is that of independent points."""
        generator = torch.Generator().manual_seed(params.seed)
        position = torch.rand(params.samples, generator=generator).to(inputs.device)
        sigma = params.sigma * (inputs.amax((1, 2, 3)) - inputs.amin((1, 2, 3)))
        starts = mixed_baselines(inputs, model.card.preprocessing, params.samples, params.seed)
        moments = Moments()
        for a in position.chunk(n_passes(model, params.samples * len(inputs))):
            start = torch.stack([next(starts) for _ in a], 1)
            end = inputs[:, None]
            if params.sigma:
                draws = [torch.randn(inputs.shape[1:], generator=generator) for _ in a]
                end = end + sigma.view(-1, 1, 1, 1, 1) * torch.stack(draws).to(inputs.device)
            points = torch.lerp(start, end, a.view(1, -1, 1, 1, 1))
            gradients = input_gradient(model, *repeated(points, targets)).unflatten(0, points.shape[:2])
            moments.add(((end - start) * gradients).sum(2))
            progress(moments.n_samples, params.samples)
        return Sampled(moments.mean, moments.standard_error)

    def promised(self, model: ModelHandle, inputs: Tensor, targets: Tensor, params: Params) -> Tensor:
        """score(x) - mean score of the baselines (N,)."""
        starts = mixed_baselines(inputs, model.card.preprocessing, params.samples, params.seed)
        return plain_scores(model, inputs, targets) - mean_score(model, starts, targets)


def mean_score(model: ModelHandle, starts: Iterable[Tensor], targets: Tensor) -> Tensor:
    """Mean over `starts` (N, C, H, W) of the score (N,) of each image's target; what is there twice is run once."""
    total = torch.zeros(len(targets), device=targets.device)
    counts = Counter(starts)  # tensors count by identity
    for start, n_times in counts.items():
        if start.stride(0) == 0:  # one picture for all
            with torch.no_grad():
                scores = target_scores(model.scores(start[:1]).expand(len(targets), -1), targets)
        else:
            scores = plain_scores(model, start, targets)
        total += n_times * scores
    return total / counts.total()
