"""The job that measures methods on models and images."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from explainers.evaluation.table import evaluate
from explainers.registry import METHODS
from explainers.results import Sources
from jobs.queue import Job
from pages.shared import cache, session
from pages.shared.page_state import PageState

#: The names of this page's jobs.
TABLE, CASCADE = "trust_table", "cascade"


def submit_table(page_state: PageState, methods: Sequence[str], image_ids: Sequence[str]) -> None:
    """Measure every method on every model and image; the job's result grows row by row."""
    sources = Sources(cache.model_store(), cache.store(), page_state.images)
    chosen = [METHODS[name] for name in methods]

    def work(job: Job) -> pd.DataFrame:
        def show(rows: pd.DataFrame) -> None:
            job.result = rows

        return evaluate(sources, page_state.cards, chosen, image_ids, progress=job.report, show=show)

    names = " ".join([*(card.digest for card in page_state.cards), *methods, *image_ids])
    key = f"trust table {page_state.images.digest} {names}"
    session.state().jobs[TABLE] = cache.jobs().submit(Job(f"Measuring {len(methods)} methods", work, "maps", key))
