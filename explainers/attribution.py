"""Maps of one image, model, method and target, as requests of the result cache."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Self

import numpy as np
from torch import Tensor

from explainers.base import Attribution, Explainer, ExplainerParams, Fitted, Need, Progress, nobody
from explainers.output import CLASS_SCORE, Output
from explainers.results import Request, Sources, Step, Steps
from jobs.results import Arrays, key_of
from models.card import ModelCard
from models.store import ModelHandle

#: Images that methods learn from, at most.
FIT_ON = 512


@dataclass(frozen=True)
class AttributionRequest(Request[Attribution]):
    """One map: `target` is a column of `output`, 0 for methods that use none. `request_for` makes it.

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
        """Stands for all that makes the map."""
        return key_of(
            what="attribution",
            model=self.card.digest,
            image=self.image_id,
            method=self.method.name,
            params=asdict(self.params),
            target=(self.target, asdict(self.output)) if self.method.uses_target else None,
            data=self.data if Need.DATA in self.method.needs else "",
        )

    @property
    def title(self) -> str:
        """`Grad-CAM of vgg`."""
        return f"{self.method.title} of {self.card.name}"

    def pack(self, result: Attribution) -> Arrays:
        """The maps, and the facts as JSON."""
        facts = {key: value for key, value in asdict(result).items() if key not in ("maps", "error")}
        error = {} if result.error is None else {"error": result.error}
        return {"maps": result.maps, "facts": np.array(json.dumps(facts)), **error}

    def unpack(self, arrays: Arrays) -> Attribution:
        """See `pack`."""
        facts: dict[str, Any] = json.loads(str(arrays["facts"]))
        facts = {name: tuple(fact) if isinstance(fact, list) else fact for name, fact in facts.items()}
        return Attribution(maps=arrays["maps"], error=arrays.get("error"), **facts)

    @classmethod
    def compute(cls, requests: Sequence[Self], sources: Sources, progress: Progress) -> Steps[Attribution]:
        """One map, unfinished ones on the way where the method refines it."""
        (request,) = requests
        image = sources.images.image(sources.images.index(request.image_id))
        with sources.model_store.borrow(request.card) as model:
            attributions = request.method.explain_progressively(
                ready(model, sources, request.method, request.params, progress),
                [image], [request.image_id], [request.target], request.params, progress, request.output,
            )  # fmt: skip
            for attribution in attributions:
                yield Step(0, partial(list, [attribution]))
        yield Step.of(attribution)


def request_for(
    card: ModelCard,
    image_id: str,
    method: Explainer,
    params: ExplainerParams | None = None,
    target: int = 0,
    output: Output = CLASS_SCORE,
    data: str = "",
) -> AttributionRequest:
    """What stands for one map of a method; `params` are its own by default, see `AttributionRequest` for the rest."""
    params = method.Params() if params is None else params
    kind: type[AttributionRequest] = method.request_class or AttributionRequest
    return kind(card, image_id, method, params, target, output, data)


def ready(
    model: ModelHandle, sources: Sources, method: Explainer, params: ExplainerParams, progress: Progress = nobody
) -> ModelHandle:
    """The model with all that the method needs to have learnt from images, found in the store or fitted now.

    While it learns, `progress` may raise to stop, and then nothing is kept.
    """
    if not isinstance(method, Fitted) or method.applies(model.card):
        return model
    images = sources.fit_on or sources.images
    key = key_of(what="fitted", data=images.digest, **method.fit_key(model, params))
    fitted = sources.store.get(key)
    if fitted is None:

        def batches() -> Iterator[Tensor]:
            n = min(len(images), FIT_ON)
            for start in range(0, n, method.fit_at_once):
                far = f"{start:,} of {n:,} images, for {model.card.name}"
                sources.say(f"{method.title} learns from {images.name}: {far}")
                progress(0, 1)
                rows = range(start, min(start + method.fit_at_once, n))
                yield model.normalise(np.stack([model.card.preprocessing.crop(images.image(row)) for row in rows]))
            sources.say("")

        fitted = method.fit(model, batches(), params)
        sources.store.put(key, **fitted)
    return replace(model, fitted=fitted)
