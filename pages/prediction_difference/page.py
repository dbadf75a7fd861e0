"""Prediction difference: what each model's answer would lose if a part of the image were unknown."""

import streamlit as st

from common.escape import markdown
from explainers.prediction_difference.method import PredictionDifference
from figures.panel_grid import Band
from figures.prediction_difference import difference_figure
from pages.prediction_difference import sections, view
from pages.prediction_difference.controls import choose, start
from pages.prediction_difference.jobs import EXACT_SAMPLES, MAPS, JobSpec, exact
from pages.prediction_difference.view import SIDE_PX, MapRequests, MapSpec
from pages.shared import pick_navigation, session, session_jobs
from pages.shared.job_progress import progress_line
from pages.shared.page_state import PageState
from pages.shared.panels import ViewOptions, choose_view, panels
from pages.shared.widgets import downloads, what_is_it

READING = (
    "Red speaks for the class, blue against it. Scroll over a panel to zoom, drag to pan: all panels move in step."
)


def page() -> None:
    """One map for each model, and below it the comparisons."""
    st.title("Prediction difference")
    page_state = pick_navigation.require_picks("prediction_difference")
    maps = choose(page_state)
    with pick_navigation.pager("prediction_difference"):
        st.space("stretch")
        what_is_it(PredictionDifference())
    specs = maps.per_model()
    requests = view.requests_of(specs)
    title = f"Prediction difference of {len(requests)} models"
    jobs = [JobSpec.of(title, requests), JobSpec.of(title, list(map(exact, requests)))]
    begin(maps, *jobs)
    busy = any(session_jobs.running(MAPS, job.key) for job in jobs)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        options = choose_view("prediction_difference", "the maps of a row")
    st.fragment(show, run_every=0.6 if busy else None)(page_state, specs, jobs, options, busy)
    sections.sections(maps, options)


def begin(maps: MapRequests, job: JobSpec, to_exact: JobSpec) -> None:
    """Start, resume, or compute every window."""
    images = maps.page_state.images
    with st.container(horizontal=True, vertical_alignment="center"):
        begun = job.begun
        start(MAPS, "prediction_difference_start", job, images, "Resume" if begun else "Explain this image")
        label = "Exact" if to_exact.finished else "Resume to exact" if begun else "Explain it exactly"
        words = f"Every window (stride 1), each with all its samples (at least {EXACT_SAMPLES})."
        start(MAPS, "prediction_difference_exact", to_exact, images, label, job.finished, words)
        st.caption(view.drawn_from(images, maps.settings["sampling"]))


def show(page_state: PageState, specs: list[MapSpec], jobs: list[JobSpec], options: ViewOptions, polled: bool) -> None:
    """The maps; redrawn as they get sharper."""
    job = session.state().jobs.get(MAPS)
    job = job if job is not None and job.key in [job.key for job in jobs] else None
    progress_line(job, "prediction_difference", polled, READING, "resume whenever you like")
    band = view.band("", specs, page_state, options)
    bands = [Band("", (view.image_tile(page_state), *band.tiles))]
    figure = difference_figure(bands, page_state.size(SIDE_PX), options.strength)
    alt = f"What {len(specs)} models would lose if parts of {page_state.image_id} were unknown"
    clicked = panels(figure, "prediction_difference_chart", alt, page_state.image_id, page_state.title)
    with st.container(horizontal=True, vertical_alignment="center"):  # lines that come late find room here
        png, npz = lambda: view.to_png_file(specs, page_state, options), lambda: view.to_npz_file(specs)
        downloads(page_state.image_id, "difference", png, npz)
        if lines := view.found_on_the_way(view.requests_of(specs)):
            st.caption("  \n".join(map(markdown, lines)))
    sections.enlarge(clicked, bands, page_state.size(SIDE_PX), options.strength)


page()
