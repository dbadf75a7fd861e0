"""How far to believe a map: a few figures for each, kept with it; `trust_table` makes a table of them."""

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from common.errors import check_known
from explainers.attribution import AttributionRequest, ready
from explainers.base import Attribution, Progress, nobody, part_of
from explainers.evaluation.faithfulness import (
    explained_by,
    insertion_deletion,
    pointing_game,
    relevance_mass,
    sensitivity,
    share_seen,
)
from explainers.evaluation.infidelity import infidelity, max_sensitivity
from explainers.evaluation.randomisation import randomisation_check
from explainers.output import UNIT
from explainers.results import Sources, compute
from images.image_set import ImageSet
from jobs.results import ResultStore, key_of
from models.store import ModelHandle

#: How the figures are taken; part of the key under which they are kept.
STEPS, DELETED, SQUARES, SHIFT_PX, NOISES, SEED = 16, "mean", 16, 2, 4, 0

#: A figure of several maps, and why it is NaN where it is.
_Taken = dict[str, tuple[Sequence[float] | np.ndarray, str]]

_keeping = threading.Lock()


@dataclass(frozen=True)
class OnMask:
    """How a map lies on one mask; NaN where nothing in the map speaks for the target, or the model saw nothing of it.

    `pointing`: 1 where the map's maximum lies on the mask; `mass`: share of the positive relevance on it; `area`: share
    of what the model saw that it covers, which is the mass of a map that says the same everywhere.
    """

    pointing: float
    mass: float
    area: float


@dataclass(frozen=True)
class Figures:
    """What was measured on one map; `None` is not measured (yet), NaN cannot be, and `reasons` says why.

    - `gap`: what is missing from the sum that the method promises, as a share of it (0: complete);
    - `insertion` (high is good), `deletion` (low is good): areas under the target's probability, in [0, 1];
    - `infidelity`: share of what the score loses without a square of the image that the map does not foretell;
    - `randomisation`: rank correlation with the map of an all random model (low is good; see `randomisation.KEEPS`);
    - `sensitivity`: change of the map when the image moves by `SHIFT_PX` pixels of the model's (0: none);
    - `max_sensitivity`: largest relative change of the map under noise that nobody sees (0: none);
    - `seconds`: time for the map, as a share of its batch;
    - `masks`: how the map lies on each mask of the image, by kind.
    """

    gap: float | None = None
    insertion: float | None = None
    deletion: float | None = None
    infidelity: float | None = None
    randomisation: float | None = None
    sensitivity: float | None = None
    max_sensitivity: float | None = None
    seconds: float | None = None
    masks: dict[str, OnMask] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)


#: Every figure by name; those on masks have one name for all.
MASKS = "masks"
FIGURES = tuple(item.name for item in fields(Figures) if item.name != "reasons")
#: Those that are taken unless somebody asks for others: max-sensitivity costs `NOISES` + 1 explanations of each map.
USUAL = tuple(name for name in FIGURES if name != "max_sensitivity")
#: Figures that cost other explanations.
SLOW = frozenset({"randomisation", "sensitivity", "max_sensitivity"})


def found(store: ResultStore, images: ImageSet, request: AttributionRequest) -> Figures:
    """What has been measured on the map; of masks, on those that the image has in this set."""
    record = _record(store, request)
    kinds = images.mask_ids[images.index(request.image_id)]
    masks = {kind: OnMask(**record[MASKS][mask]) for kind, mask in kinds.items() if mask in record[MASKS]}
    return Figures(**{**record, MASKS: masks})


def _record(store: ResultStore, request: AttributionRequest) -> dict[str, Any]:
    """What is stored of a map: `Figures` as plain data, but masks by the digests of their contents."""
    record = store.get(_key(request))
    return {MASKS: {}, "reasons": {}} if record is None else json.loads(str(record["figures"]))


def _key(request: AttributionRequest) -> str:
    settings = (STEPS, DELETED, SQUARES, SHIFT_PX, NOISES, SEED)
    return key_of(what="trust", map=request.goal, target=request.target, settings=settings)


def _keep(
    store: ResultStore,
    request: AttributionRequest,
    values: Mapping[str, float],
    reasons: Mapping[str, str],
    masks: Mapping[str, OnMask],
) -> None:
    """Add to what is stored of a map; `masks` by the digests of their contents."""
    with _keeping:  # two jobs may measure different figures of one map
        known = _record(store, request)
        known["reasons"] |= reasons
        known[MASKS] |= {mask: asdict(figures) for mask, figures in masks.items()}
        store.put(_key(request), figures=np.array(json.dumps({**known, **values})))


def measure(
    sources: Sources, request: AttributionRequest, which: Sequence[str] = USUAL, progress: Progress = nobody
) -> Figures:
    """The figures `which` of one map; those that the store lacks are computed and kept, and so is the map.

    Raises `InputError` for a figure that there is none of, or when the method cannot explain the model.
    """
    for name in which:
        check_known(name, FIGURES, "a figure of trust")
    store, images = sources.store, sources.images
    lacking = lacking_figures(store, images, request, which)
    if lacking:
        attribution = compute(sources, request, part_of(progress, 0, 0.5, 1))
        with sources.model_store.borrow(request.card) as model:
            work = Measuring(model, sources, [request], part_of(progress, 0.5, 0, 1))
            work.measure(attribution, lacking)
    progress(1, 1)
    return found(store, images, request)


