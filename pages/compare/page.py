"""Compare: the maps of every model by several methods, side by side."""

import streamlit as st

from figures.compare import compare_figure
from pages.compare import jobs, metrics, view
from pages.compare.controls import MapSpec, choose_maps, pager
from pages.shared import pick_navigation, session, session_jobs
from pages.shared.job_progress import progress_line
from pages.shared.page_state import PageState
from pages.shared.panels import ZOOM_HINT, choose_view, full_width, panels
from pages.shared.widgets import downloads


def page() -> None:
    """What to compute, then the grid of maps, redrawn while they are computed."""
    st.title("Compare attribution maps")
    page_state = pick_navigation.require_picks("compare")
    spec = choose_maps(page_state.cards)
    pressed = pager(spec, page_state)
    jobs.submit(spec, page_state)
    if pressed:
        metrics.submit(jobs.requests_of(spec, page_state).values(), page_state.images)
    busy = session_jobs.active(*jobs.JOBS) is not None
    st.fragment(map_grid, run_every=0.6 if busy else None)(spec, page_state, busy)


def map_grid(spec: MapSpec, page_state: PageState, polled: bool) -> None:
    """View options, downloads, progress, and the figure."""
    image_id = page_state.image_id
    with st.container(horizontal=True, vertical_alignment="bottom"):
        options = choose_view("compare", "the models of a row")
        png, npz = lambda: view.to_png_file(spec, page_state, options), lambda: view.to_npz_file(spec, page_state)
        downloads(image_id, "compare", png, npz)
    job = session_jobs.active(*jobs.JOBS) or session.state().jobs.get(jobs.MAPS)
    progress_line(job, "compare", polled, ZOOM_HINT, halted=jobs.MAPS)
    size, columns, rows = view.map_grid(spec, page_state, options)
    figure = compare_figure(page_state.address(view.SIDE_PX), size, columns, rows, options.strength)
    alt = f"Maps of {image_id} by {len(spec.methods)} methods for {len(page_state.cards)} models"
    clicked = panels(figure, "compare_chart", alt, image_id, page_state.title)
    if clicked is not None:
        row, column = clicked
        title = f"{rows[row].title} · {page_state.cards[column].name}"
        full_width(title, rows[row].panels[column], size, options.strength)


page()
