"""Settings of prediction difference, and what they make of a model: windows, what is measured, what is drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from common.errors import InputError
from explainers.base import ExplainerParams, setting
from explainers.output import PROBABILITY, UNIT, Output
from explainers.prediction_difference.estimate import Effort, pixels
from explainers.prediction_difference.evidence import Measure, WeightOfEvidence
from explainers.prediction_difference.samplers import Conditional, Gaussian, Marginal, Sampler
from explainers.prediction_difference.windows import Grid
from models.card import MULTI_LABEL, ModelCard
from models.store import ModelHandle

CONDITIONAL, MARGINAL = "conditional", "marginal"

#: The default window is this share of the shorter side of a model's input, and even, so that its half is a stride.
_WINDOWS_PER_SIDE, _SMALLEST_PX, _LARGEST_PX = 22, 4, 64


def default_window(input_size: tuple[int, int]) -> int:
    """Side of the window in pixels for an input (height, width): 10 for 224 as in the paper, 4 for 64."""
    even = 2 * round(min(input_size) / (2 * _WINDOWS_PER_SIDE))
    return min(max(even, _SMALLEST_PX), _LARGEST_PX)


@dataclass(frozen=True)
class PredictionDifferenceParams(ExplainerParams):
    """Window, samples, and what they are drawn from. Lengths are pixels of the model's input."""

    window: int | None = setting(
        None, low=1, high=64, free="1/22 of the side", help="Side of the window that is made unknown, in pixels."
    )
    stride: int | None = setting(
        None,
        low=1,
        high=64,
        free="half a window",
        help="Step between windows, in pixels; 1 asks about every window.",
    )
    samples: int = setting(8, low=2, high=200, help="What may have been in a window is drawn this often, at most.")
    sampling: str = setting(
        CONDITIONAL,
        choices=(CONDITIONAL, MARGINAL),
        help="Conditional: what fits the window's rim. Marginal: what other images show there.",
    )
    padding: int = setting(2, low=1, high=8, help="Width of the rim that conditional sampling looks at, in pixels.")
    per_channel: bool = setting(False, help="A Gaussian for each colour channel by itself.")
    converged: float = setting(
        0.1,
        low=0.0,
        high=1.0,
        title="Converged at",
        help="Windows this certain, as a share of a typical difference and with what their neighbours tell, get no "
        "more samples. 0 takes no short cut.",
    )
    jackknife: bool = setting(True, help="Take away the bias that few samples give to the log odds.")
    laplace: float = setting(
        1e5, low=1.0, high=1e9, help="Training images N of the Laplace correction, for probabilities."
    )
    seed: int = setting(0, low=0, high=2**31 - 1, help="Seed of the samples.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.window is not None and self.stride is not None and self.stride > self.window:
            cure = "A longer stride leaves gaps between the windows: pixels that are never asked about."
            raise InputError(f"a stride of at most {self.window}, the window's side", str(self.stride), cure)
        if self.sampling == CONDITIONAL and self.samples % 2:
            cure = "Conditional samples come in pairs that lie opposite each other."
            raise InputError("an even number of samples", str(self.samples), cure)

    def for_input(self, input_size: tuple[int, int]) -> PredictionDifferenceParams:
        """With numbers for window and stride that suit a model's input (height, width)."""
        window = self.window or default_window(input_size)
        return replace(self, window=window, stride=self.stride or max(1, window // 2))

    def grid(self, input_size: tuple[int, int]) -> Grid:
        """Where the windows lie on a model's input (height, width)."""
        sized = self.for_input(input_size)
        assert sized.window is not None
        assert sized.stride is not None
        return Grid(*input_size, sized.window, sized.stride)

    @property
    def effort(self) -> Effort:
        """How many samples a window gets."""
        return Effort(self.samples, min(4, self.samples), self.converged, self.jackknife, self.seed)


def measure_for(card: ModelCard, output: Output, target: int, laplace: float) -> Measure:
    """What is measured of a target: its weight of evidence for a probability, else its activation difference."""
    if output.kind == PROBABILITY:
        exclusive = card.head != MULTI_LABEL
        return WeightOfEvidence(target, laplace, card.n_classes if exclusive else 2, exclusive)
    return Measure(target)


def scored(model: ModelHandle, output: Output) -> ModelHandle:
    """The model whose scores measures read: logits for all outputs but units."""
    return output.of(model) if output.kind == UNIT else replace(model, head=None)


def sampler_for(model: ModelHandle, inputs: Tensor, params: PredictionDifferenceParams) -> Sampler:
    """What windows of `inputs` (C, H, W) are drawn from, by what was fitted."""
    fitted = model.fitted
    if params.sampling == MARGINAL:
        return Marginal.without(torch.tensor(fitted["references"]), pixels(inputs, model.card.preprocessing))
    side, channels, n_patches = (int(fitted[name]) for name in ("side", "channels", "n_patches"))
    return Conditional(Gaussian(fitted["mean"], fitted["covariance"], side, channels, n_patches))
