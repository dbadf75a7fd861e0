"""The widgets of the compare page, and what they choose."""

from dataclasses import dataclass, field, replace
from typing import Any

import streamlit as st

from explainers.output import UNIT
from explainers.registry import METHODS
from models.card import ModelCard
from pages.compare import metrics
from pages.shared import pick_navigation
from pages.shared.page_state import PageState
from pages.shared.target_picker import TargetSpec, choose_target, choose_units
from pages.shared.widgets import about, layer_chooser, settings_of, several

_DEFAULT_METHODS = ["grad-cam", "occlusion"]


@dataclass(frozen=True)
class MapSpec:
    """Which maps: methods and target; `layers` by model digest, `settings` by method name."""

    methods: tuple[str, ...]
    target: TargetSpec
    layers: dict[str, str | None] = field(hash=False)
    settings: dict[str, dict[str, Any]] = field(hash=False)


def choose_maps(cards: list[ModelCard]) -> MapSpec:
    """Methods and target in a row; layers and settings folded."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        titles = {name: method.title for name, method in METHODS.items()}
        methods = several("Methods", titles, _DEFAULT_METHODS, "compare_methods")
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


def pager(spec: MapSpec, page_state: PageState) -> bool:
    """The image on show, and what methods and metrics mean; whether the maps are to be measured."""
    with pick_navigation.pager("compare"):
        st.space("stretch")
        with st.popover("Methods", icon=":material/info:", type="tertiary"):
            st.markdown("\n\n---\n\n".join(about(METHODS[name]) for name in spec.methods))
        with st.popover("Trust", icon=":material/balance:", type="tertiary"):
            measure = st.button("Measure these maps", type="primary", key="compare_measure")
            metrics.meanings(page_state.images)
    return measure
