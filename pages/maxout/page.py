"""MaxOut (activation maximisation): the image that excites a class or unit most, forming while one watches."""

import streamlit as st

from common.errors import InputError
from explainers.maxout.method import MaxOut
from figures.maxout import REASON, curves_figure, maxout_figure
from jobs.queue import State
from pages.maxout import jobs as working
from pages.maxout import view
from pages.maxout.controls import choose, take_target
from pages.maxout.jobs import IMAGES, MAXOUT, UNASKED_IMAGES, UNASKED_TARGETS, Choice
from pages.shared import pick_navigation, session, session_jobs
from pages.shared.chart.component import ChartPoint, chart
from pages.shared.job_progress import progress_words
from pages.shared.page_end import end_page
from pages.shared.param_widgets import about

READING = (
    "Each image is the one that excites its class or unit most; beside it stand the data set's own images that do so "
    "most and least. Scroll over one to zoom, drag to pan: all move in step."
)


def page() -> None:
    """Targets, the images that form, and their activation per step."""
    cards = session.cards()
    st.title("What excites a class or unit most?")
    if not cards:
        st.info("No model is switched on. Switch one on in the sidebar, or add one on the Upload page.")
        end_page()
    try:
        take_target(cards)
        choice = choose(cards)
        images = begin(choice)
        busy = working.active()
        pace = 0.6 if len(choice.requests) <= UNASKED_TARGETS else 1.2  # large figures take longer to draw
        st.fragment(show, run_every=pace if busy else None)(choice, images, busy)
        file, icon = lambda: view.to_zip_file(choice), ":material/download:"
        st.download_button("Images (zip)", file, "maxout.zip", key="maxout_zip", icon=icon)
    except InputError as error:
        st.error(str(error), icon=":material/error:")


def begin(choice: Choice) -> bool:
    """Start or resume; the very first visit starts by itself. Returns whether to show the data set's own images."""
    until, at_work, begun = working.goal(choice), working.running(choice) is not None, working.begun(choice)
    unasked = MAXOUT not in session.state().jobs and not begun and len(choice.requests) <= UNASKED_TARGETS
    with st.container(horizontal=True, vertical_alignment="center"):
        words = "Resume" if begun else "Start"
        pressed = st.button(words, type="primary", key="maxout_start", disabled=at_work or until is None)
        if until is not None and (pressed or unasked) and not at_work:
            working.submit(choice, until)
            st.rerun()
        images = st.toggle("Images beside them", True, key="maxout_images", persist_state="session")
        st.space("stretch")
        with st.popover("What is it?", icon=":material/info:", type="tertiary"):
            st.markdown(about(MaxOut()))
        missing = working.unmeasured(choice) if images else []
        if missing and not session_jobs.active(IMAGES):
            small = len(session.images()) <= UNASKED_IMAGES
            label = f"Measure {len(session.images()):,} images"
            if small or st.button(label, key="maxout_measure", icon=":material/play_arrow:"):
                working.measure(missing)
    return images


def progress(choice: Choice, busy: frozenset[str]) -> None:
    """How far it is, and the way to stop it; redraws the page when a job ends. The line keeps its place."""
    if working.active() != busy:
        st.rerun()
    job, active = session.state().jobs.get(MAXOUT), session_jobs.active(MAXOUT, IMAGES)
    with st.container(height=64, border=False, horizontal=True, vertical_alignment="center"):
        if active is not None:
            st.progress(active.fraction, f"{active.title}: {progress_words(active)}")
            st.button(
                "Stop", icon=":material/stop:", key="maxout_stop", on_click=active.cancel, disabled=active.cancelling
            )
        elif job is not None and job.key == choice.key and job.state is State.FAILED:
            st.error(job.error, icon=":material/error:")
        elif job is not None and job.key == choice.key and job.state is State.CANCELLED:
            st.caption("Stopped. The best images are kept, also over a restart. Resume whenever you like.")
        else:
            st.caption(READING)


def act(clicked: ChartPoint) -> None:
    """A click on an image's corner: remember it for this run."""
    if clicked.data is not None:
        band, tile, what = clicked.data
        session.state().clicked = (int(band), int(tile), str(what))


def show(choice: Choice, images: bool, busy: frozenset[str]) -> None:
    """The images and their activation curves; redrawn while they form."""
    progress(choice, busy)
    size = max(card.input_size for card in choice.cards)
    alt = f"What excites {len(choice.requests)} targets of {len(choice.cards)} models most"
    figure = maxout_figure(view.bands(choice, images), size, images)
    pick_navigation.panels(figure, "maxout_chart", alt, f"{size}", act, "Reset zoom")
    st.markdown("**Activation per step**")
    figure = curves_figure(view.curves(choice), view.value_title(choice))
    chart(figure, key="maxout_curves", alt="Activation of all targets after each step", toolbar=False)
    state = session.state()
    clicked, state.clicked = state.clicked, None
    found = view.asked_at(choice, clicked[0], clicked[1]) if clicked is not None else None
    if clicked is not None and found is not None:
        if clicked[2] == REASON:
            view.to_reason(found[0])
        else:
            view.full_resolution(*found)


page()
