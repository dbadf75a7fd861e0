"""Superpixels, and what every method owes that covers parts of a picture and looks again."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from explainers.engines.perturbation import covered
from explainers.engines.superpixels import segments
from explainers.methods.lime_shap import LIME, KernelSHAP
from explainers.methods.occlusion import Occlusion
from explainers.methods.rise import RISE
from explainers.methods.shapley_sampling import ShapleySampling
from models.preprocessing import Preprocessing
from tests.explainers.games import GRID, LABELS, PX, TARGETS, plain, run
from tests.explainers.nets import add, normalised, silent

COLOUR = Preprocessing((64, 64), (0.4, 0.5, 0.6), (0.2, 0.25, 0.3), (64, 64))
GREY = Preprocessing((64, 64), (0.5,), (0.25,), (64, 64))

METHODS = {
    LIME(): {"samples": 40, **GRID},
    KernelSHAP(): {"samples": 40, **GRID},
    ShapleySampling(): {"permutations": 6, **GRID},
    RISE(): {"masks": 300, "cells": 3},
    Occlusion(): {"window": 0.25},
}
SAMPLED = [method for method in METHODS if method.name != "occlusion"]


def each(methods):
    return pytest.mark.parametrize("method", methods, ids=lambda method: method.name)


def seen_by_a_net(pictures, preprocessing):
    """(N, H, W, C) in [0, 1] -> (N, C, H, W) normalised."""
    mean, std = torch.tensor(preprocessing.mean), torch.tensor(preprocessing.std)
    return ((torch.from_numpy(pictures).float() - mean) / std).permute(0, 3, 1, 2)


def painting(channels=3):
    """Two pictures: a disc on a ramp, with a little grain."""
    y, x = np.mgrid[:64, :64] / 64
    disc = (x - 0.4) ** 2 + (y - 0.55) ** 2 < 0.08
    ramp = np.stack([np.where(disc, level, x * (1 - level)) for level in (0.9, 0.3, 0.1)[:channels]], 2)
    grain = np.random.default_rng(0).normal(0, 0.01, (2, 64, 64, channels))
    return np.clip(ramp + grain, 0, 1), disc


def test_a_grid_has_even_rectangles_in_reading_order():
    assert torch.equal(segments(normalised(px=PX), "grid", 6, COLOUR)[1], LABELS)


@pytest.mark.parametrize("n", [2, 5, 9, 50, 144, 200])
def test_a_grid_has_about_as_many_parts_as_asked_for_but_none_below_a_pixel(n):
    labels = segments(normalised(px=PX), "grid", n, COLOUR)[0]
    assert torch.equal(labels.unique(), torch.arange(int(labels.max()) + 1))
    assert abs(len(labels.unique()) - min(n, PX**2)) <= 0.2 * n


@pytest.mark.parametrize("n", [10, 50, 100])
@pytest.mark.parametrize("channels", [1, 3])
def test_slic_gives_consecutive_labels_near_the_number_asked_for_each_time_the_same(n, channels):
    preprocessing = COLOUR if channels == 3 else GREY
    inputs = seen_by_a_net(painting(channels)[0], preprocessing)
    labels = segments(inputs, "slic", n, preprocessing)
    assert labels.shape == (2, 64, 64)
    assert labels.dtype == torch.int64
    for one in labels:
        assert torch.equal(one.unique(), torch.arange(int(one.max()) + 1))
        assert 0.5 * n <= len(one.unique()) <= 1.5 * n
    assert torch.equal(labels, segments(inputs, "slic", n, preprocessing))
    assert torch.equal(labels[1:], segments(inputs[1:], "slic", n, preprocessing))


@pytest.mark.parametrize("channels", [1, 3])
def test_slic_follows_the_edge_of_a_disc(channels):
    preprocessing = COLOUR if channels == 3 else GREY
    pictures, disc = painting(channels)
    labels = segments(seen_by_a_net(pictures, preprocessing), "slic", 50, preprocessing)[0].numpy()
    grid = segments(torch.zeros(1, channels, 64, 64), "grid", 50, preprocessing)[0].numpy()

    def astray(parts):
        """Pixels of parts that lie mostly on the other side of the edge."""
        share = np.bincount(parts.ravel(), disc.ravel()) / np.bincount(parts.ravel())
        return ((share[parts] > 0.5) != disc).mean()

    assert astray(labels) < 0.02
    assert astray(grid) > 0.04


def test_slic_sees_the_picture_and_not_its_normalisation():
    pictures, _ = painting()
    other = replace(COLOUR, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    one, two = (segments(seen_by_a_net(pictures, p), "slic", 50, p) for p in (COLOUR, other))
    assert (one == two).float().mean() > 0.99


def test_pure_noise_still_falls_into_parts():
    noise = seen_by_a_net(np.random.default_rng(0).random((1, 64, 64, 3)), COLOUR)
    for n in (2, 10, 50):
        assert len(segments(noise, "slic", n, COLOUR).unique()) >= 2


@pytest.mark.parametrize("channels", [1, 3])
def test_covered_pictures_show_the_fill_where_nothing_is_kept(channels):
    image, fill = normalised(2, px=8, channels=channels)
    shown = torch.rand((5, 64), generator=torch.Generator().manual_seed(0)) < 0.5
    pictures = covered(image, fill, shown)
    assert torch.equal(pictures, torch.where(shown.view(5, 1, 8, 8), image, fill))
    assert pictures.is_contiguous(memory_format=torch.channels_last)


@each(METHODS)
def test_no_pass_is_larger_than_the_model_allows_and_the_map_does_not_depend_on_it(model_store, method):
    module, sizes = plain(), []
    module.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    maps = [run(model_store, method, module, batch=batch, **METHODS[method]) for batch in (64, 7)]
    if method in SAMPLED:
        torch.testing.assert_close(maps[0].error, maps[1].error, rtol=1e-3, atol=1e-7)
        maps = [found.maps for found in maps]
    torch.testing.assert_close(*maps, rtol=1e-3, atol=1e-6)
    if method.name == "occlusion":
        return  # patches of pictures: as many as fit into the memory of a pass, see test_incremental
    sizes.clear()
    add(model_store, module, px=PX)
    n_probes = len(sizes)  # of the store, which looks at a model whenever it is added
    sizes.clear()
    run(model_store, method, module, batch=7, **METHODS[method])
    assert max(sizes[n_probes:]) <= 7


@each(METHODS)
def test_an_image_gets_the_same_map_alone_and_among_others(model_store, method):
    inputs, targets = normalised(3, px=PX), torch.tensor([2, 0, 1])
    together = run(model_store, method, plain(), inputs, targets, **METHODS[method])
    alone = run(model_store, method, plain(), inputs[1:2], targets[1:2], **METHODS[method])
    if method in SAMPLED:
        assert torch.equal(together.error[1:2], alone.error)
        together, alone = together.maps, alone.maps
    assert torch.equal(together[1:2], alone)


@each(SAMPLED)
def test_the_same_seed_gives_the_same_map_and_another_seed_another(model_store, method):
    one, two, other = (run(model_store, method, plain(), **METHODS[method], seed=seed).maps for seed in (1, 1, 2))
    assert torch.equal(one, two)
    if method.name == "kernel-shap":  # few enough parts for all coalitions: seeds have nothing to say
        one, other = (
            run(model_store, method, plain(), superpixels="grid", segments=20, seed=seed).maps for seed in (1, 2)
        )
    assert not torch.allclose(one, other, rtol=1e-3)


@each(SAMPLED)
def test_random_numbers_of_other_threads_stay_as_they_are(model_store, method):
    card = add(model_store, plain(), px=PX)
    state, old = torch.get_rng_state(), np.random.get_state()[1].copy()
    with model_store.borrow(card) as model:
        method.attribute(model, normalised(px=PX), TARGETS, method.Params(**METHODS[method], fill="noise"), silent)
    assert torch.equal(state, torch.get_rng_state())
    assert np.array_equal(old, np.random.get_state()[1])


@each(METHODS)
def test_progress_counts_every_picture_up_to_the_last(model_store, method):
    card, seen = add(model_store, plain(), px=PX), []
    with model_store.borrow(card) as model:
        params = method.Params(**METHODS[method])
        method.attribute(model, normalised(px=PX), TARGETS, params, lambda *step: seen.append(step))
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1]
    assert len({total for _, total in seen}) == 1


@each([method for method in SAMPLED if method.name in ("rise", "shapley-sampling")])
def test_maps_sharpen_and_the_last_one_is_final(model_store, method):
    card = add(model_store, plain(), px=PX)
    params = method.Params(**METHODS[method])
    params = replace(params, **({"masks": 1000} if method.name == "rise" else {"permutations": 40}))
    with model_store.borrow(card) as model:
        looks = list(method.refine(model, normalised(px=PX), TARGETS, params, silent))
        final = method.attribute(model, normalised(px=PX), TARGETS, params, silent)
    assert len(looks) == (4 if method.name == "rise" else 10)
    assert torch.equal(looks[-1].maps, final.maps)
    errors = [float(look.error.mean()) for look in looks]
    assert errors[-1] < errors[0]
