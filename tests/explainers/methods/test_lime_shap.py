"""LIME and KernelSHAP: their regressions by hand, against captum, and against the definition of Shapley values."""

import captum.attr
import numpy as np
import pytest
import torch
from captum._utils.models.linear_model import SkLearnRidge
from sklearn.linear_model import Ridge
from torch.utils.data import DataLoader, TensorDataset

from explainers.methods.lime_shap import LIME, KernelSHAP, WeightedRidge, coalitions, pairs, regression, similarity
from tests.explainers.games import GRID, LABELS, N_PARTS, PX, TARGETS, Both, Half, linear, per_part, plain, run, value
from tests.explainers.games import shapley_by_definition as by_definition
from tests.explainers.nets import add, normalised, silent

ALL = 2**N_PARTS


def of_parts(maps):
    """(N, PX, PX) of one value a part -> (N, 6)."""
    return per_part(maps) / (PX**2 / N_PARTS)


def held(module):
    """w · x of each part (N, 6): what a part adds to a linear net over grey."""
    products = (module[1].weight.view(3, 3, PX, PX)[TARGETS] * normalised(px=PX)).sum(1).detach()
    return torch.stack([products[:, part == LABELS].sum(1) for part in range(N_PARTS)], 1).double()


def kernel(kept, width=0.25):
    """pi(z) = exp(-(1 - cos(z, 1))² / width²), written out."""
    z = kept.double().numpy()
    length = np.maximum(np.linalg.norm(z, axis=1), 1e-12)
    cosine = z.sum(1) / (length * z.shape[1] ** 0.5)
    return np.exp(-((1 - cosine) ** 2) / width**2)


def test_regression_without_ridge_gives_back_a_linear_function():
    generator = torch.Generator().manual_seed(0)
    x, b = (torch.randn(size, generator=generator, dtype=torch.float64) for size in ((30, 5), (5,)))
    found = regression(x, x @ b, torch.rand(30, generator=generator, dtype=torch.float64) + 0.1)
    torch.testing.assert_close(found.coefficients, b)
    assert found.influences.abs().max() < 1e-9


def test_pulls_are_what_leaving_a_sample_out_changes():
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(size, generator=generator, dtype=torch.float64) for size in ((30, 5), (30,)))
    weights = torch.rand(30, generator=generator, dtype=torch.float64) + 0.1
    found = regression(x, y, weights, 0.7)
    for i in range(30):
        rest = torch.arange(30) != i
        without = regression(x[rest], y[rest], weights[rest], 0.7).coefficients
        torch.testing.assert_close(found.influences[i], found.coefficients - without)


@pytest.mark.parametrize(("width", "ridge"), [(0.25, 1.0), (0.1, 0.0), (2.0, 5.0)])
def test_lime_is_the_weighted_ridge_regression_of_its_samples(model_store, width, ridge):
    module, inputs = plain(), normalised(px=PX)
    found = of_parts(run(model_store, LIME(), module, samples=80, width=width, ridge=ridge, seed=3, **GRID).maps)
    kept = coalitions(80, N_PARTS, 3)
    for n, target in enumerate(TARGETS):
        scores = [value(module, inputs[n], target, torch.nonzero(z).flatten().tolist()) for z in kept]
        expected = Ridge(alpha=ridge).fit(kept.numpy(), scores, sample_weight=kernel(kept, width)).coef_
        np.testing.assert_allclose(found[n], expected, rtol=1e-3, atol=1e-6)


def test_lime_equals_captum_on_the_same_samples(model_store):
    module, inputs = plain(), normalised(px=PX)
    found = of_parts(run(model_store, LIME(), module, samples=80, **GRID).maps)
    kept = coalitions(80, N_PARTS, 0)

    def samples(*_args, **_more):
        yield from kept.float()[:, None]

    lime = captum.attr.Lime(
        module,
        SkLearnRidge(alpha=1.0),
        similarity_func=lambda _whole, _covered, z, **_more: torch.from_numpy(kernel(z)),
        perturb_func=samples,
    )
    for n, target in enumerate(TARGETS):
        image = inputs[n : n + 1].contiguous()
        expected = lime.attribute(
            image, None, int(target), feature_mask=LABELS[None, None], n_samples=80, return_input_shape=False
        )
        np.testing.assert_allclose(found[n], expected[0].numpy(), rtol=1e-3, atol=1e-6)


