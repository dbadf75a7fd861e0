"""Maps of prediction difference as requests of the result cache: one estimate each, resumed, shared by all who ask."""

import time
from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import Self, cast

import numpy as np

from common.errors import InputError
from explainers.attribution import AttributionRequest, ready
from explainers.base import Attribution, Progress, out_of_memory, zero_notes
from explainers.engines.incremental import Incremental
from explainers.output import UNIT
from explainers.prediction_difference.estimate import FIRST_PASS, Effort, Estimate, advance
from explainers.prediction_difference.params import (
    CONDITIONAL,
    PredictionDifferenceParams,
    measure_for,
    sampler_for,
    scored,
)
from explainers.prediction_difference.samplers import shrinkage
from explainers.prediction_difference.windows import Grid
from explainers.results import Resumable, Sources, Step, Steps
from jobs.results import Arrays, ResultStore, key_of

#: Settings that say how far to go, not what is found: an estimate is resumed when they change.
HOW_FAR = ("stride", "samples", "converged")


@dataclass(frozen=True, kw_only=True)
class EstimatedAttribution(Attribution):
    """The map of an `estimate`.

    `shrunk` says how far the Gaussian that was drawn from is shrunk to its diagonal (0 to 1), `saving` how many times
    fewer operations a window takes than the whole image.
    """

    estimate: Estimate
    shrunk: float
    saving: float

    @property
    def stride(self) -> int | None:
        """The finest stride at which something is known of all windows; `None` before the first round is through."""
        height, width = self.maps.shape[1:]
        size = height - len(self.estimate.samples) + 1
        return self.estimate.stride(Grid(height, width, size, size))

    @property
    def amount(self) -> int:
        """Grows with all that is learnt."""
        return self.estimate.amount


