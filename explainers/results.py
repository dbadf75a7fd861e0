"""The cells of the compare grid: one map of one image, model, method and target, found on disk or worked out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from common.errors import InputError
from explainers.base import Attribution, Explainer, ExplainerParams, Fitted, Need, out_of_memory
from explainers.output import CLASS_SCORE, Output
from images.image_set import ImageSet
from jobs.results import ResultStore, key_of
from models.card import ModelCard
from models.store import ModelHandle, ModelStore

#: Images that methods learn from, at most.
_FIT_ON = 512


@dataclass(frozen=True)
class Cell:
    """What to explain: `target` is a column of `output`, 0 for methods that use none.

    `data` is the digest of the image set that the method learns from, where it needs one.
    """

    card: ModelCard
    image_id: str
    method: Explainer
    params: ExplainerParams
    target: int = 0
    output: Output = CLASS_SCORE
    data: str = ""

    @property
    def key(self) -> str:
        """Stands for all that makes the map: equal keys, equal maps."""
        return key_of(
            what="attribution",
            model=self.card.digest,
            image=self.image_id,
            method=self.method.name,
            params=asdict(self.params),
            target=(self.target, asdict(self.output)) if self.method.uses_target else None,
            data=self.data if Need.DATA in self.method.needs else "",
        )


def find(store: ResultStore, cell: Cell) -> Attribution | None:
    """The cell's map, if it was ever worked out."""
    arrays = store.get(cell.key)
    if arrays is None:
        return None
    facts: dict[str, Any] = json.loads(str(arrays["facts"]))
    facts = {name: tuple(fact) if isinstance(fact, list) else fact for name, fact in facts.items()}
    return Attribution(maps=arrays["maps"], error=arrays.get("error"), **facts)


def work_out(
    model_store: ModelStore,
    store: ResultStore,
    images: ImageSet,
    cells: Sequence[Cell],
    failures: dict[str, str],
    report: Callable[[int, int], None] = lambda done, total: None,
    unfinished: dict[str, np.ndarray] | None = None,
    fit_on: ImageSet | None = None,
) -> None:
    """Work out the cells that `store` lacks, in order, each stored as it is ready.

    A cell that cannot be explained puts its reason into `failures` under its key; the others go on. `unfinished` gets,
    under the same key, the map (h, w) so far of methods that refine theirs. Methods that learn from images do so from
    `fit_on`, by default from `images`; its digest is the cells' `data`.
    """
    for done, cell in enumerate(cells):
        report(done, len(cells))
        if cell.key in store or cell.key in failures:
            continue

        def stay_cancellable(_done: int, _total: int, at: int = done) -> None:
            report(at, len(cells))

        def show(maps: np.ndarray, key: str = cell.key) -> None:
            if unfinished is not None:
                unfinished[key] = maps[0]

        try:
            with model_store.borrow(cell.card) as model:
                model = ready(model, store, fit_on or images, cell.method, cell.params, stay_cancellable)
                image = images.image(images.index(cell.image_id))
                attribution = cell.method.explain(
                    model, [image], [cell.image_id], [cell.target], cell.params, stay_cancellable, cell.output, show
                )
            put(store, cell, attribution)
        except (InputError, RuntimeError) as error:
            failures[cell.key] = in_one_line(error)
        finally:
            if unfinished is not None:
                unfinished.pop(cell.key, None)
    report(len(cells), len(cells))


def put(store: ResultStore, cell: Cell, attribution: Attribution) -> None:
    """Keep a cell's map."""
    facts = {key: value for key, value in asdict(attribution).items() if key not in ("maps", "error")}
    error = {} if attribution.error is None else {"error": attribution.error}
    store.put(cell.key, maps=attribution.maps, facts=np.array(json.dumps(facts)), **error)


def ready(
    model: ModelHandle,
    store: ResultStore,
    images: ImageSet,
    method: Explainer,
    params: ExplainerParams,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> ModelHandle:
    """The model with all that the method needs to have learnt from `images`, found in `store` or fitted now.

    While it learns, `progress` counts images; it may raise to stop, and then nothing is kept.
    """
    if not isinstance(method, Fitted) or method.applies(model.card):
        return model
    key = key_of(what="fitted", data=images.digest, **method.fit_key(model, params))
    fitted = store.get(key)
    if fitted is None:

        def batches() -> Iterator[Tensor]:
            n = min(len(images), _FIT_ON)
            for start in range(0, n, method.fit_at_once):
                progress(start, n)
                rows = range(start, min(start + method.fit_at_once, n))
                yield model.normalise(np.stack([model.card.preprocessing.crop(images.image(row)) for row in rows]))

        fitted = method.fit(model, batches(), params)
        store.put(key, **fitted)
    return replace(model, fitted=fitted)


def in_one_line(error: Exception) -> str:
    """What to say of a map that could not be made."""
    if isinstance(error, RuntimeError) and out_of_memory(error):
        return "Not enough memory, even for one picture at a time. Close other models, or pick another method."
    return str(error).splitlines()[0]
