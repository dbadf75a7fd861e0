"""Contrasts in the background: what is asked of each model, and the job that finds it."""

from dataclasses import dataclass, field, replace
from typing import Any

from common.errors import InputError
from explainers.contrastive.generator import Trained
from explainers.contrastive.method import ContrastParams
from explainers.contrastive.request import ContrastRequest
from explainers.contrastive.rule import BESIDE, RuleContrastRequest
from explainers.registry import METHODS
from models.card import ModelCard
from pages.shared import session, session_jobs
from pages.shared.page_state import PageState
from suggestion import targets
from suggestion.table import NONE

#: This session's job.
CONTRAST = "contrast"


@dataclass(frozen=True)
class ContrastSpec:
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
class ContrastRequests:
    """Asks for contrasts of the image on show, by one generator."""

    page_state: PageState
    spec: ContrastSpec
    trained: Trained

    @property
    def settings(self) -> list[ContrastParams]:
        """CDeepEx, and xGEMs where it is wanted beside it."""
        params = ContrastParams(**self.spec.settings)
        return [params, replace(params, constraints=False)] if self.spec.xgems else [params]

    def request(self, card: ModelCard, params: ContrastParams | None = None) -> ContrastRequest | str:
        """The question to one model, by default of CDeepEx; or the reason why there is none."""
        if not card.classifies:
            return f"{card.name} gives one number and chooses among no classes."
        page_state, spec = self.page_state, self.spec
        true = targets.target_of(page_state.table, page_state.row, card, spec.explain, spec.explain_class)
        if isinstance(true, str):
            return true
        probe = self._probe(card, true)
        if isinstance(probe, str):
            return probe
        request = ContrastRequest(card, page_state.image_id, true, probe, self.trained, params or self.settings[0])
        try:
            request.check(session_jobs.sources(page_state.images))
        except InputError as error:
            return str(error)
        return request

    def rule_request(self, card: ModelCard, name: str) -> RuleContrastRequest | str:
        """The same question to a method that explains one class at a time, or the reason why there is none."""
        request, method = self.request(card), METHODS[name]
        if isinstance(request, str):
            return request
        if reason := method.applies(card):
            return reason
        data = self.page_state.images.digest
        return RuleContrastRequest(card, request.image_id, request.true, request.probe, method, data)

    def requests(self) -> list[ContrastRequest]:
        """All that can be asked."""
        found = [self.request(card, params) for params in self.settings for card in self.page_state.cards]
        return [one for one in found if isinstance(one, ContrastRequest)]

    def rule_requests(self) -> list[RuleContrastRequest]:
        """The same for the methods beside them, if they are wanted."""
        methods = BESIDE if self.spec.rule else ()
        found = [self.rule_request(card, name) for name in methods for card in self.page_state.cards]
        return [one for one in found if isinstance(one, RuleContrastRequest)]

    def _probe(self, card: ModelCard, true: int) -> int | str:
        """The class that it is not."""
        kind, table, row = self.spec.probe, self.page_state.table, self.page_state.row
        if kind == targets.RUNNER_UP:
            numbers = table.top[row, table.models.index(card.digest)]
            rivals = [table.class_name(int(number)) for number in numbers if number != NONE]
            rival = next((other for other in rivals if other != card.class_names[true]), None)
            return self._column(card, rival) if rival else f"{card.name} has no runner-up."
        if kind in table.models:
            name = str(table.class_name(int(table.predicted[row, table.models.index(kind)])))
            probe = self._column(card, name)
            return f"{card.name} is asked about {name} itself: nothing to set against it." if probe == true else probe
        return targets.target_of(table, row, card, kind, self.spec.probe_class)

    def _column(self, card: ModelCard, name: str) -> int | str:
        return targets.target_of(self.page_state.table, self.page_state.row, card, targets.ONE_CLASS, name)


def submit(contrasts: ContrastRequests) -> None:
    """Find what the store lacks, the image on show first; a job for an older choice is stopped."""
    page_state = contrasts.page_state
    picks = session.state().picks_ahead[1:]
    elsewhere = [one for pick in picks for one in replace(contrasts, page_state=page_state.showing(pick)).requests()]
    title = f"Contrasts of {len(page_state.cards)} models"
    here = contrasts.requests(), contrasts.rule_requests()
    session_jobs.submit(CONTRAST, title, page_state.images, *here, elsewhere)
