"""One model: a histogram over the images, each bar of which selects its images."""

import numpy as np
import streamlit as st

from figures.colours import IMAGES, NO_LABEL, NOT_ITS_CLASS, RIGHT, WRONG
from figures.suggestion import histogram_figure
from models.card import ModelCard
from pages.shared import session, top_images
from pages.shared.chart.component import ChartPoint, chart
from pages.shared.page_state import PageState
from pages.shared.widgets import choose_model, segments, select
from pages.suggestion.selection import gallery
from suggestion.table import Predictions
from suggestion.views import histogram, label_difference

_ERROR, _ACTIVATION = "Prediction error", "Activation of a layer"
_COLOURS = {"right": RIGHT, "wrong": WRONG, "not its class": NOT_ITS_CLASS, "no label": NO_LABEL, "images": IMAGES}

#: Images that a click on a bar selects at most.
_PER_BAR = 24


def one_model(page_state: PageState) -> None:
    """Choose a model and a quantity; a click on a bar of its histogram selects the bar's images."""
    table, cards = page_state.table, page_state.cards
    with st.container(horizontal=True, vertical_alignment="bottom"):
        card = choose_model(cards, "one_model_model") if len(cards) > 1 else cards[0]
        options = [_ERROR, _ACTIVATION] if table.labelled.any() else [_ACTIVATION]
        quantity = segments("Quantity", options, "one_model_what")
    model = table.models.index(card.digest)
    bounds: tuple[float, float] | None = None
    if quantity == _ERROR:
        values, title, bounds = label_difference(table, model), "1 − probability of the true class", (0.0, 1.0)
        hint = "Left: the model is sure of the true class. Right: it is sure of another class."
    else:
        measured = _activation(card)
        if measured is None:
            return
        values, title = measured
        hint = "Right: highest activation."
    edges, bins = histogram(values, bounds=bounds)
    groups = _groups(table, model)

    def select_bar(bar: ChartPoint) -> None:
        members = list(groups.values())[bar.trace]
        rows = np.flatnonzero(members & (bins == bar.number))
        rows = rows[np.argsort(-values[rows])]
        session.state().pick([page_state.images.ids[row] for row in rows[:_PER_BAR]])

    chart(
        histogram_figure(edges, bins, groups, _COLOURS, title),
        key="one_model_chart",
        on_click=select_bar,
        alt=f"Histogram over {len(table):,} images: {title}",
    )
    st.caption(f"{hint} Click a bar to select its images ({_PER_BAR} at most, the highest first).")
    gallery(page_state, "click a bar")


def _groups(table: Predictions, model: int) -> dict[str, np.ndarray]:
    """Right and wrong predictions (N,) bool, and images whose class the model lacks; without labels, one group."""
    if not table.labelled.any():
        return {"images": np.ones(len(table), dtype=bool)}
    judged, wrong, labelled = table.judged[:, model], table.errors[:, model], table.labelled
    groups = {"right": judged & ~wrong, "wrong": wrong, "not its class": labelled & ~judged, "no label": ~labelled}
    return {name: members for name, members in groups.items() if members.any()}


def _activation(card: ModelCard) -> tuple[np.ndarray, str] | None:
    """Mean activation (N,) of the chosen layer or unit, and its title; `None`, and the job, while it is measured."""
    layers = [layer.name for layer in card.layers if layer.n_units]
    start = layers.index(card.default_layer) if card.default_layer in layers else len(layers) - 1
    with st.container(horizontal=True, vertical_alignment="bottom"):
        layer = select("Layer", layers, f"one_model_layer_{card.digest}", index=start)
        last = card.layer(layer).n_units - 1
        words = f"0 to {last}; empty: the mean over all units"
        unit = st.number_input("Unit", 0, last, None, placeholder="all (mean)", key="one_model_unit", help=words)
    units = top_images.measured(card, layer, "one_model", asked=True)
    if units is None:
        return None
    title = f"mean activation of {layer}" + (f", unit {unit}" if unit is not None else "")
    return (units.mean(axis=1) if unit is None else units[:, unit]), title
