"""The contract of every explanation method.

A method is one `Explainer` subclass: facts as class attributes, settings as a frozen `Params` dataclass, and
`attribute`, the one function in which methods differ. What is the same for all happens once, here: preprocessing,
batches (halved when memory runs out), checks, and the `Attribution` with all that made it.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from common.errors import InputError, did_you_mean
from explainers.output import CLASS_SCORE, KINDS, Output
from models.card import ModelCard
from models.store import ModelHandle

#: (done, total) -> None, in whatever unit; may raise to stop.
Progress = Callable[[float, float], None]


def nobody(done: float, total: float) -> None:
    """Progress that nobody looks at."""


def part_of(progress: Progress, start: float, size: float, total: float) -> Progress:
    """Progress of a part as progress of the whole: the part takes it from `start` to `start + size` of `total`."""
    return lambda done, of: progress(start + size * min(1.0, done / of if of else 0.0), total)


class Need(StrEnum):
    """What a method asks of a model; `Explainer.applies` answers with a reason where it is missing."""

    SPATIAL_LAYER = "a layer with spatial extent"
    RELU = "ReLU activations"
    ATTENTION = "attention over the whole image"
    SEQUENTIAL = "layers one after another"
    DATA = "a data set to learn from"


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
    title: str = "",
    free: str = "unchanged",
) -> Any:
    """A field of `Params`: default, bounds or choices, and the line that explains it.

    `kind`: "layer" gets a chooser made from the model's card. `title` is what people read where the name
    would not do, `free` what stands for `None`.
    """
    facts = {"help": help, "low": low, "high": high, "choices": tuple(choices) if choices else None, "kind": kind}
    facts |= {"title": title, "free": free}
    return field(default=default, metadata=facts)


class Described(Protocol):
    """What pages and command lines read of a method: who it is, what people should know of it, and its settings."""

    name: ClassVar[str]
    title: ClassVar[str]
    family: ClassVar[str]
    question: ClassVar[str]
    recipe: ClassVar[str]
    reference: ClassVar[str]
    caution: ClassVar[str]

    @property
    def Params(self) -> type[ExplainerParams]:  # noqa: N802 - a class
        """The class of its settings."""


class Sampled(NamedTuple):
    """Maps (N, h, w) float32 that were estimated from samples, and their standard error, same shape."""

    maps: Tensor
    error: Tensor


@dataclass(frozen=True)
class Attribution:
    """Raw maps of one method, model and set of images, with all that made them.

    `maps` (N, h, w) float32 over the model's input, at the method's own resolution; `Preprocessing.to_image` lays
    them over a picture. Positive speaks for the target; methods with `signed = False` have no negative values.
    `error`, same shape, is the standard error of methods that sample. `gaps`, one for each image: what is missing from
    the sum that the method promises, as a share of it (0: complete); empty for methods that promise none. `notes` are
    for the person who looks at the maps.
    """

    maps: np.ndarray
    method: str
    model: str
    image_ids: tuple[str, ...]
    targets: tuple[int, ...]
    params: dict[str, Any]
    seconds: float
    checks: tuple[str, ...] = ()
    output: dict[str, Any] = field(default_factory=dict)
    error: np.ndarray | None = None
    gaps: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()


def zero_notes(maps: np.ndarray) -> tuple[str, ...]:
    """A note where maps (N, h, w) show nothing at all."""
    n_zero = len(maps) - int(maps.any(axis=(1, 2)).sum())
    subject = "The map is" if len(maps) == 1 else f"{n_zero} of {len(maps)} maps are"
    return (f"{subject} zero everywhere: no evidence was found.",) if n_zero else ()


class Explainer(ABC):
    """One explanation method.

    Facts: `name` (as the command line has it), `title`, `family`, `signed`, `needs`, `question` (what it answers, in
    one line for a student), `recipe` (how it goes about it, in one or two sentences without formulas), `reference`
    (the paper), `caution` (what it cannot tell; "" when nothing is known), `warning` (a few words beside every map,
    where maps of the method must not be taken at face value). `chunk` is the number of images per pass
    that suits the method, `outputs` the kinds of output that it can explain. `tried_as` names the methods whose failure
    on a model, found out when its card was made, is also this one's; `tried_with` are the settings for its own trial.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    family: ClassVar[str]
    signed: ClassVar[bool]
    needs: ClassVar[frozenset[Need]] = frozenset()
    question: ClassVar[str]
    recipe: ClassVar[str] = ""
    reference: ClassVar[str]
    caution: ClassVar[str] = ""
    warning: ClassVar[str] = ""
    uses_target: ClassVar[bool] = True
    outputs: ClassVar[tuple[str, ...]] = KINDS
    tried_as: ClassVar[tuple[str, ...]] = ()
    tried_with: ClassVar[Mapping[str, Any]] = {}
    chunk: ClassVar[int] = 32
    Params: ClassVar[type[ExplainerParams]] = ExplainerParams
    #: The class of requests for its maps, where `explainers.attribution.AttributionRequest` does not do.
    request_class: ClassVar[type[Any] | None] = None

    def applies(self, card: ModelCard) -> str | None:
        """`None` when the method suits the model, else the reason why not, in one line for the page."""
        if Need.SPATIAL_LAYER in self.needs and card.default_layer is None:
            return f"{card.name} has no layer with spatial extent."
        failed = [card.refusals[name] for name in self.tried_as if name in card.refusals]
        return f"{self.title} {failed[0]}" if failed else None

    @abstractmethod
    def attribute(
        self, model: ModelHandle, inputs: Tensor, targets: Tensor, params: Any, progress: Progress
    ) -> Tensor | Sampled:
        """The method itself.

        `inputs` (N, C, H, W) float32, normalised; `targets` (N,) int64 columns of `model.scores(inputs)` ->
        (N, h, w) float32, or `Sampled`. At most `model.batch` pictures go through the model at once. Leaves no hook,
        gradient or flag behind.
        """

    def refine(
        self, model: ModelHandle, inputs: Tensor, targets: Tensor, params: Any, progress: Progress
    ) -> Iterator[Tensor | Sampled]:
        """`attribute` as ever better maps, the last one final; methods that need no time give one."""
        yield self.attribute(model, inputs, targets, params, progress)

    def promised(self, model: ModelHandle, inputs: Tensor, targets: Tensor, params: Any) -> Tensor | None:
        """What each map should sum to by the method's own theory (N,); `None` where there is no such promise."""
        return None

    def explain(
        self,
        model: ModelHandle,
        images: Sequence[np.ndarray],
        image_ids: Sequence[str],
        targets: Sequence[int],
        params: ExplainerParams | None = None,
        progress: Progress = nobody,
        output: Output = CLASS_SCORE,
    ) -> Attribution:
        """Explain `images`, (H, W, 3) uint8 RGB of any size each, towards one column of `output` per image.

        Raises `InputError` when the method does not suit the model or the output, a target is beyond it, or the map is
        not finite.
        """
        *_, final = self.explain_progressively(model, images, image_ids, targets, params, progress, output)
        return final

    def explain_progressively(
        self,
        model: ModelHandle,
        images: Sequence[np.ndarray],
        image_ids: Sequence[str],
        targets: Sequence[int],
        params: ExplainerParams | None = None,
        progress: Progress = nobody,
        output: Output = CLASS_SCORE,
    ) -> Iterator[Attribution]:
        """`explain` as ever better attributions, the last one final; unfinished ones hold the images reached so far."""
        params = self.Params() if params is None else params
        self._check(model, targets, output)
        model = output.of(model)
        started = time.perf_counter()
        crops = [model.card.preprocessing.crop(image) for image in images]
        parts: list[_Part] = []
        notes: dict[str, None] = {}

        def attribution(parts: Sequence[_Part]) -> Attribution:
            maps = np.concatenate([part.maps for part in parts])
            errors = [part.error for part in parts if part.error is not None]
            return Attribution(
                maps=maps,
                method=self.name,
                model=model.card.digest,
                image_ids=tuple(image_ids[: len(maps)]),
                targets=tuple(int(target) for target in targets[: len(maps)]),
                params=asdict(params),
                seconds=time.perf_counter() - started,
                checks=("finite",),
                output=asdict(output),
                error=np.concatenate(errors) if errors else None,
                gaps=tuple(gap for part in parts for gap in part.gaps),
                notes=tuple(notes),
            )

        for part in self._chunks(model, crops, targets, params, progress, notes):
            if part.finished:
                parts.append(part)
            else:
                yield attribution([*parts, part])
        final = attribution(parts)
        if not np.isfinite(final.maps).all():
            cure = "Check the model's weights, or pick another layer or method."
            raise InputError(f"a finite {self.title} map", f"NaN or infinity from {model.card.name}", cure)
        yield replace(final, notes=(*final.notes, *zero_notes(final.maps)))

    def _check(self, model: ModelHandle, targets: Sequence[int], output: Output) -> None:
        if reason := self.applies(model.card):
            raise InputError(f"a model that suits {self.title}", model.card.name, reason)
        if output.kind not in self.outputs:
            expected = f"{self.title} to be asked about a {' or '.join(self.outputs)}"
            raise InputError(expected, f"a {output.kind}", "Take another method for this output.")
        if Need.DATA in self.needs and model.fitted is None:
            cure = "Fit it first: `replace(model, fitted=method.fit(model, batches, params))`."
            raise InputError(f"what {self.title} learns from a data set", "nothing", cure)
        for target in targets:
            output.check(model.card, target)

    def _chunks(
        self,
        model: ModelHandle,
        crops: list[np.ndarray],
        targets: Sequence[int],
        params: ExplainerParams,
        progress: Progress,
        notes: dict[str, None],
    ) -> Iterator[_Part]:
        """Maps chunk by chunk, each first unfinished where the method refines it.

        When memory runs out, the batch is halved, the work goes on, and a note says so.
        """
        start, size = 0, min(self.chunk, model.batch)
        while start < len(crops):
            part = slice(start, start + size)
            inputs = model.normalise(np.stack(crops[part]))
            wanted = torch.tensor(list(targets[part]), device=model.device)

            try:
                inside = part_of(progress, start, len(inputs), len(crops))
                for maps in self.refine(model, inputs, wanted, params, inside):
                    found, error = maps if isinstance(maps, Sampled) else (maps, None)
                    yield _Part(_to_numpy(found), None if error is None else _to_numpy(error))
                promised = self.promised(model, inputs, wanted, params)
            except RuntimeError as failure:
                if not out_of_memory(failure) or (size == 1 and model.batch == 1):
                    raise
                if size > 1:
                    size = min(size, len(inputs)) // 2 or 1
                else:
                    model = replace(model, batch=model.batch // 2)
                notes["Memory ran out: worked on in smaller batches."] = None
                continue
            gaps = () if promised is None else tuple(((found.sum((1, 2)) - promised) / promised.abs()).abs().tolist())
            yield _Part(_to_numpy(found), None if error is None else _to_numpy(error), gaps, finished=True)
            start += len(inputs)
            progress(start, len(crops))


class _Part(NamedTuple):
    maps: np.ndarray
    error: np.ndarray | None
    gaps: tuple[float, ...] = ()
    finished: bool = False


def _to_numpy(maps: Tensor) -> np.ndarray:
    return maps.detach().float().cpu().numpy()


def out_of_memory(error: RuntimeError) -> bool:
    """Whether memory ran out: accelerators have an error of their own for it, the CPU only words."""
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)


