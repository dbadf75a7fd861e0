"""DeepLIFT: what the picture has over a baseline, handed back difference by difference."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from explainers.base import Explainer, ExplainerParams, Progress, setting, target_scores
from explainers.engines.baselines import BASELINES, baseline
from explainers.engines.deeplift_mode import DeepLIFTMode
from explainers.methods.gradient import plain_scores, repeated
from explainers.methods.path_gradients import mean_score
from models.store import ModelHandle


def contributions(model: ModelHandle, inputs: Tensor, starts: Tensor, targets: Tensor) -> Tensor:
    """m · (x - x') summed over channels (N, H, W), m the multipliers between `starts` x' and `inputs` x (N, C, H, W).

    Raises `InputError` when the model uses an operation that has no rule.
    """
    maps = []
    n_at_once = pairs_at_once(model)
    parts = zip(inputs.split(n_at_once), starts.split(n_at_once), targets.split(n_at_once), strict=True)
    for images, empty, wanted in parts:
        images = images.detach().requires_grad_()
        empty = empty.contiguous(memory_format=torch.channels_last)
        with torch.enable_grad(), DeepLIFTMode() as mode:
            mode.follow(images, empty)
            scores = model.scores(images)
        mode.check(scores)
        (multipliers,) = torch.autograd.grad(target_scores(scores, wanted).sum(), images)
        maps.append((multipliers * (images.detach() - empty)).sum(1))
    return torch.cat(maps)


def pairs_at_once(model: ModelHandle) -> int:
    """How many pictures and baselines, in pairs, go through one forward and backward pass."""
    return max(1, model.batch // 4)


class DeepLIFT(Explainer):
    """Differences from a baseline, followed through the model (Shrikumar et al. 2017, section 3, rescale rule).

    M = sum_c m_c (x - x')_c. The multiplier m of each operation says how a difference is passed on, Δout = m Δin:
    Δout / Δin for activations, their own weights for linear layers, the midpoint for products; the chain rule (eq. 3)
    joins them. Complete: the map sums to score(x) - score(x'). On a linear model M = w · (x - x').
    """

    name, title, family, signed = "deeplift", "DeepLIFT", "gradient", True
    tried_as = ("deeplift",)
    question = "How does each pixel's difference from a baseline pass through the model and make up the answer?"
    recipe = (
        "Run the image and a baseline side by side, and hand the difference of their answers back, layer by layer, "
        "to the units and pixels that differ."
    )
    reference = "Shrikumar et al. 2017, Learning Important Features Through Propagating Activation Differences"
    caution = "Everything is relative to the baseline: where the image equals it (black on black), the map is zero."
    chunk = 8

    @dataclass(frozen=True)
    class Params(ExplainerParams):
        """The baseline."""

        baseline: str = setting("black", choices=BASELINES, help="The image that stands for no evidence.")
        seed: int = setting(0, low=0, high=2**31 - 1, help="Seed of the noise baseline.")

    def attribute(
        self, model: ModelHandle, inputs: Tensor, targets: Tensor, params: Params, progress: Progress
    ) -> Tensor:
        """(N, C, H, W) float32, normalised -> (N, H, W) float32, score."""
        start = baseline(params.baseline, inputs, model.card.preprocessing, params.seed)
        return contributions(model, inputs, start, targets)

    def promised(self, model: ModelHandle, inputs: Tensor, targets: Tensor, params: Params) -> Tensor:
        """score(x) - score(x') (N,)."""
        start = baseline(params.baseline, inputs, model.card.preprocessing, params.seed)
        return plain_scores(model, inputs, targets) - mean_score(model, [start], targets)


class DeepLIFTSHAP(Explainer):
    """DeepLIFT averaged over several baselines (Lundberg & Lee 2017, section 4.2, "Deep SHAP").

    M = mean over baselines b of sum_c m_c(b) (x - b)_c: black, mean, blurred, and some pictures of noise. Complete: the
    map sums to score(x) - mean score(b).
    """

    name, title, family, signed = "deeplift-shap", "DeepLIFT-SHAP", "gradient", True
    tried_as = ("deeplift", "deeplift-shap")  # a model may break at one of the baselines
    tried_with: ClassVar[Mapping[str, Any]] = {"draws": 1}
    question = "How does each pixel make up the answer, averaged over several ideas of an empty image?"
    recipe = "Take DeepLIFT against a black, a grey, a blurred and some noisy baselines, and average."
    reference = "Lundberg & Lee 2017, A Unified Approach to Interpreting Model Predictions"
    caution = "It stands for Shapley values only as far as the model is linear, and still depends on the baselines."
    chunk = 8

    @dataclass(frozen=True)
    class Params(ExplainerParams):
        """The baselines."""

        draws: int = setting(5, low=1, high=100, help="Noise images, next to the black, mean and blurred baseline.")
        seed: int = setting(0, low=0, high=2**31 - 1, help="Seed of the noise baselines.")

    def attribute(
        self, model: ModelHandle, inputs: Tensor, targets: Tensor, params: Params, progress: Progress
    ) -> Tensor:
        """(N, C, H, W) float32, normalised -> (N, H, W) float32, score."""
        starts = _starts(model, inputs, params)
        n_at_once = max(1, pairs_at_once(model) // len(inputs))
        total = torch.zeros_like(inputs[:, 0])
        for done in range(0, len(starts), n_at_once):
            some = torch.stack(starts[done : done + n_at_once], 1)
            copies, wanted = repeated(inputs[:, None].expand_as(some), targets)
            maps = contributions(model, copies, some.flatten(0, 1), wanted)
            total += maps.unflatten(0, some.shape[:2]).sum(1)
            progress(min(done + n_at_once, len(starts)), len(starts))
        return total / len(starts)

    def promised(self, model: ModelHandle, inputs: Tensor, targets: Tensor, params: Params) -> Tensor:
        """score(x) - mean score of the baselines (N,)."""
        return plain_scores(model, inputs, targets) - mean_score(model, _starts(model, inputs, params), targets)


def _starts(model: ModelHandle, inputs: Tensor, params: DeepLIFTSHAP.Params) -> list[Tensor]:
    """The baselines, (N, C, H, W) each."""
    preprocessing = model.card.preprocessing
    plain = [baseline(kind, inputs, preprocessing) for kind in BASELINES if kind != "noise"]
    return plain + [baseline("noise", inputs, preprocessing, params.seed + i) for i in range(params.draws)]
