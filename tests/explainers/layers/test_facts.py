"""What is kept of a model's layers, and maps that are found again."""

import io

import numpy as np
import pytest
from torch import nn

from explainers.layers.facts import FactsRequest, network
from explainers.layers.maps import UnitMapsRequest, unit_maps
from explainers.results import Sources, compute, compute_missing
from images.image_set import ImageSet
from images.intake import from_files
from jobs.results import ResultStore
from tests.explainers.nets import NETS, add, pictures, seeded
from tests.makers import encoded, one_line


@pytest.fixture
def store(tmp_path):
    return ResultStore(tmp_path / "results", 10**9)


@pytest.fixture
def images(tmp_path) -> ImageSet:
    files = [(f"{n}.png", io.BytesIO(encoded(picture))) for n, picture in enumerate(pictures(3))]
    return from_files(files, tmp_path / "data")


@pytest.fixture
def sources(model_store, store, images):
    return Sources(model_store, store, images)


def test_network_and_kernels_are_kept_and_found_again(sources, model_store, store):
    card = add(model_store, seeded(NETS["resnet"]), "resnet")
    found = compute(sources, FactsRequest(card))
    again = FactsRequest(card).load(ResultStore(store.folder, 10**9))
    with model_store.borrow(card) as model:
        assert again.network == found.network == network(model)
        weight = model.module.get_submodule("conv1").weight.numpy()
    assert again.layer == "conv1"
    np.testing.assert_array_equal(again.weights, weight)


def test_a_model_without_a_convolution_has_its_network_all_the_same(sources, model_store):
    dense = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 4))
    card = add(model_store, seeded(lambda: dense), "dense")
    found = compute(sources, FactsRequest(card))
    assert found.layer == ""
    assert len(found.network.nodes) == 4


def test_unit_maps_are_those_of_the_layer_and_what_is_no_layer_is_said(sources, model_store, images):
    card = add(model_store, seeded(NETS["plain"]), "plain")
    wanted = [UnitMapsRequest(card, images.ids[1], layer) for layer in ("0", "no such", "8")]
    failures: dict[str, str] = {}
    compute_missing(sources, wanted, failures)
    assert list(failures) == [wanted[1].key]
    assert "a layer of plain" in failures[wanted[1].key]
    with model_store.borrow(card) as model:
        inputs = model.normalise(images.image(1)[None])
        expected = [unit_maps(model, inputs, layer) for layer in ("0", "8")]
    for request, values in zip(wanted[::2], expected, strict=True):
        np.testing.assert_array_equal(request.load(sources.store), values)


def test_values_that_are_not_finite_are_said_and_not_kept(sources, model_store, images):
    module = seeded(NETS["plain"])
    request = UnitMapsRequest(add(model_store, module, "plain"), images.ids[0], "0")
    module.get_submodule("0").bias[:] = float("nan")
    with one_line("finite values in 0"):
        compute(sources, request)
    assert not request.finished(sources.store)
