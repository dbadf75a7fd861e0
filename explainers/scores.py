"""A model's values for one image, all classes or all units of a layer, as a request of the result cache."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Self

import numpy as np
import torch

from explainers.base import Progress
from explainers.output import Output
from explainers.results import Request, Sources, Step, Steps
from jobs.results import Arrays, key_of
from models.card import ModelCard


@dataclass(frozen=True)
class ScoresRequest(Request[np.ndarray]):
    """All columns of an output: (K,) float32."""

    card: ModelCard
    image_id: str
    output: Output

    unit = "layers"

    @property
    def key(self) -> str:
        """Stands for model, image and output."""
        return key_of(what="scores", model=self.card.digest, image=self.image_id, output=asdict(self.output))

    @property
    def title(self) -> str:
        """In words."""
        return f"Values of {self.card.name}"

    def pack(self, result: np.ndarray) -> Arrays:
        """The values."""
        return {"scores": result}

    def unpack(self, arrays: Arrays) -> np.ndarray:
        """See `pack`."""
        return arrays["scores"]

    @classmethod
    def compute(cls, requests: Sequence[Self], sources: Sources, progress: Progress) -> Steps[np.ndarray]:
        """One forward pass."""
        (request,) = requests
        image = sources.images.image(sources.images.index(request.image_id))
        with sources.model_store.borrow(request.card) as model, torch.no_grad():
            inputs = model.normalise(request.card.preprocessing.crop(image)[None])
            values = request.output.of(model).scores(inputs)[0].float().cpu().numpy()
        yield Step.of(values)
