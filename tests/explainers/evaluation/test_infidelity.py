from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from explainers.base import ExplainerParams
from explainers.evaluation.infidelity import infidelity, max_sensitivity
from explainers.registry import METHODS
from tests.explainers.nets import NETS, TARGETS, add, normalised, seeded


def linear():
    return seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 4)))


def measured(model_store, module, maps, **options):
    with model_store.borrow(add(model_store, module)) as model:
        return infidelity(model, normalised(), maps, TARGETS, **options)


def contributions(module):
    """w · x of each pixel: what a linear model loses without it, grey being 0."""
    weights = module[1].weight[TARGETS].view(2, 3, 32, 32).detach()
    return (weights * normalised()).sum(1).numpy()


def test_a_map_of_what_each_pixel_is_worth_to_a_linear_model_predicts_all_at_any_scale(model_store):
    module = linear()
    maps = contributions(module)
    assert measured(model_store, module, maps).max() < 1e-3
    assert measured(model_store, module, -1e3 * maps).max() < 1e-3


def test_a_map_of_something_else_predicts_little(model_store):
    noise = np.random.default_rng(0).normal(size=(2, 32, 32)).astype(np.float32)
    assert measured(model_store, linear(), noise, samples=64).min() > 0.7
    assert measured(model_store, linear(), np.zeros_like(noise)).tolist() == [1, 1]


def test_it_is_the_papers_ratio_by_hand(model_store):
    module, maps = seeded(NETS["plain"]), normalised(seed=4).mean(1).numpy()
    found = measured(model_store, module, maps, samples=5, seed=7)
    generator = torch.Generator().manual_seed(7)
    top, left = (torch.randint(0, 25, (5, 1), generator=generator).flatten().tolist() for _ in range(2))
    for n, image in enumerate(normalised()):
        changes, promised = [], []
        for row, column in zip(top, left, strict=True):
            without = image.clone()
            without[:, row : row + 8, column : column + 8] = 0
            with torch.no_grad():
                scores = module(torch.stack([image, without]))[:, TARGETS[n]]
            changes.append(float(scores[0] - scores[1]))
            promised.append(float(maps[n, row : row + 8, column : column + 8].sum()))
        a, b = np.array(promised), np.array(changes)
        assert found[n] == pytest.approx(1 - (a @ b) ** 2 / (a @ a) / (b @ b), abs=1e-4)


def test_where_nothing_changes_the_score_there_is_no_figure(model_store):
    module = seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 4)))
    module[1].weight.data.zero_()
    assert np.isnan(measured(model_store, module, np.ones((2, 32, 32)))).all()


def test_no_more_images_go_through_at_once_than_suit_the_model_and_no_global_generator_is_used(model_store):
    seen = []
    module = seeded(NETS["plain"])
    before = torch.get_rng_state()
    with model_store.borrow(add(model_store, module)) as model:
        with module.register_forward_pre_hook(lambda _module, args: seen.append(len(args[0]))):
            small = infidelity(replace(model, batch=3), normalised(), np.ones((2, 32, 32)), TARGETS)
            max_sensitivity(METHODS["saliency"], model, normalised(), [0, 1], ExplainerParams())
        large = infidelity(model, normalised(), np.ones((2, 32, 32)), TARGETS)
    assert max(seen[: len(seen) - 4]) <= 3
    np.testing.assert_allclose(small, large, atol=1e-5)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_gradient_of_a_linear_model_does_not_change_under_noise_and_that_of_another_does(model_store):
    for module, is_still in ((linear(), True), (seeded(NETS["plain"]), False)):
        with model_store.borrow(add(model_store, module)) as model:
            changes = [
                max_sensitivity(METHODS["saliency"], model, normalised(), [0, 1], ExplainerParams(), seed=seed)
                for seed in (0, 0, 1)
            ]
        assert np.array_equal(changes[0], changes[1])
        assert (changes[0].max() < 1e-6) == is_still
        assert np.array_equal(changes[0], changes[2]) == is_still


def test_a_stop_comes_through(model_store):
    def stop(_done, _total):
        raise KeyboardInterrupt

    with model_store.borrow(add(model_store, seeded(NETS["plain"]))) as model, pytest.raises(KeyboardInterrupt):
        infidelity(model, normalised(), np.ones((2, 32, 32)), TARGETS, progress=stop)
