"""Widgets of the layers page: how deep, which order, what a click on a tile does, and the way on."""

from collections.abc import Callable, Sequence

import streamlit as st

from explainers.layers.maps import DIFFER, NUMBER, PEAK, STRONGEST
from models.card import Layer, ModelCard
from pages.layers.view import Units, ViewOptions
from pages.shared import layer_chooser, session, site_map
from pages.shared.chart.component import ChartPoint
from pages.shared.panels import IMAGE, MAP, OVERLAY
from pages.shared.session import kept
from pages.shared.widgets import choose_model, segments

KEY = "layers"

_ORDER_WORDS = {STRONGEST: "strongest", PEAK: "highest peak", NUMBER: "number", DIFFER: "differ most"}

#: Modules that change nothing at rest: a stop at each would only lengthen the way.
_AT_REST = ("Identity", "Dropout", "Dropout2d", "DropPath", "DropBlock2d")


def choose_view(cards: Sequence[ModelCard]) -> tuple[ViewOptions, bool]:
    """How maps are ordered and drawn, and whether all models move in step; all of it instant."""
    several = len(cards) > 1
    with st.container(horizontal=True, vertical_alignment="bottom"):
        orders = {by: words for by, words in _ORDER_WORDS.items() if several or by != DIFFER}
        words = "Strongest: by the mean over the image. Differ most: two models of one architecture, unit by unit."
        by = segments("Order", orders, "layers_order", help=words)
        against = choose_model(cards, "layers_against", "Compared with", width=160).digest if by == DIFFER else ""
        words = "Shared: one scale for all units of a layer, so that magnitudes compare."
        scale = segments("Scale", ["per unit", "shared"], "layers_scale", help=words)
        view = segments("Large map", [OVERLAY, MAP, IMAGE], "layers_view")
        words = "Moving one moves the others: to the layer of the same name, else to the same depth."
        in_step = several and st.toggle("All models in step", help=words, **kept("layers_in_step"))
    return ViewOptions(by, scale == "shared", view, against), in_step


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
    """The button to the image that maximises the unit's activation."""
    digest = units.request.card.digest
    if st.button("MaxOut this unit", icon=":material/arrow_forward:", key=f"layers_maxout_{digest}"):
        session.state().maxout_target = (digest, units.layer.name, units.chosen)
        site_map.go("maxout")
