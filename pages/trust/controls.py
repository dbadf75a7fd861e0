"""What to measure: methods and images of the table, and the one map of the randomisation test."""

from __future__ import annotations

import streamlit as st

from explainers.attribution import AttributionRequest, request_for
from explainers.registry import METHODS
from images.image_set import ImageSet
from pages.shared import session
from pages.shared.page_state import PageState
from pages.shared.param_widgets import about
from suggestion.targets import target_of

_QUICK = ["grad-cam", "saliency", "input-x-gradient", "integrated-gradients", "guided-backprop", "occlusion"]
_FIRST, _SELECTED = "first images", "selected images"


def choose_methods() -> list[str]:
    """The names of the methods to measure."""
    return st.multiselect(
        "Methods",
        list(METHODS),
        default=_QUICK,
        format_func=lambda name: METHODS[name].title,
        key="trust_methods",
        persist_state="session",
    )


def choose_images(images: ImageSet) -> list[str]:
    """The ids of the images to measure on, and the button that takes all methods, into the row of the caller."""
    picks = session.state().picks
    st.button("All methods", key="trust_all", on_click=_take_all_methods)
    source = _FIRST
    if picks:
        source = st.segmented_control(
            "Images", [_FIRST, _SELECTED], default=_FIRST, required=True, key="trust_source", persist_state="session"
        )
    if source == _SELECTED:
        return list(picks)
    count = st.number_input(
        "Number of images",
        1,
        len(images),
        min(24, len(images)),
        key="trust_count",
        persist_state="session",
        width=160,
        help="The first images of the set",
    )
    return list(images.ids[:count])


def _take_all_methods() -> None:
    st.session_state["trust_methods"] = list(METHODS)


def choose_map(page_state: PageState) -> tuple[AttributionRequest | str, bool]:
    """The map to test, or the reason why there is none; and whether the button was pressed."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        image_id = st.selectbox(
            "Image",
            session.state().picks or list(page_state.images.ids[:60]),
            format_func=lambda one: page_state.images.names[page_state.images.index(one)],
            key="trust_image",
            persist_state="session",
        )
        card = st.selectbox(
            "Model", page_state.cards, format_func=lambda one: one.name, key="trust_model", persist_state="session"
        )
        name = st.selectbox(
            "Method",
            [name for name in METHODS if METHODS[name].applies(card) is None],
            format_func=lambda one: METHODS[one].title,
            key="trust_method",
            persist_state="session",
        )
        with st.popover("What is it?", icon=":material/info:", type="tertiary"):
            st.markdown(about(METHODS[name]))
        pressed = st.button("Randomise", key="trust_randomise")
    method = METHODS[name]
    target = target_of(page_state.table, page_state.images.index(image_id), card) if method.uses_target else 0
    if isinstance(target, str):
        return target, pressed
    return request_for(card, image_id, method, target=target, data=page_state.images.digest), pressed
