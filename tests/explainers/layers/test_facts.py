"""What is kept of a model's layers, and maps that are found again."""

import io

import numpy as np
import pytest
from torch import nn

from explainers.layers import facts, keeping
from explainers.layers.keeping import Asked
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


def test_graph_and_kernels_are_kept_and_found_again(model_store, store):
    card = add(model_store, seeded(NETS["resnet"]), "resnet")
    assert facts.find_network(store, card) is None
    assert facts.find_kernels(store, card) is None
    facts.work_out(model_store, store, card)
    with model_store.borrow(card) as model:
        assert facts.find_network(store, card) == facts.network(model)
        weight = model.module.get_submodule("conv1").weight.numpy()
    kernels = facts.find_kernels(store, card)
    assert kernels.layer == "conv1"
    np.testing.assert_array_equal(kernels.weights, weight)


def test_a_model_without_a_convolution_is_told_so_and_has_its_graph_all_the_same(model_store, store):
    dense = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 4))
    card = add(model_store, seeded(lambda: dense), "dense")
    with model_store.borrow(card) as model, one_line("a model with a convolution", "dense"):
        facts.first_kernels(model)
    facts.work_out(model_store, store, card)
    assert facts.find_kernels(store, card).layer == ""
    assert len(facts.find_network(store, card).nodes) == 4


def test_maps_are_worked_out_once_and_what_fails_costs_nothing_else(model_store, store, images):
    card = add(model_store, seeded(NETS["plain"]), "plain")
    asked = [Asked(card, images.ids[row], layer) for row in range(2) for layer in ("0", "no such", "8")]
    failures: dict[str, str] = {}
    steps = []
    keeping.work_out(model_store, store, images, asked, failures, lambda done, total: steps.append((done, total)))
    assert steps[-1] == (6, 6)
    assert list(failures) == [asked[1].key, asked[4].key]
    assert "a layer of plain" in failures[asked[1].key]
    assert keeping.find(store, asked[0]).shape == (8, 32, 32)
    assert keeping.find(store, asked[2]).shape == (4,)
    before = keeping.find(store, asked[0])
    model_store._modules.clear()  # a second look needs no model
    keeping.work_out(model_store, store, images, asked, failures)
    np.testing.assert_array_equal(keeping.find(store, asked[0]), before)


def test_values_that_are_not_finite_are_said_and_not_kept(model_store, store, images):
    module = seeded(NETS["plain"])
    card = add(model_store, module, "plain")
    module.get_submodule("0").bias[:] = float("nan")
    failures: dict[str, str] = {}
    keeping.work_out(model_store, store, images, [Asked(card, images.ids[0], "0")], failures)
    (reason,) = failures.values()
    assert "finite values in 0" in reason
    assert Asked(card, images.ids[0], "0").key not in store
