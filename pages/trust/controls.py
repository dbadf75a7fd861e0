"""What to measure: methods and images of the table, and the one map of the randomisation test."""

import streamlit as st

from explainers.attribution import AttributionRequest, request_for
from explainers.registry import METHODS
from images.image_set import ImageSet
from pages.shared import session
from pages.shared.page_state import PageState
from pages.shared.session import kept
from pages.shared.widgets import choose_model, segments, select, several, what_is_it
from suggestion.targets import target_of

_QUICK = ["grad-cam", "saliency", "input-x-gradient", "integrated-gradients", "guided-backprop", "occlusion"]
_FIRST, _SELECTED = "first images", "selected images"


def choose_methods() -> list[str]:
    """The names of the methods to measure."""
    titles = {name: method.title for name, method in METHODS.items()}
    return several("Methods", titles, _QUICK, "trust_methods")


def choose_images(images: ImageSet) -> list[str]:
    """The ids of the images to measure on, and the button that takes all methods, into the row of the caller."""
    picks = session.state().picks
    st.button("All methods", key="trust_all", on_click=_take_all_methods)
    if picks and segments("Images", [_FIRST, _SELECTED], "trust_source") == _SELECTED:
        return [one for one in picks if images.can_be_read(images.index(one))]
    most, words = len(images), "The first images of the set"
    count = st.number_input("Number of images", 1, most, min(24, most), width=160, help=words, **kept("trust_count"))
    return [images.ids[row] for row in range(min(count, len(images))) if images.can_be_read(row)]


def _take_all_methods() -> None:
    st.session_state["trust_methods"] = list(METHODS)


def choose_map(page_state: PageState) -> tuple[AttributionRequest | str, bool]:
    """The map to test, or the reason why there is none; and whether the button was pressed."""
    images = page_state.images
    with st.container(horizontal=True, vertical_alignment="bottom"):
        names = {
            image_id: images.names[images.index(image_id)] for image_id in session.state().picks or images.ids[:60]
        }
        image_id = select("Image", names, "trust_image")
        card = choose_model(page_state.cards, "trust_model")
        titles = {name: method.title for name, method in METHODS.items() if method.applies(card) is None}
        name = select("Method", titles, "trust_method")
        what_is_it(METHODS[name])
        pressed = st.button("Randomise", key="trust_randomise")
    method = METHODS[name]
    target = target_of(page_state.table, images.index(image_id), card) if method.uses_target else 0
    if isinstance(target, str):
        return target, pressed
    return request_for(card, image_id, method, target=target, data=images.digest), pressed
