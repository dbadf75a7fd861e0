"""The model forgets, layer by layer: what changes, what must not, and what maps make of it."""

import numpy as np
import pytest
import torch
from torch import nn

from common.errors import InputError
from explainers.base import Explainer, ExplainerParams, Need
from explainers.evaluation.faithfulness import explained_by
from explainers.evaluation.randomisation import (
    KEEPS,
    cascade,
    layers_from_output,
    randomisation_check,
    randomised,
    rank_correlation,
)
from explainers.methods.cam import GradCAM
from explainers.methods.gradient import Saliency
from tests.explainers.nets import NETS, add, normalised, pictures, seeded, state_of

PARAMS = ExplainerParams()


class Edges(Explainer):
    """The picture's edges: a map that looks like an explanation and knows nothing of the model."""

    name, title, family, signed = "edges", "Edges", "test", True
    question, reference = "?", "-"

    def attribute(self, model, inputs, targets, params, progress):
        return (inputs - inputs.roll(1, 3)).sum(1)


class Choosy(Edges):
    """Fails on every model but the one that was learnt."""

    def attribute(self, model, inputs, targets, params, progress):
        maps = super().attribute(model, inputs, targets, params, progress)
        return maps if "random" not in model.card.digest else maps / 0


class Fitted(Edges):
    """Shows what was fitted."""

    needs = frozenset({Need.DATA})

    def attribute(self, model, inputs, targets, params, progress):
        return torch.as_tensor(model.fitted["pattern"]).expand(len(inputs), -1, -1)


@pytest.mark.parametrize("net", NETS)
def test_the_cascade_leaves_the_borrowed_model_untouched(model_store, net):
    module = seeded(NETS[net])
    card, before = add(model_store, module), state_of(module)
    with model_store.borrow(card) as model:
        found = cascade(explained_by(Saliency(), [0, 1], PARAMS), model, pictures(), stages=3)
        assert state_of(module) == before
    assert found[0].layer == ""
    assert len(found) == 4
    assert all(stage.maps.shape == (2, 32, 32) for stage in found)
    assert not np.array_equal(found[0].maps, found[-1].maps)


@pytest.mark.parametrize("net", NETS)
def test_in_the_end_every_learnt_weight_is_another_one(model_store, net):
    module = seeded(NETS[net])
    with model_store.borrow(add(model_store, module)) as model:
        *_, (_, last) = randomised(model, 6)
        random = dict(last.module.named_parameters())
        inputs = normalised()
        assert torch.isfinite(last.logits(inputs)).all()
    for name, parameter in module.named_parameters():
        if parameter.unique().numel() > 3:  # nothing was learnt where all values are the same
            assert not torch.equal(parameter, random[name]), name


def test_layers_are_forgotten_from_the_output_down(model_store):
    module = seeded(NETS["plain"])
    with model_store.borrow(add(model_store, module)) as model:
        names = []
        for name, random in randomised(model, 10):
            names.append(name)
            kept = [
                own
                for own, child in module.named_children()
                if list(child.parameters())
                and torch.equal(child.weight, random.module.get_submodule(own).weight)
                and own not in names
            ]
            assert kept == [own for own in ("0", "1", "4", "8") if own not in names]
    assert names == ["8", "4", "1", "0"]


def test_a_deep_net_forgets_in_a_few_even_stages(model_store):
    with model_store.borrow(add(model_store, seeded(NETS["resnet"]))) as model:
        names = [name for name, _ in randomised(model, 6)]
        layers = layers_from_output(model.module, normalised())
    assert len(names) == 6
    assert names[-1] == layers[-1] == "conv1"
    places = [layers.index(name) for name in names]
    assert np.ptp(np.diff([-1, *places])) <= 1


def test_own_parameters_of_the_whole_model_are_forgotten_last(model_store):
    with model_store.borrow(add(model_store, seeded(NETS["vit"]))) as model:
        layers = layers_from_output(model.module, normalised())
    assert layers[0] == "head"
    assert layers[-1] == ""
    assert layers.index("blocks.1.attn.qkv") < layers.index("blocks.0.mlp.fc1") < layers.index("patch_embed.proj")


def test_random_weights_are_those_of_an_untaught_net(model_store):
    wide = nn.Sequential(nn.Conv2d(3, 256, 3), nn.BatchNorm2d(256), nn.ReLU(), nn.Flatten(), nn.Linear(256 * 900, 4))
    with model_store.borrow(add(model_store, seeded(lambda: wide))) as model:
        *_, (_, last) = randomised(model, 6)
    convolution, norm = last.module[0], last.module[1]
    assert convolution.weight.std().item() == pytest.approx((2 / 27) ** 0.5, rel=0.05)
    assert not convolution.bias.any()
    assert (norm.running_mean == 0).all()
    assert (norm.running_var == 1).all()
    assert (norm.weight == 1).all()


