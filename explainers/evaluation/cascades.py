"""Cascading randomisation of single maps, kept as strips: what is left of a map while its model forgets."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np

from explainers import results
from explainers.evaluation.randomisation import Stage, cascade, rank_correlation
from explainers.results import Cell, ready
from images.image_set import ImageSet
from jobs.results import ResultStore, key_of
from models.store import ModelHandle, ModelStore

#: Stages of forgetting, and the seed of the random weights; part of the key under which a strip is kept.
N_STAGES, SEED = 6, 0


def find(store: ResultStore, cell: Cell) -> list[Stage] | None:
    """The cell's strip, the map itself first; `None` where it was never worked out."""
    arrays = store.get(_key(cell))
    if arrays is None:
        return None
    facts = json.loads(str(arrays["facts"]))
    return [Stage(layer, arrays.get(f"maps_{at}"), reason) for at, (layer, reason) in enumerate(facts)]


def work_out(
    model_store: ModelStore,
    store: ResultStore,
    images: ImageSet,
    cell: Cell,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> list[Stage]:
    """The cell's strip, found in `store` or worked out and kept there; see `randomisation.cascade`."""
    strip = find(store, cell)
    if strip is not None:
        return strip
    picture = images.image(images.index(cell.image_id))
    n_done = 0

    def prepare(model: ModelHandle) -> ModelHandle:
        nonlocal n_done
        n_done += 1
        return ready(model, store, images, cell.method, cell.params, stay_cancellable)

    def stay_cancellable(_done: int, _total: int) -> None:
        report(n_done, N_STAGES + 1)

    known = results.find(store, cell)
    with model_store.borrow(cell.card) as model:
        strip = cascade(
            ready(model, store, images, cell.method, cell.params, stay_cancellable),
            [picture], [cell.target], cell.method, cell.params, N_STAGES, SEED, stay_cancellable, cell.output,
            prepare, None if known is None else known.maps,
        )  # fmt: skip
    facts = json.dumps([(stage.layer, stage.reason) for stage in strip])
    arrays = {f"maps_{at}": stage.maps for at, stage in enumerate(strip) if stage.maps is not None}
    store.put(_key(cell), facts=np.array(facts), **arrays)
    return strip


def likeness(strip: list[Stage]) -> list[float]:
    """Rank correlation of each stage's map with the first; NaN where there is none."""
    first = strip[0].maps
    if first is None:
        return [float("nan")] * len(strip)
    return [float("nan") if s.maps is None else float(rank_correlation(first, s.maps)[0]) for s in strip]


def _key(cell: Cell) -> str:
    return key_of(what="cascade", cell=cell.key, stages=N_STAGES, seed=SEED)
