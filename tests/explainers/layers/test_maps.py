"""What units answer: the layer's own output, in known orders."""

import numpy as np
import pytest
import torch
from torch import nn

from explainers.layers.maps import NUMBER, PEAK, check_layer, comparable, difference, order, strength, unit_maps
from tests.explainers.nets import NETS, add, grey, normalised, seeded, state_of
from tests.makers import one_line


@pytest.mark.parametrize("net", NETS)
def test_every_layers_maps_are_its_output_and_the_model_is_given_back_as_it_was(model_store, net):
    card = add(model_store, seeded(NETS[net]), net)
    inputs = normalised(1)
    layers = [layer for layer in card.layers if layer.n_units]
    with model_store.borrow(card) as model:
        before = state_of(model.module)
        outputs = {}
        handles = [
            model.layer(layer.name).register_forward_hook(
                lambda _m, _i, output, name=layer.name: outputs.update({name: output.detach().clone()})
            )
            for layer in layers
        ]
        with torch.no_grad():
            model.module(inputs)
        for handle in handles:
            handle.remove()
        found = [unit_maps(model, inputs, layer.name) for layer in layers]
        assert state_of(model.module) == before
    for layer, values in zip(layers, found, strict=True):
        assert values.dtype == np.float32
        assert len(values) == layer.n_units
        output = outputs[layer.name][0].numpy()
        if layer.spatial is None:
            assert values.shape == (layer.n_units,)
        elif layer.layout == "CHW":
            np.testing.assert_array_equal(values, output)
        elif layer.layout == "HWC":
            np.testing.assert_array_equal(values, output.transpose(2, 0, 1))
        else:
            np.testing.assert_array_equal(values.reshape(layer.n_units, -1), output[layer.n_prefix_tokens :].T)


def test_units_are_ordered_by_mean_by_peak_or_by_number():
    values = np.zeros((4, 2, 2), np.float32)
    values[1], values[2, 0, 0], values[3] = 1, 3, -1
    assert order(values).tolist() == [1, 2, 0, 3]
    assert order(values, PEAK).tolist() == [2, 1, 0, 3]
    assert order(values, NUMBER).tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(strength(values), [0, 1, 0.75, -1])
    assert order(np.array([1, 5, 5], np.float32)).tolist() == [1, 2, 0], "equal ones keep their own order"
    with one_line("strongest", "Did you mean peak"):
        order(values, "peek")


def test_where_two_models_differ_most_comes_from_the_mean_distance():
    first = np.zeros((3, 2, 2), np.float32)
    second = first.copy()
    second[1], second[2, 1, 1] = -1, 2
    assert difference(first, second).tolist() == [0, 1, 0.5]
    with one_line("(3, 2, 2)", "(3, 4, 4)"):
        difference(first, np.zeros((3, 4, 4), np.float32))


def test_models_whose_layers_do_not_match_are_told_why(model_store):
    plain = add(model_store, seeded(NETS["plain"]), "plain")
    other = add(model_store, seeded(NETS["plain"], seed=1), "other")
    assert comparable(plain, other, "2") is None
    assert "no layer called 2" in comparable(plain, add(model_store, seeded(NETS["resnet"]), "resnet"), "2")
    wider = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.Flatten(), nn.Linear(5 * 32 * 32, 4))
    assert "8 units in plain, and 5" in comparable(plain, add(model_store, seeded(lambda: wider), "wider"), "0")
    larger = add(model_store, seeded(NETS["functional"]), "larger", px=40)
    smaller = add(model_store, seeded(NETS["functional"]), "smaller")
    assert "38×38 in larger, and 30×30" in comparable(larger, smaller, "first")


def test_a_layer_that_is_none_gets_one_line(model_store):
    card = add(model_store, seeded(lambda: grey(16)), "grey", px=16, channels=1)
    assert check_layer(card, "0").n_units == 6
    with one_line("a layer of grey", "'conv'"):
        check_layer(card, "conv")