def test_lime_without_ridge_gives_the_exact_parts_of_a_linear_net(model_store):
    module = linear()
    found = run(model_store, LIME(), module, samples=40, ridge=0.0, **GRID)
    torch.testing.assert_close(of_parts(found.maps), held(module), rtol=0, atol=1e-5)
    assert of_parts(found.error).max() < 1e-5


def test_lime_on_a_linear_net_is_off_by_no_more_than_its_ridge_can_pull(model_store):
    """|b_ridge - b| <= ridge / (ridge + least eigenvalue of the weighted samples) · |b|."""
    module = linear()
    found, exact = of_parts(run(model_store, LIME(), module, samples=150, **GRID).maps), held(module)
    kept = coalitions(150, N_PARTS, 0)
    z, weights = kept.double().numpy(), kernel(kept)
    z = z - np.average(z, axis=0, weights=weights)
    least = np.linalg.eigvalsh(z.T * weights @ z)[0]
    off = (found - exact).norm(dim=1)
    assert (off <= exact.norm(dim=1) / (1 + least)).all()
    assert least > 4
    assert off.min() > 0


def fitted(kept, values, weights):
    samples = TensorDataset(kept.float(), values.float(), weights.float())
    model = WeightedRidge(0.0)
    model.fit(DataLoader(samples))
    return model.representation().coefficients


def test_a_narrow_kernel_looks_near_the_picture():
    """A score that only the first part changes while the others show, and only the second while they do not."""
    kept = torch.cartesian_prod(*[torch.tensor([False, True])] * 6)
    values = torch.where(kept[:, 2:].sum(1) >= 3, kept[:, 0], kept[:, 1]).double()
    near, far = (fitted(kept, values, similarity(kept, width)) for width in (0.1, 10.0))
    assert near[0] > 0.7 > far[0]
    assert near[1] < 0.1 < far[1]


@pytest.mark.parametrize("method", [LIME(), KernelSHAP()], ids=lambda method: method.name)
def test_the_standard_error_is_the_spread_over_seeds(model_store, method):
    settings = {"samples": 150 if method.name == "lime" else 100, "superpixels": "grid", "segments": 16}
    inputs = normalised(px=16)
    runs = [run(model_store, method, plain(), inputs, seed=seed, **settings) for seed in range(40)]
    spread = torch.stack([found.maps for found in runs]).std(0)
    said = torch.stack([found.error for found in runs]).square().mean(0).sqrt()
    assert 0.8 < (spread / said).mean() < 1.2


def test_kernel_shap_of_a_linear_net_is_exact_from_a_few_samples(model_store):
    module, inputs = linear(), normalised(px=PX)
    weight = module[1].weight.view(3, 3, PX, PX)[TARGETS]
    products = (weight * inputs).sum(1).detach()
    found = run(model_store, KernelSHAP(), module, samples=40, superpixels="grid", segments=16)
    expected = torch.nn.functional.avg_pool2d(products[:, None], 3)[:, 0]
    expected = expected.repeat_interleave(3, 1).repeat_interleave(3, 2)
    torch.testing.assert_close(found.maps, expected, rtol=0, atol=1e-6)
    assert found.error.max() < 1e-6


def test_kernel_shap_over_all_coalitions_is_the_definition_of_shapley_values(model_store):
    module, inputs = plain(), normalised(px=PX)
    found = run(model_store, KernelSHAP(), module, samples=ALL, **GRID)
    torch.testing.assert_close(per_part(found.maps), by_definition(module, inputs), rtol=0, atol=1e-6)
    assert found.error.max() == 0


