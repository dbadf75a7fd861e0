"""Reason: where the layers of one model find what speaks for a class, from early to late."""

from dataclasses import replace

import streamlit as st

from common.escape import markdown
from figures.reason import HEADER, reason_figure
from pages.reason import view
from pages.reason.controls import choose, choose_guided, choose_options
from pages.reason.view import JOB, LayerMaps
from pages.shared import pick_navigation, session, session_jobs
from pages.shared.job_progress import progress_line
from pages.shared.page_state import PageState
from pages.shared.panels import ZOOM_HINT, full_width, panels
from pages.shared.widgets import downloads


def page() -> None:
    """The toolbar, the selected image on show, and its maps."""
    st.title("Grad-CAM layer by layer")
    page_state = pick_navigation.require_picks("reason")
    maps = choose(page_state.cards)
    with pick_navigation.pager("reason"):
        maps = replace(maps, guided=choose_guided(maps.card))
    for line in view.targets_of(maps, page_state)[1]:
        st.caption(markdown(line))
    view.submit(maps, page_state)
    busy = session_jobs.active(JOB) is not None
    st.fragment(show, run_every=0.4 if busy else None)(maps, page_state, busy)


def show(maps: LayerMaps, page_state: PageState, polled: bool) -> None:
    """The figure; redrawn as maps come."""
    options, image_id = choose_options(), page_state.image_id
    progress_line(session.state().jobs.get(JOB), "reason", polled, ZOOM_HINT, halted=JOB)
    marked, rows = view.build(maps, page_state, options)
    image, size = page_state.address(view.SIDE_PX), page_state.size(view.SIDE_PX)
    figure = reason_figure(image, marked, size, rows, options.threshold, options.strength)
    alt = f"What {len(maps.layers)} layers of {maps.card.name} found in {image_id}"
    clicked = panels(figure, "reason_chart", alt, image_id, f"{maps.card.name} · {page_state.title}")
    with st.container(horizontal=True):
        parts = maps, page_state, options
        downloads(image_id, "reason", lambda: view.to_png_file(*parts), lambda: view.to_npz_file(*parts))
    if clicked is not None:
        row, column = clicked
        title = "regions of all targets" if row == HEADER else rows[row].title
        full_width(title, marked if row == HEADER else rows[row].panels[column], size, options.strength)


page()
