"""Layers: what every unit of a layer answers to a picture, model beside model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

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
from pages.shared.page_state import PageState
from pages.shared.preview import square

READING = "Every tile is one unit's activation over the image; a bar where the unit has no grid. Click one."

#: Models side by side.
_BESIDE = 4


@dataclass(frozen=True)
class Shown:
    """What the page shows: `image_id` of the selected images, and of each model, by its digest, one of the `layers`."""

    page: PageState
    image_id: str
    layers: dict[str, str]
    look: Look


def page() -> None:
    """Every model's units in one layer for the selected image, and the first kernels."""
    st.title("What does each unit respond to?")
    table = pick_navigation.require_predictions("layers")
    pick_navigation.require_picks(table, "layers")
    page_state = PageState(session.cards(), session.images(), table)
    try:
        with st.container(horizontal=True, vertical_alignment="center"):
            image_id = pick_navigation.pager("layers")
        look, in_step = look_at(page_state.cards)
        layers = choose_layers(page_state, image_id, in_step)
        shown = Shown(page_state, image_id, layers, look)
        working.submit(page_state.cards, layers, page_state.images, image_id)
        pace = working.pace()
        if pace is None:
            show(shown, False)
        else:
            st.fragment(show, run_every=pace)(shown, True)
        first_kernels(page_state)
    except InputError as error:
        st.error(str(error), icon=":material/error:")


def beside(cards: Sequence[ModelCard]) -> Iterator[tuple[ModelCard, DeltaGenerator]]:
    """A column for each model, four in a row."""
    for start in range(0, len(cards), _BESIDE):
        yield from zip(cards[start : start + _BESIDE], st.columns(min(len(cards), _BESIDE), gap="medium"), strict=False)


def choose_layers(page_state: PageState, image_id: str, in_step: bool) -> dict[str, str]:
    """Each model's name and prediction, and the layer to look into, by the model's digest."""
    state, table = session.state(), page_state.table
    row = page_state.images.index(image_id)
    keep_in_step(page_state.cards, in_step)
    layers = {}
    for card, column in beside(page_state.cards):
        position = table.models.index(card.digest)
        said = f"{table.class_name(int(table.predicted[row, position]))} {table.confidence[row, position]:.2f}"
        words = f"{square(state.colour(card.digest))} **{card.name}** {said if card.classifies else ''}"
        with column:
            st.markdown(words, unsafe_allow_html=True)
            layers[card.digest] = choose_layer(card)
    return layers


def show(shown: Shown, polled: bool) -> None:
    """Every model's units, and the one that was clicked; redrawn while maps are being computed."""
    pick_navigation.progress([working.NOW], polled, READING)
    for card, column in beside(shown.page.cards):
        with column:
            one_model(card, shown, polled)


def one_model(card: ModelCard, shown: Shown, polled: bool) -> None:
    """A model's units; below them a closer look at one."""
    cards, look = shown.page.cards, shown.look
    n_beside = min(len(cards), _BESIDE)
    units = view.units_of(card, cards, shown.layers, shown.image_id, look)
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
    closer(units, shown, polled)


def closer(units: Units, shown: Shown, polled: bool) -> None:
    """One unit: its large map, its histogram over the data set, and the images that excite it most and least."""
    card, unit, images, look = units.request.card, units.chosen, shown.page.images, shown.look
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(units.name(unit).capitalize())
        to_maxout(units)
    with st.container(height=56, border=False):
        st.caption(view.about_unit(units))
    if units.values.ndim == 3:
        alt = f"Where {units.name(unit)} of {units.layer.name} in {card.name} responds to the image"
        st.image(view.large_map(units, look, images), width="stretch" if len(shown.page.cards) > 1 else 560, alt=alt)
    with st.container(height=200, border=False):
        values = cache.unit_activations(card, images, units.layer.name)
        if values is not None:
            row = images.index(shown.image_id)
            chart(
                unit_histogram(values[:, unit], float(values[row, unit]), session.state().colour(card.digest)),
                key=f"layers_histogram_{card.digest}",
                toolbar=False,
                alt=f"Activation of {units.name(unit)} on {len(images):,} images",
            )
    if values is not None or not polled:  # two parts of a page that look after jobs must not lie in each other
        top_images.show(card, units.layer.name, unit, f"layers_{card.digest}")
    with st.container(horizontal=True):
        stem, icon = f"{shown.image_id}-{card.name}-{units.layer.name}", ":material/download:"
        png, npz = lambda: view.to_png_file(units, look), lambda: view.to_npz_file(units)
        st.download_button("PNG", png, f"{stem}.png", "image/png", key=f"layers_png_{card.digest}", icon=icon)
        st.download_button("npz", npz, f"{stem}.npz", key=f"layers_npz_{card.digest}", icon=icon)


def first_kernels(page_state: PageState) -> None:
    """The kernels, folded; read when they are opened."""
    inside = st.expander("Kernels of the first convolution", key="layers_kernels", on_change="rerun")
    with inside:
        if inside.open:
            st.caption("Each is scaled by its own largest weight; grey is zero, colours are those that it looks for.")
            working.submit_kernels(page_state.cards, page_state.images)
            busy = session_jobs.active(working.KERNELS) is not None
            st.fragment(kernels, run_every=0.3 if busy else None)(page_state.cards, busy)


def kernels(cards: Sequence[ModelCard], polled: bool) -> None:
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


page()
