"""Which layer of a model: by its name, from the tree with shapes and parameters, or by a node of the network."""

from collections.abc import Callable, Sequence

import pandas as pd
import streamlit as st

from common.errors import InputError
from common.escape import markdown
from explainers.layers.facts import FactsRequest
from explainers.results import Sources, compute
from figures.network import network_figure, shape_words
from jobs.queue import Job
from models.card import Layer, ModelCard
from pages.shared import cache, session
from pages.shared.chart.component import ChartPoint, chart
from pages.shared.job_progress import run_and_wait
from pages.shared.widgets import segments, select

#: Height in pixels of the tree and of the part of the diagram on show.
_HEIGHT_PX = 460


def choose(
    card: ModelCard,
    key: str,
    suits: Callable[[Layer], bool] = lambda layer: layer.n_units > 0,
    label: str = "Layer",
) -> str:
    """A chooser over the model's layers that `suits`, with the tree and the network behind a button; the layer's name.

    What is chosen is kept for the session, model by model; the model's default layer comes first. Raises `InputError`
    for a model without such a layer.
    """
    names = [layer.name for layer in card.layers if suits(layer)]
    if not names:
        raise InputError("a model with layers that can be looked at", card.name, "Take another model.")
    words = {layer.name: f"{layer.name} · {layer.kind} {shape_words(layer)}" for layer in card.layers}
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", wrap=False):
        at_first = names.index(chosen_layer(card, key, names))
        chosen = select(markdown(label), {name: words[name] for name in names}, _key(card, key), index=at_first)
        icon, words_on_it, name = ":material/account_tree:", "Layer tree and network", f"{key}_inside_{card.digest}"
        popover = st.popover("", icon=icon, help=words_on_it, key=name, on_change="rerun")
        with popover:
            if popover.open:
                _inside(card, key, names, chosen)
    return chosen


def chosen_layer(card: ModelCard, key: str, names: list[str]) -> str:
    """What the chooser with this key shows: what was chosen, else the default layer, else the last of `names`."""
    known = st.session_state.get(_key(card, key))
    if known in names:
        return known
    return card.default_layer if card.default_layer in names else names[-1]


def choose_layer(card: ModelCard, key: str, name: str) -> None:
    """Have the chooser with this key show `name`; for callbacks, which run before it is drawn."""
    st.session_state[_key(card, key)] = name


def in_tree_order(layers: Sequence[Layer]) -> list[Layer]:
    """Every block in front of what is inside it, in running order where the tree leaves a choice."""
    first: dict[str, int] = {}
    for layer in layers:
        for block in _blocks(layer.name):
            first.setdefault(block, layer.order)
    return sorted(layers, key=lambda layer: [first[block] for block in _blocks(layer.name)])


def _blocks(name: str) -> list[str]:
    """`a.b.c` -> `a`, `a.b`, `a.b.c`."""
    parts = name.split(".")
    return [".".join(parts[:depth]) for depth in range(1, len(parts) + 1)]


def _key(card: ModelCard, key: str) -> str:
    return f"{key}_layer_{card.digest}"


def _inside(card: ModelCard, key: str, names: list[str], chosen: str) -> None:
    """The tree, or the network, in one place of a fixed height."""
    st.markdown(f"**{markdown(card.name)}** · {len(card.layers)} layers · {card.n_parameters:,} parameters")
    shown = segments("Show", ["network", "tree"], f"{key}_shown_{card.digest}", label_visibility="collapsed")
    (_tree if shown == "tree" else _network)(card, key, names, chosen)


def _tree(card: ModelCard, key: str, names: list[str], chosen: str) -> None:
    """Every layer, indented by its depth; a click on a row chooses it."""
    layers = in_tree_order(card.layers)
    table = pd.DataFrame({
        "layer": ["\N{NO-BREAK SPACE}" * 4 * layer.name.count(".") + layer.name.rpartition(".")[2] for layer in layers],
        "kind": [layer.kind for layer in layers],
        "output": [shape_words(layer) for layer in layers],
        "parameters": [layer.n_parameters for layer in layers],
    })  # fmt: skip
    row = next((row for row, layer in enumerate(layers) if layer.name == chosen), None)
    name = f"{key}_tree_{card.digest}_{chosen}"  # a new one when another layer is chosen, which it marks

    def take() -> None:
        for row in st.session_state[name].selection.rows:
            if layers[row].name in names:
                choose_layer(card, key, layers[row].name)

    st.dataframe(
        table,
        width=560,
        height=_HEIGHT_PX,
        hide_index=True,
        key=name,
        on_select=take,
        selection_mode="single-row",
        selection_default={"selection": {"rows": [] if row is None else [row], "columns": [], "cells": []}},
        column_config={"parameters": st.column_config.NumberColumn(format="localized")},
    )
    st.caption("Shapes are those of the output for one image. Click the box of a row to choose it.")


def _network(card: ModelCard, key: str, names: list[str], chosen: str) -> None:
    """The diagram; a click on a node chooses its layer, and unfolds a folded block."""
    request = FactsRequest(card)
    found = request.load(cache.store())
    if found is None:
        sources = Sources(cache.model_store(), cache.store())
        job = Job(request.title, lambda job: compute(sources, request, job.report), key=request.key)
        run_and_wait(job, f"{key}_network", "interactive")
        return
    opened = session.state().unfolded.setdefault(card.digest, set())

    def click(node: ChartPoint) -> None:
        if node.data is None:
            return
        name, folded = node.data
        if folded:
            opened.add(name)
        if name in names:
            choose_layer(card, key, name)

    with st.container(horizontal=True, vertical_alignment="center", height=48, border=False):  # the diagram stays put
        st.caption("From input to output. Click a node to choose its layer, a square also to unfold it.")
        if opened:
            st.button("Fold all", key=f"{key}_fold_{card.digest}", type="tertiary", on_click=opened.clear)
    with st.container(height=_HEIGHT_PX, width=600, border=False):
        chart(
            network_figure(found.network.folded(opened), card.layers, chosen),
            key=f"{key}_network_{card.digest}",
            alt=f"The network of {card.name}: layers, and which feeds which",
            on_click=click,
            toolbar=False,
        )
