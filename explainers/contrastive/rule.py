"""A contrast made of two maps, for methods that explain one class at a time (CDeepEx, section 4.1)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from explainers.attribution import AttributionRequest, request_for
from explainers.base import Explainer, Progress, part_of
from explainers.results import Request, Sources, Step, Steps, compute
from jobs.results import Arrays, key_of
from models.card import ModelCard
from models.store import ModelHandle

#: What the probe's map is weighted with, in turn: the paper's 0.005 to 2 by 0.005.
WEIGHTS = np.arange(1, 401) * 0.005

#: The methods that the paper sets beside its own, by name.
BESIDE = ("grad-cam", "lime", "prediction-difference")


@dataclass(frozen=True)
class RuleContrast:
    """The change (h, w) float32 over the model's input, to add above 0, and how many of the 400 weights it rests on."""

    change: np.ndarray
    n_kept: int


def contrast(
    model: ModelHandle, crop: np.ndarray, true_map: np.ndarray, probe_map: np.ndarray, true: int, probe: int
) -> RuleContrast:
    """The paper's rule for two maps (h, w), on `crop` (H, W, C) uint8, what the model sees of the image.

    E = true map - weight × probe map, for every weight, speaks for the true class and against the probe. Taken from the
    image at its full strength (the highest |E| is a whole step from black to white), a good one lowers the true
    class's probability and raises the probe's; the change is minus the mean of the good ones, 0 where none is.
    """
    image = torch.tensor(crop, device=model.device).permute(2, 0, 1).float() / 255
    maps = torch.tensor(np.stack([true_map, probe_map]), dtype=torch.float32, device=model.device)
    for_true, for_probe = F.interpolate(maps[None], crop.shape[:2], mode="bilinear")[0]
    weights = torch.from_numpy(WEIGHTS).float().to(model.device)[:, None, None]
    explanations = for_true - weights * for_probe
    strength = explanations.abs().amax((1, 2), keepdim=True).clamp(min=1e-12)
    changed = (image - (explanations / strength)[:, None]).clamp(0, 1)
    with torch.no_grad():
        before = _probabilities(model, image[None])[0]
        after = torch.cat([_probabilities(model, part) for part in changed.split(model.batch)])
    good = (after[:, true] < before[true]) & (after[:, probe] > before[probe])
    n_kept = int(good.sum())
    change = -explanations[good].mean(0) if n_kept else torch.zeros_like(for_true)
    return RuleContrast(change.cpu().numpy(), n_kept)


def _probabilities(model: ModelHandle, images: Tensor) -> Tensor:
    """Softmax (N, classes) of images (N, C, H, W) in [0, 1]."""
    mean, std = model.card.preprocessing.mean_and_std(model.device)
    return model.probabilities(model.logits((images - mean) / std))


@dataclass(frozen=True)
class RuleContrastRequest(Request[RuleContrast]):
    """Why `true` and not `probe`, by the maps that a method makes for both classes.

    `data` is the digest of the image set, for methods that learn from one.
    """

    card: ModelCard
    image_id: str
    true: int
    probe: int
    method: Explainer
    data: str

    unit = "contrasts"

    @cached_property
    def attributions(self) -> tuple[AttributionRequest, AttributionRequest]:
        """The maps of both classes, at the method's own settings."""
        true, probe = (
            request_for(self.card, self.image_id, self.method, None, target, data=self.data)
            for target in (self.true, self.probe)
        )
        return true, probe

    @property
    def key(self) -> str:
        """Stands for both maps."""
        return key_of(what="contrast by rule", maps=[request.goal for request in self.attributions])

    @property
    def title(self) -> str:
        """In words."""
        names = self.card.class_names
        return f"why {names[self.true]} and not {names[self.probe]}, by {self.method.title}"

    def pack(self, result: RuleContrast) -> Arrays:
        """Both fields."""
        return {name: np.asarray(value) for name, value in vars(result).items()}

    def unpack(self, arrays: Arrays) -> RuleContrast:
        """See `pack`."""
        return RuleContrast(arrays["change"], int(arrays["n_kept"]))

    @classmethod
    def compute(cls, requests: Sequence[Self], sources: Sources, progress: Progress) -> Steps[RuleContrast]:
        """Both maps, which are kept for themselves, then the rule."""
        (request,) = requests
        true_map, probe_map = (
            compute(sources, one, part_of(progress, number, 1, 3)).maps[0]
            for number, one in enumerate(request.attributions)
        )
        with sources.model_store.borrow(request.card) as model:
            crop = request.card.preprocessing.crop(sources.images.image(sources.images.index(request.image_id)))
            found = contrast(model, crop, true_map, probe_map, request.true, request.probe)
        yield Step.of(found)
