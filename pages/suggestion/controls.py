"""The widgets over the charts of the suggestion page."""

from __future__ import annotations

import numpy as np
import streamlit as st

from suggestion.table import NONE, Predictions
from suggestion.views import Filters

_ANY = "any"
_SEVERAL, _ONE = "Several models", "One model"


def choose_view(n_models: int) -> bool:
    """Whether to compare several models; always false for one."""
    if n_models < 2:
        return False
    view = st.segmented_control(
        "View",
        [_SEVERAL, _ONE],
        default=_SEVERAL,
        required=True,
        key="suggestion_view",
        label_visibility="collapsed",
        persist_state="session",
    )
    return view == _SEVERAL


def choose_filters(table: Predictions) -> Filters:
    """Which images the chart shows."""
    names = dict(zip(table.models, table.model_names, strict=True))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        true_class = _choose_class("True class", table, table.true, "suggestion_true")
        predicted = _choose_class("Predicted class", table, table.predicted, "suggestion_predicted")
        alone = _ANY
        if len(names) > 2:
            alone = st.selectbox(
                "Dissenting model",
                [_ANY, *names],
                format_func=lambda model: names.get(model, _ANY),
                key="suggestion_alone",
                persist_state="session",
                help="The one model that predicts another class than all the others, which agree.",
            )
        unlabelled = not table.labelled.any()
        errors = st.toggle("Only errors", key="suggestion_errors", persist_state="session", disabled=unlabelled)
        split = st.toggle("Only disagreements", key="suggestion_split", persist_state="session")
    return Filters(true_class, predicted, errors, split, None if alone == _ANY else table.models.index(alone))


def _choose_class(title: str, table: Predictions, numbers: np.ndarray, key: str) -> int | None:
    """A class among `numbers`, or `None` for any."""
    names = {table.classes[number]: int(number) for number in np.unique(numbers) if number != NONE}
    chosen = st.selectbox(title, [_ANY, *names], key=key, persist_state="session", disabled=not names)
    return names.get(chosen)
