import io

import numpy as np
import pytest
import torch

from images.intake import from_files
from jobs.results import ResultStore
from models.layers import capture
from suggestion import activations
from suggestion.activations import extremes
from tests.makers import SIDE_PX, encoded, picture


@pytest.fixture
def images(tmp_path):
    files = [(f"{n}.png", io.BytesIO(encoded(picture(SIDE_PX, SIDE_PX, seed=n)))) for n in range(5)]
    return from_files(files, tmp_path / "data")


@pytest.fixture
def store(tmp_path):
    return ResultStore(tmp_path / "results", 10**9)


def test_units_and_scores_are_those_of_the_model_on_every_image(model_store, tiny_card, images, store):
    for layer in ("3", None):
        assert not activations.through(tiny_card, images, layer, store)
        activations.measure(model_store, tiny_card, images, layer, store)
        assert activations.through(tiny_card, images, layer, store)
    crops = np.stack([tiny_card.preprocessing.crop(images.image(row)) for row in range(5)])
    with model_store.borrow(tiny_card) as model, torch.no_grad(), capture(model.layer("3")) as outputs:
        scores = model.logits(model.normalise(crops))
        units = outputs[model.layer("3")].mean((2, 3))
    np.testing.assert_allclose(activations.measured(tiny_card, images, "3", store), units, atol=1e-6)
    np.testing.assert_allclose(activations.measured(tiny_card, images, None, store), scores, atol=1e-6)


def test_an_image_that_is_lost_has_no_activations_until_it_is_back(model_store, tiny_card, images, store):
    content = images.paths[2].read_bytes()
    images.paths[2].unlink()
    for layer in ("3", None):
        activations.measure(model_store, tiny_card, images, layer, store)
        assert activations.through(tiny_card, images, layer, store)
        lost = np.isnan(activations.measured(tiny_card, images, layer, store)).all(axis=1)
        assert lost.tolist() == [False, False, True, False, False]
    images.paths[2].write_bytes(content)
    assert not activations.through(tiny_card, images, "3", store)
    activations.measure(model_store, tiny_card, images, "3", store)
    assert np.isfinite(activations.measured(tiny_card, images, "3", store)).all()


def test_the_most_and_least_exciting_come_outermost_first():
    most, least = extremes(np.array([3.0, 1.0, 4.0, 1.5, 9.0, 2.0]), 2)
    assert most.tolist() == [4, 2]
    assert least.tolist() == [1, 3]


def test_no_image_excites_both_most_and_least_and_nan_neither():
    most, least = extremes(np.array([3.0, np.nan, 1.0, 2.0]), 2)
    assert most.tolist() == [0, 3]
    assert least.tolist() == [2]
    most, least = extremes(np.array([np.nan]), 2)
    assert not most.size
    assert not least.size