def target_scores(scores: Tensor, targets: Tensor) -> Tensor:
    """Score (N,) of each image's target column in `scores` (N, K)."""
    return scores.gather(1, targets[:, None]).squeeze(1)


class Progressive(Explainer):
    """A method whose map gets better the longer it works: `refine` is its mathematics."""

    @abstractmethod
    def refine(
        self, model: ModelHandle, inputs: Tensor, targets: Tensor, params: Any, progress: Progress
    ) -> Iterator[Tensor | Sampled]:
        """Ever better maps, as `attribute` describes them; the last one is final."""

    def attribute(
        self, model: ModelHandle, inputs: Tensor, targets: Tensor, params: Any, progress: Progress
    ) -> Tensor | Sampled:
        """The last map of `refine`."""
        *_, last = self.refine(model, inputs, targets, params, progress)
        return last


class Fitted(Explainer):
    """A method that learns from a data set first; it has `DATA` among its needs."""

    #: Pictures that it gets at once; between two batches it can be stopped.
    fit_at_once = 32

    def fit_key(self, model: ModelHandle, params: Any) -> dict[str, Any]:
        """All that `fit` depends on beside the data set."""
        return {"model": model.card.digest, "by": self.family, "params": asdict(params)}

    @abstractmethod
    def fit(self, model: ModelHandle, batches: Iterable[Tensor], params: Any) -> dict[str, np.ndarray]:
        """What `attribute` finds in `model.fitted`, learnt from `batches` of inputs (n, C, H, W), normalised."""
