"""Gradients on the way from a baseline: what they add up to, and how sure they are."""

from dataclasses import replace

import captum.attr
import numpy as np
import pytest
import torch

from explainers.baselines import BASELINES, baseline, mixed_baselines
from explainers.path import mean_score
from explainers.registry import METHODS
from tests.explainers.nets import NETS, add, normalised, pictures, seeded, silent

TARGETS = torch.tensor([1, 3])


def linear_net():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, 4))


@pytest.mark.parametrize("kind", BASELINES)
def test_integrated_gradients_promise_the_difference_of_scores(bank, kind):
    method, module, inputs = METHODS["integrated-gradients"], seeded(NETS["vit"]), normalised()
    card, params = add(bank, module), method.Params(baseline=kind, seed=2)
    with bank.lend(card) as loan:
        promised = method.promised(loan, inputs, TARGETS, params)
        start = baseline(kind, inputs, card.preprocessing, 2)
        with torch.no_grad():
            expected = (module(inputs) - module(start)).gather(1, TARGETS[:, None]).squeeze(1)
        torch.testing.assert_close(promised, expected)
        found = method.explain(loan, pictures(), ["a", "b"], [1, 3], params)
    assert max(found.gaps) < 0.01


def test_more_steps_close_the_gap_of_integrated_gradients(bank):
    method, card = METHODS["integrated-gradients"], add(bank, seeded(NETS["convnext"]))
    with bank.lend(card) as loan:
        gaps = [
            max(method.explain(loan, pictures(), ["a", "b"], [1, 3], method.Params(steps=steps)).gaps)
            for steps in (2, 100)
        ]
    assert gaps[1] < 0.01 < gaps[0]


def test_gradient_shap_of_a_linear_net_is_weight_times_difference_from_the_mean_baseline(bank):
    method, inputs, module = METHODS["gradient-shap"], normalised(px=16), linear_net()
    card = add(bank, module, px=16)
    with bank.lend(card) as loan:
        params = method.Params(samples=8, seed=5)
        found = method.attribute(loan, inputs, TARGETS, params, silent)
        promised = method.promised(loan, inputs, TARGETS, params)
    start = torch.stack(list(mixed_baselines(inputs, card.preprocessing, 8, 5))).mean(0)
    weight = module[1].weight.detach().view(-1, 3, 16, 16)[TARGETS]
    torch.testing.assert_close(found.maps, (weight * (inputs - start)).sum(1), rtol=0, atol=1e-5)
    torch.testing.assert_close(found.maps.sum((1, 2)), promised, rtol=1e-4, atol=1e-4)


def test_gradient_shap_equals_captum_on_average(bank):
    """Two estimates with draws of their own: they agree within five standard errors of their difference."""
    method, module, inputs = METHODS["gradient-shap"], seeded(NETS["vit"]), normalised()
    card = add(bank, module)
    with bank.lend(card) as loan:
        found = method.attribute(loan, inputs, TARGETS, method.Params(samples=400), silent)
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


def test_more_samples_close_the_gap_of_gradient_shap_and_its_error(bank):
    method, card = METHODS["gradient-shap"], add(bank, seeded(NETS["plain"]))
    with bank.lend(card) as loan:
        few, many = (
            method.explain(loan, pictures(4), list("abcd"), [0, 1, 2, 3], method.Params(samples=samples))
            for samples in (8, 400)
        )
    assert np.mean(many.gaps) < 0.4 * np.mean(few.gaps)
    assert many.error.mean() < 0.3 * few.error.mean()


def test_noise_on_the_picture_spreads_gradient_shap(bank):
    method, card, inputs = METHODS["gradient-shap"], add(bank, linear_net(), px=16), normalised(px=16)
    with bank.lend(card) as loan:
        calm, noisy = (
            method.attribute(loan, inputs, TARGETS, method.Params(samples=4, sigma=sigma), silent)
            for sigma in (0.0, 0.5)
        )
    assert not torch.allclose(calm.maps, noisy.maps, atol=1e-3)
    assert noisy.error.mean() > calm.error.mean()


def test_mixed_baselines_take_turns_and_never_repeat_their_noise(bank):
    card, inputs = add(bank, linear_net(), px=16), normalised(px=16)
    starts = list(mixed_baselines(inputs, card.preprocessing, 8, 3))
    for i, (kind, seed) in enumerate(zip(BASELINES * 2, range(3, 11), strict=True)):
        torch.testing.assert_close(starts[i], baseline(kind, inputs, card.preprocessing, seed))
    assert not torch.equal(starts[3], starts[7])


def test_mean_score_runs_each_baseline_once(bank):
    module, inputs, seen = seeded(NETS["plain"]), normalised(3), []
    card = add(bank, module)
    targets = torch.tensor([0, 1, 2])
    starts = list(mixed_baselines(inputs, card.preprocessing, 8, 0))
    with bank.lend(card) as loan, torch.no_grad():
        expected = torch.stack([module(start).gather(1, targets[:, None]).squeeze(1) for start in starts]).mean(0)
        handle = module.register_forward_pre_hook(lambda _module, args: seen.append(len(args[0])))
        found = mean_score(loan, starts, targets)
        handle.remove()
    torch.testing.assert_close(found, expected)
    assert sum(seen) == 1 + 1 + 3 + 1 + 1


@pytest.mark.parametrize("name", ["saliency", "input-x-gradient", "integrated-gradients", "gradient-shap", "vargrad"])
def test_small_batches_are_kept(bank, name):
    method, module, seen = METHODS[name], seeded(NETS["plain"]), []
    card = add(bank, module)
    with bank.lend(card) as loan:
        whole = method.attribute(loan, normalised(), TARGETS, method.Params(), silent)
        handle = module.register_forward_pre_hook(lambda _module, args: seen.append(len(args[0])))
        small = method.attribute(replace(loan, batch=2), normalised(), TARGETS, method.Params(), silent)
        handle.remove()
    assert set(seen) == {1}
    whole, small = (found.maps if hasattr(found, "maps") else found for found in (whole, small))
    torch.testing.assert_close(small, whole, rtol=0, atol=1e-5 * float(whole.abs().max()))


def test_input_times_gradient_of_a_net_of_relus_without_biases_sums_to_its_score(bank):
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 6, 3, bias=False), torch.nn.ReLU(), torch.nn.Flatten(),
        torch.nn.Linear(6 * 14 * 14, 4, bias=False),
    )  # fmt: skip
    inputs, card, method = normalised(px=16), add(bank, module, px=16), METHODS["input-x-gradient"]
    with bank.lend(card) as loan:
        maps = method.attribute(loan, inputs, TARGETS, method.Params(), silent)
    with torch.no_grad():
        scores = module(inputs).gather(1, TARGETS[:, None]).squeeze(1)
    torch.testing.assert_close(maps.sum((1, 2)), scores, rtol=1e-4, atol=1e-6)


def test_input_times_gradient_equals_captum(bank):
    module, inputs, method = seeded(NETS["vit"]), normalised(), METHODS["input-x-gradient"]
    with bank.lend(add(bank, module)) as loan:
        maps = method.attribute(loan, inputs, TARGETS, method.Params(), silent)
    expected = captum.attr.InputXGradient(module).attribute(inputs.clone().requires_grad_(), TARGETS).sum(1)
    torch.testing.assert_close(maps, expected.detach(), rtol=1e-4, atol=1e-6)
