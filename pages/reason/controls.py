"""Widgets of the reason page: what to explain, and how the maps are put together and drawn."""

from collections.abc import Sequence

import streamlit as st

from common.escape import markdown
from explainers.methods.multi_layer_cam import (
    AGGREGATES,
    ALIKE,
    BY_EVIDENCE,
    default_layers,
    guided_reason,
    spatial_layers,
)
from figures.reason import TARGET_COLOURS
from models.card import ModelCard
from pages.reason.view import ROLES, LayerMaps, LayerOptions, title_of
from pages.shared import session
from pages.shared.page_state import end_page
from pages.shared.panels import choose_view
from pages.shared.session import kept
from pages.shared.widgets import choose_model, segments, several
from suggestion import targets

MOST_LAYERS = 12


def choose(cards: Sequence[ModelCard]) -> LayerMaps:
    """The toolbar: one model, what to explain, which layers; `choose_guided` stands elsewhere."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        card = choose_model(cards, "reason_model", width=200)
        numbers = [*range(card.n_classes), *session.state().reason_units.get(card.digest, [])]
        wanted = several(
            "Targets",
            {**ROLES, **{number: title_of(card, number) for number in numbers}},
            [targets.TOP, targets.RUNNER_UP] if card.classifies else [0],
            f"reason_targets_{card.digest}",
            max_selections=len(TARGET_COLOURS),
            help="Each gets a colour of its own. Classes by name, or by what they are to the image.",
        )
    shapes = {
        layer.name: f"{layer.name} · {layer.kind} {layer.spatial[0]}×{layer.spatial[1]}"
        for layer in spatial_layers(card)
        if layer.spatial
    }
    key = f"reason_layers_{card.digest}"
    layers = several("Layers", shapes, default_layers(card), key, max_selections=MOST_LAYERS)
    if not wanted or not layers:
        st.info("Choose at least one target and one layer.")
        end_page()
    return LayerMaps(card, tuple(wanted), tuple(layers))


def choose_guided(card: ModelCard) -> bool:
    """Whether to sharpen the last two layers; why not, where the model does not suit it."""
    reason = guided_reason(card)
    guided = st.toggle(
        "Guided backprop",
        disabled=reason is not None,
        help="Sharpens the last two layers: fine lines where they found the class. It draws an image's edges more "
        "than a model's reasons (Adebayo et al. 2018).",
        **kept("reason_guided"),
    )
    if reason is not None:
        st.caption(markdown(reason))
    return guided and reason is None


def choose_options() -> LayerOptions:
    """How the maps are put together and drawn: all of it instant."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        how = segments("Together", AGGREGATES, "reason_how")
        options = choose_view("reason", "layers and targets")
        with st.popover("Weights, regions", icon=":material/tune:"):
            words = "All alike: each layer is divided by its own maximum; one that found nothing still adds nothing."
            weights = {BY_EVIDENCE: "by what they found", ALIKE: "all alike"}
            weigh = segments("Layers count", weights, "reason_weigh", help=words)
            smoothing = st.slider("Smoothing, of the side", 0, 20, 2, format="%d %%", **kept("reason_smoothing"))
            threshold = st.slider(
                "Regions above, of the maximum", 5, 95, 50, 5, format="%d %%", **kept("reason_threshold")
            )
    return LayerOptions(options.view, options.shared, options.opacity, how, weigh, smoothing / 100, threshold / 100)
