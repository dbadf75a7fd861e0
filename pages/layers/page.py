"""Layers: what every unit of a layer answers to an image, model beside model."""

import time
from collections.abc import Iterator, Mapping, Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from common.escape import markdown
from explainers.layers.facts import FactsRequest
from explainers.layers.maps import UnitMapsRequest
from figures.layers import kernel_sheet, unit_histogram
from figures.maps import to_webp
from models.card import ModelCard
from pages.layers import view
from pages.layers.controls import choose_layer, choose_view, keep_in_step, take_unit, to_maxout
from pages.layers.view import NOW, Units, ViewOptions
from pages.shared import cache, pick_navigation, session, session_jobs, top_images
from pages.shared.chart.component import chart
from pages.shared.job_progress import progress_line, resume_button
from pages.shared.page_state import PageState
from pages.shared.widgets import downloads

READING = "Every tile is one unit's activation over the image; a bar where the unit has no grid. Click one."

#: Models side by side.
_BESIDE = 4

#: This session's jobs beside `NOW`: the unit maps of the other picks, and the first kernels.
AHEAD, KERNELS = "layers_ahead", "layers_kernels"

#: Seconds that the page waits for maps before it shows that it waits: most come by then.
_PATIENCE_S = 0.4


def page() -> None:
    """Every model's units in one layer for the selected image, and the first kernels."""
    st.title("What does each unit respond to?")
    page_state = pick_navigation.require_picks("layers")
    pick_navigation.pager("layers")
    options, in_step = choose_view(page_state.cards)
    layers = choose_layers(page_state, in_step)
    submit(page_state, layers)
    if session_jobs.active(NOW) is None:
        show(page_state, layers, options, False)
    else:
        st.fragment(show, run_every=0.3)(page_state, layers, options, True)
    first_kernels(page_state)


def beside(cards: Sequence[ModelCard]) -> Iterator[tuple[ModelCard, DeltaGenerator]]:
    """A column for each model, four in a row."""
    for start in range(0, len(cards), _BESIDE):
        yield from zip(cards[start : start + _BESIDE], st.columns(min(len(cards), _BESIDE), gap="medium"), strict=False)


def choose_layers(page_state: PageState, in_step: bool) -> dict[str, str]:
    """Each model's name, and the layer to look into, by the model's digest."""
    keep_in_step(page_state.cards, in_step)
    layers = {}
    for card, column in beside(page_state.cards):
        with column:
            st.markdown(f"{session.square(card.digest)} **{markdown(card.name)}**")
            layers[card.digest] = choose_layer(card)
    return layers


def submit(page_state: PageState, layers: Mapping[str, str]) -> None:
    """Compute what the store lacks of each model's layer (by its digest), that on show first."""
    now, *ahead = (
        [UnitMapsRequest(card, pick, layers[card.digest]) for card in page_state.cards]
        for pick in session.state().picks_ahead
    )
    session_jobs.submit(NOW, "Unit maps", page_state.images, now)
    deadline = time.monotonic() + _PATIENCE_S
    while session_jobs.active(NOW) is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    session_jobs.submit(AHEAD, "Unit maps", page_state.images, [request for pick in ahead for request in pick])


def show(page_state: PageState, layers: dict[str, str], options: ViewOptions, polled: bool) -> None:
    """Every model's units, and the one that was clicked; redrawn while maps are being computed."""
    progress_line(session.state().jobs.get(NOW), "layers", polled, READING, halted=NOW)
    n_beside = min(len(page_state.cards), _BESIDE)
    for card, column in beside(page_state.cards):
        with column:
            units = view.units_of(card, page_state, layers, options)
            all_units(units, page_state, options, n_beside)
            if not isinstance(units, str):
                closer(units, page_state, options, polled)


def all_units(units: Units | str, page_state: PageState, options: ViewOptions, n_beside: int) -> None:
    """A model's units, or the words that stand in their place."""
    with st.container(height=view.height_for(n_beside), border=False):
        if isinstance(units, str):
            st.caption(markdown(units))
            return
        card = units.request.card
        chart(
            view.figure(units, options, n_beside),
            key=f"layers_chart_{card.digest}",
            alt=f"All {len(units.values)} units of {units.layer.name} in {card.name}, in order",
            title=view.title(page_state, card),
            on_click=take_unit(units),
            toolbar=False,
        )
    with st.container(height=100, border=False, gap="xsmall"):
        if units.values.ndim == 3:
            st.html(view.legend(units, options))
        st.caption("  \n".join(markdown(line) for line in (view.about(units), units.remark) if line))


def closer(units: Units, page_state: PageState, options: ViewOptions, polled: bool) -> None:
    """One unit: its large map, its histogram over the data set, and the images of its highest and lowest activation."""
    card, unit, images = units.request.card, units.chosen, page_state.images
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(markdown(units.title(unit)))
        to_maxout(units)
    with st.container(height=56, border=False):
        st.caption(markdown(view.about_unit(units)))
    if units.values.ndim == 3:
        alt = f"Where {units.name(unit)} of {units.layer.name} in {card.name} responds to the image"
        large = view.large_map(units, page_state, options)
        st.image(large, width="stretch" if len(page_state.cards) > 1 else 560, alt=alt)
    with st.container(height=200, border=False):
        values = cache.unit_activations(card, images, units.layer.name)
        if values is not None:
            chart(
                unit_histogram(
                    values[:, unit], float(values[page_state.row, unit]), session.state().colour(card.digest)
                ),
                key=f"layers_histogram_{card.digest}",
                toolbar=False,
                alt=f"Activation of {units.name(unit)} on {len(images):,} images",
            )
    if values is not None or not polled:  # two parts of a page that look after jobs must not lie in each other
        top_images.show(card, units.layer.name, unit, f"layers_{card.digest}")
    with st.container(horizontal=True):
        stem = f"{page_state.image_id}-{card.name}-{units.layer.name}"
        png, npz = lambda: view.to_png_file(units, options), lambda: view.to_npz_file(units)
        downloads(stem, f"layers_{card.digest}", png, npz)


def first_kernels(page_state: PageState) -> None:
    """The kernels, folded; read when they are opened."""
    inside = st.expander("Kernels of the first convolution", key="layers_kernels", on_change="rerun")
    with inside:
        if inside.open:
            st.caption("Each is scaled by its own largest weight; grey is zero, colours are those that it looks for.")
            requests = [FactsRequest(card) for card in page_state.cards]
            session_jobs.submit(KERNELS, "First kernels", page_state.images, requests)
            busy = session_jobs.active(KERNELS) is not None
            st.fragment(kernels, run_every=0.3 if busy else None)(page_state.cards, busy)


def kernels(cards: Sequence[ModelCard], polled: bool) -> None:
    """The first convolution's kernels of every model."""
    if polled and session_jobs.active(KERNELS) is None:
        st.rerun()
    if session_jobs.halted(KERNELS):
        resume_button(KERNELS, "layers_kernels_again", "Read them")
    for card, column in beside(cards):
        with column:
            request = FactsRequest(card)
            found = request.load(cache.store())
            if found is None:
                st.caption(markdown(session_jobs.words(KERNELS, request, "reading the kernels …")))
                continue
            layer, weights = found.layer, found.weights
            if not layer:
                st.caption(f"{markdown(card.name)} has no convolution.")
                continue
            n, channels, height, width = weights.shape
            alt = f"The {n} kernels of {layer} in {card.name}"
            st.image(to_webp(kernel_sheet(weights, 8)), width="stretch", alt=alt)
            st.caption(markdown(f"{card.name}: {n} kernels of {layer}, {channels} × {height} × {width}"))


page()