def lacking_figures(
    store: ResultStore, images: ImageSet, request: AttributionRequest, which: Sequence[str]
) -> frozenset[str]:
    """The figures `which` that are not measured yet; `MASKS` where a mask of the image is not."""
    known = found(store, images, request)
    lacking = {name for name in which if getattr(known, name) is None}
    if MASKS in which and images.mask_ids[images.index(request.image_id)].keys() - known.masks.keys():
        lacking.add(MASKS)
    return frozenset(lacking)


class Measuring:
    """Measuring of several maps of one method and model at once, while the model is borrowed."""

    def __init__(
        self, model: ModelHandle, sources: Sources, requests: Sequence[AttributionRequest], progress: Progress
    ) -> None:
        self.requests, self.sources, self.progress = requests, sources, progress
        self.first = requests[0]
        self.model = self._prepare(model)
        images = sources.images
        self.pixels = [images.image(images.index(request.image_id)) for request in requests]
        self.targets = [request.target for request in requests]
        self._explain = explained_by(self.first.method, self.targets, self.first.params, self.first.output)

    def _prepare(self, model: ModelHandle) -> ModelHandle:
        return ready(model, self.sources, self.first.method, self.first.params, self.progress)

    def explain(self) -> Attribution:
        """The maps."""
        first, ids = self.first, [request.image_id for request in self.requests]
        return first.method.explain(
            self.model, self.pixels, ids, self.targets, first.params, self.progress, first.output
        )

    def measure(self, attribution: Attribution, lacking: frozenset[str]) -> None:
        """Measure the figures `lacking` on the maps, and keep them."""
        taken: _Taken = {}
        for names, take in (
            ({"gap"}, self._gap),
            ({"seconds"}, self._seconds),
            ({"insertion", "deletion"}, self._curves),
            ({"randomisation"}, self._randomisation),
            ({"infidelity"}, self._infidelity),
            ({"sensitivity"}, self._sensitivity),
            ({"max_sensitivity"}, self._max_sensitivity),
        ):
            if names & lacking:
                taken |= take(attribution)
        for row, request in enumerate(self.requests):
            values = {name: float(column[row]) for name, (column, _) in taken.items()}
            reasons = {name: why for name, (_, why) in taken.items() if np.isnan(values[name])}
            masks = self._on_masks(row, attribution.maps[row]) if MASKS in lacking else {}
            _keep(self.sources.store, request, values, reasons, masks)

    def _nothing(self, why: str, *names: str) -> _Taken:
        return {name: ([float("nan")] * len(self.requests), why) for name in names}

    def _gap(self, attribution: Attribution) -> _Taken:
        if not attribution.gaps:
            return self._nothing(f"{self.first.method.title} promises no sum.", "gap")
        return {"gap": (attribution.gaps, "The promised sum is 0.")}

    def _seconds(self, attribution: Attribution) -> _Taken:
        return {"seconds": ([attribution.seconds / len(self.requests)] * len(self.requests), "")}

    def _curves(self, attribution: Attribution) -> _Taken:
        card = self.model.card
        if self.first.output.kind == UNIT:
            return self._nothing("A unit has no probability.", "insertion", "deletion")
        if not card.classifies:
            return self._nothing(f"{card.name} gives a number, no probability.", "insertion", "deletion")
        inputs, targets = self._inputs()
        curves = insertion_deletion(self.model, inputs, attribution.maps, targets, STEPS, DELETED, self.progress)
        names = ("insertion", "deletion")
        return {name: (column, "The model's answer is not finite.") for name, column in zip(names, curves, strict=True)}

    def _inputs(self) -> tuple[Tensor, Tensor]:
        """The images as the model sees them, and their targets."""
        inputs = self.model.normalise(np.stack([self.model.card.preprocessing.crop(image) for image in self.pixels]))
        return inputs, torch.tensor(self.targets, device=self.model.device)

    def _infidelity(self, attribution: Attribution) -> _Taken:
        inputs, targets = self._inputs()
        model = self.first.output.of(self.model)
        errors = infidelity(model, inputs, attribution.maps, targets, SQUARES, SEED, self.progress)
        return {"infidelity": (errors, "No square of the image changes the score.")}

    def _max_sensitivity(self, attribution: Attribution) -> _Taken:
        inputs, _ = self._inputs()
        first, model = self.first, self.first.output.of(self.model)
        changes = max_sensitivity(
            first.method, model, inputs, self.targets, first.params, NOISES, seed=SEED, progress=self.progress
        )
        return {"max_sensitivity": (changes, "")}

    def _on_masks(self, row: int, flat: np.ndarray) -> dict[str, OnMask]:
        """One map against each mask of its image, by the masks' digests."""
        index = self.sources.images.index(self.requests[row].image_id)
        placed = self.model.card.preprocessing.to_image(flat, *self.pixels[row].shape[:2])
        figures = {}
        for kind, mask_id in self.sources.images.mask_ids[index].items():
            mask = self.sources.images.mask(index, kind)
            assert mask is not None  # it has an id
            area = share_seen(placed, mask) or float("nan")
            figures[mask_id] = OnMask(pointing_game(placed, mask), relevance_mass(placed, mask), area)
        return figures

    def _randomisation(self, attribution: Attribution) -> _Taken:
        check = randomisation_check(
            self._explain, self.model, self.pixels, attribution.maps, SEED, self.progress, self._prepare
        )
        return {"randomisation": check}

    def _sensitivity(self, attribution: Attribution) -> _Taken:
        changes = sensitivity(self._explain, self.model, self.pixels, attribution.maps, SHIFT_PX, self.progress)
        return {"sensitivity": (changes, "")}
