"""Widgets of the prediction difference page: what to explain, and the buttons that compute it."""

from dataclasses import replace
from typing import Any

import streamlit as st

from explainers.output import LOGIT, PROBABILITY
from explainers.prediction_difference.method import PredictionDifference
from images.image_set import ImageSet
from pages.prediction_difference.jobs import JobSpec
from pages.prediction_difference.view import MapRequests
from pages.shared import session, session_jobs
from pages.shared.page_state import PageState
from pages.shared.target_picker import choose_class_target
from pages.shared.widgets import segments, settings_of
from suggestion import targets


def choose(page_state: PageState) -> MapRequests:
    """The toolbar: target and measure; window and samples folded."""
    key = "prediction_difference"
    kinds = [targets.TOP, targets.RUNNER_UP, targets.TRUE, targets.ONE_CLASS]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        target = choose_class_target(page_state.cards, key, kinds)
        words = (
            "Bits: weight of evidence, from the output layer; it also tells what speaks for the rivals. Logits: "
            "activation difference, from the layer before the softmax; it tells of the class alone."
        )
        value = segments("In", {PROBABILITY: "bits", LOGIT: "logits"}, f"{key}_value", help=words)
    with st.expander("Windows and samples"), st.grid(4, gap="small"):
        settings = settings_of(PredictionDifference(), f"{key}_setting")
    return MapRequests(page_state, replace(target, value=value), settings)


def start(
    name: str, key: str, spec: JobSpec, images: ImageSet, label: str, primary: bool = True, help: str = ""
) -> None:
    """The button that starts a job as this session's job `name`, or resumes it; another one of that name is stopped.

    It belongs into the page's own run, not into a fragment.
    """
    at_work, finished = session_jobs.running(name, spec.key) is not None, spec.finished
    failed = any(request.key in session.state().failures for request in spec.requests())  # it may be tried again
    idle = (finished and not failed) or not spec.startable
    kind: Any = "primary" if primary and not finished else "secondary"
    if st.button(label, type=kind, key=key, help=help or None, disabled=at_work or idle):
        session_jobs.retry(name, [*spec.first, *spec.requests()])
        session_jobs.submit(name, spec.title, images, spec.first, spec.requests, key=spec.key, unit="windows")
        st.rerun()
