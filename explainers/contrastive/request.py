"""Contrasts as requests of the result cache: what was found, and the search, batched over images and classes."""

from __future__ import annotations

import time
from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from common.errors import InputError
from explainers.base import Progress, part_of
from explainers.contrastive.generator import Trained, squeezed
from explainers.contrastive.inversion import inversions
from explainers.contrastive.method import ContrastParams
from explainers.contrastive.search import search
from explainers.contrastive.view import View
from explainers.output import CLASS_SCORE
from explainers.results import Request, Sources, Step, Steps
from jobs.results import Arrays, key_of
from models.card import MULTI_LABEL, ModelCard
from models.store import ModelHandle

DEFAULTS = ContrastParams()

#: A residual above this root mean square (grey values from 0 to 1) means that the image was not rebuilt.
LARGE_RESIDUAL = 0.1


@dataclass(frozen=True)
class Contrast:
    """What was found; images are (side, side, C) float32 in [0, 1], as the generator makes them.

    `picture` is the input I, `rebuilt` G(z0), `changed` G(z_e); `z0`, `z` (latent,) float32 are z0 and z_e.
    `strip` (K, side, side, C) uint8 is the morph G(z) from z0 to z_e in even steps, `strip_shares` (K, 3) float32 the
    likelihoods of true, probe and the likeliest other class on it; `path` (steps, 3) those on the way of the search.
    `before`, `after` (classes,) float32 are all likelihoods at x(z0), the model's own input, and x(z_e) = G(z_e) - Δ.
    `violation` is in logits; `inversion_s` and `search_s` are seconds, a batch's shared evenly.
    """

    picture: np.ndarray
    rebuilt: np.ndarray
    changed: np.ndarray
    z0: np.ndarray
    z: np.ndarray
    strip: np.ndarray
    strip_shares: np.ndarray
    path: np.ndarray
    before: np.ndarray
    after: np.ndarray
    feasible: bool
    violation: float
    iterations: int
    inversion_s: float
    search_s: float

    @property
    def residual(self) -> np.ndarray:
        """Δ = G(z0) - I, (side, side, C) float32."""
        return self.rebuilt - self.picture

    @property
    def error(self) -> float:
        """Root mean square of the residual."""
        return float(np.sqrt(np.mean(np.square(self.residual))))

    @property
    def difference(self) -> np.ndarray:
        """G(z_e) - G(z0), the explanation: (side, side) float32, mean over channels; to be taken away below 0."""
        return (self.changed - self.rebuilt).mean(2)

    @property
    def distance(self) -> float:
        """|z_e - z0|."""
        return float(np.linalg.norm(self.z - self.z0))

    def third(self, request: ContrastRequest) -> int | None:
        """The likeliest class at z_e beside the two; `None` where there are two only."""
        if len(self.after) < 3:
            return None
        others = self.after.copy()
        others[[request.true, request.probe]] = -1
        return int(others.argmax())

    def third_wins(self, request: ContrastRequest) -> bool:
        """Whether another class is likelier than either of the two at z_e: then the image explains that one."""
        third = self.third(request)
        return third is not None and bool(self.after[third] > min(self.after[request.true], self.after[request.probe]))

    def seen(self, step: int) -> np.ndarray:
        """x(z) = G(z) - Δ at a step of the strip, as the model sees it: (side, side, C) float32, cut to [0, 1]."""
        return (self.strip[step].astype(np.float32) / 255 - self.residual).clip(0, 1)

    def status(self, request: ContrastRequest) -> str:
        """Whether the constraints hold, in a few words."""
        if self.feasible:
            return "constraints hold" if request.params.constraints and len(self.after) > 2 else "equally likely"
        return f"no point found where they hold; nearest: off by {self.violation:.2g}"

    def notes(self, request: ContrastRequest) -> tuple[str, ...]:
        """What a person should know before believing it."""
        names, found = request.card.class_names, []
        if self.before[request.probe] > self.before[request.true]:
            found.append(f"The model already finds {names[request.probe]} likelier: this is the way to the boundary.")
        if len(self.before) == 2:
            found.append("There are two classes only: no third one to keep behind.")
        if not self.feasible:
            ahead = " and ahead of the rest" if request.params.constraints else ""
            found.append(
                f"No image was found where both are equally likely{ahead}: the nearest is off by "
                f"{self.violation:.2g} in logits."
            )
        third = self.third(request)
        if third is not None and self.third_wins(request):
            found.append(
                f"A third class, {names[third]}, is likelier than one of the two: it rather explains that one."
            )
        if self.error > LARGE_RESIDUAL:
            found.append(
                f"The generator could not rebuild the image (residual {self.error:.2f}): the change may be of "
                "something beside it."
            )
        return tuple(found)


