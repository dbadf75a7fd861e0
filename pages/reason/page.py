"""Reason: where the layers of one model find what speaks for a class, from early to late."""

from dataclasses import replace

import streamlit as st

from common.errors import InputError
from figures.reason import HEADER, reason_figure
from pages.reason import view
from pages.reason.controls import choose, choose_guided, look_at
from pages.reason.view import Choice
from pages.shared import pick_navigation, session
from pages.shared.page_state import PageState


def page() -> None:
    """The toolbar, the selected image on show, and its maps."""
    st.title("Grad-CAM layer by layer")
    table = pick_navigation.require_predictions("reason")
    pick_navigation.require_picks(table, "reason")
    page_state = PageState(session.cards(), session.images(), table)
    try:
        image_id, choice = pager(choose(page_state.cards))
        for line in view.targets_of(choice, page_state.images, image_id, table)[1]:
            st.caption(line)
        view.submit(choice, page_state.images, table)
        pace = view.pace()
        st.fragment(show, run_every=pace)(page_state, choice, image_id, pace is not None)
    except InputError as error:
        st.error(str(error), icon=":material/error:")


def pager(choice: Choice) -> tuple[str, Choice]:
    """The selected image on show; beside it, whether to multiply by guided backprop."""
    with st.container(horizontal=True, vertical_alignment="center"):
        image_id = pick_navigation.pager("reason")
        return image_id, replace(choice, guided=choose_guided(choice.card))


def show(page_state: PageState, choice: Choice, image_id: str, polled: bool) -> None:
    """The figure; redrawn as maps come."""
    state = session.state()
    look, opacity = look_at()
    parts = choice, look, page_state.images, image_id, page_state.table
    pick_navigation.progress(["reason"], polled)
    shown = view.build(*parts)
    strength = opacity if look.view == "overlay" else 1.0
    pick_navigation.panels(
        reason_figure(shown.picture, shown.marked, shown.size, shown.rows, look.threshold, strength),
        "reason_chart",
        f"What {len(choice.layers)} layers of {choice.card.name} found in {image_id}",
        image_id,
    )
    with st.container(horizontal=True):
        png, npz = lambda: view.to_png_file(*parts, opacity), lambda: view.to_npz_file(*parts)
        icon = ":material/download:"
        st.download_button("Image (PNG)", png, f"{image_id}.png", "image/png", key="reason_png", icon=icon)
        st.download_button("Raw maps (npz)", npz, f"{image_id}.npz", key="reason_npz", icon=icon)
    if state.expanded is not None:
        (row, column), state.expanded = state.expanded, None
        if row == HEADER:
            pick_navigation.full_width("regions of all targets", shown.marked, shown.size, strength)
        else:
            pick_navigation.full_width(shown.rows[row].title, shown.rows[row].panels[column], shown.size, strength)


page()
