"""RISE: its masks and its sum by hand, where it points, and how sure it is."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from explainers.methods.rise import RISE, Masks
from tests.explainers.games import Half, plain, run
from tests.explainers.nets import add, normalised, seeded, silent

METHOD = RISE()
TARGETS = torch.tensor([2, 0])


def masks_by_hand(params, height, width):
    """The paper's recipe one mask after the other, with the same coins and shifts."""
    generator = torch.Generator().manual_seed(params.seed)
    coins = (torch.rand((params.masks, params.cells, params.cells), generator=generator) < params.p).float()
    cells = [-(-side // params.cells) for side in (height, width)]
    down, right = (torch.randint(0, cell, (params.masks,), generator=generator) for cell in cells)
    size = [(params.cells + 1) * cell for cell in cells]
    large = F.interpolate(coins[:, None], size, mode="bilinear")[:, 0]
    return torch.stack(
        [mask[y : y + height, x : x + width] for mask, y, x in zip(large, down.tolist(), right.tolist(), strict=True)]
    )


@pytest.mark.parametrize(("height", "width", "cells"), [(16, 16, 7), (20, 13, 3), (8, 8, 32)])
def test_masks_are_grids_of_coins_enlarged_and_shifted(height, width, cells):
    params = METHOD.Params(masks=100, cells=cells, p=0.4, seed=3)
    masks = Masks(params, torch.zeros(1, 3, height, width))
    expected = masks_by_hand(params, height, width)
    torch.testing.assert_close(masks.of(torch.arange(100)), expected, rtol=0, atol=1e-6)
    threefold = masks.of(torch.arange(20, 30), 3)
    torch.testing.assert_close(threefold, expected[20:30].repeat_interleave(3, 2), rtol=0, atol=1e-6)
    assert abs(float(expected.mean()) - 0.4) < 0.03
    assert len({tuple(mask.flatten().tolist()) for mask in expected}) == 100


@pytest.mark.parametrize("fill", ["mean", "black", "noise"])
def test_the_map_is_the_papers_sum_less_its_level(model_store, fill):
    from explainers.engines.baselines import baseline

    module, inputs = plain(), normalised(px=16)
    params = METHOD.Params(masks=300, p=0.4, fill=fill)
    found = run(model_store, METHOD, module, inputs, masks=300, p=0.4, fill=fill)
    masks = masks_by_hand(params, 16, 16)
    fills = baseline(fill, inputs, model_store.cards()[0].preprocessing)
    for n, target in enumerate(TARGETS):
        with torch.no_grad():
            scores = module(masks[:, None] * inputs[n] + (1 - masks[:, None]) * fills[n])[:, target].double()
        terms = (scores - scores.mean())[:, None, None] * (masks.double() - masks.double().mean(0)) / 0.4
        largest = float(terms.mean(0).abs().max())
        torch.testing.assert_close(found.maps[n], terms.mean(0).float(), rtol=0, atol=1e-4 * largest)
        torch.testing.assert_close(found.error[n], (terms.std(0) / 300**0.5).float(), rtol=1e-2, atol=0)


class Spot(nn.Module):
    """Adds up a small square: the first output for it, the second against it, both far from zero."""

    def forward(self, x):
        spot = x[:, :, 4:8, 18:22].mean((1, 2, 3))
        return torch.stack([100 + spot, 100 - spot], 1)


def test_the_map_peaks_where_the_net_looks_and_says_for_or_against(model_store):
    white = torch.ones(2, 3, 28, 28)
    found = run(model_store, METHOD, Spot(), white, torch.tensor([0, 1]))
    for maps, extreme in ((found.maps[0], torch.argmax), (found.maps[1], torch.argmin)):
        row, column = divmod(int(extreme(maps)), 28)
        assert 3 <= row <= 8
        assert 17 <= column <= 22
    torch.testing.assert_close(found.maps[0], -found.maps[1], rtol=0, atol=1e-4)
    far = found.maps[0, 16:, :8]
    assert (far.abs() <= 4.5 * found.error[0, 16:, :8]).all()
    assert far.abs().max() < 0.2 * found.maps[0].max()


def test_pixels_rank_as_the_weights_of_a_linear_net(model_store):
    """Four quarters of an all-white picture with weights 4 > 2 > 1 > 0: so do the means of the map."""
    weight = torch.tensor([[4.0, 0.0], [1.0, 2.0]]).repeat_interleave(14, 0).repeat_interleave(14, 1)

    class Weighted(nn.Module):
        def forward(self, x):
            score = (x.mean(1) * weight).mean((1, 2))
            return torch.stack([score, -score], 1)

    maps = run(model_store, METHOD, Weighted(), torch.ones(1, 3, 28, 28), torch.tensor([0])).maps[0]
    quarters = maps.view(2, 14, 2, 14)[:, 4:10, :, 4:10].mean((1, 3)).flatten()
    assert quarters.argsort(descending=True).tolist() == [0, 3, 2, 1]


def test_the_standard_error_is_the_spread_over_seeds(model_store):
    runs = [run(model_store, METHOD, plain(), normalised(px=16), masks=200, seed=seed) for seed in range(40)]
    spread = torch.stack([found.maps for found in runs]).std(0)
    said = torch.stack([found.error for found in runs]).square().mean(0).sqrt()
    assert 0.8 < (spread / said).mean() < 1.2


def test_a_large_constant_in_the_score_costs_no_digits(model_store):
    class Lifted(nn.Module):
        def __init__(self, by):
            super().__init__()
            self.net, self.by = plain().double(), by

        def forward(self, x):
            return self.net(x) + self.by

    plainly, lifted = (run(model_store, METHOD, Lifted(by), normalised(px=16), masks=200).maps for by in (0, 64))
    torch.testing.assert_close(plainly, lifted, rtol=0, atol=1e-3 * float(plainly.abs().max()))


def test_what_the_net_never_sees_gets_nothing_but_chance(model_store):
    """Masks are smooth: beyond two cells a pixel shares no coin with those that the net sees."""
    found = run(
        model_store, METHOD, Half(), normalised(px=12), cells=12
    )  # cells of one pixel, the net sees columns 0 to 7
    assert (found.maps[:, :, 10:].abs() <= 4.5 * found.error[:, :, 10:]).all()
    assert found.maps[:, :, 10:].abs().max() < 0.5 * found.maps.abs().max()


def test_masks_are_never_all_there_at_once(model_store, monkeypatch):
    sizes, of = [], Masks.of

    def spied(self, index, repeat=1):
        sizes.append(len(index))
        return of(self, index, repeat)

    monkeypatch.setattr(Masks, "of", spied)
    card = add(model_store, seeded(plain), px=16)
    with model_store.borrow(card) as model:
        METHOD.attribute(model, normalised(px=16), TARGETS, METHOD.Params(masks=500), silent)
    assert max(sizes) <= model.batch
    assert np.sum(sizes) == 2 * 500
