"""Prediction difference analysis as one of the explanation methods."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor

from common.errors import InputError
from explainers.base import Fitted, Need, Progress, Sampled
from explainers.output import CLASS_SCORE, Output
from explainers.prediction_difference.estimate import Estimate, advance, pixels
from explainers.prediction_difference.params import (
    MARGINAL,
    PredictionDifferenceParams,
    default_window,
    measure_for,
    sampler_for,
    scored,
)
from explainers.prediction_difference.request import PredictionDifferenceRequest
from explainers.prediction_difference.samplers import Gaussian, check_patch
from models.card import ModelCard
from models.store import ModelHandle

#: Images of the data set that marginal sampling draws from, at most.
_REFERENCES = 256


class PredictionDifference(Fitted):
    """How far the target falls when a window of the image is unknown (Zintgraf et al. 2017, Algorithm 1).

    A window's content is drawn S times, given its rim or from other images; the answer's mean over the samples stands
    for the answer that knows nothing of the window. A pixel's value is the mean over the windows that hold it of

    - log2 odds(p) - log2 odds(mean p), the weight of evidence in bits (eq. 4), for a probability;
    - a - mean a, the activation difference (eq. 9), for a logit or a unit, of a feature map its mean.
    """

    name, title, family, signed = "prediction-difference", "Prediction difference", "perturbation", True
    needs = frozenset({Need.DATA})
    question = "What would the answer lose if this part of the image were not known?"
    recipe = (
        "A window's content is replaced, several times, by what might have been there: what fits its rim, or what "
        "other images show. How far the answer falls on average is the window's value; pixels get the mean of the "
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

    request_class = PredictionDifferenceRequest

    def applies(self, card: ModelCard) -> str | None:
        """`None` where the default window and its rim fit the model's input."""
        if min(card.input_size) < default_window(card.input_size) + 2 * self.Params().padding:
            return f"{card.name} reads images smaller than a window and its rim."
        return super().applies(card)

    def fit_key(self, model: ModelHandle, params: PredictionDifferenceParams) -> dict[str, Any]:
        """The images as the model gets them, whatever its weights."""
        facts = {"preprocessing": asdict(model.card.preprocessing), "sampling": params.sampling}
        if params.sampling == MARGINAL:
            return facts
        return facts | {"side": _patch_side(model, params), "per_channel": params.per_channel}

    def fit(
        self, model: ModelHandle, batches: Iterable[Tensor], params: PredictionDifferenceParams
    ) -> dict[str, np.ndarray]:
        """The Gaussian of the data set's patches, or images to draw from; see `samplers`."""
        images = (pixels(inputs, model.card.preprocessing).cpu() for inputs in batches)
        if params.sampling == MARGINAL:
            kept: list[Tensor] = []
            for batch in images:
                kept.append((batch * 255).round().to(torch.uint8))
                if sum(map(len, kept)) >= _REFERENCES:
                    break
            if not kept:
                raise InputError("images to draw from", "none", "Add a data set first.")
            return {"references": torch.cat(kept)[:_REFERENCES].numpy()}
        side = _patch_side(model, params)
        check_patch(side, *model.card.input_size)
        found = Gaussian.fit((batch.numpy() for batch in images), side, params.per_channel)
        return {name: np.array(value) for name, value in vars(found).items()}

    def attribute(
        self,
        model: ModelHandle,
        inputs: Tensor,
        targets: Tensor,
        params: PredictionDifferenceParams,
        progress: Progress,
    ) -> Sampled:
        """Maps (N, h, w) float32 of `inputs` (N, C, h, w) float32, normalised, in bits or the target's unit.

        `PredictionDifferenceRequest` gives them as they are refined, too.
        """
        output = model.head if isinstance(model.head, Output) else CLASS_SCORE
        grid, effort = params.grid(model.card.input_size), params.effort
        found = []
        for image, target in zip(inputs, targets.tolist(), strict=True):
            measure = measure_for(model.card, output, target, params.laplace)
            sampler, estimate = sampler_for(model, image, params), Estimate.new(grid)
            for _ in advance(scored(model, output), image, grid, sampler, [measure], effort, [estimate]):
                progress(estimate.n_done(grid, effort), grid.n_windows())
            found.append(estimate.map(grid.size, effort.shortens))
        return Sampled(*(torch.from_numpy(np.stack(part)) for part in zip(*found, strict=True)))


def _patch_side(model: ModelHandle, params: PredictionDifferenceParams) -> int:
    """Of a window and its rim, in pixels."""
    return params.grid(model.card.input_size).size + 2 * params.padding
