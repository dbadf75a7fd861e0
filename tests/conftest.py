"""What every test gets: a data folder of its own, and on request a model store with a tiny model in it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

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


def made_once(factory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that `make` fills, once for all workers of a run."""
    root = factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    folder, made = root / name, root / f"{name}.made"
    with FileLock(root / f"{name}.lock"):
        if not made.exists():
            make(folder)
            made.touch()
    return folder


@pytest.fixture(scope="session")
def digits_scored(tmp_path_factory) -> tuple[Path, list[str]]:
    """A data folder with the digits, their nets and what these answer; and the nets' digests."""
    from images.digits import digits_image_set
    from parallax.sources import open_models
    from suggestion import scoring

    def make(folder: Path) -> None:
        images, model_store = digits_image_set(folder), ModelStore(folder)
        scoring.score(model_store, open_models(model_store, "digits"), images, folder / "predictions")

    folder = made_once(tmp_path_factory, "digits", make)
    return folder, [card.digest for card in open_models(ModelStore(folder), "digits")]


@pytest.fixture(scope="session")
def demo_scored(tmp_path_factory) -> Path:
    """A data folder with the demo's predictions, and the activations of two models that pages measure first."""
    from images.paintings import demo_image_set
    from tests.scored import score_demo

    return made_once(tmp_path_factory, "demo", lambda folder: score_demo(folder, demo_image_set(folder)))


@pytest.fixture
def model_store(tmp_path):
    return ModelStore(tmp_path / "model_store", device="cpu")


@pytest.fixture
def tiny_card(model_store):
    return model_store.add(tiny_loaded())
