"""The jobs of the compare page: the maps of all selected images, and the metrics of the maps on show."""

from explainers.attribution import AttributionRequest, request_for
from explainers.output import CLASS_SCORE
from explainers.registry import METHODS
from pages.compare import metrics
from pages.compare.controls import MapSpec
from pages.shared import session, session_jobs
from pages.shared.page_state import PageState
from pages.shared.widgets import params_for

#: This session's job of maps; and what the page waits for: maps first, then their metrics.
MAPS = "compare"
JOBS = (MAPS, metrics.JOB)

#: By (method, model digest): the request for a map, or the reason why there is none.
Requests = dict[tuple[str, str], AttributionRequest | str]


def requests_of(spec: MapSpec, page_state: PageState) -> Requests:
    """The maps of the image on show."""
    image_id, data = page_state.image_id, page_state.images.digest
    requests: Requests = {}
    for name in spec.methods:
        method = METHODS[name]
        for card in page_state.cards:
            reason, chosen = method.applies(card), spec.target.output_for(card, page_state.table, page_state.row)
            found = chosen if method.uses_target else (CLASS_SCORE, 0)
            if reason or isinstance(found, str):
                requests[name, card.digest] = reason or str(found)
                continue
            output, target = found
            params = params_for(method, spec.settings[name], spec.layers[card.digest])
            requests[name, card.digest] = request_for(card, image_id, method, params, target, output, data)
    return requests


def submit(spec: MapSpec, page_state: PageState) -> None:
    """Compute the missing maps of all selected images, those of the image on show first."""
    picks = session.state().picks_ahead
    found = [request for pick in picks for request in requests_of(spec, page_state.showing(pick)).values()]
    requests = [request for request in found if isinstance(request, AttributionRequest)]
    session_jobs.submit(MAPS, f"Explaining {len(picks)} images", page_state.images, requests)
