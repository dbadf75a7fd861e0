"""Unit maps in the background: those on show first, then those of the other picks."""

from __future__ import annotations

import time
from collections.abc import Mapping

from explainers.layers.maps import UnitMapsRequest
from pages.shared import session, session_jobs
from pages.shared.page_state import PageState

#: This session's jobs: what is on show, and what may be looked at next.
NOW, AHEAD, KERNELS = "layers", "layers_ahead", "layers_kernels"

#: Seconds that the page waits for maps before it shows that it waits: most come by then.
_PATIENCE_S = 0.4


def submit(page_state: PageState, layers: Mapping[str, str]) -> None:
    """Compute what the store lacks of each model's layer (by its digest); a job for an older choice is stopped."""
    now, *ahead = (
        [UnitMapsRequest(card, pick, layers[card.digest]) for card in page_state.cards]
        for pick in session.state().picks_ahead
    )
    session_jobs.submit(NOW, "Unit maps", page_state.images, now)
    deadline = time.monotonic() + _PATIENCE_S
    while session_jobs.active(NOW) is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    session_jobs.submit(AHEAD, "Unit maps", page_state.images, [request for pick in ahead for request in pick])
