"""Widgets of the contrast page: why which class and not which, what to set beside it, how it is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from explainers.contrastive.method import Contrastive
from models.card import ModelCard
from pages.contrast.jobs import Choice
from pages.contrast.view import Look
from pages.shared import pick_navigation
from pages.shared.param_widgets import settings_of
from suggestion import targets
from suggestion.table import shared_classes

_KEPT: dict[str, Any] = {"persist_state": "session"}

_EXPLAIN = {
    targets.TOP: "each model's own answer",
    targets.TRUE: "the true class",
    targets.ONE_CLASS: "one class for all",
}
_PROBE = {
    targets.RUNNER_UP: "its strongest rival",
    targets.TRUE: "the true class",
    targets.ONE_CLASS: "one class for all",
}


def choose(cards: Sequence[ModelCard]) -> Choice:
    """Why which class, and not which; the search's settings are folded."""
    known = shared_classes(cards) or tuple(dict.fromkeys(name for card in cards for name in card.class_names))
    others = {card.digest: f"what {card.name} answered" for card in cards if len(cards) > 1}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        explain, explain_class = _class("Why", "contrast_explain", _EXPLAIN, known)
        probe, probe_class = _class("and not", "contrast_probe", _PROBE | others, known)
        beside = st.pills(
            "Beside it",
            ["xGEMs", "other methods"],
            selection_mode="multi",
            key="contrast_beside",
            help="xGEMs: the same search without constraints. Other methods: Grad-CAM, LIME and prediction difference, "
            "made contrastive by the paper's rule.",
            **_KEPT,
        )
    with st.expander("The search"), st.grid(4, gap="small"):
        settings = settings_of(Contrastive(), "contrast_setting", ("constraints",))
    return Choice(explain, explain_class, probe, probe_class, settings, "xGEMs" in beside, "other methods" in beside)


def _class(label: str, key: str, kinds: dict[str, str], classes: Sequence[str]) -> tuple[str, str | None]:
    """A kind of class, and which one if it is one for all."""
    if st.session_state.get(key, next(iter(kinds))) not in kinds:
        del st.session_state[key]  # its model was switched off
    kind = st.selectbox(label, list(kinds), format_func=lambda kind: kinds[kind], key=key, width=230, **_KEPT)
    if kind != targets.ONE_CLASS:
        return kind, None
    if st.session_state.get(f"{key}_class", classes[0]) not in classes:
        del st.session_state[f"{key}_class"]
    return kind, st.selectbox("class", classes, key=f"{key}_class", width=150, **_KEPT)


def look_at() -> Look:
    """How changes are drawn: all of it instant."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        view = st.segmented_control(
            "View", ["overlay", "change"], default="overlay", required=True, key="contrast_view", **_KEPT
        )
        shared = pick_navigation.choose_scale("contrast", "the models")
    return Look(view, shared)


def choose_step() -> tuple[float, bool]:
    """How far on the way (0 to 1), and whether the curves run along the search instead."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        share = st.slider("On the way to the boundary", 0, 100, 100, 1, format="%d %%", key="contrast_share", **_KEPT)
        along = st.segmented_control(
            "Likelihoods along",
            ["the way", "the search"],
            default="the way",
            required=True,
            key="contrast_along",
            help="The way runs straight from the input to the boundary; the search is how that was found.",
            **_KEPT,
        )
    return share / 100, along == "the search"
