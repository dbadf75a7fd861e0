"""What every method owes every net: a map of the right shape, the same each time, and the model as it was."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from common.errors import InputError
from explainers.base import Need
from explainers.output import CLASS_SCORE, Output
from explainers.registry import METHODS
from models.store import ModelStore
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
    "prediction-difference": {"window": 8, "stride": 8, "samples": 2},
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


#: Seeds of nets, 0 by default. With 0, the units of the mobile net's last layer, which has no ReLU, are negative on
#: average, and Score-CAM's weights, which are positive, make no map of them.
SEEDS = {"mobile": 2}


@pytest.fixture(scope="module")
def cards(tmp_path_factory):
    return tmp_path_factory.mktemp("cards")


@pytest.fixture
def model_store(cards):
    """Each net is looked at once, not once for each method."""
    return ModelStore(cards, device="cpu")


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


def likely(model, output=CLASS_SCORE, images=2):
    """The column of the highest score of each picture: one for which there is evidence to show."""
    with torch.no_grad():
        crops = np.stack([model.card.preprocessing.crop(image) for image in pictures(images)])
        return output.of(model).scores(model.normalise(crops)).argmax(1).tolist()


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("name", METHODS)
def test_method_keeps_its_contract(model_store, name, net):
    method, module = METHODS[name], seeded(NETS[net], SEEDS.get(net, 0))
    card = add(model_store, module, net)
    if net in REFUSED.get(name, ()):
        assert card.name in method.applies(card)
        with model_store.borrow(card) as model, pytest.raises(InputError, match=card.name):
            method.explain(model, pictures(), ["a", "b"], [0, 1])
        return
    assert method.applies(card) is None
    before = state_of(module)
    with model_store.borrow(card) as model:
        model, targets = prepared(method, model), likely(model)
        maps = method.explain(model, pictures(), ["a", "b"], targets, settings_for(method)).maps
        assert state_of(module) == before
        if NETS[net] is simple_net(name):  # once for each method; for two nets also in test_concurrency
            again = method.explain(model, pictures(), ["a", "b"], targets, settings_for(method)).maps
            assert np.array_equal(maps, again)
    assert maps.dtype == np.float32
    assert maps.shape in {(2, 32, 32), (2, *card.layer().spatial)}
    assert np.isfinite(maps).all()
    assert np.ptp(maps, (1, 2)).all(), "a map of one value shows nothing"
    assert method.signed or maps.min() >= 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_half_and_double_models_are_explained_as_the_float_model_that_they_become(model_store, dtype):
    method = METHODS["deeplift"]
    card = add(model_store, seeded(NETS["plain"]).to(dtype))
    with model_store.borrow(card) as model:
        maps = method.explain(model, pictures(), ["a", "b"], [0, 3]).maps
    assert maps.dtype == np.float32
    assert np.ptp(maps) > 0


@pytest.mark.parametrize("name", METHODS)
def test_a_one_channel_model_gets_its_maps(model_store, name):
    method = METHODS[name]
    card = add(model_store, seeded(lambda: grey(px=32), seed=1), channels=1)
    with model_store.borrow(card) as model:
        model = prepared(method, model, channels=1)
        if (reason := method.applies(card)) is not None:
            assert card.name in reason
            return
        maps = method.explain(model, pictures(), ["a", "b"], likely(model), settings_for(method)).maps
    assert np.isfinite(maps).all()
    assert np.ptp(maps, (1, 2)).all()


@pytest.mark.parametrize("output", [Output("probability"), Output("unit", "4", (3, 5))], ids=str)
@pytest.mark.parametrize("name", METHODS)
def test_a_probability_and_any_unit_can_be_explained_or_the_reason_is_given(model_store, name, output):
    method, module = METHODS[name], seeded(simple_net(name))
    card = add(model_store, module)
    with model_store.borrow(card) as model:
        model = prepared(method, model)
        params = settings_for(method)
        if output.kind not in method.outputs:
            with pytest.raises(InputError, match=output.kind):
                method.explain(model, pictures(), ["a", "b"], [0, 3], params, output=output)
            return
        if hasattr(params, "layer") and output.layer:
            params = replace(params, layer="2")  # a layer before the unit
        maps = method.explain(model, pictures(), ["a", "b"], likely(model, output), params, output=output).maps
    assert np.isfinite(maps).all()
    assert np.ptp(maps, (1, 2)).all()


@pytest.mark.parametrize("name", METHODS)
def test_a_map_depends_on_its_own_image_alone(model_store, name):
    method = METHODS[name]
    card = add(model_store, seeded(simple_net(name)))
    with model_store.borrow(card) as model:
        model, targets = prepared(method, model), likely(model, images=3)
        together = method.explain(model, pictures(3), list("abc"), targets, settings_for(method)).maps
        alone = method.explain(model, pictures(3)[2:], ["c"], targets[2:], settings_for(method)).maps
    np.testing.assert_allclose(together[2:], alone, atol=1e-5 * np.abs(alone).max())


@pytest.mark.parametrize("output", [CLASS_SCORE, Output("probability"), Output("unit", "4")], ids=str)
def test_a_target_that_is_no_column_is_refused_in_one_line(model_store, output):
    method = METHODS["saliency"]
    with model_store.borrow(add(model_store, seeded(NETS["plain"]))) as model:
        with pytest.raises(InputError, match=r"unit|class") as caught:
            method.explain(model, pictures(), ["a", "b"], [0, 99], output=output)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", METHODS)
def test_model_comes_back_after_a_bad_target_a_failing_forward_and_a_stop(model_store, monkeypatch, name):
    method, module = METHODS[name], seeded(simple_net(name))
    card = add(model_store, module)
    last = module.get_submodule(card.layers[-2].name)
    before = state_of(module)

    def fail(*_args):
        raise RuntimeError("out of order")

    def stop(_done, _total):
        raise KeyboardInterrupt

    with model_store.borrow(card) as model:
        model, params = prepared(method, model), settings_for(method)
        if method.uses_target:
            with pytest.raises((RuntimeError, IndexError)):
                method.attribute(model, normalised(), torch.tensor([0, 99]), params, silent)
            assert state_of(module) == before
        with monkeypatch.context() as patch:
            patch.setattr(last, "forward", fail)
            with pytest.raises(RuntimeError, match="out of order"):
                method.attribute(model, normalised(), torch.tensor([0, 1]), params, silent)
        assert state_of(module) == before
        with pytest.raises(KeyboardInterrupt):
            method.explain(model, pictures(), ["a", "b"], [0, 1], params, stop)
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
