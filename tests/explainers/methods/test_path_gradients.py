"""Gradients on the way from a baseline: what they add up to, and how sure they are."""

from dataclasses import replace

import captum.attr
import numpy as np
import pytest
import torch

from explainers.engines.baselines import BASELINES, baseline, mixed_baselines
from explainers.methods.path_gradients import mean_score
from explainers.registry import METHODS
from tests.explainers.nets import NETS, add, normalised, pictures, seeded, silent

TARGETS = torch.tensor([1, 3])


def linear_net():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, 4))


@pytest.mark.parametrize("kind", BASELINES)
def test_integrated_gradients_promise_the_difference_of_scores(model_store, kind):
    method, module, inputs = METHODS["integrated-gradients"], seeded(NETS["vit"]), normalised()
    card, params = add(model_store, module), method.Params(baseline=kind, seed=2)
    with model_store.borrow(card) as model:
        promised = method.promised(model, inputs, TARGETS, params)
        start = baseline(kind, inputs, card.preprocessing, 2)
        with torch.no_grad():
            expected = (module(inputs) - module(start)).gather(1, TARGETS[:, None]).squeeze(1)
        torch.testing.assert_close(promised, expected)
        found = method.explain(model, pictures(), ["a", "b"], [1, 3], params)
    assert max(found.gaps) < 0.01


def test_more_steps_close_the_gap_of_integrated_gradients(model_store):
    method, card = METHODS["integrated-gradients"], add(model_store, seeded(NETS["convnext"]))
    with model_store.borrow(card) as model:
        gaps = [
            max(method.explain(model, pictures(), ["a", "b"], [1, 3], method.Params(steps=steps)).gaps)
            for steps in (2, 100)
        ]
    assert gaps[1] < 0.01 < gaps[0]


def test_gradient_shap_of_a_linear_net_is_weight_times_difference_from_the_mean_baseline(model_store):
    method, inputs, module = METHODS["gradient-shap"], normalised(px=16), linear_net()
    card = add(model_store, module, px=16)
    with model_store.borrow(card) as model:
        params = method.Params(samples=8, seed=5)
        found = method.attribute(model, inputs, TARGETS, params, silent)
        promised = method.promised(model, inputs, TARGETS, params)
    start = torch.stack(list(mixed_baselines(inputs, card.preprocessing, 8, 5))).mean(0)
    weight = module[1].weight.detach().view(-1, 3, 16, 16)[TARGETS]
    torch.testing.assert_close(found.maps, (weight * (inputs - start)).sum(1), rtol=0, atol=1e-5)
    torch.testing.assert_close(found.maps.sum((1, 2)), promised, rtol=1e-4, atol=1e-4)


def test_gradient_shap_equals_captum_on_average(model_store):
    """Two estimates with draws of their own: they agree within five standard errors of their difference."""
    method, module, inputs = METHODS["gradient-shap"], seeded(NETS["vit"]), normalised()
    card = add(model_store, module)
    with model_store.borrow(card) as model:
        found = method.attribute(model, inputs, TARGETS, method.Params(samples=400), silent)
    starts = torch.cat([start[:1] for start in mixed_baselines(inputs[:1], card.preprocessing, 400, 0)])
    with torch.random.fork_rng():
        torch.manual_seed(1)
        np.random.seed(1)
        reference = captum.attr.GradientShap(module)
        expected = torch.stack(
            [
                reference.attribute(inputs[:1].clone().requires_grad_(), starts, n_samples=400, target=1).sum(1)[0]
                for _ in range(2)
            ]
        ).mean(0)
    distance = (found.maps[0] - expected.detach()) / (found.error[0] * 1.5**0.5)
    assert distance.abs().max() < 5
    assert np.corrcoef(found.maps[0].flatten(), expected.detach().flatten())[0, 1] > 0.9


def test_more_samples_close_the_gap_of_gradient_shap_and_its_error(model_store):
    method, card = METHODS["gradient-shap"], add(model_store, seeded(NETS["plain"]))
    with model_store.borrow(card) as model:
        few, many = (
            method.explain(model, pictures(4), list("abcd"), [0, 1, 2, 3], method.Params(samples=samples))
            for samples in (8, 400)
        )
    assert np.mean(many.gaps) < 0.4 * np.mean(few.gaps)
    assert many.error.mean() < 0.3 * few.error.mean()


