"""What every method owes every net: a map of the right shape, the same each time, and the model as it was."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from common.errors import InputError
from explainers.base import Need
from explainers.output import Output
from explainers.registry import METHODS
from tests.explainers.nets import NETS, add, grey, normalised, pictures, seeded, silent, state_of

#: A few passes only: what these settings change is tested elsewhere.
FAST = {
    "smoothgrad": {"samples": 3},
    "smoothgrad-squared": {"samples": 3},
    "vargrad": {"samples": 3},
    "gradient-shap": {"samples": 4},
    "deeplift-shap": {"draws": 1},
    "integrated-gradients": {"steps": 4},
    "occlusion": {"window": 0.25, "stride": 1.0},
    "score-cam": {"channels": 4},
    "prediction-difference": {"stride": 8, "samples": 2},
    "rise": {"masks": 100},
    "lime": {"segments": 9, "samples": 40},
    "kernel-shap": {"segments": 9, "samples": 60},
    "shapley-sampling": {"segments": 9, "permutations": 4},
}

OTHER_ACTIVATIONS = {"gated", "efficient", "convnext", "vit", "torchvision vit", "swin"}

NO_GLOBAL_ATTENTION = set(NETS) - {"vit", "torchvision vit"}

#: The nets that a method turns down by their card, with a reason.
REFUSED = {
    "guided-backprop": OTHER_ACTIVATIONS,
    "guided-grad-cam": OTHER_ACTIVATIONS,
    "deconvolution": OTHER_ACTIVATIONS,
    "attention-rollout": NO_GLOBAL_ATTENTION,
    "gradient-rollout": NO_GLOBAL_ATTENTION,
    "legrad": NO_GLOBAL_ATTENTION,
    "deep-taylor": OTHER_ACTIVATIONS,
    "pattern-net": set(NETS) - {"plain"},
    "pattern-attribution": set(NETS) - {"plain"},
}


#: Methods that show evidence for a class alone, of which a random net may have none; so do class activation maps.
MAY_BE_EMPTY = {"deep-taylor"}


def simple_net(name):
    """The simplest net that a method suits."""
    return NETS["vit" if Need.ATTENTION in METHODS[name].needs else "plain"]


def settings_for(method):
    return method.Params(**FAST.get(method.name, {}))


def prepared(method, model, channels=3):
    """The model with all that the method needs to learn from a data set."""
    if Need.DATA not in method.needs or method.applies(model.card):
        return model
    return replace(model, fitted=method.fit(model, [normalised(8, channels=channels, seed=5)], settings_for(method)))


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("name", METHODS)
def test_method_keeps_its_contract(model_store, name, net):
    method, module = METHODS[name], seeded(NETS[net])
    card = add(model_store, module, net)
    if net in REFUSED.get(name, ()):
        assert card.name in method.applies(card)
        with model_store.borrow(card) as model, pytest.raises(InputError, match=card.name):
            method.explain(model, pictures(), ["a", "b"], [0, 1])
        return
    assert method.applies(card) is None
    before = state_of(module)
    with model_store.borrow(card) as model:
        model = prepared(method, model)
        first = method.explain(model, pictures(), ["a", "b"], [0, 3], settings_for(method))
        again = method.explain(model, pictures(), ["a", "b"], [0, 3], settings_for(method))
        assert state_of(module) == before
    maps = first.maps
    assert maps.dtype == np.float32
    assert maps.shape in {(2, 32, 32), (2, *card.layer().spatial)}
    assert np.isfinite(maps).all()
    assert np.ptp(maps) > 0 or name in MAY_BE_EMPTY or method.family == "class activation"
    assert method.signed or maps.min() >= 0
    assert np.array_equal(maps, again.maps)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
@pytest.mark.parametrize("name", METHODS)
def test_half_and_double_models_are_explained_as_the_float_model_that_they_become(model_store, name, dtype):
    method = METHODS[name]
    card = add(model_store, seeded(simple_net(name)).to(dtype))
    with model_store.borrow(card) as model:
        maps = method.explain(prepared(method, model), pictures(), ["a", "b"], [0, 3], settings_for(method)).maps
    assert maps.dtype == np.float32
    assert np.isfinite(maps).all()


@pytest.mark.parametrize("name", METHODS)
def test_a_one_channel_model_gets_its_maps(model_store, name):
    method = METHODS[name]
    card = add(model_store, seeded(lambda: grey(px=32)), channels=1)
    with model_store.borrow(card) as model:
        model = prepared(method, model, channels=1)
        if (reason := method.applies(card)) is not None:
            assert card.name in reason
            return
        maps = method.explain(model, pictures(), ["a", "b"], [0, 3], settings_for(method)).maps
    assert np.isfinite(maps).all()


@pytest.mark.parametrize("output", [Output("probability"), Output("unit", "4"), Output("unit", "4", (3, 5))], ids=str)
@pytest.mark.parametrize("name", METHODS)
def test_a_probability_and_any_unit_can_be_explained_or_the_reason_is_given(model_store, name, output):
    method, module = METHODS[name], seeded(simple_net(name))
    card = add(model_store, module)
    before = state_of(module)
    with model_store.borrow(card) as model:
        model = prepared(method, model)
        params = settings_for(method)
        if output.kind not in method.outputs:
            with pytest.raises(InputError, match=output.kind):
                method.explain(model, pictures(), ["a", "b"], [0, 3], params, output=output)
            return
        if hasattr(params, "layer") and output.layer:
            params = replace(params, layer="2")  # a layer before the unit
        maps = method.explain(model, pictures(), ["a", "b"], [0, 3], params, output=output).maps
        with pytest.raises(InputError, match=r"unit|class"):
            method.explain(model, pictures(), ["a", "b"], [0, 99], params, output=output)
    assert np.isfinite(maps).all()
    assert np.ptp(maps) > 0 or name in MAY_BE_EMPTY
    assert state_of(module) == before


@pytest.mark.parametrize("name", METHODS)
def test_a_map_depends_on_its_own_image_alone(model_store, name):
    method = METHODS[name]
    card = add(model_store, seeded(simple_net(name)))
    with model_store.borrow(card) as model:
        model = prepared(method, model)
        together = method.explain(model, pictures(3), list("abc"), [0, 1, 2], settings_for(method)).maps
        alone = method.explain(model, pictures(3)[2:], ["c"], [2], settings_for(method)).maps
    np.testing.assert_allclose(together[2:], alone, atol=1e-5 * np.abs(alone).max())


@pytest.mark.parametrize("net", ["reused", "mobile"])
@pytest.mark.parametrize("name", METHODS)
def test_model_comes_back_after_a_bad_target(model_store, name, net):
    method, module = METHODS[name], seeded(NETS[net])
    card = add(model_store, module)
    before = state_of(module)
    if method.applies(card):
        pytest.skip("the method does not suit this net")
    with model_store.borrow(card) as model:
        model = prepared(method, model)
        with pytest.raises(InputError, match="class"):
            method.explain(model, pictures(), ["a", "b"], [0, 99])
        if method.uses_target:
            with pytest.raises((RuntimeError, IndexError)):
                method.attribute(model, normalised(), torch.tensor([0, 99]), settings_for(method), silent)
        assert state_of(module) == before


@pytest.mark.parametrize("net", ["reused", "mobile"])
@pytest.mark.parametrize("name", METHODS)
def test_model_comes_back_after_a_failing_forward(model_store, monkeypatch, name, net):
    method, module = METHODS[name], seeded(NETS[net])
    card = add(model_store, module)
    last = module.get_submodule(card.layers[-2].name)
    before = state_of(module)

    def fail(*_args):
        raise RuntimeError("out of order")

    if method.applies(card):
        pytest.skip("the method does not suit this net")
    with model_store.borrow(card) as model:
        model = prepared(method, model)
        with monkeypatch.context() as patch:
            patch.setattr(last, "forward", fail)
            with pytest.raises(RuntimeError, match="out of order"):
                method.attribute(model, normalised(), torch.tensor([0, 1]), settings_for(method), silent)
        assert state_of(module) == before


@pytest.mark.parametrize("name", METHODS)
def test_cancelling_leaves_the_model_as_it_was(model_store, name):
    method, module = METHODS[name], seeded(simple_net(name))
    card = add(model_store, module)
    before = state_of(module)

    def cancel(_done, _total):
        raise KeyboardInterrupt

    with model_store.borrow(card) as model:
        model = prepared(method, model)
        with pytest.raises(KeyboardInterrupt):
            method.explain(model, pictures(), ["a", "b"], [0, 1], settings_for(method), cancel)
        assert state_of(module) == before


LAYER_METHODS = [name for name, method in METHODS.items() if "layer" in method.Params.__dataclass_fields__]


@pytest.mark.parametrize("name", LAYER_METHODS)
def test_layer_without_extent_is_refused_in_one_line(model_store, name):
    method = METHODS[name]
    card = add(model_store, seeded(NETS["plain"]))
    with model_store.borrow(card) as model:
        for layer, message in (("8", "spatial extent"), ("nowhere", "a layer of net")):
            with pytest.raises(InputError, match=message) as caught:
                method.explain(model, pictures(), ["a", "b"], [0, 1], method.Params(layer=layer))
            assert "\n" not in str(caught.value)


@pytest.mark.parametrize("layer", ["0", "1", "2", "3"])
def test_maps_of_a_layer_look_at_any_spatial_layer(model_store, layer):
    card = add(model_store, seeded(NETS["plain"]))
    with model_store.borrow(card) as model:
        for name in sorted({*LAYER_METHODS} - {"guided-grad-cam"}):
            method = METHODS[name]
            maps = method.explain(model, pictures(), ["a", "b"], [0, 1], method.Params(layer=layer)).maps
            assert maps.shape[1:] == card.layer(layer).spatial
