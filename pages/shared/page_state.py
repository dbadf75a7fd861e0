"""What the functions of a page hand on to each other, and how a page ends before its last line."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NoReturn

import numpy as np

from images.image_set import ImageSet
from models.card import ModelCard
from pages.shared import cache
from suggestion.table import Predictions


@dataclass(frozen=True)
class PageState:
    """The models in use, the images, the models' predictions on them; and the id of the image on show, if one is."""

    cards: list[ModelCard]
    images: ImageSet
    table: Predictions
    image_id: str = ""

    @property
    def row(self) -> int:
        """The image's row in the table."""
        return self.images.index(self.image_id)

    @property
    def title(self) -> str:
        """What the image is called, and its true class."""
        return f"{self.images.names[self.row]} · true class {self.images.labels[self.row] or 'unknown'}"

    def showing(self, image_id: str) -> PageState:
        """The same with another image on show."""
        return replace(self, image_id=image_id)

    def probability(self, card: ModelCard, column: int) -> float | None:
        """What the model gives a class, by its own number, where the table knows: it keeps the top answers."""
        model, name = self.table.models.index(card.digest), card.class_names[column]
        names = [self.table.class_name(int(number)) for number in self.table.top[self.row, model]]
        known = card.classifies and name in names
        return float(self.table.probability[self.row, model, names.index(name)]) if known else None

    def pixels(self, side_px: int) -> np.ndarray:
        """(h, w, 3) uint8: the image, its longer side shrunk to `side_px`."""
        return cache.image(self.images.digest, self.image_id, side_px)

    def size(self, side_px: int) -> tuple[int, int]:
        """(height, width) of `pixels`."""
        height, width, _ = self.pixels(side_px).shape
        return height, width

    def address(self, side_px: int, in_grey: bool = False) -> str:
        """Where a browser finds `pixels`."""
        return cache.image_uri(self.images.digest, self.image_id, side_px, in_grey)


class PageEnd(Exception):  # noqa: N818 - it is no error
    """Raised by `end_page`; whoever runs the page catches it, and goes on with what stands beside the page."""


def end_page() -> NoReturn:
    """Leave the page as it is, which has said what it lacks; `st.stop` would keep the sidebar from being finished."""
    raise PageEnd
