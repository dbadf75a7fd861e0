"""Cascading randomisation of single maps, kept as strips: what is left of a map while its model is randomised."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from explainers.attribution import AttributionRequest, ready
from explainers.base import Progress
from explainers.evaluation.faithfulness import explained_by
from explainers.evaluation.randomisation import Stage, cascade, rank_correlation
from explainers.results import Request, Sources, Step, Steps
from jobs.results import Arrays, key_of
from models.store import ModelHandle

#: Stages of randomisation, and the seed of the random weights; part of the key under which a strip is kept.
N_STAGES, SEED = 6, 0


@dataclass(frozen=True)
class CascadeRequest(Request[list[Stage]]):
    """The strip of one map: the map itself first, then the maps of the model randomised stage by stage."""

    attribution: AttributionRequest
    unit = "stages"

    @property
    def key(self) -> str:
        """Stands for the map and its strip."""
        return key_of(what="cascade", map=self.attribution.goal, stages=N_STAGES, seed=SEED)

    @property
    def title(self) -> str:
        """In words."""
        return f"Randomisation of {self.attribution.card.name}"

    @property
    def size(self) -> float:
        """Stages, and the map itself."""
        return N_STAGES + 1

    def pack(self, result: list[Stage]) -> Arrays:
        """The stages' maps, and their facts as JSON."""
        facts = json.dumps([(stage.layer, stage.reason) for stage in result])
        maps = {f"maps_{at}": stage.maps for at, stage in enumerate(result) if stage.maps is not None}
        return {"facts": np.array(facts), **maps}

    def unpack(self, arrays: Arrays) -> list[Stage]:
        """See `pack`."""
        facts = json.loads(str(arrays["facts"]))
        return [Stage(layer, arrays.get(f"maps_{at}"), reason) for at, (layer, reason) in enumerate(facts)]

    @classmethod
    def compute(cls, requests: Sequence[Self], sources: Sources, progress: Progress) -> Steps[list[Stage]]:
        """See `randomisation.cascade`."""
        asked = requests[0].attribution
        image = sources.images.image(sources.images.index(asked.image_id))
        explain = explained_by(asked.method, [asked.target], asked.params, asked.output)

        def prepare(model: ModelHandle) -> ModelHandle:
            return ready(model, sources, asked.method, asked.params, progress)

        known = asked.load(sources.store) if asked.finished(sources.store) else None
        with sources.model_store.borrow(asked.card) as model:
            original = None if known is None else known.maps
            strip = cascade(explain, prepare(model), [image], N_STAGES, SEED, progress, prepare, original)
        yield Step.of(strip)


def likeness(strip: list[Stage]) -> list[float]:
    """Rank correlation of each stage's map with the first; NaN where there is none."""
    first = strip[0].maps
    if first is None:
        return [float("nan")] * len(strip)
    return [float("nan") if s.maps is None else float(rank_correlation(first, s.maps)[0]) for s in strip]