def test_kernel_shap_gives_two_parts_that_only_count_together_half_each(model_store):
    found = run(model_store, KernelSHAP(), Both(), torch.ones(1, 3, PX, PX), torch.tensor([0]), samples=ALL, **GRID)
    expected = torch.tensor([[0.5, 0.5, 0, 0, 0, 0]], dtype=torch.float64)
    torch.testing.assert_close(per_part(found.maps), expected, rtol=0, atol=1e-6)


def test_kernel_shap_from_some_coalitions_agrees_with_the_definition_within_its_standard_error(model_store):
    module, inputs = plain(), normalised(px=PX)
    found = run(model_store, KernelSHAP(), module, samples=40, **GRID)
    off, error = (per_part(found.maps) - by_definition(module, inputs)).abs(), per_part(found.error)
    assert error.min() > 0
    assert (off <= 4 * error).all()


@pytest.mark.parametrize("settings", [{}, GRID, {"segments": 2}, {"superpixels": "grid", "segments": 100}])
def test_the_map_of_kernel_shap_sums_to_the_difference_that_covering_everything_makes(model_store, settings):
    method, inputs, module = KernelSHAP(), normalised(px=PX), plain()
    params = method.Params(samples=50, **settings)
    card = add(model_store, module, px=PX)
    with model_store.borrow(card) as model, torch.no_grad():
        maps = method.attribute(model, inputs, TARGETS, params, silent).maps
        promised = method.promised(model, inputs, TARGETS, params)
        expected = (module(inputs) - module(torch.zeros_like(inputs))).gather(1, TARGETS[:, None])[:, 0]
    torch.testing.assert_close(promised, expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(maps.sum((1, 2)), promised, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("n", "n_players"), [(31, 6), (100, 6), (64, 7), (400, 50), (40, 20), (0, 1), (1, 2)])
def test_pairs_weigh_each_size_as_the_shapley_kernel_does(n, n_players):
    kept, weights, n_full = pairs(n, n_players, 0)
    assert len(kept) <= n
    assert kept.shape == (len(weights), n_players)
    if not len(kept):
        return
    assert abs(float(weights.sum()) - 1) < 1e-9
    sizes = kept.sum(1)
    assert ((sizes > 0) & (sizes < n_players)).all()
    both = torch.cat([kept[:n_full], ~kept[:n_full]])
    assert len(both.unique(dim=0)) == len(both)
    kernel = {size: 1 / (size * (n_players - size)) for size in range(1, n_players)}
    for size in sizes[:n_full].unique().tolist():
        share = sum(kernel[s] for s in {size, n_players - size}) / sum(kernel.values())
        assert abs(float(weights[sizes == size].sum()) - share) < 1e-9
    if n >= 2 ** (n_players - 1) - 1:
        assert len(kept) == n_full == 2 ** (n_players - 1) - 1


def test_drawn_sizes_follow_the_shapley_kernel():
    kept, _, n_full = pairs(20000, 30, 0)
    sizes = kept[n_full:].sum(1)
    kernel = {size: (1 if size == 15 else 2) / (size * (30 - size)) for size in range(1, 16)}
    left = {size: weight for size, weight in kernel.items() if not (kept[:n_full].sum(1) == size).any()}
    assert 0 < len(left) < 15
    for size, weight in left.items():
        expected = weight / sum(left.values())
        assert abs(float((sizes == size).double().mean()) - expected) < 4 * (expected / len(sizes)) ** 0.5
    assert (kept[n_full:].double().mean(0) - float((sizes.double() / 30).mean())).abs().max() < 0.02


def test_what_the_net_never_sees_gets_nothing(model_store):
    maps = run(model_store, KernelSHAP(), Half(), samples=ALL, **GRID).maps
    assert maps[:, :, :8].abs().max() > 0
    assert maps[:, :, 8:].abs().max() < 1e-4 * maps.abs().max()
    found = run(model_store, LIME(), Half(), samples=400, **GRID)
    assert (found.maps[:, :, 8:].abs() <= 4 * found.error[:, :, 8:]).all()
    assert found.maps[:, :, 8:].abs().max() < 0.2 * found.maps.abs().max()
