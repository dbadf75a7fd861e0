"""What the pages share that show the picked images one by one: what they need first, and the pager."""

from collections.abc import Callable

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from common.errors import InputError
from images.image_set import ImageSet
from models.card import ModelCard
from pages.shared import cache, scoring_job, session, site_map
from pages.shared.job_progress import error_line
from pages.shared.page_state import PageState, end_page
from suggestion.table import Predictions
from suggestion.views import mean_confidence, n_predicted_classes


def require_models() -> list[ModelCard]:
    """The models that are switched on; the page ends here without one."""
    cards = session.cards()
    if not cards:
        st.info("No model is switched on. Switch one on in the sidebar, or add one on the Upload page.")
        end_page()
    return cards


def require_predictions(key: str) -> PageState:
    """Models, images and predictions; the page ends here without a model, and until all images are scored."""
    cards, images = require_models(), session.images()
    table = cache.predictions(cards, images)
    if table is None:
        st.markdown("The images must be scored first.")
        scoring_job.wait(key, "interactive")
        end_page()
    return PageState(cards, images, table)


def require_picks(key: str) -> PageState:
    """The same with a selected image on show; while none is selected the page ends here, and offers to select some."""
    page_state, state = require_predictions(key), session.state()
    if state.take_six and not state.picks:
        state.take_six = False
        state.pick(most_disputed(page_state.table, page_state.images))
        st.rerun()  # the sidebar counts them
    if not state.picks:
        agreed = n_predicted_classes(page_state.table).max(initial=1) == 1
        six = "of the highest confidence" if agreed else "on which the models disagree most"
        st.markdown(f"No image is selected. Select some on the Suggestion page, or the six {six}.")
        with st.container(horizontal=True):
            if st.button("Select six images", type="primary", key=f"{key}_six"):
                state.pick(most_disputed(page_state.table, page_state.images))
                st.rerun()
            if st.button("Go to Suggestion", key=f"{key}_suggestions"):
                site_map.go("suggestion")
        end_page()
    state.position = min(state.position, len(state.picks) - 1)
    shown = page_state.showing(state.picks[state.position])
    try:
        shown.images.check(shown.row)
    except InputError as error:
        pager(key)
        error_line(str(error))
        end_page()
    return shown


def most_disputed(table: Predictions, images: ImageSet) -> list[str]:
    """The ids of the six images with the most predicted classes; among equals, those of the highest mean confidence."""
    order = np.lexsort((-mean_confidence(table), -n_predicted_classes(table), ~table.scored))
    return [images.ids[row] for row in order[:6]]


def pager(key: str) -> DeltaGenerator:
    """A row with previous, position and next; more may be put into it. Charts name the image, see `PageState.title`."""
    state = session.state()
    line = st.container(horizontal=True, vertical_alignment="center")
    with line:
        turn_buttons(key, state.position, len(state.picks), f"**{state.position + 1} / {len(state.picks)}**", _turn_to)
    return line


def _turn_to(position: int) -> None:
    session.state().position = position


def turn_buttons(key: str, position: int, n: int, words: str, turn_to: Callable[[int], None]) -> None:
    """Previous and next of `n` positions, and between them `words` on the present one."""
    icons = ":material/chevron_left:", ":material/chevron_right:"
    at_end = position + 1 == n
    st.button(
        "Previous", icon=icons[0], key=f"{key}_back", disabled=position == 0, on_click=turn_to, args=[position - 1]
    )
    st.markdown(words)
    st.button("Next", icon=icons[1], key=f"{key}_on", disabled=at_end, on_click=turn_to, args=[position + 1])
