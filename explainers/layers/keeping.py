"""Maps of all units of a layer for one picture, found on disk or worked out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from common.errors import InputError
from explainers.layers.maps import unit_maps
from explainers.results import reason_for
from images.image_set import ImageSet
from jobs.results import ResultStore, key_of
from models.card import ModelCard
from models.store import ModelStore


@dataclass(frozen=True)
class Asked:
    """All units of one layer, for one picture."""

    card: ModelCard
    image_id: str
    layer: str

    @property
    def key(self) -> str:
        """Stands for all that makes the maps: equal keys, equal maps."""
        return key_of(what="unit maps", model=self.card.digest, image=self.image_id, layer=self.layer)


def find(store: ResultStore, asked: Asked) -> np.ndarray | None:
    """(units, h, w) or (units,) float32, as `unit_maps` gives them, if they were ever worked out."""
    arrays = store.get(asked.key)
    return None if arrays is None else arrays["values"]


def work_out(
    model_store: ModelStore,
    store: ResultStore,
    images: ImageSet,
    all_asked: Sequence[Asked],
    failures: dict[str, str],
    report: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Work out what `store` lacks, in order, each stored as it is ready.

    What cannot be worked out puts its reason into `failures` under its key; the others go on.
    """
    for done, asked in enumerate(all_asked):
        report(done, len(all_asked))
        if asked.key in store or asked.key in failures:
            continue
        try:
            crop = asked.card.preprocessing.crop(images.image(images.index(asked.image_id)))
            with model_store.borrow(asked.card) as model:
                (values,) = unit_maps(model, model.normalise(crop[None]), [asked.layer])
            if not np.isfinite(values).all():
                cure = "Check the model's weights."
                raise InputError(f"finite values in {asked.layer}", f"NaN or infinity from {asked.card.name}", cure)
            store.put(asked.key, values=values)
        except (InputError, RuntimeError) as error:
            failures[asked.key] = reason_for(error)
    report(len(all_asked), len(all_asked))
