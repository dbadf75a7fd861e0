"""The cells of the compare grid: one map of one image, model, method and target, found on disk or worked out."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bank.bank import Bank
from bank.card import ModelCard
from bank.errors import InputError
from bank.images import ImageSet
from explainers.base import Attribution, Explainer, ExplainerParams
from jobs.results import ResultStore, key_of


@dataclass(frozen=True)
class Cell:
    """What to explain: `target` is a class index of the model, 0 for methods that use none."""

    card: ModelCard
    image_id: str
    method: Explainer
    params: ExplainerParams
    target: int = 0

    @property
    def key(self) -> str:
        """Stands for all that makes the map: equal keys, equal maps."""
        return key_of(
            what="attribution",
            model=self.card.digest,
            image=self.image_id,
            method=self.method.name,
            params=asdict(self.params),
            target=self.target if self.method.uses_target else None,
        )


def find(store: ResultStore, cell: Cell) -> Attribution | None:
    """The cell's map, if it was ever worked out."""
    arrays = store.get(cell.key)
    if arrays is None:
        return None
    facts: dict[str, Any] = json.loads(str(arrays["facts"]))
    facts = {name: tuple(fact) if isinstance(fact, list) else fact for name, fact in facts.items()}
    return Attribution(maps=arrays["maps"], **facts)


def work_out(
    bank: Bank,
    store: ResultStore,
    images: ImageSet,
    cells: Sequence[Cell],
    failures: dict[str, str],
    report: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Work out the cells that `store` lacks, in order, each stored as it is ready.

    A cell that cannot be explained puts its reason into `failures` under its key; the others go on.
    """
    for done, cell in enumerate(cells):
        report(done, len(cells))
        if cell.key in store or cell.key in failures:
            continue
        image = images.image(images.index(cell.image_id))

        def stay_cancellable(_done: int, _total: int, at: int = done) -> None:
            report(at, len(cells))

        try:
            with bank.lend(cell.card) as loan:
                attribution = cell.method.explain(
                    loan, [image], [cell.image_id], [cell.target], cell.params, stay_cancellable
                )
        except (InputError, RuntimeError) as error:
            failures[cell.key] = str(error).splitlines()[0]
            continue
        facts = {key: value for key, value in asdict(attribution).items() if key != "maps"}
        store.put(cell.key, maps=attribution.maps, facts=np.array(json.dumps(facts)))
    report(len(cells), len(cells))
