"""The widgets over the charts of the suggestion page."""

import numpy as np
import streamlit as st

from pages.shared.session import kept
from pages.shared.widgets import segments, select
from suggestion.table import NONE, Predictions
from suggestion.views import Filters

_ANY = "any"
_SEVERAL, _ONE = "Several models", "One model"


def choose_view(n_models: int) -> bool:
    """Whether to compare several models; always false for one."""
    if n_models < 2:
        return False
    return segments("View", [_SEVERAL, _ONE], "suggestion_view", label_visibility="collapsed") == _SEVERAL


def choose_filters(table: Predictions) -> Filters:
    """Which images the chart shows."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        true_class = _choose_class("True class", table, table.true, "suggestion_true")
        predicted = _choose_class("Predicted class", table, table.predicted, "suggestion_predicted")
        alone = _ANY
        if len(table.models) > 2:
            words = "The one model that predicts another class than all the others, which agree."
            names = {_ANY: _ANY, **dict(zip(table.models, table.model_names, strict=True))}
            alone = select("Dissenting model", names, "suggestion_alone", help=words)
        errors = st.toggle("Only errors", disabled=not table.labelled.any(), **kept("suggestion_errors"))
        split = st.toggle("Only disagreements", **kept("suggestion_split"))
    return Filters(true_class, predicted, errors, split, None if alone == _ANY else table.models.index(alone))


def _choose_class(title: str, table: Predictions, numbers: np.ndarray, key: str) -> int | None:
    """A class among `numbers`, or `None` for any."""
    names = {table.classes[number]: int(number) for number in np.unique(numbers) if number != NONE}
    return names.get(select(title, [_ANY, *names], key, disabled=not names))
