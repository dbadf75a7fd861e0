"""The widgets of the compare page, and what they choose."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import streamlit as st

from explainers.output import UNIT
from explainers.registry import METHODS
from images.image_set import ImageSet
from models.card import ModelCard
from pages.compare import metrics
from pages.shared import pick_navigation
from pages.shared.param_widgets import about, layer_chooser, settings_of
from pages.shared.target_picker import TargetSpec, choose_target, choose_units

_DEFAULT_METHODS = ["grad-cam", "occlusion"]
OVERLAY, MAP, IMAGE = "overlay", "map", "image"


@dataclass(frozen=True)
class MapSpec:
    """Which maps: methods and target; `layers` by model digest, `settings` by method name."""

    methods: tuple[str, ...]
    target: TargetSpec
    layers: dict[str, str | None] = field(hash=False)
    settings: dict[str, dict[str, Any]] = field(hash=False)


@dataclass(frozen=True)
class ViewOptions:
    """How maps are drawn: over the image, alone, or not at all; with one colour scale for each map or each row."""

    view: str
    opacity: float
    shared_scale: bool


def choose_maps(cards: list[ModelCard]) -> MapSpec:
    """Methods and target in a row; layers and settings folded."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        methods = st.multiselect(
            "Methods",
            list(METHODS),
            default=_DEFAULT_METHODS,
            format_func=lambda name: METHODS[name].title,
            key="compare_methods",
            persist_state="session",
        )
        target = choose_target(cards, "compare")
    if target.kind == UNIT:
        target = replace(target, units=choose_units(cards, "compare"))
    with st.expander("Layers and method settings"):
        st.caption("Layer, for methods that explain one (Grad-CAM and others)")
        with st.grid(len(cards), min_column_width=150, gap="small"):
            layers = {card.digest: layer_chooser(card, "compare_layer") for card in cards}
        settings = {}
        for name in methods:
            st.markdown(f"**{METHODS[name].title}**")
            with st.grid(4, min_column_width=150, gap="small"):
                settings[name] = settings_of(METHODS[name], "compare_setting")
    return MapSpec(tuple(methods), target, layers, settings)


def choose_image(spec: MapSpec, images: ImageSet) -> tuple[str, bool]:
    """The image on show, and whether its maps are to be measured; beside them, what methods and metrics mean."""
    with st.container(horizontal=True, vertical_alignment="center"):
        image_id = pick_navigation.pager("compare")
        st.space("stretch")
        with st.popover("Methods", icon=":material/info:", type="tertiary"):
            st.markdown("\n\n---\n\n".join(about(METHODS[name]) for name in spec.methods))
        with st.popover("Trust", icon=":material/balance:", type="tertiary"):
            measure = st.button("Measure these maps", type="primary", key="compare_measure")
            metrics.meanings(images)
    return image_id, measure


def choose_view() -> ViewOptions:
    """How to draw, into the row of the caller."""
    view = st.segmented_control(
        "View", [OVERLAY, MAP, IMAGE], default=OVERLAY, required=True, key="compare_view", persist_state="session"
    )
    opacity = st.slider(
        "Opacity",
        0.0,
        1.0,
        0.8,
        0.05,
        key="compare_opacity",
        persist_state="session",
        width=120,
        disabled=view != OVERLAY,
    )
    return ViewOptions(view, opacity, pick_navigation.choose_scale("compare", "the models of a row"))
