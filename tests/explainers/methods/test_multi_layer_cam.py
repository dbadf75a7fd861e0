"""Grad-CAM over several layers: each as if alone, and together by hand."""

import dataclasses
import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from common.errors import InputError
from explainers.methods.cam import GradCAM
from explainers.methods.guided import GuidedGradCAM
from explainers.methods.multi_layer_cam import (
    ALIKE,
    LayerMap,
    MultiLayerGradCAM,
    aggregate,
    default_layers,
    guided_reason,
    reason,
    spatial_layers,
)
from explainers.multi_layer import MultiLayerRequest
from explainers.output import Output
from explainers.results import Sources, compute_missing
from images.image_set import ImageSet
from jobs.results import ResultStore
from tests.explainers.nets import NETS, add, normalised, pictures, seeded, silent, state_of

TARGETS = torch.tensor([2, 0])

#: Layers of three resolutions each, where the net has them.
LAYERS = {
    "plain": ("0", "2", "5"),
    "resnet": ("act1", "layer1", "layer2.0.conv1", "layer3"),
    "reused": ("stem", "second", "relu"),
    "vit": ("blocks.0.norm1", "blocks.0", "blocks.1.norm1"),
    "swin": ("layers.0", "layers.1.blocks.0.norm1", "norm"),
}


def alone(model, name, method=GradCAM):
    """The layer's map by the method for one layer."""
    return method().attribute(model, normalised(), TARGETS, method.Params(layer=name), silent)


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6 * float(np.abs(expected).max()))


@pytest.mark.parametrize("net", LAYERS)
def test_one_pass_gives_every_layer_the_map_that_it_gets_alone(model_store, net):
    module = seeded(NETS[net])
    card = add(model_store, module)
    before = state_of(module)
    with model_store.borrow(card) as model:
        found = reason(model, normalised(), TARGETS, LAYERS[net])
        assert [layer.layer for layer in found.layers] == sorted(LAYERS[net], key=lambda name: card.layer(name).order)
        for layer in found.layers:
            assert layer.maps.shape[1:] == card.layer(layer.layer).spatial
            close(layer.maps.numpy(), alone(model, layer.layer).numpy())
        assert any(layer.maps.any() for layer in found.layers)
        assert torch.allclose(found.scores, model.logits(normalised()).gather(1, TARGETS[:, None])[:, 0], atol=1e-5)
        assert state_of(module) == before


def test_one_pass_is_one_forward_pass(model_store):
    module, n_passes = seeded(NETS["plain"]), 0

    def count(*_):
        nonlocal n_passes
        n_passes += 1

    with model_store.borrow(add(model_store, module)) as model:
        handle = module.register_forward_hook(count)
        reason(model, normalised(), TARGETS, LAYERS["plain"])
        handle.remove()
    assert n_passes == 1


def test_a_single_layer_is_its_grad_cam_times_its_cells(model_store):
    with model_store.borrow(add(model_store, seeded(NETS["plain"]))) as model:
        method = MultiLayerGradCAM()
        together = method.attribute(model, normalised(), TARGETS, method.Params(layers="5"), silent)
        coarse = alone(model, "5")
    assert coarse.any()
    expected = F.interpolate(coarse[:, None] * 16 * 16, (32, 32), mode="bilinear")[:, 0]
    close(together.numpy(), expected.numpy())


@pytest.mark.parametrize("name", ["second", "stem"])
def test_the_last_two_layers_are_sharpened_as_guided_grad_cam_does(model_store, name):
    with model_store.borrow(add(model_store, seeded(NETS["reused"]))) as model:
        layers = reason(model, normalised(), TARGETS, ("stem", "second", "first"), guided=True).layers
        assert [layer.guided is not None for layer in layers] == [False, True, True]
        for layer in layers[1:]:
            close(layer.guided.numpy(), alone(model, layer.layer, method=GuidedGradCAM).numpy())
        assert layers[2].guided.any()
        (only,) = reason(model, normalised(), TARGETS, (name,), guided=True).layers
        close(only.guided.numpy(), alone(model, name, method=GuidedGradCAM).numpy())


