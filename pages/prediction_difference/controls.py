"""Widgets of the prediction difference page: what to ask, how the maps are drawn, and what is being worked out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from explainers.output import LOGIT, PROBABILITY
from explainers.prediction_difference.method import PredictionDifference
from images.image_set import ImageSet
from models.card import ModelCard
from pages.prediction_difference import jobs as working
from pages.prediction_difference.jobs import JobSpec
from pages.prediction_difference.view import Choice, Look
from pages.shared import pick_navigation, session_jobs
from pages.shared.param_widgets import settings_of
from pages.shared.target_picker import TARGETS, TargetSpec
from suggestion import targets
from suggestion.table import shared_classes

VIEWS = ["overlay", "map", "picture"]
_TARGETS = [targets.TOP, targets.RUNNER_UP, targets.TRUE, targets.ONE_CLASS]
_MEASURES = {PROBABILITY: "bits", LOGIT: "logits"}
_KEPT: dict[str, Any] = {"persist_state": "session"}


def choose(cards: Sequence[ModelCard]) -> Choice:
    """The toolbar: target and measure; window and samples folded."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        target = st.selectbox(
            "Explain",
            _TARGETS,
            format_func=lambda kind: TARGETS[kind],
            key="prediction_difference_target",
            width=240,
            **_KEPT,
        )
        one_class = None
        if target == targets.ONE_CLASS:
            known = shared_classes(cards) or tuple(dict.fromkeys(name for card in cards for name in card.class_names))
            one_class = st.selectbox("Class", known, key="prediction_difference_class", width=240, **_KEPT)
        value = st.segmented_control(
            "In",
            list(_MEASURES),
            format_func=lambda kind: _MEASURES[kind],
            default=PROBABILITY,
            required=True,
            key="prediction_difference_value",
            help="Bits: weight of evidence, from the output layer; it also tells what speaks for the rivals. Logits: "
            "activation difference, from the layer before the softmax; it tells of the class alone.",
            **_KEPT,
        )
    with st.expander("Windows and samples"), st.grid(4, gap="small"):
        window = st.number_input(
            "Window",
            1,
            64,
            None,
            placeholder="1/22 of the side",
            key="prediction_difference_window",
            help="Side of the window that is made unknown, in pixels of the model's input.",
            **_KEPT,
        )
        stride = st.number_input(
            "Stride",
            1,
            64,
            None,
            placeholder="half a window",
            key="prediction_difference_stride",
            help="Step between windows, in pixels; 1 asks about every window.",
            **_KEPT,
        )
        settings = settings_of(PredictionDifference(), "prediction_difference_setting", ("window", "stride"))
    return Choice(TargetSpec(target, one_class, value), window, stride, settings)


def look_at() -> Look:
    """How the maps are drawn: all of it instant."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        view = st.segmented_control(
            "View", VIEWS, default="overlay", required=True, key="prediction_difference_view", **_KEPT
        )
        shared = pick_navigation.choose_scale("prediction_difference", "the maps of a row")
        opacity = st.slider(
            "Opacity",
            0,
            100,
            80,
            5,
            format="%d %%",
            key="prediction_difference_opacity",
            width=220,
            disabled=view != "overlay",
            **_KEPT,
        )
    return Look(view, shared, opacity / 100)


def start(
    name: str, key: str, spec: JobSpec, images: ImageSet, label: str, primary: bool = True, help: str = ""
) -> None:
    """The button that starts a job, or resumes it; it belongs into the page's own run, not into a fragment."""
    at_work, finished = session_jobs.running(name, spec.key) is not None, spec.finished
    idle = (finished and not spec.failed) or not spec.startable
    kind: Any = "primary" if primary and not finished else "secondary"
    if st.button(label, type=kind, key=key, help=help or None, disabled=at_work or idle):
        working.submit(name, spec, images)
        st.rerun()
