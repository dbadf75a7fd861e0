"""Prediction difference analysis as one of the explanation methods."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from common.errors import InputError
from explainers.base import ExplainerParams, Fitted, Need, Progress, Progressive, Sampled, setting
from explainers.output import CLASS_SCORE, PROBABILITY, UNIT, Output
from explainers.prediction_difference.evidence import ActivationDifference, Measure, WeightOfEvidence
from explainers.prediction_difference.samplers import Conditional, Gaussian, Marginal, Sampler, check_patch
from explainers.prediction_difference.survey import Effort, Survey, advance, pixels
from explainers.prediction_difference.windows import Grid
from models.card import ModelCard
from models.store import ModelHandle

CONDITIONAL, MARGINAL = "conditional", "marginal"

#: Pictures of the data set that marginal sampling draws from, at most.
_REFERENCES = 256


@dataclass(frozen=True)
class PredictionDifferenceParams(ExplainerParams):
    """Window, samples, and what they are drawn from. Lengths are pixels of the model's input."""

    window: int = setting(8, low=1, high=64, help="Side of the window that is made unknown, in pixels.")
    stride: int = setting(4, low=1, high=64, help="Step between windows, in pixels; 1 asks about every window.")
    samples: int = setting(8, low=2, high=200, help="What may have been in a window is drawn this often, at most.")
    sampling: str = setting(
        CONDITIONAL,
        choices=(CONDITIONAL, MARGINAL),
        help="Conditional: what fits the window's rim. Marginal: what other pictures show there.",
    )
    padding: int = setting(2, low=1, high=8, help="Width of the rim that conditional sampling looks at, in pixels.")
    per_channel: bool = setting(False, help="A Gaussian for each colour channel by itself.")
    settled: float = setting(
        0.1,
        low=0.0,
        high=1.0,
        help="Windows this certain, as a share of a typical difference and with what their neighbours tell, get no "
        "more samples. 0 takes no short cut.",
    )
    jackknife: bool = setting(True, help="Take away the bias that few samples give to the log odds.")
    laplace: float = setting(
        1e5, low=1.0, high=1e9, help="Training pictures N of the Laplace correction, for probabilities."
    )
    seed: int = setting(0, low=0, high=2**31 - 1, help="Seed of the samples.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.stride > self.window:
            cure = "A longer stride leaves gaps between the windows: pixels that are never asked about."
            raise InputError(f"a stride of at most {self.window}, the window's side", str(self.stride), cure)
        if self.sampling == CONDITIONAL and self.samples % 2:
            cure = "Conditional samples come in pairs that lie opposite each other."
            raise InputError("an even number of samples", str(self.samples), cure)

    @property
    def effort(self) -> Effort:
        """How many samples a window gets."""
        return Effort(self.samples, min(4, self.samples), self.settled, self.jackknife, self.seed)


class PredictionDifference(Progressive, Fitted):
    """How far the target falls when a window of the picture is unknown (Zintgraf et al. 2017, Algorithm 1).

    A window's content is drawn S times, given its rim or from other pictures; the answer's mean over the samples stands
    for the answer that knows nothing of the window. A pixel's value is the mean over the windows that hold it of

    - log2 odds(p) - log2 odds(mean p), the weight of evidence in bits (eq. 4), for a probability;
    - a - mean a, the activation difference (eq. 9), for a logit or a unit, of a feature map its mean.
    """

    name, title, family, signed = "prediction-difference", "Prediction difference", "perturbation", True
    needs = frozenset({Need.DATA})
    question = "What would the answer lose if this part of the picture were not known?"
    recipe = (
        "A window's content is replaced, several times, by what might have been there: what fits its rim, or what "
        "other pictures show. How far the answer falls on average is the window's value; pixels get the mean of the "
        "windows that hold them."
    )
    reference = "Zintgraf et al. 2017, Visualizing Deep Neural Network Decisions: Prediction Difference Analysis"
    caution = (
        "Evidence larger than the window, or there twice, is hardly missed; conditional sampling passes over what the "
        "rim gives away. Small differences may be sampling noise: compare them with the error."
    )
    chunk = 1
    fit_at_once = 8  # the patches of a large window are many numbers
    Params = PredictionDifferenceParams

    def applies(self, card: ModelCard) -> str | None:
        """`None` where the default window and its rim fit the model's input."""
        params = self.Params()
        if min(card.input_size) < params.window + 2 * params.padding:
            return f"{card.name} reads pictures smaller than a window and its rim."
        return super().applies(card)

    def fit_key(self, model: ModelHandle, params: PredictionDifferenceParams) -> dict[str, Any]:
        """The pictures as the model gets them, whatever its weights."""
        facts = {"preprocessing": asdict(model.card.preprocessing), "sampling": params.sampling}
        if params.sampling == MARGINAL:
            return facts
        return facts | {"side": params.window + 2 * params.padding, "per_channel": params.per_channel}

    def fit(
        self, model: ModelHandle, batches: Iterable[Tensor], params: PredictionDifferenceParams
    ) -> dict[str, np.ndarray]:
        """The Gaussian of the data set's patches, or pictures to draw from; see `samplers`."""
        pictures = (pixels(inputs, model.card.preprocessing).cpu() for inputs in batches)
        if params.sampling == MARGINAL:
            kept: list[Tensor] = []
            for batch in pictures:
                kept.append((batch * 255).round().to(torch.uint8))
                if sum(map(len, kept)) >= _REFERENCES:
                    break
            if not kept:
                raise InputError("pictures to draw from", "none", "Bring a data set first.")
            return {"references": torch.cat(kept)[:_REFERENCES].numpy()}
        side = params.window + 2 * params.padding
        check_patch(side, *model.card.input_size)
        found = Gaussian.fit((batch.numpy() for batch in pictures), side, params.per_channel)
        return {name: np.array(value) for name, value in vars(found).items()}

    def refine(
        self,
        model: ModelHandle,
        inputs: Tensor,
        targets: Tensor,
        params: PredictionDifferenceParams,
        progress: Progress,
    ) -> Iterator[Sampled]:
        """(1, C, H, W) float32, normalised -> maps (1, H, W) float32 by finer strides, then by all samples.

        In bits, or the target's unit.
        """
        output = model.head if isinstance(model.head, Output) else CLASS_SCORE
        for picture, target in zip(inputs, targets.tolist(), strict=True):
            asked, measures = question(model, (output,), (target,), params.laplace)
            height, width = picture.shape[1:]
            grid = Grid(height, width, params.window, params.stride)
            sampler = sampler_for(model, picture, params)
            survey, reached = Survey.new(grid, 1), None
            for _ in advance(asked, picture, grid, sampler, measures, params.effort, survey, progress):
                if survey.stride(grid) != reached:
                    reached = survey.stride(grid)
                    yield _sampled(survey, grid, params)
            yield _sampled(survey, grid, params)


def _sampled(survey: Survey, grid: Grid, params: PredictionDifferenceParams) -> Sampled:
    return Sampled(*(torch.from_numpy(part) for part in survey.maps(grid.size, params.effort.shortens)))


def question(
    model: ModelHandle, outputs: Sequence[Output], targets: tuple[int, ...], laplace: float
) -> tuple[ModelHandle, tuple[Measure, ...]]:
    """What is measured, one measure for each of `outputs`, and the model whose scores all of them read.

    Logits and probabilities go together; raises `InputError` for a unit beside another output.
    """
    if len(outputs) > 1 and any(output.kind == UNIT for output in outputs):
        raise InputError("units of one layer alone", "several outputs at once", "Ask one after another.")
    measures = tuple(
        WeightOfEvidence(targets, laplace, model.card.n_classes)
        if output.kind == PROBABILITY
        else ActivationDifference(targets)
        for output in outputs
    )
    return outputs[0].of(model) if outputs[0].kind == UNIT else replace(model, head=None), measures


def sampler_for(model: ModelHandle, inputs: Tensor, params: PredictionDifferenceParams) -> Sampler:
    """What windows of `inputs` (C, H, W) are drawn from, by what was fitted."""
    fitted = model.fitted
    if params.sampling == MARGINAL:
        return Marginal.without(torch.tensor(fitted["references"]), pixels(inputs, model.card.preprocessing))
    side, channels, n_patches = (int(fitted[name]) for name in ("side", "channels", "n_patches"))
    return Conditional(Gaussian(fitted["mean"], fitted["covariance"], side, channels, n_patches))
