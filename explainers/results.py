"""The one result cache: what was asked for is found by its key, or computed, stopped, resumed and kept.

Example:
    >>> request = request_for(card, image_id, METHODS["grad-cam"], target=3)
    >>> compute_missing(Sources(model_store, store, images), [request], failures := {})
    >>> request.load(store).maps.shape
    (1, 14, 14)
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Hashable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, ClassVar, Generic, NamedTuple, Self, TypeVar

import pandas as pd

from common.errors import InputError
from explainers.base import Progress, nobody, out_of_memory
from images.image_set import ImageSet
from jobs.claims import Claims, Mine
from jobs.results import Arrays, ResultStore, key_of
from models.store import ModelStore

R = TypeVar("R")

#: Who computes which result, and seconds between two looks at what others are at.
_CLAIMS, _LOOK_S = Claims(), 0.25

#: For requests that are about a model alone.
NO_IMAGES = ImageSet("no images", pd.DataFrame(columns=["id", "path", "name", "label", "note"]))


@dataclass(frozen=True)
class Sources:
    """What computing draws on; `fit_on` are the images that methods learn from, by default `images`.

    `say` gets what is being done beside the computing itself, such as learning from the image set; "" when it is done.
    `turn` may wait while others compute: it is called where no model is borrowed; `turn_is_over` says whether it would,
    so that what takes long is kept, left, and taken up again.
    """

    model_store: ModelStore
    store: ResultStore
    images: ImageSet = NO_IMAGES
    fit_on: ImageSet | None = None
    say: Callable[[str], None] = field(default=lambda words: None, compare=False)
    turn: Callable[[], None] = field(default=lambda: None, compare=False)
    turn_is_over: Callable[[], bool] = field(default=lambda: False, compare=False)


class Step(NamedTuple, Generic[R]):
    """How far the computing of some requests is.

    `done` is in units of the requests' `size`; `results` makes what there is so far, one for each request, when
    somebody wants to keep it, or to see it where there is no cheaper `preview`. The last step is `final`; it may hold
    the results of the first requests alone, and the others are computed after them.
    """

    done: float
    results: Callable[[], Sequence[R]]
    final: bool = False
    preview: Callable[[], Sequence[R]] | None = None

    @classmethod
    def of(cls, *results: R) -> Step[R]:
        """The one step of what is computed at once."""
        return cls(1, lambda: results, final=True)


#: What `Request.compute` gives.
Steps = Generator[Step[R], None, None]


class Request(ABC, Generic[R]):
    """What can be asked for: computed once, and found again by its key. Subclasses are frozen dataclasses."""

    #: Whether unfinished results are stored, see `Resumable`.
    resumable: ClassVar[bool] = False
    #: What `size` counts.
    unit: ClassVar[str] = "maps"
    #: Seconds between two times that unfinished results are shown, and kept.
    show_s: ClassVar[float] = 0.5
    keep_s: ClassVar[float] = 5.0
    #: What to do when memory runs out even for one request.
    memory_cure: ClassVar[str] = "Close other models, or pick another method."
    #: How many requests of one `group` are computed together, at most.
    together: ClassVar[int] = 1

    @property
    @abstractmethod
    def key(self) -> str:
        """Stands for all that makes the result: equal keys, equal results."""

    @property
    @abstractmethod
    def title(self) -> str:
        """In words."""

    @abstractmethod
    def pack(self, result: R) -> Arrays:
        """The result as the store keeps it."""

    @abstractmethod
    def unpack(self, arrays: Arrays) -> R:
        """What `pack` packed."""

    @classmethod
    @abstractmethod
    def compute(cls, requests: Sequence[Self], sources: Sources, progress: Progress) -> Steps[R]:
        """Compute requests of one `group`, resuming what is stored.

        `progress` may be called with any share of the way; it raises to stop. At a yield it may be stopped too.
        """

    def check(self, sources: Sources) -> None:
        """Raise `InputError` for what cannot be computed, before anything is."""

    def load(self, store: ResultStore) -> R | None:
        """The result, if it is stored; see `Resumable` for unfinished ones."""
        arrays = store.get(self.key)
        return None if arrays is None else self.unpack(arrays)

    def keep(self, store: ResultStore, result: R) -> None:
        """Store the result."""
        store.put(self.key, **self.pack(result))

    def finished(self, store: ResultStore) -> bool:
        """Whether nothing is left to compute."""
        return self.key in store

    def group(self, sources: Sources) -> Hashable:
        """Requests of equal groups can be computed together."""
        return self.key

    @property
    def goal(self) -> str:
        """The key, and how far to go where results can be unfinished."""
        return self.key

    def version(self, store: ResultStore) -> str:
        """Stands for the very result that is stored: the key, where results are never unfinished."""
        return self.key

    @property
    def size(self) -> float:
        """How much there is to do, as progress counts it."""
        return 1

    def done(self, store: ResultStore) -> float:
        """How much of `size` is done."""
        return self.size if self.finished(store) else 0

    def stages(self) -> Sequence[Self]:
        """The same request with ever farther goals: all requests reach one stage before any goes on to the next."""
        return [self]


class Resumable(Request[R]):
    """A request whose stored result may be unfinished: it is shown and kept on the way, and taken up again."""

    resumable = True

    @abstractmethod
    def complete(self, result: R) -> bool:
        """Whether the result is as far as this request goes."""

    @abstractmethod
    def reached(self, result: R) -> float:
        """How much of `size` the result took."""

    @property
    def how_far(self) -> object:
        """Plain data that say how far to go; not part of the key."""
        return self.size

    @property
    def goal(self) -> str:
        """Key and `how_far`."""
        return key_of(key=self.key, how_far=self.how_far)

    def finished(self, store: ResultStore) -> bool:
        """Whether the stored result is complete."""
        result = self.load(store)
        return result is not None and self.complete(result)

    def version(self, store: ResultStore) -> str:
        """Key, and how much was done."""
        return f"{self.key} {self.done(store)}"

    def done(self, store: ResultStore) -> float:
        """How much of `size` the stored result took."""
        result = self.load(store)
        return 0 if result is None else self.reached(result)


Q = TypeVar("Q", bound=Request[Any])


def missing(store: ResultStore, requests: Iterable[Q], failures: dict[str, str]) -> list[Q]:
    """The requests that are neither finished nor known to fail, each once."""
    each = {request.key: request for request in requests}.values()
    return [request for request in each if request.key not in failures and not request.finished(store)]


def unit_of(requests: Iterable[Request[Any]]) -> str:
    """What progress on these requests counts: their common unit, else results."""
    units = {request.unit for request in requests}
    return units.pop() if len(units) == 1 else "results"


def compute_missing(
    sources: Sources,
    requests: Sequence[Q],
    failures: dict[str, str],
    progress: Progress = nobody,
    show: Callable[[Q, Any], None] = lambda request, result: None,
) -> None:
    """Compute what the store lacks of `requests`, in order, each kept as it is ready.

    `progress` counts what `unit_of` says and may raise to stop: what can be resumed is kept then, as it is every
    few seconds. `show` gets unfinished results, at most twice a second or so, and `None` once the finished one is
    stored. What cannot be computed puts its reason into `failures` under its key; the others go on. What another
    thread is at is left to it, and waited for.
    """
    each = list({request.key: request for request in requests}.values())
    bar = _Bar(progress, each, sources.store)
    for request in each:
        try:
            request.check(sources)
        except InputError as error:
            failures[request.key] = str(error)
    shown = _Shown(show, {request.goal for request in each})
    for stage in zip_longest(*(request.stages() for request in each)):
        groups: dict[Hashable, list[Q]] = {}
        for request in missing(sources.store, (request for request in stage if request is not None), failures):
            groups.setdefault((type(request), request.group(sources)), []).append(request)
        for group in groups.values():
            at_once = group[0].together
            while group:
                sources.turn()
                bar.report()
                group = missing(sources.store, group, failures)  # somebody else may have been faster
                with _CLAIMS.mine() as mine:
                    batch = _claimed(sources, group, mine)[:at_once]
                    try:
                        n_done = _compute(sources, batch, bar, shown) if batch else 0
                    except (InputError, RuntimeError) as error:
                        if isinstance(error, RuntimeError) and out_of_memory(error) and len(batch) > 1:
                            at_once = len(batch) // 2
                            continue
                        failures.update({request.key: reason_for(error, request.memory_cure) for request in batch})
                        n_done = len(batch)
                if not batch:
                    _CLAIMS.wait([_claim(sources, request) for request in group], _LOOK_S)
                done = {request.key for request in batch[:n_done]}
                group = [request for request in group if request.key not in done]
    bar.finish()


def _claim(sources: Sources, request: Request[Any]) -> Hashable:
    return sources.store.folder, request.key


def _claimed(sources: Sources, group: Sequence[Q], mine: Mine) -> list[Q]:
    """What nobody else is at, of a group: as far as it can still be computed together, if others left it on the way."""
    by_claim = {_claim(sources, request): request for request in group}
    free = missing(sources.store, [by_claim[claim] for claim in mine.take(by_claim)], {})
    return [request for request in free if request.group(sources) == free[0].group(sources)]


def compute(
    sources: Sources,
    request: Request[R],
    progress: Progress = nobody,
    show: Callable[[Any, Any], None] = lambda request, result: None,
) -> R:
    """The result of one request, found or computed as `compute_missing` does; raises what keeps it from that."""
    request.check(sources)
    bar = _Bar(progress, [request], sources.store)
    for stage in request.stages():
        while not stage.finished(sources.store):
            sources.turn()
            bar.report()
            if _compute(sources, [stage], bar, _Shown(show, {request.goal})):
                break  # where the store has no room it is not found there
    bar.finish()
    result = request.load(sources.store)
    if result is None:
        raise InputError(request.title, "nothing: the store has no room for it", "Let the store have more room.")
    return result


def _compute(sources: Sources, batch: Sequence[Request[Any]], bar: _Bar, shown: _Shown) -> int:
    """Compute requests of one group; returns of how many, the first ones, there is a result now.

    None, where the turn was over before: what there is was kept.
    """
    resumable, before = batch[0].resumable, bar.of(batch[0])
    kept_at = shown_at = time.monotonic()

    def inside(done: float, total: float) -> None:
        if total and not resumable:
            bar.set(batch, before + (batch[0].size - before) * min(1.0, done / total))
        bar.report()

    def keep(step: Step[Any]) -> int:
        results = step.results()
        for request, result in zip(batch, results, strict=False):
            request.keep(sources.store, result)
            shown(request, result, step.final)
        return len(results)

    with closing(type(batch[0]).compute(batch, sources, inside)) as steps:
        for step in steps:
            now = time.monotonic()
            if step.final:
                n_done = keep(step)
                bar.set(batch[:n_done], step.done if resumable else batch[0].size)
                return n_done
            if resumable:
                bar.set(batch, step.done)
                try:
                    bar.report()
                except BaseException:
                    keep(step)
                    raise
            if resumable and now - kept_at >= batch[0].keep_s:
                keep(step)
                if sources.turn_is_over():
                    return 0
                kept_at = shown_at = time.monotonic()
            elif now - shown_at >= batch[0].show_s:
                for request, result in zip(batch, (step.preview or step.results)(), strict=True):
                    shown(request, result)
                shown_at = time.monotonic()
    raise RuntimeError(f"No final step of {batch[0].title}.")


class _Shown:
    """Shows results, and tells when the last stage of a request is through."""

    def __init__(self, show: Callable[[Any, Any], None], goals: set[str]) -> None:
        self._show, self._goals = show, goals

    def __call__(self, request: Request[Any], result: object, final: bool = False) -> None:
        self._show(request, None if final and request.goal in self._goals else result)


class _Bar:
    """How much of all requests is done; its reports may raise to stop."""

    def __init__(self, progress: Progress, requests: Sequence[Request[Any]], store: ResultStore) -> None:
        alike = len({request.unit for request in requests}) == 1
        self._progress = progress
        self._done = {request.key: request.done(store) for request in requests}
        self._worth = {request.key: 1 if alike else 1 / request.size for request in requests}
        self._total = sum(max(r.size, self._done[r.key]) * self._worth[r.key] for r in requests)

    def of(self, request: Request[Any]) -> float:
        return self._done[request.key]

    def set(self, batch: Sequence[Request[Any]], done: float) -> None:
        for request in batch:
            self._done[request.key] = max(self._done[request.key], done)  # what starts again does not go back

    def report(self) -> None:
        self._progress(sum(done * self._worth[key] for key, done in self._done.items()), self._total)

    def finish(self) -> None:
        self._progress(self._total, self._total)


def reason_for(error: Exception, memory_cure: str = Request.memory_cure) -> str:
    """What to say of a request that could not be computed, in one line."""
    if isinstance(error, RuntimeError) and out_of_memory(error):
        return f"Not enough memory, even for one picture at a time. {memory_cure}"
    return str(error).splitlines()[0] if str(error) else type(error).__name__
