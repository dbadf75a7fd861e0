"""Trust: metrics of attribution methods on the models and images in use, and the model randomisation test."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from common.escape import markdown
from explainers.evaluation.cascades import CascadeRequest
from explainers.evaluation.table import evaluate
from explainers.evaluation.trust import FIGURES, USUAL
from explainers.registry import METHODS
from images.image_set import ImageSet
from jobs.queue import Job
from pages.shared import cache, pick_navigation, session, session_jobs
from pages.shared.job_progress import error_line, progress_line
from pages.shared.page_state import PageState
from pages.trust import view
from pages.trust.controls import choose_images, choose_map, choose_methods

#: The names of this page's jobs.
TABLE, CASCADE = "trust_table", "cascade"


def page() -> None:
    """The table of metrics, and beneath it one map under randomised weights."""
    st.title("Evaluate attribution methods")
    page_state = pick_navigation.require_predictions("trust")
    metrics(page_state)
    randomisation_test(page_state)


def metrics(page_state: PageState) -> None:
    """Which methods and images, and the table that grows while they are measured."""
    methods = choose_methods()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        image_ids = choose_images(page_state.images)
        words = "The largest change of a map under invisible noise: five more maps for each of the first images."
        slow = st.checkbox("Max-sensitivity", help=words, **session.kept("trust_max_sensitivity"))
        suited = sum(METHODS[name].applies(card) is None for name in methods for card in page_state.cards)
        if st.button("Measure", type="primary", key="trust_measure", disabled=not suited):
            submit_table(page_state, methods, image_ids, FIGURES if slow else USUAL)
    st.caption(
        f"{suited * len(image_ids):,} maps: {len(methods)} methods × {len(page_state.cards)} models, where they apply, "
        f"× {len(image_ids)} images. Stored results are reused."
    )
    busy = session_jobs.active(TABLE) is not None
    st.fragment(growing_table, run_every=1.0 if busy else None)(busy)


def submit_table(
    page_state: PageState, methods: Sequence[str], image_ids: Sequence[str], figures: Sequence[str]
) -> None:
    """Measure `figures` of every method on every model and image; the job's result grows row by row."""
    sources, chosen = session_jobs.sources(page_state.images), [METHODS[name] for name in methods]

    def work(job: Job) -> pd.DataFrame:
        def show(rows: pd.DataFrame) -> None:
            job.result = rows

        own = session_jobs.of_job(sources, job)
        return evaluate(own, page_state.cards, chosen, image_ids, figures, progress=job.report, show=show)

    names = " ".join([*(card.digest for card in page_state.cards), *methods, *image_ids, *figures])
    key = f"trust table {page_state.images.digest} {names}"
    session.state().jobs[TABLE] = cache.jobs().submit(Job(f"Measuring {len(methods)} methods", work, "maps", key))


def growing_table(polled: bool) -> None:
    """The rows so far."""
    job = session.state().jobs.get(TABLE)
    if job is None:
        st.info("Nothing is measured yet. Choose methods and images, then press Measure.")
        return
    hint = "Click a heading to sort, hover over it for its meaning. ↑ higher is better, ↓ lower is better."
    progress_line(job, "trust", polled, hint, "press Measure to continue")
    if job.result is None:
        return
    view.metrics_table(job.result)
    view.relied_on(job.result)
    csv, icon = job.result.to_csv(index=False).encode(), ":material/download:"
    st.download_button("Table (CSV)", csv, "trust.csv", "text/csv", key="trust_csv", icon=icon)


def randomisation_test(page_state: PageState) -> None:
    """One map while its model's weights are randomised, layer by layer."""
    st.subheader("Model randomisation test")
    st.markdown(
        "The layers get random weights one after another, from the output down to the input. A map that stays the same "
        "shows the image rather than what the model has learnt (Adebayo et al. 2018). ρ is the rank correlation with "
        "the map of the trained model."
    )
    request, pressed = choose_map(page_state)
    if isinstance(request, str):
        st.info(markdown(request))
        return
    strip = CascadeRequest(request)
    if request.method.uses_target:
        st.caption(f"The map explains **{markdown(request.output.title(request.card, request.target))}**.")
    if pressed:
        session_jobs.retry(CASCADE, [strip])
        session_jobs.submit(CASCADE, strip.title, page_state.images, [strip])
    busy = session_jobs.running(CASCADE, session_jobs.key_for(CASCADE, [strip])) is not None
    st.fragment(growing_strip, run_every=0.6 if busy else None)(strip, page_state.images, busy)


def growing_strip(strip: CascadeRequest, images: ImageSet, polled: bool) -> None:
    """The job's progress, and the maps of the stages."""
    state = session.state()
    job = state.jobs.get(CASCADE)
    if job is not None and job.key == session_jobs.key_for(CASCADE, [strip]):
        progress_line(job, "trust_cascade", polled, resume="press Randomise to continue")
    if failure := state.failures.get(strip.key):
        error_line(failure)
    view.stages(strip, images)


page()
