"""How far to believe a map: a few figures for each, kept with it; `trust_table` makes a table of them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields

import numpy as np
import torch

from common.errors import InputError, did_you_mean
from explainers import results as maps_of
from explainers.base import Attribution
from explainers.evaluation.faithfulness import (
    insertion_deletion,
    pointing_game,
    relevance_mass,
    sensitivity,
    share_seen,
)
from explainers.evaluation.randomisation import randomisation_check
from explainers.output import UNIT
from explainers.results import Cell, ready
from images.image_set import ImageSet
from images.paintings import Truth, truth
from jobs.results import ResultStore, key_of
from models.store import ModelHandle, ModelStore

#: How the figures are taken; part of the key under which they are kept.
STEPS, DELETED, SHIFT_PX, SEED = 16, "mean", 2, 0

Report = Callable[[int, int], None]
#: A figure of several maps, and why it is NaN where it is.
_Taken = dict[str, tuple[Sequence[float] | np.ndarray, str]]

_keeping = threading.Lock()


@dataclass(frozen=True)
class Figures:
    """What was measured on one map; `None` is not measured (yet), NaN cannot be, and `reasons` says why.

    - `gap`: what is missing from the sum that the method promises, as a share of it (0: complete);
    - `insertion` (high is good), `deletion` (low is good): areas under the target's probability, in [0, 1];
    - `randomisation`: rank correlation with the map of an all random model (low is good; see `randomisation.KEEPS`);
    - `sensitivity`: change of the map when the picture moves by `SHIFT_PX` pixels of the model's (0: none);
    - `pointing`: 1 where the map's maximum lies on the subject; `mass`: share of the positive relevance on it;
    - `mark`: share of the positive relevance on the painter's mark; `mark_area`: share of the picture it covers;
    - `seconds`: time for the map, as a share of its batch.
    """

    gap: float | None = None
    insertion: float | None = None
    deletion: float | None = None
    randomisation: float | None = None
    sensitivity: float | None = None
    pointing: float | None = None
    mass: float | None = None
    mark: float | None = None
    mark_area: float | None = None
    seconds: float | None = None
    reasons: dict[str, str] = field(default_factory=dict)


#: Every figure by name.
FIGURES = tuple(item.name for item in fields(Figures) if item.name != "reasons")
#: Figures that need the truth about a picture, and figures that cost another explanation each.
OF_TRUTH = frozenset({"pointing", "mass", "mark", "mark_area"})
SLOW = frozenset({"randomisation", "sensitivity"})


def found(store: ResultStore, cell: Cell) -> Figures:
    """What has been measured on the cell's map."""
    record = store.get(_key(cell))
    return Figures() if record is None else Figures(**json.loads(str(record["figures"])))


def _key(cell: Cell) -> str:
    settings = {"steps": STEPS, "deleted": DELETED, "shift": SHIFT_PX, "seed": SEED}
    return key_of(what="trust", cell=cell.key, target=cell.target, **settings)


def _keep(store: ResultStore, cell: Cell, values: Mapping[str, float], reasons: Mapping[str, str]) -> None:
    with _keeping:  # two jobs may measure different figures of one map
        known = asdict(found(store, cell))
        reasons = {**known["reasons"], **reasons}
        store.put(_key(cell), figures=np.array(json.dumps({**known, **values, "reasons": reasons})))


def measure(
    model_store: ModelStore,
    store: ResultStore,
    images: ImageSet,
    cell: Cell,
    which: Sequence[str] = FIGURES,
    report: Report = lambda done, total: None,
) -> Figures:
    """The figures `which` of one cell; those that `store` lacks are worked out and kept, and so is the map.

    Raises `InputError` for a figure that there is none of, or when the method cannot explain the model.
    """
    check_names(which)
    known_truth = {cell.image_id: truth(images, images.index(cell.image_id))} if OF_TRUTH & set(which) else {}
    lacking = lacking_figures(store, cell, which, known_truth)
    if lacking:
        attribution = maps_of.find(store, cell)
        with model_store.borrow(cell.card) as model:
            work = Work(model, store, images, [cell], known_truth, lambda done, total: report(0, 1))
            if attribution is None:
                attribution = work.explain()
                maps_of.put(store, cell, attribution)
            work.measure(attribution, lacking)
    report(1, 1)
    return found(store, cell)


def check_names(which: Sequence[str]) -> None:
    """Raise `InputError` for a figure that there is none of."""
    for name in which:
        if name not in FIGURES:
            cure = did_you_mean(name, FIGURES) or f"Known: {', '.join(FIGURES)}."
            raise InputError("a figure of trust", repr(name), cure)


def lacking_figures(
    store: ResultStore, cell: Cell, which: Sequence[str], truths: Mapping[str, Truth | None]
) -> frozenset[str]:
    """The figures `which` that are not measured yet and can be: nothing is said of a picture of unknown truth."""
    known = found(store, cell)
    possible = set(which) if truths.get(cell.image_id) is not None else set(which) - OF_TRUTH
    return frozenset(name for name in possible if getattr(known, name) is None)


