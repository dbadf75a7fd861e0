"""One image at a glance: its thumbnail, true class, and every model's prediction in the model's colour."""

from __future__ import annotations

import streamlit as st

from images.image_set import ImageSet
from pages.shared import cache, session
from suggestion.table import Predictions
from suggestion.views import mean_confidence, n_predicted_classes

_HEIGHT_PX = 450
_RIGHT, _WRONG = " :green[:material/check:]", " :red[:material/close:]"


def preview(predictions: Predictions, images: ImageSet, row: int | None) -> None:
    """The image in `row` of the table, or a hint; the height never changes."""
    with st.container(height=_HEIGHT_PX, border=True, key="preview"):
        if row is None:
            st.caption("Hover over a point to see the image and what each model predicts.")
            return
        true = predictions.class_name(int(predictions.true[row]))
        st.image(cache.thumbnail(images.digest, int(row)), alt=images.names[row])
        n_classes, confidence = n_predicted_classes(predictions)[row], mean_confidence(predictions)[row]
        st.caption(f"{images.names[row]} · {n_classes} classes predicted · mean confidence {confidence:.3f}")
        lines = [f"**true class** {true or 'unknown'}", *prediction_lines(predictions, row)]
        st.markdown("  \n".join(lines), unsafe_allow_html=True)


def prediction_lines(predictions: Predictions, row: int) -> list[str]:
    """A line for each model: its colour, name, predicted class and confidence, and whether that is right."""
    lines = []
    for m, (digest, name) in enumerate(zip(predictions.models, predictions.model_names, strict=True)):
        predicted = predictions.class_name(int(predictions.predicted[row, m]))
        mark = "" if not predictions.labelled[row] else _WRONG if predictions.errors[row, m] else _RIGHT
        lines.append(f"{session.square(digest)} {name}: {predicted} {predictions.confidence[row, m]:.2f}{mark}")
    return lines
