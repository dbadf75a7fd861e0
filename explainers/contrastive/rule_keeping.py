"""Contrasts by the paper's rule on disk, made of two cells of the compare grid: one for each class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from common.errors import InputError
from explainers.attribution import AttributionRequest, request_for
from explainers.base import Explainer, ExplainerParams, Progress, nobody, part_of
from explainers.contrastive.rule import Ruled, contrast
from explainers.registry import METHODS
from explainers.results import Sources, compute_missing, reason_for
from images.image_set import ImageSet
from jobs.results import ResultStore, key_of
from models.card import ModelCard
from models.store import ModelStore

#: The methods that the paper sets beside its own, by name.
BESIDE = ("grad-cam", "lime", "prediction-difference")


@dataclass(frozen=True)
class RuleAsked:
    """Why `true` and not `probe`, by a method that explains one class at a time.

    `data` is the digest of the image set, for methods that learn from one.
    """

    card: ModelCard
    image_id: str
    true: int
    probe: int
    method: Explainer
    params: ExplainerParams
    data: str

    @classmethod
    def of(cls, card: ModelCard, image_id: str, true: int, probe: int, name: str, data: str) -> RuleAsked:
        """By the name of a method, at its own settings."""
        method = METHODS[name]
        return cls(card, image_id, true, probe, method, method.Params(), data)

    @cached_property
    def cells(self) -> tuple[AttributionRequest, AttributionRequest]:
        """The maps of both classes."""
        true, probe = (
            request_for(self.card, self.image_id, self.method, self.params, target, data=self.data)
            for target in (self.true, self.probe)
        )
        return true, probe

    @property
    def key(self) -> str:
        """Stands for both maps."""
        return key_of(what="contrast by rule", cells=[cell.key for cell in self.cells])


def find(store: ResultStore, asked: RuleAsked) -> Ruled | None:
    """What was made, if it ever was; its `change` lies over the model's input."""
    arrays = store.get(asked.key)
    return None if arrays is None else Ruled(arrays["change"], int(arrays["n_kept"]))


def work_out(
    model_store: ModelStore,
    store: ResultStore,
    images: ImageSet,
    all_asked: Sequence[RuleAsked],
    failures: dict[str, str],
    report: Progress = nobody,
) -> None:
    """Make those that `store` lacks, each kept as it is ready; `report` counts them and may raise to stop.

    What cannot be made puts its reason into `failures` under its key; the others go on.
    """
    for done, asked in enumerate(all_asked):
        report(done, len(all_asked))
        if asked.key in store or asked.key in failures:
            continue
        missing: dict[str, str] = {}
        compute_missing(
            Sources(model_store, store, images), asked.cells, missing, part_of(report, done, 0, len(all_asked))
        )
        found = [cell.load(store) for cell in asked.cells]
        true_map, probe_map = (None if one is None else one.maps[0] for one in found)
        if true_map is None or probe_map is None:
            failures[asked.key] = next(iter(missing.values()), "The maps are gone; ask again.")
            continue
        try:
            with model_store.borrow(asked.card) as model:
                crop = asked.card.preprocessing.crop(images.image(images.index(asked.image_id)))
                ruled = contrast(model, crop, true_map, probe_map, asked.true, asked.probe)
        except (InputError, RuntimeError) as error:
            failures[asked.key] = reason_for(error)
            continue
        store.put(asked.key, change=ruled.change, n_kept=np.array(ruled.n_kept))
    report(len(all_asked), len(all_asked))
