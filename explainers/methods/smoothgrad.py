"""Gradients at noisy copies of the picture: their mean, their mean square, their variance."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from explainers.base import Explainer, ExplainerParams, Progress, Sampled, setting
from explainers.engines.captum import n_passes
from explainers.methods.gradient import input_gradient, repeated, strongest
from models.store import ModelHandle


class Moments:
    """Running mean and variance of samples; none of them is kept (Chan et al. 1979, eq. 2.1)."""

    def __init__(self) -> None:
        self.n_samples = 0
        self.mean: Tensor = torch.zeros(())
        self._squares: Tensor = torch.zeros(())

    def add(self, samples: Tensor) -> None:
        """Take in `samples` (N, k, ...), k for each of N images."""
        n_new = samples.shape[1]
        mean = samples.mean(1)
        squares = (samples - mean[:, None]).square_().sum(1)  # ten times as fast as torch.var_mean along this axis
        if self.n_samples == 0:
            self.mean, self._squares = mean, squares
        else:
            share = n_new / (self.n_samples + n_new)
            step = mean - self.mean
            self.mean = self.mean + share * step
            self._squares = self._squares + squares + self.n_samples * share * step.square()
        self.n_samples += n_new

    @property
    def variance(self) -> Tensor:
        """Mean squared distance of the samples from their mean (N, ...)."""
        return self._squares / self.n_samples

    @property
    def standard_error(self) -> Tensor:
        """Of the mean, (N, ...): s / sqrt(n), with the unbiased s; zero while there is one sample only."""
        return (self.variance / max(1, self.n_samples - 1)).sqrt()


@dataclass(frozen=True)
class NoiseParams(ExplainerParams):
    """How many noisy copies, and how noisy."""

    samples: int = setting(20, low=1, high=200, help="Noisy copies to average over.")
    sigma: float = setting(0.1, low=0.0, high=1.0, help="Noise, as a share of the image's range of values.")
    seed: int = setting(0, low=0, high=2**31 - 1, help="Seed of the noise.")


class NoisyGradients(Explainer):
    """What the methods here share: w_i = d score / d input at x + e_i, e_i ~ N(0, sigma²).

    sigma is a share of the picture's own range of values, max - min. The same noise serves every image, so that a map
    does not depend on the others in its batch.
    """

    family = "gradient"
    tried_as = ("saliency",)
    chunk = 8
    Params = NoiseParams

    def gradients(
        self, model: ModelHandle, inputs: Tensor, targets: Tensor, params: NoiseParams, progress: Progress
    ) -> Iterator[Tensor]:
        """(N, C, H, W) float32, normalised -> w_i, some at a time: (N, k, C, H, W) float32, score per unit of input."""
        generator = torch.Generator().manual_seed(params.seed)
        sigma = params.sigma * (inputs.amax((1, 2, 3)) - inputs.amin((1, 2, 3)))
        pictures, done = inputs.permute(0, 2, 3, 1)[:, None], 0  # as channels-last memory has them
        for part in torch.arange(params.samples).chunk(n_passes(model, params.samples * len(inputs))):
            draws = torch.empty(len(part), *pictures.shape[2:])
            for draw in draws:  # one by one: a batch of draws is not always the same numbers as its parts
                draw.normal_(generator=generator)
            noisy = torch.addcmul(pictures, sigma.view(-1, 1, 1, 1, 1), draws.to(inputs.device)).permute(0, 1, 4, 2, 3)
            yield input_gradient(model, *repeated(noisy, targets)).unflatten(0, noisy.shape[:2])
            progress(done := done + len(part), params.samples)


class SmoothGrad(NoisyGradients):
    """Mean gradient over noisy copies of the picture (Smilkov et al. 2017, section 3).

    M = 1/n sum_i w_i, w_i the gradient at x + e_i, e_i ~ N(0, sigma²). Of each pixel's channels the one of largest
    magnitude is kept, with its sign.
    """

    name, title, signed = "smoothgrad", "SmoothGrad", True
    question = "Which pixels matter for the answer to this image and to slightly noisy copies of it?"
    recipe = "Add a little noise to the image many times, take the gradient each time, and average."
    reference = "Smilkov et al. 2017, SmoothGrad: removing noise by adding noise"
    caution = "Cleaner than a plain gradient, but smoothing can also hide that the model is erratic here."

    def attribute(
        self, model: ModelHandle, inputs: Tensor, targets: Tensor, params: NoiseParams, progress: Progress
    ) -> Sampled:
        """(N, C, H, W) float32, normalised -> (N, H, W) float32, score per unit of normalised input."""
        moments = Moments()
        for gradients in self.gradients(model, inputs, targets, params, progress):
            moments.add(gradients)
        return _strongest_mean(moments)


class SmoothGradSquared(NoisyGradients):
    """Mean squared gradient over noisy copies of the picture (SG-SQ, section on ensembles of Hooker et al. 2019).

    M = 1/n sum_i w_i², w_i the gradient at x + e_i, e_i ~ N(0, sigma²); of each pixel's channels the largest.
    """

    name, title, signed = "smoothgrad-squared", "SmoothGrad²", False
    question = "Which pixels move the answer strongly, either way, in this image and noisy copies of it?"
    recipe = "Add a little noise to the image many times, square the gradient each time, and average."
    reference = "Hooker et al. 2019, A Benchmark for Interpretability Methods in Deep Neural Networks"
    caution = "Squaring drops the sign, so it shows where, not for or against; large gradients drown the small ones."

    def attribute(
        self, model: ModelHandle, inputs: Tensor, targets: Tensor, params: NoiseParams, progress: Progress
    ) -> Sampled:
        """(N, C, H, W) float32, normalised -> (N, H, W) float32, squared score per unit of normalised input."""
        moments = Moments()
        for gradients in self.gradients(model, inputs, targets, params, progress):
            moments.add(gradients.square_())
        return _strongest_mean(moments)


class VarGrad(NoisyGradients):
    """Variance of the gradient over noisy copies of the picture (section on VarGrad of Adebayo et al. 2018).

    M = 1/n sum_i (w_i - mean w)², w_i the gradient at x + e_i, e_i ~ N(0, sigma²); of each pixel's channels the
    largest. Zero where the model is linear.
    """

    name, title, signed = "vargrad", "VarGrad", False
    question = "At which pixels does the model's sensitivity change most when the image is slightly noisy?"
    recipe = "Add a little noise to the image many times, and measure how much the gradient varies."
    reference = "Adebayo et al. 2018, Local Explanation Methods for Deep Neural Networks Lack Sensitivity to Parameters"
    caution = "It shows where the gradient is unsteady; evidence on which the model relies steadily gets nothing."

    @dataclass(frozen=True)
    class Params(NoiseParams):
        """How many noisy copies, and how noisy."""

        samples: int = setting(20, low=2, high=200, help="Noisy copies to compare.")

    def attribute(
        self, model: ModelHandle, inputs: Tensor, targets: Tensor, params: NoiseParams, progress: Progress
    ) -> Tensor:
        """(N, C, H, W) float32, normalised -> (N, H, W) float32, squared score per unit of normalised input."""
        moments = Moments()
        for gradients in self.gradients(model, inputs, targets, params, progress):
            moments.add(gradients)
        return strongest(moments.variance)


def _strongest_mean(moments: Moments) -> Sampled:
    """Of each pixel's channels the mean of largest magnitude, and its standard error."""
    channel = moments.mean.abs().argmax(1, keepdim=True)
    return Sampled(*(part.gather(1, channel).squeeze(1) for part in (moments.mean, moments.standard_error)))
