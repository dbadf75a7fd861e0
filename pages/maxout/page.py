"""MaxOut (activation maximisation): the image that maximises a class or unit, forming while one watches."""

import streamlit as st

from explainers.maxout.method import MaxOut
from figures.maxout import REASON, curves_figure, maxout_figure
from pages.maxout import jobs, view
from pages.maxout.controls import choose, take_target
from pages.maxout.jobs import IMAGES, MANY_TARGETS, MAXOUT, UNASKED_IMAGES, TargetGrid
from pages.shared import cache, pick_navigation, session, session_jobs
from pages.shared.chart.component import chart
from pages.shared.job_progress import progress_line
from pages.shared.panels import panels
from pages.shared.session import kept
from pages.shared.widgets import what_is_it

READING = (
    "Each image is the one that maximises its class or unit; beside it stand the data set's own images of the highest "
    "and lowest activation. Scroll over one to zoom, drag to pan: all move in step."
)


def page() -> None:
    """Targets, the images that form, and their activation per step."""
    st.title("Which image maximises a class or unit?")
    cards = pick_navigation.require_models()
    take_target(cards)
    grid = choose(cards)
    images = begin(grid)
    busy = session_jobs.active_names(MAXOUT, IMAGES)
    pace = 0.6 if len(grid.requests) <= MANY_TARGETS else 1.2  # large figures take longer to draw
    st.fragment(show, run_every=pace if busy else None)(grid, images, busy)
    file, icon = lambda: view.to_zip_file(grid), ":material/download:"
    st.download_button("Images (zip)", file, "maxout.zip", key="maxout_zip", icon=icon)


def begin(grid: TargetGrid) -> bool:
    """Start or resume, and what that takes. Returns whether to show the data set's own images."""
    at_work = session_jobs.running(MAXOUT, grid.key) is not None
    until, n_images = jobs.goal(grid), len(session.images())
    begun = any(request.key in cache.store() for request in grid.requests)
    with st.container(horizontal=True, vertical_alignment="center"):
        words = "Resume" if begun else "Start"
        pressed = st.button(words, type="primary", key="maxout_start", disabled=at_work or until is None)
        if until is not None and pressed and not at_work:
            jobs.submit(grid, until)
            st.rerun()
        if until is not None and not at_work:
            st.caption(jobs.what_it_takes(grid, until))
        images = st.toggle("Images beside them", True, **kept("maxout_images"))
        st.space("stretch")
        what_is_it(MaxOut())
        missing = jobs.unmeasured(grid) if images and not session_jobs.active(IMAGES) else []
        label, icon = f"Measure {n_images:,} images", ":material/play_arrow:"
        by_itself = n_images <= UNASKED_IMAGES and not jobs.were_halted(missing)
        if missing and (by_itself or st.button(label, key="maxout_measure", icon=icon)):
            if not by_itself:
                session_jobs.resume(IMAGES)
            jobs.measure(missing)
    return images


def show(grid: TargetGrid, images: bool, busy: tuple[str, ...]) -> None:
    """The images and their activation curves; redrawn while they form."""
    if session_jobs.active_names(MAXOUT, IMAGES) != busy:
        st.rerun()
    job = session.state().jobs.get(MAXOUT)
    job = session_jobs.active(MAXOUT, IMAGES) or (job if job is not None and job.key == grid.key else None)
    progress_line(job, "maxout", False, READING, "resume whenever you like")
    size = max(card.input_size for card in grid.cards)
    alt = f"What maximises {len(grid.requests)} targets of {len(grid.cards)} models"
    clicked = panels(maxout_figure(view.bands(grid, images), size, images), "maxout_chart", alt, f"{size}")
    st.markdown("**Activation per step**")
    figure = curves_figure(view.curves(grid), view.value_title(grid))
    chart(figure, key="maxout_curves", alt="Activation of all targets after each step", toolbar=False)
    if clicked is not None:
        band, tile, what = clicked
        request, number = view.target_at(grid, band, tile)
        if what == REASON:
            view.to_reason(request)
        else:
            view.full_resolution(request, number)


page()
