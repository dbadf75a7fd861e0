"""Widgets of the reason page: what to explain, and how the maps are put together and drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from explainers.methods.multi_layer_cam import (
    AGGREGATES,
    ALIKE,
    BY_EVIDENCE,
    MEAN,
    WEIGHTS,
    default_layers,
    guided_reason,
    spatial_layers,
)
from figures.reason import TARGET_COLOURS
from models.card import ModelCard
from pages.reason.view import ROLES, Choice, Look, title_of
from pages.shared import pick_navigation, session
from pages.shared.page_end import end_page
from suggestion import targets

VIEWS = ["overlay", "map", "picture"]
MOST_LAYERS = 12


def choose(cards: Sequence[ModelCard]) -> Choice:
    """The toolbar: one model, what to explain, which layers; `choose_guided` stands elsewhere."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        by_digest = {card.digest: card for card in cards}
        chosen = st.selectbox(
            "Model",
            list(by_digest),
            format_func=lambda digest: by_digest[digest].name,
            key="reason_model",
            persist_state="session",
            width=200,
        )
        card = by_digest[chosen]
        wanted = st.multiselect(
            "Targets",
            [*ROLES, *range(card.n_classes), *session.state().reason_units.get(card.digest, [])],
            default=[targets.TOP, targets.RUNNER_UP] if card.classifies else [0],
            format_func=lambda one: ROLES[one] if isinstance(one, str) else title_of(card, one),
            max_selections=len(TARGET_COLOURS),
            key=f"reason_targets_{card.digest}",
            persist_state="session",
            help="Each gets a colour of its own. Classes by name, or by what they are to the picture.",
        )
    layers = choose_layers(card)
    if not wanted or not layers:
        st.info("Choose at least one target and one layer.")
        end_page()
    return Choice(card, tuple(wanted), tuple(layers))


def choose_guided(card: ModelCard) -> bool:
    """Whether to sharpen the last two layers; why not, where the model does not suit it."""
    reason = guided_reason(card)
    guided = st.toggle(
        "Guided backprop",
        key="reason_guided",
        persist_state="session",
        disabled=reason is not None,
        help="Sharpens the last two layers: fine lines where they found the class. It draws a picture's edges more "
        "than a model's reasons (Adebayo et al. 2018).",
    )
    if reason is not None:
        st.caption(reason)
    return guided and reason is None


def choose_layers(card: ModelCard) -> list[str]:
    """A chooser over the layers whose grid lies over the picture."""
    shapes = {
        layer.name: f"{layer.name} · {layer.kind} {layer.spatial[0]}×{layer.spatial[1]}"
        for layer in spatial_layers(card)
        if layer.spatial
    }
    return st.multiselect(
        "Layers",
        list(shapes),
        default=default_layers(card),
        format_func=lambda name: shapes[name],
        max_selections=MOST_LAYERS,
        key=f"reason_layers_{card.digest}",
        persist_state="session",
    )


def look_at() -> tuple[Look, float]:
    """How the maps are put together and drawn: all of it instant."""
    kept: dict[str, Any] = {"persist_state": "session"}
    words: dict[str, Any] = {"required": True, **kept}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        how = st.segmented_control("Together", AGGREGATES, default=MEAN, key="reason_how", **words)
        shared = pick_navigation.choose_scale("reason", "layers and targets")
        view = st.segmented_control("View", VIEWS, default="overlay", key="reason_view", **words)
        with st.popover("Opacity, weights, regions", icon=":material/tune:"):
            opacity = st.slider(
                "Opacity", 0, 100, 80, 5, format="%d %%", key="reason_opacity", disabled=view != "overlay", **kept
            )
            weigh = st.segmented_control(
                "Layers count",
                WEIGHTS,
                default=BY_EVIDENCE,
                format_func=lambda weigh: {BY_EVIDENCE: "by what they found", ALIKE: "all alike"}[weigh],
                key="reason_weigh",
                help="All alike: each layer is divided by its own maximum; one that found nothing still adds nothing.",
                **words,
            )
            smoothing = st.slider("Smoothing, of the side", 0, 20, 2, format="%d %%", key="reason_smoothing", **kept)
            threshold = st.slider(
                "Regions above, of the maximum", 5, 95, 50, 5, format="%d %%", key="reason_threshold", **kept
            )
    return Look(how, weigh, smoothing / 100, threshold / 100, shared, view), opacity / 100
