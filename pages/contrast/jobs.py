"""Contrasts in the background: what is asked of each model, what is known of it, and the job that finds it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from common.errors import InputError
from explainers.contrastive import keeping, rule_keeping
from explainers.contrastive.generator import Trained
from explainers.contrastive.keeping import Asked, Contrast
from explainers.contrastive.method import ContrastParams
from explainers.contrastive.rule import Ruled
from explainers.contrastive.rule_keeping import BESIDE, RuleAsked
from explainers.prediction_difference.method import PredictionDifferenceParams
from explainers.registry import METHODS
from images.image_set import ImageSet
from jobs.queue import Job
from jobs.results import key_of
from models.card import ModelCard
from pages.prediction_difference.view import default_window, half
from pages.shared import cache, session, session_jobs
from suggestion import targets
from suggestion.table import NONE, Predictions

#: This session's job.
CONTRAST = "contrast"

#: Whose window is set by the model's input.
_WINDOWED = "prediction-difference"

_Question = TypeVar("_Question", Asked, RuleAsked)


@dataclass(frozen=True)
class Choice:
    """What is asked: kinds of class as in `targets`, or for `probe` the digest of a model whose answer it is.

    `xgems` and `rule` are what to show beside CDeepEx.
    """

    explain: str = targets.TOP
    explain_class: str | None = None
    probe: str = targets.RUNNER_UP
    probe_class: str | None = None
    settings: dict[str, Any] = field(default_factory=dict, hash=False)
    xgems: bool = False
    rule: bool = False


@dataclass(frozen=True)
class Scene:
    """What the page shows: a choice for these models and pictures, by one generator."""

    choice: Choice
    cards: tuple[ModelCard, ...]
    images: ImageSet
    table: Predictions
    trained: Trained

    @property
    def settings(self) -> list[ContrastParams]:
        """CDeepEx, and xGEMs where it is wanted beside it."""
        params = ContrastParams(**self.choice.settings)
        return [params, replace(params, constraints=False)] if self.choice.xgems else [params]

    def asked(self, card: ModelCard, image_id: str, params: ContrastParams) -> Asked | str:
        """The question to one model about one picture, or the reason why there is none."""
        if not card.classifies:
            return f"{card.name} gives one number and chooses among no classes."
        row = self.images.index(image_id)
        true = targets.target_of(self.table, row, card, self.choice.explain, self.choice.explain_class)
        if isinstance(true, str):
            return true
        probe = self._probe(card, row, true)
        if isinstance(probe, str):
            return probe
        asked = Asked(card, image_id, true, probe, self.trained.key, params)
        try:
            keeping.check(asked, self.trained, self.images)
        except InputError as error:
            return str(error)
        return asked

    def ruled(self, asked: Asked, name: str) -> RuleAsked | str:
        """The same question to a method that explains one class at a time, or the reason why it does not suit."""
        card = asked.card
        if reason := METHODS[name].applies(card):
            return reason
        found = RuleAsked.of(card, asked.image_id, asked.true, asked.probe, name, self.images.digest)
        if name == _WINDOWED:
            window = default_window(card)
            return replace(found, params=PredictionDifferenceParams(window=window, stride=half(window)))
        return found

    def all_asked(self, image_id: str) -> list[Asked]:
        """All that can be asked about one picture."""
        found = [self.asked(card, image_id, params) for params in self.settings for card in self.cards]
        return [asked for asked in found if isinstance(asked, Asked)]

    def all_ruled(self, image_id: str) -> list[RuleAsked]:
        """The same for the methods beside them, if they are wanted."""
        if not self.choice.rule:
            return []
        asked = [one for one in self.all_asked(image_id) if one.params.constraints]
        found = [self.ruled(one, name) for name in BESIDE for one in asked]
        return [one for one in found if isinstance(one, RuleAsked)]

    def _probe(self, card: ModelCard, row: int, true: int) -> int | str:
        """The class that it is not."""
        kind, position = self.choice.probe, self.table.models.index(card.digest)
        if kind == targets.RUNNER_UP:
            name = card.class_names[true]
            rivals = [self.table.class_name(int(n)) for n in self.table.top[row, position] if n != NONE]
            rival = next((other for other in rivals if other != name), None)
            return self._column(card, row, rival) if rival else f"{card.name} has no runner-up."
        if kind in self.table.models:
            number = int(self.table.predicted[row, self.table.models.index(kind)])
            name = str(self.table.class_name(number))
            probe = self._column(card, row, name)
            return f"{card.name} is asked about {name} itself: nothing to set against it." if probe == true else probe
        return targets.target_of(self.table, row, card, kind, self.choice.probe_class)

    def _column(self, card: ModelCard, row: int, name: str) -> int | str:
        return targets.target_of(self.table, row, card, targets.ONE_CLASS, name)


def known(asked: Asked) -> Contrast | None:
    """What was found."""
    return keeping.find(cache.store(), asked)


def known_ruled(asked: RuleAsked) -> Ruled | None:
    """What the paper's rule made of a method's two maps."""
    return rule_keeping.find(cache.store(), asked)


def submit(scene: Scene) -> None:
    """Find what the store lacks, the picture on show first; a job for an older choice is stopped."""
    state, model_store, store, images, trained = (
        session.state(),
        cache.model_store(),
        cache.store(),
        scene.images,
        scene.trained,
    )
    failures = state.failures
    picks = state.picks[state.position :] + state.picks[: state.position]

    here, ruled_here = scene.all_asked(picks[0]), scene.all_ruled(picks[0])
    elsewhere = [asked for pick in picks[1:] for asked in scene.all_asked(pick)]
    first, ruled, later = _missing(here), _missing(ruled_here), _missing(elsewhere)
    n_first = len(first) + len(ruled)
    total = n_first + len(later)

    def work(job: Job) -> None:
        def count(before: int, done: int, _total: int) -> None:
            job.report(before + done, total)

        keeping.work_out(model_store, store, images, trained, first, failures, partial(count, 0))
        rule_keeping.work_out(model_store, store, images, ruled, failures, partial(count, len(first)))
        keeping.work_out(model_store, store, images, trained, later, failures, partial(count, n_first))

    keys = [asked.key for asked in here] + [asked.key for asked in ruled_here] + [asked.key for asked in elsewhere]
    key = "contrast " + key_of(keys=keys)
    title = f"Contrasts of {len(scene.cards)} models"
    session_jobs.submit_work(CONTRAST, key, title, "contrasts", work if total else None)


def _missing(questions: Sequence[_Question]) -> list[_Question]:
    """Those that are neither answered nor known to have no answer."""
    store, failures = cache.store(), session.state().failures
    return [one for one in questions if one.key not in store and one.key not in failures]
