"""What a window is worth: how far a class falls when the window is unknown."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Measure:
    """A number read off the model's scores for one `target`, a column of them.

    Here a unit's activation (eq. 9), in its own unit: a logit, a neuron, or the mean of a feature map. It is averaged
    over samples as `statistics` (which average without bias), of which `value` makes the number.
    """

    target: int

    def statistics(self, scores: Tensor) -> Tensor:
        """Scores (..., K) -> (..., n) float64."""
        return scores[..., self.target, None].double()

    def value(self, statistics: Tensor) -> Tensor:
        """Mean statistics (..., n) -> (...)."""
        return statistics[..., 0]


@dataclass(frozen=True)
class WeightOfEvidence(Measure):
    """log2 odds of a class's probability (eq. 4-5), in bits.

    With the Laplace correction p <- (p N + 1) / (N + K), the odds are (p N + 1) / (q N + K - 1), where q is the summed
    probability of the other classes: 1 - p would lose its digits near p = 1. `n` is N, the number of training
    images, which caps what can be said: at most log2((N + 1) / (K - 1)). Classes that are not `exclusive` have a
    sigmoid each: a class stands against its absence (K = 2).
    """

    n: float = 1e5
    n_classes: int = 2
    exclusive: bool = True

    def statistics(self, scores: Tensor) -> Tensor:
        """Logits (..., K) -> p and q of the target (..., 2)."""
        if not self.exclusive:
            own = scores[..., self.target].double()
            return torch.stack([own.sigmoid(), (-own).sigmoid()], -1)
        p = scores.double().softmax(-1)
        columns = torch.arange(scores.shape[-1], device=scores.device)
        return torch.stack([p[..., self.target], torch.where(columns == self.target, 0, p).sum(-1)], -1)

    def value(self, statistics: Tensor) -> Tensor:
        """(..., 2) -> (...)."""
        p, q = statistics.unbind(-1)
        return ((p * self.n + 1) / (q * self.n + self.n_classes - 1)).log2()


def difference(measure: Measure, clean: Tensor, samples: Tensor, pairs: bool, jackknife: bool) -> tuple[Tensor, Tensor]:
    """How far the measure falls when a window is unknown, and the Monte Carlo error of that: (W,) each, float64.

    `clean` (K,) scores of the image, `samples` (W, S, K) of each window's samples; where `pairs`, samples 2 i and
    2 i + 1 are one antithetic pair. A function of a mean is biased by the mean's variance; the `jackknife` takes the
    part of the bias that falls as 1 / S away. The error is the jackknife's as well (Efron & Stein 1981), which
    takes samples or pairs for independent: a bound from above where they are spread out. NaN for one sample or pair.
    """
    still = measure.statistics(clean)
    moved = measure.statistics(samples) - still  # nothing at all where the model does not look
    if pairs:
        moved = moved.unflatten(1, (-1, 2)).mean(2)
    n = moved.shape[1]
    mean = moved.mean(1)
    value = measure.value(still + mean)
    error = torch.full_like(value, torch.nan)
    if n > 1:
        without = measure.value(still + (n * mean[:, None] - moved) / (n - 1))
        error = ((n - 1) * (without - without.mean(1, keepdim=True)).square().mean(1)).sqrt()
        if jackknife:
            value = value + (n - 1) * (value[:, None] - without).mean(1)
    return measure.value(still) - value, error
