"""Prediction difference in the background: what a part of the page needs, and how far it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from explainers.attribution import AttributionRequest
from explainers.prediction_difference.request import EstimatedAttribution, PredictionDifferenceRequest
from explainers.results import Request, missing
from pages.shared import cache, session, session_jobs

#: This session's jobs: the maps on top of the page, and one comparison at a time below them.
MAPS, MORE = "prediction_difference", "prediction_difference_more"

#: As many samples as the paper took.
EXACT_SAMPLES = 20


@dataclass(frozen=True)
class JobSpec:
    """What one part of the page needs: `requests`, which are known once those of `first` are computed."""

    key: str
    title: str
    requests: Callable[[], Sequence[AttributionRequest]]
    first: tuple[Request[Any], ...] = ()
    startable: bool = True

    @classmethod
    def of(cls, title: str, requests: Sequence[AttributionRequest], *first: Request[Any]) -> JobSpec:
        """For requests that are known beforehand; each key once."""
        each = list({request.key: request for request in requests}.values())
        return cls(session_jobs.key_for("prediction difference", each), title, lambda: each, first, bool(each))

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do but what failed."""
        requests = self.requests()
        return bool(requests) and not missing(cache.store(), requests, session.state().failures)

    @property
    def begun(self) -> bool:
        """Whether anything is known of it."""
        return any(session_jobs.known(request) is not None for request in self.requests())


def exact(request: PredictionDifferenceRequest) -> PredictionDifferenceRequest:
    """The same without a short cut: every window, every sample."""
    samples = max(EXACT_SAMPLES, request.settings.samples)
    return replace(request, params=replace(request.settings, stride=1, samples=samples, converged=0.0))


def known(request: PredictionDifferenceRequest | str) -> EstimatedAttribution | None:
    """The map so far, from a job that is at it, else from the store; `None` for a reason in a request's place."""
    found = None if isinstance(request, str) else session_jobs.known(request)
    assert found is None or isinstance(found, EstimatedAttribution)
    return found
