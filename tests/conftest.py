"""What every test gets: a data folder of its own, and on request a model store with a tiny model in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from common import settings as settings_module
from models.store import ModelStore
from tests.makers import tiny_loaded


@pytest.fixture(autouse=True)
def data_folder(tmp_path, monkeypatch) -> Path:
    """Nothing that a test stores leaves its own folder, and nobody's parallax.toml changes a test."""
    folder = tmp_path / "data"
    monkeypatch.setenv("PARALLAX_DATA", str(folder))
    monkeypatch.setattr(settings_module, "FILE", tmp_path / "parallax.toml")
    settings_module.settings.cache_clear()
    yield folder
    settings_module.settings.cache_clear()


@pytest.fixture(scope="session")
def digits_scored(tmp_path_factory) -> tuple[Path, list[str]]:
    """A data folder with the digits, their nets and what these answer; and the nets' digests."""
    from images.digits import digits_image_set
    from parallax.sources import open_models
    from suggestion import scoring

    folder = tmp_path_factory.mktemp("digits")
    images, model_store = digits_image_set(folder), ModelStore(folder)
    cards = open_models(model_store, "digits")
    scoring.score(model_store, cards, images, folder / "predictions")
    return folder, [card.digest for card in cards]


@pytest.fixture(scope="session")
def demo_scored(tmp_path_factory) -> Path:
    """A data folder with the demo's predictions, and the activations of two models that pages measure first."""
    from images.paintings import demo_image_set
    from tests.scored import score_demo

    folder = tmp_path_factory.mktemp("demo")
    return score_demo(folder, demo_image_set(folder))


@pytest.fixture
def model_store(tmp_path):
    return ModelStore(tmp_path / "model_store", device="cpu")


@pytest.fixture
def tiny_card(model_store):
    return model_store.add(tiny_loaded())
