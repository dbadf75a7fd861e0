"""Widgets of the layers page: how deep, which order, what a click on a tile does, and the way on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from explainers.layers.maps import DIFFER, NUMBER, ORDERS, PEAK, STRONGEST
from models.card import Layer, ModelCard
from pages.layers.view import Look, Units
from pages.shared import layer_chooser, session, site_map
from pages.shared.chart.component import ChartPoint

KEY = "layers"

_ORDER_WORDS = {STRONGEST: "strongest", PEAK: "highest peak", NUMBER: "number", DIFFER: "differ most"}

#: Modules that change nothing at rest: a stop at each would only lengthen the way.
_AT_REST = ("Identity", "Dropout", "Dropout2d", "DropPath", "DropBlock2d")


def look_at(cards: Sequence[ModelCard]) -> tuple[Look, bool]:
    """How maps are ordered and drawn, and whether all models move in step; all of it instant."""
    kept: dict[str, Any] = {"required": True, "persist_state": "session"}
    orders = [*ORDERS, DIFFER] if len(cards) > 1 else list(ORDERS)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        by = st.segmented_control(
            "Order",
            orders,
            default=STRONGEST,
            format_func=lambda one: _ORDER_WORDS[one],
            key="layers_order",
            help="Strongest: by the mean over the picture. Differ most: two models of one architecture, unit by unit.",
            **kept,
        )
        against = ""
        if by == DIFFER:
            names = {card.digest: card.name for card in cards}
            against = st.selectbox(
                "Compared with", list(names), format_func=lambda d: names[d], key="layers_against", width=160
            )
        scale = st.segmented_control(
            "Scale",
            ["per unit", "shared"],
            default="per unit",
            key="layers_scale",
            help="Shared: one scale for all units of a layer, so that magnitudes compare.",
            **kept,
        )
        view = st.segmented_control(
            "Large map", ["overlay", "map", "picture"], default="overlay", key="layers_view", **kept
        )
        in_step = False
        if len(cards) > 1:
            in_step = st.toggle(
                "All models in step",
                key="layers_in_step",
                persist_state="session",
                help="Moving one moves the others: to the layer of the same name, else to the same depth.",
            )
    return Look(by, scale == "shared", view, against), in_step


def suits(layer: Layer) -> bool:
    """Whether there is something to see in a layer."""
    return layer.n_units > 0 and layer.kind not in _AT_REST


def choose_layer(card: ModelCard) -> str:
    """The slider from input to output, and below it the chooser by name, tree or network."""
    names = _names(card)
    slider = f"layers_slider_{card.digest}"

    def slide() -> None:
        layer_chooser.choose_layer(card, KEY, st.session_state[slider])

    if len(names) > 1:
        st.session_state[slider] = layer_chooser.chosen_layer(card, KEY, names)  # the chooser moves it as well
        st.select_slider("From input to output", names, key=slider, on_change=slide, label_visibility="collapsed")
    return layer_chooser.choose(card, KEY, suits)


def keep_in_step(cards: Sequence[ModelCard], in_step: bool) -> None:
    """Have the other models go where one went since the page was drawn last; at first, where the first one is.

    Call it before the choosers are drawn.
    """
    before, names = session.state().in_step, {card.digest: _names(card) for card in cards}
    now = {
        card.digest: layer_chooser.chosen_layer(card, KEY, names[card.digest]) for card in cards if names[card.digest]
    }
    moved = [card for card in cards if before.get(card.digest, now.get(card.digest)) != now.get(card.digest)]
    before.clear()
    if not in_step or len(now) < len(cards):
        return
    leader = (moved or list(cards))[0]
    for card in cards:
        layer = same_depth(names[leader.digest], now[leader.digest], names[card.digest])
        layer_chooser.choose_layer(card, KEY, layer)
        before[card.digest] = layer


def same_depth(names: Sequence[str], chosen: str, others: Sequence[str]) -> str:
    """The one of `others` that is called as `chosen` is, else the one as far from input to output among its own."""
    if chosen in others:
        return chosen
    share = names.index(chosen) / max(1, len(names) - 1)
    return others[round(share * (len(others) - 1))]


def _names(card: ModelCard) -> list[str]:
    """The layers to stop at, from input to output."""
    return [layer.name for layer in card.layers if suits(layer)]


def take_unit(units: Units) -> Callable[[ChartPoint], None]:
    """What a click on a tile or bar does: its unit is looked at."""

    def click(tile: ChartPoint) -> None:
        if tile.data is not None:
            session.state().units[units.request.card.digest] = (units.layer.name, int(tile.data))

    return click


def to_maxout(units: Units) -> None:
    """The button to the picture that excites the unit most."""
    digest = units.request.card.digest
    if st.button("MaxOut this unit", icon=":material/arrow_forward:", key=f"layers_maxout_{digest}"):
        session.state().maxout_target = (digest, units.layer.name, units.chosen)
        site_map.go("maxout")
