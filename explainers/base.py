"""The contract of every explanation method.

A method is one `Explainer` subclass: facts as class attributes, settings as a frozen `Params` dataclass, and
`attribute`, the one function in which methods differ. What is the same for all happens once, here: preprocessing,
batches (halved when memory runs out), checks, and the `Attribution` with all that made it.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from bank.bank import Loan
from bank.card import ModelCard
from bank.errors import InputError, did_you_mean

#: (done, total) -> None; may raise to stop.
Progress = Callable[[int, int], None]


class Need(StrEnum):
    """What a method asks of a model; `Explainer.applies` answers with a reason where it is missing."""

    SPATIAL_LAYER = "a layer with spatial extent"
    RELU = "ReLU activations"


@dataclass(frozen=True)
class ExplainerParams:
    """Settings of a method. Widgets, command line and cache keys are made from the fields."""

    def __post_init__(self) -> None:
        """Refuse values outside a field's bounds or choices with an `InputError`; `None` must be the default."""
        for item in fields(self):
            value, facts = getattr(self, item.name), item.metadata
            low, high, choices = facts.get("low"), facts.get("high"), facts.get("choices")
            cure = f"Its default is {item.default}."
            if choices is not None and value not in choices:
                options = ", ".join(map(repr, choices))
                raise InputError(f"{item.name} to be one of {options}", repr(value), did_you_mean(str(value), choices))
            if (low is None and high is None) or (value is None and item.default is None):
                continue
            kinds = (int, float) if isinstance(item.default, float) else int
            if not isinstance(value, kinds) or isinstance(value, bool):
                whole = "a number" if isinstance(item.default, float) else "a whole number"
                raise InputError(f"{item.name} as {whole}", repr(value), cure)
            if not (low is None or value >= low) or not (high is None or value <= high):  # NaN is neither
                bounds = f"of at least {low}" if high is None else f"between {low} and {high}"
                raise InputError(f"{item.name} {bounds}", repr(value), cure)


def setting(
    default: Any,
    *,
    help: str,
    low: float | None = None,
    high: float | None = None,
    choices: Sequence[str] | None = None,
    kind: str = "",
) -> Any:
    """A field of `Params`: default, bounds or choices, and the line that explains it.

    `kind`: "layer" and "unit" get a chooser made from the model's card.
    """
    facts = {"help": help, "low": low, "high": high, "choices": tuple(choices) if choices else None, "kind": kind}
    return field(default=default, metadata=facts)


@dataclass(frozen=True)
class Attribution:
    """Raw maps of one method, model and set of images, with all that made them.

    `maps` (N, h, w) float32 over the model's input, at the method's own resolution; `Preprocessing.to_image` lays
    them over a picture. Positive speaks for the target; methods with `signed = False` have no negative values.
    """

    maps: np.ndarray
    method: str
    model: str
    image_ids: tuple[str, ...]
    targets: tuple[int, ...]
    params: dict[str, Any]
    seconds: float
    checks: tuple[str, ...] = ()


class Explainer(ABC):
    """One explanation method.

    Facts: `name` (as the command line has it), `title`, `family`, `signed`, `needs`, `question` (what it answers, in
    one line for a student), `reference` (the paper), `caution` (what it cannot tell; "" when nothing is known).
    `chunk` is the number of images per pass that suits the method.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    family: ClassVar[str]
    signed: ClassVar[bool]
    needs: ClassVar[frozenset[Need]] = frozenset()
    question: ClassVar[str]
    reference: ClassVar[str]
    caution: ClassVar[str] = ""
    uses_target: ClassVar[bool] = True
    chunk: ClassVar[int] = 32
    Params: ClassVar[type[ExplainerParams]] = ExplainerParams

    def applies(self, card: ModelCard) -> str | None:
        """`None` when the method suits the model, else the reason why not, in one line for the page."""
        if Need.SPATIAL_LAYER in self.needs and card.default_layer is None:
            return f"{card.name} has no layer with spatial extent."
        return None

    @abstractmethod
    def attribute(self, loan: Loan, inputs: Tensor, targets: Tensor, params: Any, progress: Progress) -> Tensor:
        """The method itself.

        `inputs` (N, C, H, W) float32, normalised; `targets` (N,) int64 class indices -> (N, h, w) float32.
        Leaves no hook, gradient or flag behind.
        """

    def explain(
        self,
        loan: Loan,
        images: Sequence[np.ndarray],
        image_ids: Sequence[str],
        targets: Sequence[int],
        params: ExplainerParams | None = None,
        progress: Progress = lambda done, total: None,
    ) -> Attribution:
        """Explain `images`, (H, W, 3) uint8 RGB of any size each, towards one class index per image.

        Raises `InputError` when the method does not suit the model, a class is beyond the model's output, or the map
        is not finite.
        """
        params = self.Params() if params is None else params
        if reason := self.applies(loan.card):
            raise InputError(f"a model that suits {self.title}", loan.card.name, reason)
        for target in targets:
            if not 0 <= target < loan.card.n_classes:
                expected = f"a class of {loan.card.name} (0 to {loan.card.n_classes - 1})"
                raise InputError(expected, str(target), "Choose a class that the model knows.")
        started = time.perf_counter()
        crops = [loan.card.preprocessing.crop(image) for image in images]
        maps = np.concatenate(list(self._chunks(loan, crops, targets, params, progress)))
        if not np.isfinite(maps).all():
            cure = "Check the model's weights, or pick another layer or method."
            raise InputError(f"a finite {self.title} map", f"NaN or infinity from {loan.card.name}", cure)
        return Attribution(
            maps=maps,
            method=self.name,
            model=loan.card.digest,
            image_ids=tuple(image_ids),
            targets=tuple(int(target) for target in targets),
            params=asdict(params),
            seconds=time.perf_counter() - started,
            checks=("finite",),
        )

    def _chunks(
        self, loan: Loan, crops: list[np.ndarray], targets: Sequence[int], params: ExplainerParams, progress: Progress
    ) -> Any:
        """Maps chunk by chunk; when memory runs out, the chunk is halved and the work goes on."""
        start, size = 0, self.chunk
        while start < len(crops):
            part = slice(start, start + size)
            inputs = loan.normalise(np.stack(crops[part]))
            wanted = torch.tensor(list(targets[part]), device=loan.device)

            def stay_cancellable(_done: int, _total: int, at: int = start) -> None:
                progress(at, len(crops))

            try:
                maps = self.attribute(loan, inputs, wanted, params, stay_cancellable)
            except torch.OutOfMemoryError:
                if size == 1:
                    raise
                size //= 2
                continue
            yield maps.detach().float().cpu().numpy()
            start += len(inputs)
            progress(start, len(crops))


def target_scores(logits: Tensor, targets: Tensor) -> Tensor:
    """Score (N,) of each image's target class in `logits` (N, classes)."""
    return logits.gather(1, targets[:, None]).squeeze(1)
