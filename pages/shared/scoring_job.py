"""Scoring: one job for the models and images in use."""

import streamlit as st

from jobs.queue import Job
from models.libraries import import_libraries
from pages.shared import cache, session
from pages.shared.job_progress import error_line, run_and_wait


def job() -> Job:
    """The job that scores what is not scored yet of the models and images in use."""
    import_libraries()
    from suggestion import scoring  # which stands on torch: the first page is drawn without it

    cards, images = session.cards(), session.images()
    model_store, folder = cache.model_store(), cache.predictions_folder()

    def work(job: Job) -> dict[str, str]:
        return scoring.score(model_store, cards, images, folder, job.report_in_between)

    name = f"score {images.digest}"
    parts = frozenset(f"{name} {card.digest}" for card in cards if not scoring.scored(card, images, folder))
    key = f"{name} " + " ".join(card.digest for card in cards)
    return Job(f"Scoring {images.name} with {len(cards)} models", work, unit="predictions", key=key, parts=parts)


def wait(key: str, lane: str = "background") -> None:
    """Start the job, or show it; models that fail can be switched off."""
    wanted = job()
    found = cache.jobs().find(wanted.key)
    failed = (found.result or {}) if found is not None else {}
    if not failed:
        run_and_wait(wanted, key, lane)
        return
    for digest, reason in failed.items():
        error_line(f"{cache.card(digest).name} failed: {reason}")
    switch_off = session.state().switched_off.update
    st.button("Switch it off and continue", key=f"{key}_without", on_click=switch_off, args=(failed,))
    if st.button("Try again", key=f"{key}_once_more"):
        cache.jobs().submit(wanted, lane)
        st.rerun()