@dataclass(frozen=True)
class PredictionDifferenceRequest(AttributionRequest, Resumable[Attribution]):
    """One map. Requests about one image are computed together, but for units: their layers need passes of their own.

    `data` is the digest of the image set that windows are drawn from. `first_stride`: only go as far as this, by
    `FIRST_PASS` samples.
    """

    first_stride: int | None = None

    unit = "windows"
    together = 16

    @cached_property
    def settings(self) -> PredictionDifferenceParams:
        """With numbers for window and stride."""
        return cast(PredictionDifferenceParams, self.params).for_input(self.card.input_size)

    @property
    def grid(self) -> Grid:
        """Where the windows lie on the model's input."""
        return self.settings.grid(self.card.input_size)

    @property
    def key(self) -> str:
        """Stands for all that makes a window's value: the same for a finer stride or more samples."""
        return key_of(
            what="prediction difference",
            holds=[item.name for item in fields(Estimate)],  # what an older version stored is not resumed
            model=self.card.digest,
            image=self.image_id,
            data=self.data,
            params={name: value for name, value in asdict(self.settings).items() if name not in HOW_FAR},
            target=(self.target, asdict(self.output)),
        )

    @property
    def how_far(self) -> object:
        """See `HOW_FAR`."""
        return self.first_stride, *(getattr(self.settings, name) for name in HOW_FAR)

    @property
    def size(self) -> float:
        """Windows."""
        return self.grid.n_windows()

    def stages(self) -> Sequence[Self]:
        """A first pass by the coarsest stride, by the next, …, and at last all that is asked for."""
        return [*(replace(self, first_stride=stride) for stride in self.grid.strides[:-1]), self]

    def check(self, sources: Sources) -> None:
        """Raise `InputError` where the method does not suit the model, or the target or window is none."""
        if reason := self.method.applies(self.card):
            raise InputError(f"a model that suits {self.method.title}", self.card.name, reason)
        self.output.check(self.card, self.target)
        _ = self.grid

    def complete(self, result: Attribution) -> bool:
        """Whether each window has all the samples that it needs."""
        return _estimate(result).complete(*self._stage())

    def reached(self, result: Attribution) -> float:
        """Windows that are done; those half through by their share."""
        return _estimate(result).n_done(self.grid, self.settings.effort)

    def version(self, store: ResultStore) -> str:
        """Key, all that was learnt, and whether the map takes short cuts."""
        result = self.load(store)
        amount = 0 if result is None else _estimate(result).amount
        return f"{self.key} {amount} {self.settings.effort.shortens}"

    def _stage(self) -> tuple[Grid, Effort]:
        """How far to go now."""
        if self.first_stride is None:
            return self.grid, self.settings.effort
        effort = replace(self.settings.effort, samples=FIRST_PASS, converged=0.0)
        return replace(self.grid, stride=self.first_stride), effort

    def group(self, sources: Sources) -> Hashable:
        """One model, image and setting; the unit's layer and place, or any output of the whole model."""
        output = self.output if self.output.kind == UNIT else None
        return self.card.digest, self.image_id, self.data, self.params, self.first_stride, output

    def pack(self, result: Attribution) -> Arrays:
        """The estimate, what it took, and the map as these settings have it."""
        assert isinstance(result, EstimatedAttribution)
        numbers = {name: np.array(getattr(result, name)) for name in ("seconds", "shrunk", "saving")}
        shared = np.array(self.settings.effort.shortens)
        assert result.error is not None
        return {**vars(_estimate(result)), **numbers, "map": result.maps[0], "error": result.error[0], "shared": shared}

    def unpack(self, arrays: Arrays) -> EstimatedAttribution:
        """See `pack`; the map is made anew where others' settings take short cuts and these do not, or the reverse."""
        numbers = {name: float(arrays[name]) for name in ("seconds", "shrunk", "saving")}
        same = bool(arrays["shared"]) == self.settings.effort.shortens
        ready_made = (arrays["map"], arrays["error"]) if same else None
        estimate = Estimate(**{item.name: arrays[item.name] for item in fields(Estimate)})
        return self._attribution(estimate, ready_made, **numbers)

    def _attribution(
        self,
        estimate: Estimate,
        map_and_error: tuple[np.ndarray, np.ndarray] | None,
        seconds: float,
        shrunk: float,
        saving: float,
    ) -> EstimatedAttribution:
        relevance, error = map_and_error or estimate.map(self.grid.size, self.settings.effort.shortens)
        few = f"Few images for patches of this size: their Gaussian is shrunk {shrunk:.0%} towards its diagonal."
        return EstimatedAttribution(
            maps=relevance[None],
            method=self.method.name,
            model=self.card.digest,
            image_ids=(self.image_id,),
            targets=(self.target,),
            params=asdict(self.settings),
            seconds=seconds,
            output=asdict(self.output),
            error=error[None],
            notes=((few,) if round(100 * shrunk) else ()) + (zero_notes(relevance[None]) if estimate.amount else ()),
            estimate=estimate,
            shrunk=shrunk,
            saving=saving,
        )

    @classmethod
    def compute(cls, requests: Sequence[Self], sources: Sources, progress: Progress) -> Steps[Attribution]:
        """All targets from the same forward passes."""
        first, began = requests[0], time.monotonic()
        params, (grid, effort), card = first.settings, first._stage(), first.card
        stored = [cast("EstimatedAttribution | None", request.load(sources.store)) for request in requests]
        estimates = [Estimate.new(grid) if one is None else _estimate(one).copy() for one in stored]
        before = [0.0 if one is None else one.seconds for one in stored]
        with sources.model_store.borrow(card) as model:
            model = ready(model, sources, first.method, params, progress)
            image = sources.images.image(sources.images.index(first.image_id))
            inputs = model.normalise(card.preprocessing.crop(image)[None])[0]
            sampler, shrunk = sampler_for(model, inputs, params), 0.0
            if params.sampling == CONDITIONAL:
                shrunk = shrinkage(int(model.fitted["n_patches"]), model.fitted["mean"].shape[1])
            model = scored(model, first.output)
            known = [one.saving for one in stored if one is not None]
            saving = known[0] if known else Incremental(model, inputs, (grid.size, grid.size)).saving()

            def results() -> list[Attribution]:
                seconds = (time.monotonic() - began) / len(requests)
                return [
                    request._attribution(estimate.copy(), None, start + seconds, shrunk, saving)
                    for request, estimate, start in zip(requests, estimates, before, strict=True)
                ]

            def step(final: bool = False) -> Step[Attribution]:
                done = min(estimate.n_done(first.grid, params.effort) for estimate in estimates)
                return Step(done, results, final)

            measures = [measure_for(card, one.output, one.target, params.laplace) for one in requests]
            while True:
                try:
                    for _ in advance(model, inputs, grid, sampler, measures, effort, estimates):
                        yield step()
                    break
                except RuntimeError as failure:
                    if not out_of_memory(failure) or model.batch == 1:
                        raise
                    model = replace(model, batch=model.batch // 2)
            yield step(final=True)


def _estimate(result: Attribution) -> Estimate:
    assert isinstance(result, EstimatedAttribution)
    return result.estimate
