"""Apps without a browser, over the demo as a visitor finds it, or as it is once it was scored and measured."""

from __future__ import annotations

import shutil

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from images.paintings import demo_image_set
from jobs.results import ResultStore
from models.store import ModelStore
from parallax.sources import open_models
from suggestion import activations, scoring
from tests.pages.apps import APP


@pytest.fixture(scope="session")
def demo_scored(tmp_path_factory):
    """A data folder with the demo's predictions, and the activations that pages measure first."""
    folder = tmp_path_factory.mktemp("demo")
    images, model_store, store = demo_image_set(folder), ModelStore(folder), ResultStore(folder / "results", 10**9)
    cards = open_models(model_store, "demo")
    scoring.score(model_store, cards, images, folder / "predictions")
    for card in (cards[0], cards[3]):
        for layer in (None, card.default_layer):
            activations.measure(model_store, card, images, layer, store)
    return folder


@pytest.fixture
def new_app():
    """The app on a server that was just started, for the first visitor."""
    st.cache_resource.clear()
    st.cache_data.clear()
    return AppTest.from_file(APP, default_timeout=120)


@pytest.fixture
def app(new_app, demo_scored, data_folder):
    """The same where the demo was scored before; it has been run."""
    shutil.copytree(demo_scored, data_folder, dirs_exist_ok=True)
    return new_app.run()