@pytest.mark.parametrize("net", ["vit", "torchvision vit", "swin", "convnext"])
def test_other_nets_than_those_of_relus_say_why_nothing_is_guided(model_store, net):
    module = seeded(NETS[net])
    card = add(model_store, module, net)
    method = MultiLayerGradCAM()
    with model_store.borrow(card) as model:
        maps = method.attribute(model, normalised(), TARGETS, method.Params(), silent)
        assert maps.shape == (2, 32, 32)
        assert "GELU" in guided_reason(card)
        with pytest.raises(InputError, match="GELU"):
            method.attribute(model, normalised(), TARGETS, method.Params(guided=True), silent)


def two_layers():
    """A 1 × 1 and a 2 × 2 map over a picture of 2 × 2 pixels, and a third that found nothing."""
    coarse = torch.tensor([[[3.0]]])
    fine = torch.tensor([[[1.0, 0.0], [0.0, 0.5]]])
    return [LayerMap("a", fine), LayerMap("b", coarse), LayerMap("c", torch.zeros(1, 2, 2))]


def test_layers_come_together_by_what_they_found_on_whatever_grid():
    """The finer map's cells are a quarter of the picture each: 4 · fine, and 1 · coarse."""
    layers = two_layers()
    mean = aggregate(layers, (2, 2))
    np.testing.assert_allclose(mean[0], np.array([[7, 3], [3, 5]]) / 3, rtol=1e-6)
    largest = aggregate(layers, (2, 2), how="max")
    np.testing.assert_allclose(largest[0], [[4, 3], [3, 3]])
    found = sum(float(layer.maps.sum()) for layer in layers)
    assert float(mean.mean()) == pytest.approx(found / 3), "the mean over the picture is what the layers found"


def test_layers_weighed_alike_each_reach_one_and_nothing_stays_nothing():
    layers = two_layers()
    mean = aggregate(layers, (2, 2), weigh=ALIKE)
    np.testing.assert_allclose(mean[0], np.array([[2, 1], [1, 1.5]]) / 3)
    hum = LayerMap("d", torch.full((1, 2, 2), 1e-7))
    np.testing.assert_allclose(aggregate([*layers[:2], hum], (2, 2), weigh=ALIKE), mean)
    assert not aggregate([layers[2]], (2, 2), weigh=ALIKE).any()


def test_guided_backprop_moves_what_a_layer_found_but_adds_nothing():
    guided = torch.tensor([[[0.0, -2.0], [0.0, 0.0]]])
    (fine, *_) = two_layers()
    sharp = aggregate([fine._replace(guided=guided)], (2, 2))
    np.testing.assert_allclose(sharp[0], [[0, 6], [0, 0]])
    assert not aggregate([fine._replace(guided=torch.zeros(1, 2, 2))], (2, 2)).any()


def test_smoothing_is_a_gaussian_that_keeps_the_sum():
    point = torch.zeros(1, 65, 65)
    point[0, 32, 32] = 1
    blurred = aggregate([LayerMap("a", point)], (65, 65), smoothing=0.04)[0] / 65**2
    sigma = 0.04 * 65
    x = np.arange(65) - 32
    line = np.exp(-0.5 * (x / sigma) ** 2) / np.exp(-0.5 * (np.arange(-8, 9) / sigma) ** 2).sum()
    line[np.abs(x) > 8] = 0
    np.testing.assert_allclose(blurred, np.outer(line, line), atol=1e-7)
    assert float(blurred.sum()) == pytest.approx(1, abs=1e-5)


class SideBranch(nn.Module):
    """Computes something that its answer does not use."""

    def __init__(self):
        super().__init__()
        self.first, self.side, self.head = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Linear(4, 4)

    def forward(self, x):
        x = self.first(x).relu()
        self.side(x)
        return self.head(x.mean((2, 3)))


def test_a_layer_that_the_score_does_not_depend_on_is_refused_in_one_line_but_is_no_default(model_store):
    module = seeded(SideBranch)
    card = add(model_store, module)
    before = state_of(module)
    with model_store.borrow(card) as model:
        with pytest.raises(InputError, match="'side'") as caught:
            reason(model, normalised(), TARGETS, ("first", "side"))
        assert "\n" not in str(caught.value)
        assert state_of(module) == before
        assert [layer.layer for layer in reason(model, normalised(), TARGETS).layers] == ["first"]
        with pytest.raises(InputError, match="spatial extent"):
            reason(model, normalised(), TARGETS, ("head",))
        with pytest.raises(InputError, match="at least one layer"):
            reason(model, normalised(), TARGETS, ())
        with pytest.raises(InputError, match="Did you mean first"):
            reason(model, normalised(), TARGETS, ("frist",))
        assert state_of(module) == before