def test_the_same_seed_gives_the_same_cascade_and_another_seed_another(model_store):
    with model_store.borrow(add(model_store, seeded(NETS["plain"]))) as model:
        torch.manual_seed(1)
        first, again, other = (
            cascade(explained_by(Saliency(), [0, 1], PARAMS), model, pictures(), stages=2, seed=seed)[-1].maps
            for seed in (0, 0, 1)
        )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_global_random_state_is_left_alone(model_store):
    with model_store.borrow(add(model_store, seeded(NETS["plain"]))) as model:
        before = torch.get_rng_state()
        cascade(explained_by(Saliency(), [0, 1], PARAMS), model, pictures())
        assert torch.equal(before, torch.get_rng_state())


def check(model, method, params=PARAMS):
    maps = method.explain(model, pictures(4), list("abcd"), [0, 1, 2, 3], params).maps
    return randomisation_check(explained_by(method, [0, 1, 2, 3], params), model, pictures(4), maps)


def test_a_map_that_knows_nothing_of_the_model_keeps_its_picture(model_store):
    with model_store.borrow(add(model_store, seeded(NETS["plain"]))) as model:
        found = check(model, Edges())
    np.testing.assert_allclose(found[0], 1)


def test_saliency_notices_that_the_model_has_forgotten(model_store):
    with model_store.borrow(add(model_store, seeded(NETS["plain"]))) as model:
        found = check(model, Saliency())
    assert (np.abs(found[0]) < KEEPS).all()


def test_a_random_model_that_cannot_be_explained_is_said_so(model_store):
    with model_store.borrow(add(model_store, seeded(NETS["plain"]))) as model:
        stages = cascade(explained_by(Choosy(), [0, 1], PARAMS), model, pictures(), stages=2)
        found = check(model, Choosy())
    assert stages[0].maps is not None
    assert [stage.maps for stage in stages[1:]] == [None, None]
    assert "finite" in stages[1].reason
    assert np.isnan(found[0]).all()
    assert "finite" in found[1]


def test_running_out_of_memory_is_no_finding(model_store, monkeypatch):
    with model_store.borrow(add(model_store, seeded(NETS["plain"]))) as model:
        maps = Edges().explain(model, pictures(), ["a", "b"], [0, 1]).maps

        def scarce(*_args):
            raise RuntimeError("DefaultCPUAllocator: not enough memory")

        monkeypatch.setattr(Edges, "attribute", scarce)
        with pytest.raises(RuntimeError, match="memory"):
            randomisation_check(explained_by(Edges(), [0, 1], PARAMS), model, pictures(), maps)


def test_patterns_are_fitted_anew_where_there_is_a_way_to_and_kept_else(model_store):
    def fit(model):
        from dataclasses import replace

        seed = len(model.card.digest)  # a random model has a longer one
        return replace(model, fitted={"pattern": np.random.default_rng(seed).normal(size=(8, 8)).astype(np.float32)})

    with model_store.borrow(add(model_store, seeded(NETS["plain"]))) as model:
        model = fit(model)
        maps = Fitted().explain(model, pictures(), ["a", "b"], [0, 1]).maps
        kept = randomisation_check(explained_by(Fitted(), [0, 1], PARAMS), model, pictures(), maps)
        anew = randomisation_check(explained_by(Fitted(), [0, 1], PARAMS), model, pictures(), maps, prepare=fit)
    np.testing.assert_allclose(kept[0], 1)
    assert (np.abs(anew[0]) < KEEPS).all()


def test_a_methods_own_layer_is_found_in_the_random_model(model_store):
    with model_store.borrow(add(model_store, seeded(NETS["plain"]))) as model:
        stages = cascade(explained_by(GradCAM(), [0, 1], GradCAM.Params(layer="2")), model, pictures(), stages=2)
    assert all(stage.maps.shape == (2, 32, 32) for stage in stages)


def test_a_cascade_can_be_cancelled(model_store):
    module = seeded(NETS["plain"])
    card, before = add(model_store, module), state_of(module)

    def cancel(_done, _total):
        raise KeyboardInterrupt

    with model_store.borrow(card) as model:
        with pytest.raises(KeyboardInterrupt):
            cascade(explained_by(Saliency(), [0, 1], PARAMS), model, pictures(), progress=cancel)
        assert state_of(module) == before


def test_a_bad_target_is_refused_before_anything_is_forgotten(model_store):
    with model_store.borrow(add(model_store, seeded(NETS["plain"]))) as model, pytest.raises(InputError, match="class"):
        cascade(explained_by(Saliency(), [0, 99], PARAMS), model, pictures())


def test_rank_correlation_is_that_of_scipy_on_magnitudes():
    from scipy.stats import spearmanr

    first, second = np.random.default_rng(0).normal(size=(2, 3, 9, 9))
    by_scipy = [spearmanr(np.abs(a), np.abs(b), axis=None).statistic for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(rank_correlation(first, second), by_scipy, atol=1e-12)
    np.testing.assert_allclose(rank_correlation(first, -first), 1)


def test_maps_without_contrast_have_no_picture_to_keep():
    noise, flat = np.random.default_rng(0).normal(size=(1, 9, 9)), np.zeros((1, 9, 9))
    assert np.isnan(rank_correlation(flat, noise))
    assert rank_correlation(noise, flat) == 0
