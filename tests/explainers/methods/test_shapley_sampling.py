"""Shapley values from permutations, against the definition over all coalitions."""

import pytest
import torch

from explainers.engines.baselines import BASELINES, baseline
from explainers.methods.shapley_sampling import ShapleySampling
from tests.explainers.games import GRID, LABELS, N_PARTS, PX, TARGETS, Both, Half, linear, per_part, plain, run
from tests.explainers.games import shapley_by_definition as by_definition
from tests.explainers.nets import add, normalised

METHOD = ShapleySampling()


@pytest.mark.parametrize("fill", BASELINES)
def test_every_order_gives_the_exact_values_of_a_linear_net(model_store, fill):
    module, inputs = linear(), normalised(px=PX)
    found = run(model_store, METHOD, module, permutations=4, fill=fill, **GRID)
    start = baseline(fill, inputs, model_store.cards()[0].preprocessing)
    products = (module[1].weight.view(3, 3, PX, PX)[TARGETS] * (inputs - start)).sum(1).detach()
    expected = torch.stack([products[:, part == LABELS].sum(1) for part in range(N_PARTS)], 1)
    torch.testing.assert_close(per_part(found.maps), expected.double(), rtol=0, atol=1e-5)
    assert per_part(found.error).max() < 1e-5


def test_two_parts_that_only_count_together_get_half_each(model_store):
    white = torch.ones(1, 3, PX, PX)
    found = run(model_store, METHOD, Both(), white, torch.tensor([0]), permutations=4, **GRID)
    expected = torch.tensor([[0.5, 0.5, 0, 0, 0, 0]], dtype=torch.float64)
    torch.testing.assert_close(per_part(found.maps), expected, rtol=0, atol=1e-6)


def test_values_agree_with_the_definition_within_their_standard_error(model_store):
    module, inputs = plain(), normalised(px=PX)
    found = run(model_store, METHOD, module, permutations=400, **GRID)
    off = (per_part(found.maps) - by_definition(module, inputs)).abs()
    error = per_part(found.error)
    assert (off <= 4 * error).all()
    assert error.max() < 0.1 * per_part(found.maps).abs().max()


def test_the_standard_error_is_the_spread_over_seeds(model_store):
    runs = [run(model_store, METHOD, plain(), permutations=20, seed=seed, **GRID) for seed in range(60)]
    spread = torch.stack([per_part(found.maps) for found in runs]).std(0)
    said = torch.stack([per_part(found.error) for found in runs]).square().mean(0).sqrt()
    assert 0.8 < (spread / said).mean() < 1.2


@pytest.mark.parametrize("superpixels", ["slic", "grid"])
def test_the_map_sums_to_the_difference_that_covering_everything_makes(model_store, superpixels):
    inputs, module = normalised(px=PX), plain()
    params = METHOD.Params(permutations=4, superpixels=superpixels)
    card = add(model_store, module, px=PX)
    with model_store.borrow(card) as model, torch.no_grad():
        maps = METHOD.attribute(model, inputs, TARGETS, params, lambda done, total: None).maps
        promised = METHOD.promised(model, inputs, TARGETS, params)
        expected = (module(inputs) - module(torch.zeros_like(inputs))).gather(1, TARGETS[:, None])[:, 0]
    torch.testing.assert_close(promised, expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(maps.sum((1, 2)), promised, rtol=0, atol=1e-6)


def test_what_the_net_never_sees_gets_nothing(model_store):
    maps = run(model_store, METHOD, Half(), permutations=6, **GRID).maps
    assert maps[:, :, :8].abs().max() > 0
    assert maps[:, :, 8:].abs().max() < 1e-4 * maps.abs().max()
