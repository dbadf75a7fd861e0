"""The gradient of the target's score with respect to the input, plain and times the input."""

import captum.attr
import torch
from torch import Tensor

from explainers.base import Explainer, ExplainerParams, Progress, target_scores
from explainers.engines.captum import attribute
from models.store import ModelHandle


def input_gradient(model: ModelHandle, inputs: Tensor, targets: Tensor) -> Tensor:
    """d score of the target / d input, for each of `inputs` (N, C, H, W); same shape."""
    return attribute(captum.attr.Saliency(model.scores), model, inputs, targets, abs=False)


def strongest(gradient: Tensor) -> Tensor:
    """Of each pixel's channels (N, C, H, W) the value of largest magnitude, with its sign (N, H, W)."""
    return gradient.gather(1, gradient.abs().argmax(1, keepdim=True)).squeeze(1)


def repeated(inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """(N, k, C, H, W) variants of N images -> one batch (N·k, C, H, W) in channels-last memory, and its targets."""
    flat = inputs.flatten(0, 1).contiguous(memory_format=torch.channels_last)
    return flat, targets.repeat_interleave(inputs.shape[1])


def plain_scores(model: ModelHandle, inputs: Tensor, targets: Tensor) -> Tensor:
    """Score (N,) of each image's target for `inputs` (N, C, H, W), without a gradient."""
    with torch.no_grad():
        parts = zip(inputs.split(model.batch), targets.split(model.batch), strict=True)
        return torch.cat([target_scores(model.scores(images), wanted) for images, wanted in parts])


class Saliency(Explainer):
    """Gradient of the target's score (Simonyan et al. 2014, section 3).

    M = w_c with c = argmax_c |w_c|, w = d score / d input: the magnitude is the paper's M = max_c |w_c|, the sign is
    kept. On a linear model w is the model's weight.
    """

    name, title, family, signed = "saliency", "Saliency", "gradient", True
    tried_as = ("saliency",)
    question = "Which pixels would change the answer fastest if they changed a little?"
    recipe = "Work out how the answer changes with each pixel (the gradient), and keep the strongest colour's value."
    reference = "Simonyan et al. 2014, Deep Inside Convolutional Networks: Visualising Image Classification Models"
    caution = "It tells what a small change would do, not what the answer rests on; it is noisy in deep models."
    chunk = 16

    def attribute(
        self, model: ModelHandle, inputs: Tensor, targets: Tensor, params: ExplainerParams, progress: Progress
    ) -> Tensor:
        """(N, C, H, W) float32, normalised -> (N, H, W) float32, score per unit of normalised input."""
        return strongest(input_gradient(model, inputs, targets))


class InputXGradient(Explainer):
    """Input times gradient (Shrikumar et al. 2017, section 2.2; first in Shrikumar et al. 2016).

    M = sum_c x_c · w_c, w = d score / d input, x normalised: what each pixel adds to the score in the model's linear
    approximation through x. On a linear model w · x; in a net of ReLUs without biases the map sums to the score.
    """

    name, title, family, signed = "input-x-gradient", "Input × gradient", "gradient", True
    tried_as = ("saliency",)
    question = "How much does each pixel, as bright as it is, add to the answer?"
    recipe = "Multiply each pixel's value by the answer's gradient there, and add up the colours."
    reference = "Shrikumar et al. 2017, Learning Important Features Through Propagating Activation Differences"
    caution = (
        "A pixel counts as zero where it has the mean colour that the model was trained with, whatever it means "
        "there; where the model is saturated, the gradient misses what the answer rests on."
    )
    chunk = 16

    def attribute(
        self, model: ModelHandle, inputs: Tensor, targets: Tensor, params: ExplainerParams, progress: Progress
    ) -> Tensor:
        """(N, C, H, W) float32, normalised -> (N, H, W) float32, score."""
        return attribute(captum.attr.InputXGradient(model.scores), model, inputs, targets).sum(1)