@dataclass(frozen=True)
class ContrastRequest(Request[Contrast]):
    """Why `true` and not `probe`? Two classes of one model (columns of its answer), one image, one generator.

    `true` is the class that is to be explained: the label, or what the model answers.
    """

    card: ModelCard
    image_id: str
    true: int
    probe: int
    generator: Trained | None = field(compare=False, repr=False)
    params: ContrastParams = DEFAULTS

    unit = "contrasts"
    together = 64

    @property
    def key(self) -> str:
        """Stands for all that makes the contrast."""
        return key_of(
            what="contrast",
            model=self.card.digest,
            image=self.image_id,
            classes=(self.true, self.probe),
            generator=None if self.generator is None else self.generator.key,
            params=asdict(self.params),
        )

    @property
    def title(self) -> str:
        """In words."""
        names = self.card.class_names
        return f"why {names[self.true]} and not {names[self.probe]}"

    def check(self, sources: Sources) -> None:
        """Raise `InputError` where there is no answer: same classes, no such class, no generator of these images."""
        if not self.card.classifies:
            cure = "Take a model that chooses among classes."
            raise InputError("a model with two classes or more", f"{self.card.name}, which gives one number", cure)
        if self.card.head == MULTI_LABEL:
            cure = "Ask what speaks for each class by itself: see Prediction difference."
            raise InputError("a model whose classes exclude each other", self.card.name, cure)
        for column in (self.true, self.probe):
            CLASS_SCORE.check(self.card, column)
        if self.true == self.probe:
            expected, name = "two different classes", self.card.class_names[self.true]
            raise InputError(expected, f"{name} twice", "Ask for another class than the one that is explained.")
        expected = f"a generator of {sources.images.name}"
        if self.generator is None:
            raise InputError(expected, "none", "Train one: it takes minutes, once for each image set.")
        if self.generator.data != sources.images.digest:
            raise InputError(expected, "one of another image set", "Train one for this set.")

    def pack(self, result: Contrast) -> Arrays:
        """All fields."""
        return {name: np.asarray(value) for name, value in vars(result).items()}

    def unpack(self, arrays: Arrays) -> Contrast:
        """See `pack`; numbers come back as arrays without axes."""
        values: dict[str, Any] = {item.name: arrays[item.name] for item in fields(Contrast)}
        return Contrast(**{name: value.item() if value.ndim == 0 else value for name, value in values.items()})

    def group(self, sources: Sources) -> Hashable:
        """Requests of one model, generator and settings about images of one size are searched in one batch."""
        size = sources.images.image(sources.images.index(self.image_id)).shape[:2]
        return self.card.digest, self.generator and self.generator.key, self.params, size

    @classmethod
    def compute(cls, requests: Sequence[Self], sources: Sources, progress: Progress) -> Steps[Contrast]:
        """As many as the model takes at once."""
        with sources.model_store.borrow(requests[0].card) as model:
            found = _contrasts(model, sources, requests[: model.batch], progress)
        yield Step.of(*found)


def _contrasts(
    model: ModelHandle, sources: Sources, batch: Sequence[ContrastRequest], progress: Progress
) -> list[Contrast]:
    """The contrasts of one model, generator and setting, of images of one size."""
    params, generator, images = batch[0].params, batch[0].generator, sources.images
    assert generator is not None  # see `check`
    trained = generator.to(model.device)
    side, channels = trained.shape.side, trained.shape.channels
    ids = [request.image_id for request in batch]
    originals = [images.image(images.index(image_id)) for image_id in ids]
    small = torch.from_numpy(np.stack([squeezed(image, side, channels) for image in originals])).float() / 255
    began = time.perf_counter()
    z0 = inversions(sources.store, trained, ids, small.to(model.device), params, part_of(progress, 0, 0.4, 1))
    inversion_s = (time.perf_counter() - began) / len(batch)
    began = time.perf_counter()
    answers = Answers(model, trained, z0, originals)
    true, probe = (torch.tensor([getattr(a, name) for a in batch], device=model.device) for name in ("true", "probe"))
    found = search(answers, z0, true, probe, params, part_of(progress, 0.4, 0.6, 1))
    search_s = (time.perf_counter() - began) / len(batch)
    contrasts = []
    steps = torch.linspace(0, 1, params.strip, device=model.device)[:, None]
    for row in range(len(batch)):
        way = torch.lerp(z0[row], found.z[row], steps)
        with torch.no_grad():
            made = trained.generator(way)
            likelihood = answers(way, torch.full((len(way),), row, device=model.device)).softmax(1)
        strip = made.permute(0, 2, 3, 1).cpu().numpy()
        shares = likelihood.cpu().numpy()
        columns = [batch[row].true, batch[row].probe]
        others = np.delete(shares, columns, axis=1).max(1, initial=0.0)
        contrasts.append(
            Contrast(
                picture=small[row].permute(1, 2, 0).numpy(),
                rebuilt=strip[0],
                changed=strip[-1],
                z0=z0[row].cpu().numpy(),
                z=found.z[row].cpu().numpy(),
                strip=(strip * 255).round().astype(np.uint8),
                strip_shares=np.column_stack([shares[:, columns], others]),
                path=found.paths[row],
                before=shares[0],
                after=shares[-1],
                feasible=bool(found.feasible[row]),
                violation=float(found.violation[row]),
                iterations=int(found.iterations[row]),
                inversion_s=inversion_s,
                search_s=search_s,
            )
        )
    return contrasts


class Answers:
    """A model's logits at x(z) = G(z) - Δ, with Δ taken in the model's own input: x(z0) is exactly what it is fed.

    Where the model reads another size than the generator makes, G(z) - G(z0) is resized on the way to it.
    """

    def __init__(self, model: ModelHandle, trained: Trained, z0: Tensor, originals: Sequence[np.ndarray]) -> None:
        """`z0` (N, latent) are the codes of `originals` (H, W, 3) uint8, all of one size."""
        self.model, self.generator, self.view = model, trained.generator, View(model, *originals[0].shape[:2])
        own = model.normalise(np.stack([model.card.preprocessing.crop(image) for image in originals]))
        with torch.no_grad():
            self.residual = self.view(self.generator(z0)) - own

    def inputs(self, z: Tensor, rows: Tensor) -> Tensor:
        """x(z) (n, c, h, w), normalised, of points (n, k) of the problems `rows`."""
        return self.view(self.generator(z)) - self.residual[rows]

    def __call__(self, z: Tensor, rows: Tensor) -> Tensor:
        """Logits (n, classes)."""
        return self.model.logits(self.inputs(z, rows))
