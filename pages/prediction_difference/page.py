"""Prediction difference: what each model's answer would lose if a part of the image were unknown."""

import streamlit as st

from common.errors import InputError
from explainers.prediction_difference.method import PredictionDifference
from figures.panel_grid import Band
from figures.prediction_difference import difference_figure
from images.image_set import ImageSet
from pages.prediction_difference import jobs as working
from pages.prediction_difference import sections as more
from pages.prediction_difference import view
from pages.prediction_difference.controls import choose, look_at, start
from pages.prediction_difference.jobs import MAPS, JobSpec
from pages.prediction_difference.page_state import Scene
from pages.prediction_difference.view import Choice, Look, MapSpec
from pages.shared import pick_navigation, session, session_jobs
from pages.shared.job_progress import resumable_progress
from pages.shared.param_widgets import about

READING = (
    "Red speaks for the class, blue against it. Scroll over a panel to zoom, drag to pan: all panels move in step."
)


def page() -> None:
    """One map for each model, and below it the comparisons."""
    st.title("Prediction difference")
    table = pick_navigation.require_predictions("prediction_difference")
    pick_navigation.require_picks(table, "prediction_difference")
    cards, images = session.cards(), session.images()
    try:
        choice = choose(cards)
        image_id = pager()
        specs = view.per_model(choice, cards, images, image_id, table)
        requests = view.requests_of(specs)
        title = f"Prediction difference of {len(requests)} models"
        jobs = [JobSpec.of(title, requests), JobSpec.of(title, list(map(working.exact, requests)))]
        begin(choice, images, *jobs)
        busy = any(session_jobs.running(MAPS, job.key) for job in jobs)
        look = look_at()
        st.fragment(show, run_every=0.6 if busy else None)(images, specs, jobs, image_id, look, busy)
        more.sections(Scene(choice, cards, images, image_id, table, look))
    except InputError as error:
        st.error(str(error), icon=":material/error:")


def pager() -> str:
    """The selected image on show; beside it, what the method is."""
    with st.container(horizontal=True, vertical_alignment="center"):
        image_id = pick_navigation.pager("prediction_difference")
        st.space("stretch")
        with st.popover("What is it?", icon=":material/info:", type="tertiary"):
            st.markdown(about(PredictionDifference()))
    return image_id


def begin(choice: Choice, images: ImageSet, job: JobSpec, exact: JobSpec) -> None:
    """Start, resume, or compute every window."""
    with st.container(horizontal=True, vertical_alignment="center"):
        begun = job.begun
        start(MAPS, "prediction_difference_start", job, images, "Resume" if begun else "Explain this image")
        label = "Exact" if exact.finished else "Resume to exact" if begun else "Explain it exactly"
        words = f"Every window (stride 1), each with all its samples (at least {working.EXACT_SAMPLES})."
        start(MAPS, "prediction_difference_exact", exact, images, label, job.finished, words)
        st.caption(view.drawn_from(images, choice.settings["sampling"]))


def show(images: ImageSet, specs: list[MapSpec], jobs: list[JobSpec], image_id: str, look: Look, polled: bool) -> None:
    """The maps; redrawn as they get sharper."""
    size = view.size_of(images, image_id)
    resumable_progress(MAPS, [job.key for job in jobs], "prediction_difference", polled, READING)
    band = view.band("", specs, look, images, image_id)
    bands = [Band("", (view.picture_tile(images, image_id), *band.tiles))]
    pick_navigation.panels(
        difference_figure(bands, size, look.strength),
        "prediction_difference_chart",
        f"What {len(specs)} models would lose if parts of {image_id} were unknown",
        image_id,
    )
    with st.container(horizontal=True, vertical_alignment="center"):  # lines that come late find room here
        png, npz = lambda: view.to_png_file(specs, look, images, image_id), lambda: view.to_npz_file(specs)
        icon = ":material/download:"
        st.download_button("Image (PNG)", png, f"{image_id}.png", "image/png", key="difference_png", icon=icon)
        st.download_button("Raw maps (npz)", npz, f"{image_id}.npz", key="difference_npz", icon=icon)
        if lines := view.found_on_the_way(view.requests_of(specs)):
            st.caption("  \n".join(lines))
    more.enlarge(bands, size, look.strength)


page()
