"""Shapley values of superpixels, estimated from random orders of uncovering."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from explainers.base import Progress, Progressive, Sampled, setting
from explainers.engines.perturbation import Steps
from explainers.engines.superpixels import Game, SuperpixelParams, difference, games
from models.store import ModelHandle

#: Pairs of permutations between two looks at the map.
_ROUND = 2


class ShapleySampling(Progressive):
    """Shapley values by permutations (Castro et al. 2009, section 3; Strumbelj & Kononenko 2010, algorithm 1).

    phi_k = mean over random orders of the superpixels of score(k and those before it show) - score(those before it
    show), the rest covered. Each order is also walked backwards, which evens out much of the chance; the standard
    error is that of the pairs. phi_k is shared out over the pixels of superpixel k, so that the map sums to
    score(picture) - score(all covered).
    """

    name, title, family, signed = "shapley-sampling", "Shapley value sampling", "surrogate", True
    question = "How much does each part add to the answer, averaged over all orders in which parts could appear?"
    recipe = (
        "All superpixels are covered, then uncovered one by one in a random order; what each adds to the score is "
        "noted, averaged over many orders and spread over its pixels."
    )
    reference = "Castro et al. 2009, Polynomial calculation of the Shapley value based on sampling"
    caution = (
        "Large parts look paler, as their share is spread thin; with few orders the values are rough (see the error)."
    )
    chunk = 1

    @dataclass(frozen=True)
    class Params(SuperpixelParams):
        """The superpixels, and how many orders."""

        permutations: int = setting(
            20, low=4, high=400, help="Orders of uncovering, in pairs; each costs a pass for every superpixel."
        )

    def refine(
        self, model: ModelHandle, inputs: Tensor, targets: Tensor, params: Params, progress: Progress
    ) -> Iterator[Sampled]:
        """(N, C, H, W) float32, normalised -> (N, H, W) float32 and its error, target's unit per pixel."""
        played = games(model, inputs, targets, params)
        n_pairs = params.permutations // 2
        step = Steps(progress, sum(2 + 2 * n_pairs * (game.n_players - 1) for game in played))
        ends = [game.ends(step) for game in played]
        orders = [permutations(n_pairs, game.n_players, params.seed) for game in played]
        found: list[list[Tensor]] = [[] for _ in played]
        for start in range(0, n_pairs, _ROUND):
            for game, order, (nothing, everything), gains in zip(played, orders, ends, found, strict=True):
                part = order[start : start + _ROUND]
                both = torch.stack([part, game.n_players - 1 - part])  # the other way round: last comes first
                gains.append(marginal_gains(game, both.flatten(0, 1), nothing, everything, step).view_as(both).mean(0))
            yield _so_far(played, found)

    def promised(self, model: ModelHandle, inputs: Tensor, targets: Tensor, params: Params) -> Tensor:
        """score(picture) - score(all covered), (N,)."""
        return difference(model, inputs, targets, params)


def permutations(n: int, n_players: int, seed: int) -> Tensor:
    """Random orders (n, n_players) int64: the place, from 0, at which each superpixel appears."""
    return torch.rand((n, n_players), generator=torch.Generator().manual_seed(seed)).argsort(1)


def marginal_gains(game: Game, places: Tensor, nothing: Tensor, everything: Tensor, step: Steps) -> Tensor:
    """What each superpixel adds when it appears at its place: (n, K) float64 for `places` (n, K)."""
    n, n_players = places.shape
    kept = places[:, None] < torch.arange(1, n_players)[:, None]  # (n, K - 1, K): the first 1, 2, ... show
    between = game.values(kept.flatten(0, 1), step).view(n, n_players - 1)
    walk = torch.cat([nothing.expand(n, 1), between, everything.expand(n, 1)], 1)
    return walk.diff(dim=1).gather(1, places)


def _so_far(played: list[Game], found: list[list[Tensor]]) -> Sampled:
    maps, errors = [], []
    for game, gains in zip(played, found, strict=True):
        pairs = torch.cat(gains)
        maps.append(game.shared(pairs.mean(0)))
        errors.append(game.shared(pairs.std(0) / len(pairs) ** 0.5))
    return Sampled(torch.stack(maps), torch.stack(errors))
