"""What the comparisons of the prediction difference page share: what is on show, what to work out, which model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from common.errors import InputError
from explainers.prediction_difference.method import PredictionDifference
from figures.panel_grid import Band, Tile
from images.image_set import ImageSet
from models.card import ModelCard
from pages.prediction_difference.jobs import JobSpec
from pages.prediction_difference.view import Choice, Look
from suggestion.table import Predictions


@dataclass(frozen=True)
class Scene:
    """What the page shows."""

    choice: Choice
    cards: list[ModelCard]
    images: ImageSet
    image_id: str
    table: Predictions
    look: Look

    @property
    def place(self) -> tuple[ImageSet, str]:
        """The picture on show, and the set it belongs to."""
        return self.images, self.image_id


@dataclass(frozen=True)
class Comparison:
    """What one section works out, and how it draws what is known of it."""

    job: JobSpec
    bands: Callable[[], list[Band[Tile]]]
    signed: bool = True


def one_model(scene: Scene, name: str) -> ModelCard:
    """Which model a comparison is about, of those that the method suits."""
    by_digest = {card.digest: card for card in scene.cards if not PredictionDifference().applies(card)}
    if not by_digest:
        raise InputError("a model that suits prediction difference", "none", "Switch another one on in the sidebar.")
    chosen = st.selectbox(
        "Model",
        list(by_digest),
        format_func=lambda digest: by_digest[digest].name,
        key=f"difference_{name}_model",
        persist_state="session",
        width=240,
    )
    return by_digest[chosen]