def test_noise_on_the_picture_spreads_gradient_shap(model_store):
    method, card, inputs = METHODS["gradient-shap"], add(model_store, linear_net(), px=16), normalised(px=16)
    with model_store.borrow(card) as model:
        calm, noisy = (
            method.attribute(model, inputs, TARGETS, method.Params(samples=4, sigma=sigma), silent)
            for sigma in (0.0, 0.5)
        )
    assert not torch.allclose(calm.maps, noisy.maps, atol=1e-3)
    assert noisy.error.mean() > calm.error.mean()


def test_mixed_baselines_take_turns_and_never_repeat_their_noise(model_store):
    card, inputs = add(model_store, linear_net(), px=16), normalised(px=16)
    starts = list(mixed_baselines(inputs, card.preprocessing, 8, 3))
    for i, (kind, seed) in enumerate(zip(BASELINES * 2, range(3, 11), strict=True)):
        torch.testing.assert_close(starts[i], baseline(kind, inputs, card.preprocessing, seed))
    assert not torch.equal(starts[3], starts[7])


def test_mean_score_runs_each_baseline_once(model_store):
    module, inputs, seen = seeded(NETS["plain"]), normalised(3), []
    card = add(model_store, module)
    targets = torch.tensor([0, 1, 2])
    starts = list(mixed_baselines(inputs, card.preprocessing, 8, 0))
    with model_store.borrow(card) as model, torch.no_grad():
        expected = torch.stack([module(start).gather(1, targets[:, None]).squeeze(1) for start in starts]).mean(0)
        handle = module.register_forward_pre_hook(lambda _module, args: seen.append(len(args[0])))
        found = mean_score(model, starts, targets)
        handle.remove()
    torch.testing.assert_close(found, expected)
    assert sum(seen) == 1 + 1 + 3 + 1 + 1


@pytest.mark.parametrize("name", ["saliency", "input-x-gradient", "integrated-gradients", "gradient-shap", "vargrad"])
def test_small_batches_are_kept(model_store, name):
    method, module, seen = METHODS[name], seeded(NETS["plain"]), []
    card = add(model_store, module)
    with model_store.borrow(card) as model:
        whole = method.attribute(model, normalised(), TARGETS, method.Params(), silent)
        handle = module.register_forward_pre_hook(lambda _module, args: seen.append(len(args[0])))
        small = method.attribute(replace(model, batch=2), normalised(), TARGETS, method.Params(), silent)
        handle.remove()
    assert set(seen) == {1}
    whole, small = (found.maps if hasattr(found, "maps") else found for found in (whole, small))
    torch.testing.assert_close(small, whole, rtol=0, atol=1e-5 * float(whole.abs().max()))


def test_input_times_gradient_of_a_net_of_relus_without_biases_sums_to_its_score(model_store):
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 6, 3, bias=False), torch.nn.ReLU(), torch.nn.Flatten(),
        torch.nn.Linear(6 * 14 * 14, 4, bias=False),
    )  # fmt: skip
    inputs, card, method = normalised(px=16), add(model_store, module, px=16), METHODS["input-x-gradient"]
    with model_store.borrow(card) as model:
        maps = method.attribute(model, inputs, TARGETS, method.Params(), silent)
    with torch.no_grad():
        scores = module(inputs).gather(1, TARGETS[:, None]).squeeze(1)
    torch.testing.assert_close(maps.sum((1, 2)), scores, rtol=1e-4, atol=1e-6)


def test_input_times_gradient_equals_captum(model_store):
    module, inputs, method = seeded(NETS["vit"]), normalised(), METHODS["input-x-gradient"]
    with model_store.borrow(add(model_store, module)) as model:
        maps = method.attribute(model, inputs, TARGETS, method.Params(), silent)
    expected = captum.attr.InputXGradient(module).attribute(inputs.clone().requires_grad_(), TARGETS).sum(1)
    torch.testing.assert_close(maps, expected.detach(), rtol=1e-4, atol=1e-6)
