"""What the functions of a page hand on to each other."""

from __future__ import annotations

from dataclasses import dataclass

from images.image_set import ImageSet
from models.card import ModelCard
from suggestion.table import Predictions


@dataclass(frozen=True)
class PageState:
    """The models in use, the images, and the models' predictions on them."""

    cards: list[ModelCard]
    images: ImageSet
    table: Predictions
