"""Contrasts in the background: what is asked of each model, what is known of it, and the job that finds it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from common.errors import InputError
from explainers.contrastive.generator import Trained
from explainers.contrastive.method import ContrastParams
from explainers.contrastive.request import Contrast, ContrastRequest
from explainers.contrastive.rule import BESIDE, RuleContrast, RuleContrastRequest
from explainers.registry import METHODS
from images.image_set import ImageSet
from models.card import ModelCard
from pages.shared import cache, session, session_jobs
from suggestion import targets
from suggestion.table import NONE, Predictions

#: This session's job.
CONTRAST = "contrast"


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

    def request(self, card: ModelCard, image_id: str, params: ContrastParams) -> ContrastRequest | str:
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
        request = ContrastRequest(card, image_id, true, probe, self.trained, params)
        try:
            request.check(session_jobs.sources(self.images))
        except InputError as error:
            return str(error)
        return request

    def rule_request(self, request: ContrastRequest, name: str) -> RuleContrastRequest | str:
        """The same question to a method that explains one class at a time, or the reason why it does not suit."""
        card, method = request.card, METHODS[name]
        if reason := method.applies(card):
            return reason
        return RuleContrastRequest(card, request.image_id, request.true, request.probe, method, self.images.digest)

    def requests(self, image_id: str) -> list[ContrastRequest]:
        """All that can be asked about one picture."""
        found = [self.request(card, image_id, params) for params in self.settings for card in self.cards]
        return [asked for asked in found if isinstance(asked, ContrastRequest)]

    def rule_requests(self, image_id: str) -> list[RuleContrastRequest]:
        """The same for the methods beside them, if they are wanted."""
        if not self.choice.rule:
            return []
        asked = [one for one in self.requests(image_id) if one.params.constraints]
        found = [self.rule_request(one, name) for name in BESIDE for one in asked]
        return [one for one in found if isinstance(one, RuleContrastRequest)]

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


def known(request: ContrastRequest) -> Contrast | None:
    """What was found."""
    return request.load(cache.store())


def known_rule(request: RuleContrastRequest) -> RuleContrast | None:
    """What the paper's rule made of a method's two maps."""
    return request.load(cache.store())


def submit(scene: Scene) -> None:
    """Find what the store lacks, the picture on show first; a job for an older choice is stopped."""
    state = session.state()
    here, *picks = state.picks[state.position :] + state.picks[: state.position]
    elsewhere = [request for pick in picks for request in scene.requests(pick)]
    title = f"Contrasts of {len(scene.cards)} models"
    session_jobs.submit(CONTRAST, title, scene.images, scene.requests(here), scene.rule_requests(here), elsewhere)
