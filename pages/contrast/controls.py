"""Widgets of the contrast page: why which class and not which, what to set beside it, how it is drawn."""

from collections.abc import Sequence

import streamlit as st

from explainers.contrastive.method import Contrastive
from models.card import ModelCard
from pages.contrast.jobs import ContrastSpec
from pages.shared.panels import MAP, OVERLAY, ViewOptions, choose_scale
from pages.shared.session import kept
from pages.shared.widgets import known_classes, segments, select, settings_of
from suggestion import targets

_FOR_BOTH = {targets.TRUE: "the true class", targets.ONE_CLASS: "one class for all"}
_EXPLAIN = {targets.TOP: "each model's own answer", **_FOR_BOTH}
_PROBE = {targets.RUNNER_UP: "its strongest rival", **_FOR_BOTH}


def choose(cards: Sequence[ModelCard]) -> ContrastSpec:
    """Why which class, and not which; the search's settings are folded."""
    known = known_classes(cards)
    others = {card.digest: f"what {card.name} answered" for card in cards if len(cards) > 1}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        explain = _class("Why", "contrast_explain", _EXPLAIN, known)
        probe = _class("and not", "contrast_probe", _PROBE | others, known)
        beside = st.pills(
            "Beside it",
            ["xGEMs", "other methods"],
            selection_mode="multi",
            help="xGEMs: the same search without constraints. Other methods: Grad-CAM, LIME and prediction difference, "
            "made contrastive by the paper's rule.",
            **kept("contrast_beside"),
        )
    with st.expander("The search"), st.grid(4, gap="small"):
        settings = settings_of(Contrastive(), "contrast_setting", ("constraints",))
    return ContrastSpec(*explain, *probe, settings, "xGEMs" in beside, "other methods" in beside)


def _class(label: str, key: str, kinds: dict[str, str], classes: Sequence[str]) -> tuple[str, str | None]:
    """A kind of class, and which one if it is one for all."""
    if st.session_state.get(key, next(iter(kinds))) not in kinds:
        del st.session_state[key]  # its model was switched off
    kind = select(label, kinds, key, width=230)
    if kind != targets.ONE_CLASS:
        return kind, None
    if st.session_state.get(f"{key}_class", classes[0]) not in classes:
        del st.session_state[f"{key}_class"]
    return kind, select("class", classes, f"{key}_class", width=150)


def choose_view() -> ViewOptions:
    """How changes are drawn: all of it instant."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        view = segments("View", {OVERLAY: "overlay", MAP: "change"}, "contrast_view")
        return ViewOptions(view, choose_scale("contrast", "the models"))


def choose_step() -> tuple[float, bool]:
    """How far on the way (0 to 1), and whether the curves run along the search instead."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        share = st.slider("On the way to the boundary", 0, 100, 100, 1, format="%d %%", **kept("contrast_share"))
        words = "The way runs straight from the input to the boundary; the search is how that was found."
        along = segments("Likelihoods along", ["the way", "the search"], "contrast_along", help=words)
    return share / 100, along == "the search"
