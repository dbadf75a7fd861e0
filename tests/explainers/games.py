"""Nets whose superpixels have values by hand, and Shapley's own formula over all coalitions."""

from itertools import combinations
from math import factorial

import torch
from torch import nn

from tests.explainers.nets import NETS, TARGETS, attribute, normalised, seeded

#: A picture of 12 × 12 pixels in six parts, two rows of three.
PX, N_PARTS = 12, 6
GRID = {"superpixels": "grid", "segments": N_PARTS}
LABELS = torch.tensor([[0, 1, 2], [3, 4, 5]]).repeat_interleave(6, 0).repeat_interleave(4, 1)


def linear():
    return seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * PX * PX, 3)))


def plain():
    return seeded(NETS["plain"])


class Both(nn.Module):
    """Column 0: 1 when the first two parts of an all-white picture show, else 0; the others: nothing."""

    def forward(self, x):
        one, other = (x.mean(1)[:, part == LABELS].mean(1) for part in (0, 1))
        score = torch.relu(one + other - 1)
        return torch.stack([score, 0 * score, 0 * score], 1)


class Half(nn.Module):
    """Sees nothing of the right third of the picture."""

    def __init__(self):
        super().__init__()
        self.net = plain()

    def forward(self, x):
        return self.net(x * (torch.arange(PX) < 8))


def run(model_store, method, module, inputs=None, targets=TARGETS, batch=64, **params):
    """(maps, error) of a method for two noise pictures, or for `inputs`."""
    inputs = normalised(px=PX) if inputs is None else inputs
    return attribute(model_store, module, method, inputs, targets, batch, **params)


def per_part(maps):
    """(N, PX, PX) -> sums of the parts (N, 6), and whether each part has one value on all its pixels."""
    parts = torch.stack([maps[:, part == LABELS] for part in range(N_PARTS)], 1)
    assert torch.equal(parts.amax(2), parts.amin(2))
    return parts.double().sum(2)


def value(module, image, target, shown):
    """Score when the parts `shown` show and grey covers the rest."""
    kept = torch.isin(LABELS, torch.tensor(sorted(shown), dtype=torch.int64))
    with torch.no_grad():
        return float(module((image * kept)[None])[0, target])


def shapley_by_definition(module, inputs, targets=TARGETS):
    """(N, 6): sum over S without k of |S|! (5 - |S|)! / 6! · (v(S + k) - v(S))."""
    everyone = range(N_PARTS)
    found = torch.zeros((len(inputs), N_PARTS), dtype=torch.float64)
    for n, (image, target) in enumerate(zip(inputs, targets, strict=True)):
        values = {
            frozenset(shown): value(module, image, target, shown)
            for size in range(N_PARTS + 1)
            for shown in combinations(everyone, size)
        }
        for shown, before in values.items():
            for k in set(everyone) - shown:
                weight = factorial(len(shown)) * factorial(N_PARTS - 1 - len(shown)) / factorial(N_PARTS)
                found[n, k] += weight * (values[shown | {k}] - before)
    return found
