"""Layers: what every unit of a layer answers to a picture, model beside model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from common.errors import InputError
from explainers.layers.facts import FactsRequest
from figures.layers import kernel_sheet, unit_histogram
from figures.maps import to_webp
from models.card import ModelCard
from pages.layers import jobs as working
from pages.layers import view
from pages.layers.controls import choose_layer, keep_in_step, look_at, take_unit, to_maxout
from pages.layers.view import Look, Units
from pages.shared import cache, pick_navigation, session, session_jobs, top_images
from pages.shared.chart.component import chart
from pages.shared.preview import square

READING = "Every tile is one unit's answer, where in the picture it arises; a bar where it has no place. Click one."

#: Models side by side.
_BESIDE = 4


def beside(cards: Sequence[ModelCard]) -> Iterator[tuple[ModelCard, DeltaGenerator]]:
    """A column for each model, four in a row."""
    for start in range(0, len(cards), _BESIDE):
        yield from zip(cards[start : start + _BESIDE], st.columns(min(len(cards), _BESIDE), gap="medium"), strict=False)


def choose_layers(in_step: bool) -> dict[str, str]:
    """Each model's name and answer, and the layer to look into, by the model's digest."""
    row = images.index(picture)
    keep_in_step(cards, in_step)
    layers = {}
    for card, column in beside(cards):
        position = table.models.index(card.digest)
        said = f"{table.class_name(int(table.predicted[row, position]))} {table.confidence[row, position]:.2f}"
        words = f"{square(state.colour(card.digest))} **{card.name}** {said if card.classifies else ''}"
        with column:
            st.markdown(words, unsafe_allow_html=True)
            layers[card.digest] = choose_layer(card)
    return layers


def show(layers: dict[str, str], look: Look, polled: bool) -> None:
    """Every model's units, and the one that was clicked; while maps are being worked out it is drawn anew."""
    pick_navigation.progress([working.NOW], polled, READING)
    for card, column in beside(cards):
        with column:
            one_model(card, layers, look, polled)


def one_model(card: ModelCard, layers: dict[str, str], look: Look, polled: bool) -> None:
    """A model's units; below them a closer look at one."""
    n_beside = min(len(cards), _BESIDE)
    units = view.units_of(card, cards, layers, picture, look)
    with st.container(height=view.height_for(n_beside), border=False):
        if isinstance(units, str):
            st.caption(units)
        else:
            chart(
                view.figure(units, look, n_beside),
                key=f"layers_chart_{card.digest}",
                alt=f"All {len(units.values)} units of {units.layer.name} in {card.name}, in order",
                on_click=take_unit(units),
                toolbar=False,
            )
    if isinstance(units, str):
        return
    with st.container(height=100, border=False, gap="xsmall"):
        if units.values.ndim == 3:
            st.html(view.legend(units, look))
        st.caption("  \n".join(line for line in (view.about(units), units.remark) if line))
    closer(units, look, polled)


def closer(units: Units, look: Look, polled: bool) -> None:
    """One unit: its large map, its histogram over the data set, and the images that excite it most and least."""
    card, unit = units.request.card, units.chosen
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(units.name(unit).capitalize())
        to_maxout(units)
    with st.container(height=56, border=False):
        st.caption(view.about_unit(units))
    if units.values.ndim == 3:
        alt = f"Where {units.name(unit)} of {units.layer.name} in {card.name} answers to the picture"
        st.image(view.large_map(units, look, images), width="stretch" if len(cards) > 1 else 560, alt=alt)
    with st.container(height=200, border=False):
        values = cache.unit_activations(card, images, units.layer.name)
        if values is not None:
            row = images.index(picture)
            chart(
                unit_histogram(values[:, unit], float(values[row, unit]), state.colour(card.digest)),
                key=f"layers_histogram_{card.digest}",
                toolbar=False,
                alt=f"How strongly {units.name(unit)} answers to {len(images):,} images",
            )
    if values is not None or not polled:  # two parts of a page that look after jobs must not lie in each other
        top_images.show(card, units.layer.name, unit, f"layers_{card.digest}")
    with st.container(horizontal=True):
        stem, icon = f"{picture}-{card.name}-{units.layer.name}", ":material/download:"
        png, npz = lambda: view.to_png_file(units, look), lambda: view.to_npz_file(units)
        st.download_button("PNG", png, f"{stem}.png", "image/png", key=f"layers_png_{card.digest}", icon=icon)
        st.download_button("npz", npz, f"{stem}.npz", key=f"layers_npz_{card.digest}", icon=icon)


def kernels(polled: bool) -> None:
    """The first convolution's kernels of every model."""
    if polled and session_jobs.active(working.KERNELS) is None:
        st.rerun()
    for card, column in beside(cards):
        with column:
            found = FactsRequest(card).load(cache.store())
            if found is None:
                st.caption("reading the kernels …")
                continue
            layer, weights = found.kernels.layer, found.kernels.weights
            if not layer:
                st.caption(f"{card.name} has no convolution.")
                continue
            n, channels, height, width = weights.shape
            picture = to_webp(kernel_sheet(weights, 8))
            st.image(picture, width="stretch", alt=f"The {n} kernels of {layer} in {card.name}")
            st.caption(f"{card.name}: {n} kernels of {layer}, {channels} × {height} × {width}")


state, images, cards = session.state(), session.images(), session.cards()
st.title("What does every unit see?")
table = pick_navigation.require_predictions("layers")
pick_navigation.require_picks(table, "layers")
try:
    with st.container(horizontal=True, vertical_alignment="center"):
        picture = pick_navigation.pager("layers")
    how, in_step = look_at(cards)
    chosen = choose_layers(in_step)
    working.submit(cards, chosen, images, picture)
    pace = working.pace()
    if pace is None:
        show(chosen, how, False)
    else:
        st.fragment(show, run_every=pace)(chosen, how, True)
    inside = st.expander("Kernels of the first convolution", key="layers_kernels", on_change="rerun")
    with inside:
        if inside.open:
            st.caption("Each is scaled by its own largest weight; grey is zero, colours are those that it looks for.")
            working.submit_kernels(cards, images)
            busy = session_jobs.active(working.KERNELS) is not None
            st.fragment(kernels, run_every=0.3 if busy else None)(busy)
except InputError as error:
    st.error(str(error), icon=":material/error:")