class Work:
    """Measuring of several cells of one method and model at once, while the model is lent."""

    def __init__(
        self,
        model: ModelHandle,
        store: ResultStore,
        images: ImageSet,
        cells: Sequence[Cell],
        truths: Mapping[str, Truth | None],
        progress: Report,
    ) -> None:
        self.cells, self.store, self.images, self.progress = cells, store, images, progress
        self.first = cells[0]
        self.model = self._prepare(model)
        self.pictures = [images.image(images.index(cell.image_id)) for cell in cells]
        self.ids = [cell.image_id for cell in cells]
        self.targets = [cell.target for cell in cells]
        self.truths = [truths.get(image_id) for image_id in self.ids]

    def _prepare(self, model: ModelHandle) -> ModelHandle:
        return ready(model, self.store, self.images, self.first.method, self.first.params, self.progress)

    def explain(self) -> Attribution:
        """The cells' maps."""
        cell = self.first
        return cell.method.explain(
            self.model, self.pictures, self.ids, self.targets, cell.params, self.progress, cell.output
        )

    def measure(self, attribution: Attribution, lacking: frozenset[str]) -> None:
        """Measure the figures `lacking` on the cells' maps, and keep them."""
        taken: _Taken = {}
        for names, take in (
            ({"gap"}, self._gap),
            ({"seconds"}, self._seconds),
            ({"insertion", "deletion"}, self._curves),
            (OF_TRUTH, self._places),
            ({"randomisation"}, self._randomisation),
            ({"sensitivity"}, self._sensitivity),
        ):
            if names & lacking:
                taken |= take(attribution)
        for row, cell in enumerate(self.cells):
            values = {name: float(column[row]) for name, (column, _) in taken.items()}
            _keep(self.store, cell, values, {name: why for name, (_, why) in taken.items() if np.isnan(values[name])})

    def _nothing(self, why: str, *names: str) -> _Taken:
        return {name: ([float("nan")] * len(self.cells), why) for name in names}

    def _gap(self, attribution: Attribution) -> _Taken:
        if not attribution.gaps:
            return self._nothing(f"{self.first.method.title} promises no sum.", "gap")
        return {"gap": (attribution.gaps, "The promised sum is 0.")}

    def _seconds(self, attribution: Attribution) -> _Taken:
        return {"seconds": ([attribution.seconds / len(self.cells)] * len(self.cells), "")}

    def _curves(self, attribution: Attribution) -> _Taken:
        card = self.model.card
        if self.first.output.kind == UNIT:
            return self._nothing("A unit has no probability.", "insertion", "deletion")
        if not card.classifies:
            return self._nothing(f"{card.name} gives a number, no probability.", "insertion", "deletion")
        inputs = self.model.normalise(np.stack([card.preprocessing.crop(picture) for picture in self.pictures]))
        targets = torch.tensor(self.targets, device=self.model.device)
        curves = insertion_deletion(self.model, inputs, attribution.maps, targets, STEPS, DELETED, self.progress)
        return {name: (column, "The model's answer is not finite.") for name, column in curves._asdict().items()}

    def _places(self, attribution: Attribution) -> _Taken:
        rows = []
        for picture, flat, known in zip(self.pictures, attribution.maps, self.truths, strict=True):
            subject, signature = known if known is not None else (np.zeros(picture.shape[:2], dtype=bool),) * 2
            laid = self.model.card.preprocessing.to_image(flat, *picture.shape[:2])
            found = (pointing_game(laid, subject), relevance_mass(laid, subject), relevance_mass(laid, signature))
            rows.append((*found, share_seen(laid, signature) or float("nan")))
        pointing, mass, mark, area = zip(*rows, strict=True)
        empty = "Nothing in the map speaks for the target, or the model saw nothing of {}."
        subject_lacks, mark_lacks = empty.format("the subject"), empty.format("a painter's mark")
        return {
            "pointing": (pointing, subject_lacks),
            "mass": (mass, subject_lacks),
            "mark": (mark, mark_lacks),
            "mark_area": (area, "The model saw nothing of a painter's mark."),
        }

    def _randomisation(self, attribution: Attribution) -> _Taken:
        method, params, output = self.first.method, self.first.params, self.first.output
        check = randomisation_check(
            self.model, self.pictures, attribution.maps, self.targets, method, params, SEED, self.progress, output,
            self._prepare,
        )  # fmt: skip
        return {"randomisation": (check.similarity, check.reason)}

    def _sensitivity(self, attribution: Attribution) -> _Taken:
        method, params, output = self.first.method, self.first.params, self.first.output
        changes = sensitivity(
            method, self.model, self.pictures, attribution.maps, self.targets, params, SHIFT_PX, self.progress, output
        )
        return {"sensitivity": (changes, "")}
