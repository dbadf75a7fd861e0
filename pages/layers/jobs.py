"""Unit maps in the background: those on show first, then those of the other picks."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from explainers.layers import facts, keeping
from explainers.layers.keeping import Asked
from images.image_set import ImageSet
from jobs.queue import Job
from models.card import ModelCard
from pages.shared import cache, session, session_jobs

#: This session's jobs: what is on show, and what may be looked at next.
NOW, AHEAD, KERNELS = "layers", "layers_ahead", "layers_kernels"

#: Seconds that the page waits for maps before it shows that it waits: most come by then.
_PATIENCE_S = 0.4


def submit(cards: Sequence[ModelCard], layers: Mapping[str, str], images: ImageSet, image_id: str) -> None:
    """Work out what the store lacks of each model's layer (by its digest); a job for an older choice is stopped."""
    state = session.state()
    at = state.picks.index(image_id)
    later = state.picks[at + 1 :] + state.picks[:at]
    _submit(NOW, [Asked(card, image_id, layers[card.digest]) for card in cards], images)
    deadline = time.monotonic() + _PATIENCE_S
    while session_jobs.active(NOW) is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    _submit(AHEAD, [Asked(card, pick, layers[card.digest]) for pick in later for card in cards], images)


def _submit(name: str, wanted: Sequence[Asked], images: ImageSet) -> None:
    model_store, store, failures = cache.model_store(), cache.store(), session.state().failures
    missing = [asked for asked in wanted if asked.key not in store and asked.key not in failures]

    def work(job: Job) -> None:
        keeping.work_out(model_store, store, images, missing, failures, job.report)

    key = f"{name} " + " ".join(asked.key for asked in wanted)
    session_jobs.submit_work(name, key, "Unit maps", "layers", work if missing else None)


def pace() -> float | None:
    """Seconds between two looks at the store: while the maps on show are being worked out, and never after."""
    return 0.3 if session_jobs.active(NOW) is not None else None


def submit_kernels(cards: Sequence[ModelCard]) -> None:
    """Read the first kernels of the models that nobody asked for yet."""
    model_store, store = cache.model_store(), cache.store()
    missing = [card for card in cards if facts.find_kernels(store, card) is None]

    def work(job: Job) -> None:
        for done, card in enumerate(missing):
            job.report(done, len(missing))
            facts.work_out(model_store, store, card)

    key = "kernels " + " ".join(card.digest for card in missing)
    session_jobs.submit_work(KERNELS, key, "First kernels", "models", work if missing else None)
