"""A data folder as it is once the demo was scored and measured: most pages begin there."""

from functools import cache
from pathlib import Path

import pytest

from images.image_set import ImageSet
from jobs.results import ResultStore
from models.store import ModelStore
from parallax.sources import open_models
from suggestion import activations, scoring


def score_demo(folder: Path, images: ImageSet) -> Path:
    """The demo models' predictions on `images`, and the activations of two models that pages measure first."""
    model_store, store = ModelStore(folder), ResultStore(folder / "results", 10**9)
    cards = open_models(model_store, "demo")
    decoded = cache(images.image)  # five times takes as long as all forward passes
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ImageSet, "image", lambda _, index: decoded(index))
        scoring.score(model_store, cards, images, folder / "predictions")
        for card in (cards[0], cards[3]):
            for layer in (None, card.default_layer):
                activations.measure(model_store, card, images, layer, store)
    return folder
