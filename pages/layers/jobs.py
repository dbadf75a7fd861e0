"""Unit maps in the background: those on show first, then those of the other picks."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from explainers.layers.facts import FactsRequest
from explainers.layers.maps import UnitMapsRequest
from images.image_set import ImageSet
from models.card import ModelCard
from pages.shared import session, session_jobs

#: This session's jobs: what is on show, and what may be looked at next.
NOW, AHEAD, KERNELS = "layers", "layers_ahead", "layers_kernels"

#: Seconds that the page waits for maps before it shows that it waits: most come by then.
_PATIENCE_S = 0.4


def submit(cards: Sequence[ModelCard], layers: Mapping[str, str], images: ImageSet, image_id: str) -> None:
    """Compute what the store lacks of each model's layer (by its digest); a job for an older choice is stopped."""
    state = session.state()
    at = state.picks.index(image_id)
    later = state.picks[at + 1 :] + state.picks[:at]
    now = [UnitMapsRequest(card, image_id, layers[card.digest]) for card in cards]
    ahead = [UnitMapsRequest(card, pick, layers[card.digest]) for pick in later for card in cards]
    session_jobs.submit(NOW, "Unit maps", images, now)
    deadline = time.monotonic() + _PATIENCE_S
    while session_jobs.active(NOW) is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    session_jobs.submit(AHEAD, "Unit maps", images, ahead)


def pace() -> float | None:
    """Seconds between two looks at the store: while the maps on show are being computed, and never after."""
    return 0.3 if session_jobs.active(NOW) is not None else None


def submit_kernels(cards: Sequence[ModelCard], images: ImageSet) -> None:
    """Read the first kernels of the models that nobody asked for yet."""
    session_jobs.submit(KERNELS, "First kernels", images, [FactsRequest(card) for card in cards])