def test_layers_behind_an_explained_unit_are_left_out_of_the_default(model_store):
    with model_store.borrow(add(model_store, seeded(NETS["plain"]))) as model:
        assert default_layers(model.card) == ("2", "5")
        unit = Output("unit", "4").of(model)
        assert [layer.layer for layer in reason(unit, normalised(), TARGETS).layers] == ["2"]


@pytest.mark.parametrize("net", NETS)
def test_default_layers_are_spread_over_the_depth_and_end_with_the_default(model_store, net):
    card = add(model_store, seeded(NETS[net]))
    names = default_layers(card)
    orders = [card.layer(name).order for name in names]
    assert orders == sorted(set(orders))
    assert 1 <= len(names) <= 5
    assert names[-1] == card.default_layer
    assert set(names) <= {layer.name for layer in spatial_layers(card)}


def test_default_layers_of_known_nets(model_store):
    assert default_layers(add(model_store, seeded(NETS["resnet"]))) == ("act1", "layer1", "layer2", "layer3")
    assert default_layers(add(model_store, seeded(NETS["vit"]))) == ("blocks.0.norm1", "blocks.1.norm1")


def test_attention_heads_are_no_grid_over_the_picture(model_store):
    card = add(model_store, seeded(NETS["vit"]))
    heads = "blocks.0.attn.q_norm"
    assert card.layer(heads).spatial is None
    assert heads not in {layer.name for layer in spatial_layers(card)}


def test_layers_may_be_written_with_commas(model_store):
    params = MultiLayerGradCAM.Params
    assert params(layers=" 2, 5 ") == params(layers=("2", "5"))
    assert params(layers="") == params()


@pytest.fixture
def store(tmp_path):
    return ResultStore(tmp_path / "results", 10**9)


@pytest.fixture
def images():
    return Pictures(pictures(2))


class Pictures(ImageSet):
    """Pictures in memory."""

    def __init__(self, arrays):
        object.__setattr__(self, "arrays", arrays)

    def index(self, image_id):
        return "ab".index(image_id)

    def image(self, index):
        return self.arrays[index]


def test_requests_are_found_again_and_one_that_fails_costs_no_other(model_store, store, images):
    card = add(model_store, seeded(NETS["plain"]))
    good, bad = MultiLayerRequest(card, "a", ("5", "0"), 1, guided=True), MultiLayerRequest(card, "a", ("8",), 1)
    far = MultiLayerRequest(card, "b", ("5",), 99)
    failures = {}
    compute_missing(Sources(model_store, store, images), [bad, far, good], failures)
    assert set(failures) == {bad.key, far.key}
    assert all("\n" not in line for line in failures.values())
    found = good.load(store)
    assert found.layers == ("0", "5")
    assert found.size == (32, 32)
    with model_store.borrow(card) as model:
        inputs = model.normalise(card.preprocessing.crop(images.image(0))[None])
        layers, scores = reason(model, inputs, torch.tensor([1]), ("0", "5"), guided=True)
    for position, layer in enumerate(layers):
        np.testing.assert_array_equal(found.maps[position], layer.maps[0])
        np.testing.assert_array_equal(found.guided[layer.layer], layer.guided[0])
    assert found.score == pytest.approx(float(scores[0]))
    close(found.aggregate("max", smoothing=0.02), aggregate(layers, (32, 32), "max", smoothing=0.02)[0].numpy())
    for name, evidence in zip(found.layers, found.evidence(), strict=True):
        assert found.density(name).shape == (32, 32), "guided at the size of the input"
        assert float(found.density(name).mean()) == pytest.approx(evidence, rel=1e-4)
    assert bad.load(store) is None


def test_equal_questions_have_equal_keys_and_others_do_not(model_store):
    card = add(model_store, seeded(NETS["plain"]))
    request = MultiLayerRequest(card, "a", ("5", "0"), 1)
    assert request.key == dataclasses.replace(request, layers=("0", "5")).key
    others = [{"layers": ("5",)}, {"image_id": "b"}, {"target": 2}, {"guided": True}, {"output": Output("probability")}]
    assert len({request.key, *(dataclasses.replace(request, **change).key for change in others)}) == 1 + len(others)
    json.dumps(request.key)
