"""The suggestion page for a single model: histograms over the data set whose bars list their images."""

from __future__ import annotations

import numpy as np
import streamlit as st

from figures.suggestion import histogram_figure
from images.image_set import ImageSet
from jobs.queue import Job
from models.card import ModelCard
from pages.shared import cache, session
from pages.shared.chart.component import ChartPoint, chart
from pages.shared.job_progress import run_and_wait
from pages.suggestion.gallery import gallery, picks_bar
from suggestion import activations
from suggestion.table import Predictions
from suggestion.views import histogram, label_difference

DIFFERENCE, ACTIVATION = "Label minus prediction", "Activation of a layer"

_COLOURS = {"right": "#0072B2", "wrong": "#D55E00", "no label": "#8C8C8C", "images": "#0072B2"}

#: Images that a click on a bar adds to the picks.
_PER_BAR = 24


def one_model(predictions: Predictions, images: ImageSet, cards: list[ModelCard]) -> None:
    """Choose a model and what to count; a click on a bar picks its images."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        position = 0
        if len(cards) > 1:
            position = st.selectbox(
                "Model",
                range(len(cards)),
                format_func=lambda m: cards[m].name,
                key="one_model_model",
                persist_state="session",
            )
        options = [DIFFERENCE, ACTIVATION] if predictions.labelled.any() else [ACTIVATION]
        what = st.segmented_control(
            "Count", options, default=options[0], required=True, key="one_model_what", persist_state="session"
        )
    if what == DIFFERENCE:
        values, title = label_difference(predictions, position), "label − prediction: 1 − probability of the true class"
        reading = "Left: the model is sure of the true class. Right: it is sure of something else."
        bounds: tuple[float, float] | None = (0.0, 1.0)
    else:
        measured = _activation(cards[position], images)
        if measured is None:
            return
        values, title = measured
        reading, bounds = "Right: the images that excite it most.", None
    edges, bins = histogram(values, bounds=bounds)
    groups = _groups(predictions, position)

    def take_bar(bar: ChartPoint) -> None:
        members = list(groups.values())[bar.trace]
        rows = np.flatnonzero(members & (bins == bar.number))
        rows = rows[np.argsort(-values[rows])]
        session.state().pick([images.ids[row] for row in rows[:_PER_BAR]])

    chart(
        histogram_figure(edges, bins, groups, _COLOURS, title),
        key="one_model_chart",
        on_click=take_bar,
        alt=f"Histogram over {len(predictions):,} images: {title}",
    )
    st.caption(f"{reading} Click a bar to pick its images ({_PER_BAR} at most, the highest first).")
    picks_bar(images)
    gallery(predictions, images)


def _groups(predictions: Predictions, position: int) -> dict[str, np.ndarray]:
    """Right and wrong answers (N,) bool, where labels tell them apart; all in one where there are none."""
    if not predictions.labelled.any():
        return {"images": np.ones(len(predictions), dtype=bool)}
    wrong, labelled = predictions.errors[:, position], predictions.labelled
    groups = {"right": labelled & ~wrong, "wrong": wrong, "no label": ~labelled}
    return {name: members for name, members in groups.items() if members.any()}


def _activation(card: ModelCard, images: ImageSet) -> tuple[np.ndarray, str] | None:
    """Mean activation of the chosen layer or unit on every image; shows the job while it is worked out."""
    layers = [layer.name for layer in card.layers if layer.n_units]
    start = layers.index(card.default_layer) if card.default_layer in layers else len(layers) - 1
    with st.container(horizontal=True, vertical_alignment="bottom"):
        layer = st.selectbox(
            "Layer", layers, index=start, key=f"one_model_layer_{card.digest}", persist_state="session"
        )
        n_units = card.layer(layer).n_units
        unit = st.number_input(
            "Unit",
            0,
            n_units - 1,
            None,
            placeholder="all (mean)",
            key="one_model_unit",
            help=f"0 to {n_units - 1}; empty: the mean over all units",
        )
    units = activations.measured(card, images, layer, cache.store())
    if units is not None:
        title = f"mean activation of {layer}" + (f", unit {unit}" if unit is not None else "")
        return (units.mean(axis=1) if unit is None else units[:, unit]), title

    def work(job: Job) -> None:
        activations.measure(cache.model_store(), card, images, layer, cache.store(), job.report)

    key = f"activation {card.digest} {images.digest} {layer}"
    run_and_wait(Job(f"Activation of {layer}", work, unit="images", key=key), "one_model")
    return None
