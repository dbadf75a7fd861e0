"""All cases by kind, the same for the same seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from tests.hostile import files, pickles, texts, trainings
from tests.hostile.cases import Case

KINDS: dict[str, Callable[[np.random.Generator], Iterator[Case]]] = {
    "pickles": pickles.pickles,
    "claims": pickles.claims,
    "headers": pickles.headers,
    "archives of weights": pickles.archives_of_weights,
    "pictures": files.pictures,
    "archives": files.archives,
    "tables": files.tables,
    "names": files.names,
    "JSON": texts.json_files,
    "arguments": texts.arguments,
    "addresses": texts.addresses,
    "settings": texts.settings,
    "histories": trainings.histories,
    "networks": trainings.networks,
    "digits": trainings.digit_files,
}


@dataclass(frozen=True)
class KindOfCase(Case):
    """A case that knows what kind it is of."""

    kind: str = ""


def corpus(seed: int) -> list[KindOfCase]:
    """All cases, in the order of their kinds."""
    found = []
    for number, (kind, make) in enumerate(KINDS.items()):
        for case in make(np.random.default_rng([seed, number])):
            found.append(KindOfCase(case.door, case.title, case.content, case.suffix, kind))
    return found
