"""Surrogates: a linear model of the superpixels, fitted to what the net answers when some of them are covered."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from math import comb
from typing import NamedTuple, cast

import torch
from captum.attr import LimeBase
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from explainers.base import Explainer, Progress, Sampled, setting
from explainers.engines.perturbation import Steps
from explainers.engines.superpixels import Game, SuperpixelParams, difference, games
from models.store import ModelHandle


class Fit(NamedTuple):
    """Coefficients (K,) of a weighted regression, and the jackknife influence of its n samples on them (n, K); float64.

    The influences of independent samples give the standard error.
    """

    coefficients: Tensor
    influences: Tensor


def regression(x: Tensor, y: Tensor, weights: Tensor, ridge: float = 0.0) -> Fit:
    """The b (K,) of least sum_i w_i (y_i - x_i · b)² + ridge |b|², for x (n, K) and y (n,); all float64.

    What the samples leave open is settled by the shortest b.
    """
    weighted = x.T * weights
    gain = torch.linalg.pinv(weighted @ x + ridge * torch.eye(x.shape[1], dtype=x.dtype), hermitian=True) @ weighted
    coefficients = gain @ y
    leverage = torch.einsum("nk,kn->n", x, gain)
    residual = (y - x @ coefficients) / (1 - leverage).clamp(min=1e-6)
    return Fit(coefficients, gain.T * residual[:, None])


class LIME(Explainer):
    """Local interpretable model-agnostic explanation (Ribeiro et al. 2016, eq. 1-2, section 3.4).

    g(z) = b_0 + b · z imitates the score of pictures z in {0, 1}^K, in which the superpixels with z_k = 0 are covered:
    b has the least sum_z pi(z) (score(z) - g(z))² + ridge |b|², with pi(z) = exp(-D(z, 1)² / width²) and D the cosine
    distance. Each superpixel is shown or covered with probability one half, and the ridge stands in for the paper's
    K-LASSO, both as in the authors' code for images. The map shows b_k on every pixel of superpixel k.
    """

    name, title, family, signed = "lime", "LIME", "surrogate", True
    question = "Which parts of the image does a simple model need to imitate the answer near this image?"
    recipe = (
        "The image is cut into superpixels, many copies with some of them covered go through the model, and a linear "
        "model is fitted to the scores; copies near the original count more. Its coefficients are the map."
    )
    reference = "Ribeiro et al. 2016, Why Should I Trust You? Explaining the Predictions of Any Classifier"
    caution = "It depends on the superpixels, the kernel and the samples: try another seed before believing a detail."
    chunk = 1

    @dataclass(frozen=True)
    class Params(SuperpixelParams):
        """The superpixels, how many samples, and how the linear model is fitted."""

        samples: int = setting(150, low=20, high=4000, help="Covered images; at least two a superpixel are taken.")
        width: float = setting(0.25, low=0.05, high=10.0, help="Width of the kernel: small looks only near the image.")
        ridge: float = setting(1.0, low=0.0, high=100.0, help="Pull of the coefficients towards zero.")

    def attribute(
        self, model: ModelHandle, inputs: Tensor, targets: Tensor, params: Params, progress: Progress
    ) -> Sampled:
        """(N, C, H, W) float32, normalised -> (N, H, W) float32 and its error, target's unit per superpixel."""
        played = games(model, inputs, targets, params)
        drawn = [coalitions(max(params.samples, 2 * game.n_players), game.n_players, params.seed) for game in played]
        step = Steps(progress, sum(map(len, drawn)))
        fits = [
            surrogate(game, kept, params.width, params.ridge, step) for game, kept in zip(played, drawn, strict=True)
        ]
        maps = [game.painted(fit.coefficients) for game, fit in zip(played, fits, strict=True)]
        errors = [game.painted(fit.influences.square().sum(0).sqrt()) for game, fit in zip(played, fits, strict=True)]
        return Sampled(torch.stack(maps), torch.stack(errors))


def coalitions(n: int, n_players: int, seed: int) -> Tensor:
    """Coalitions (n, n_players) bool: first the whole image, then a coin for every superpixel."""
    kept = torch.rand((n, n_players), generator=torch.Generator().manual_seed(seed)) < 0.5
    kept[0] = True
    return kept


def surrogate(game: Game, drawn: Tensor, width: float, ridge: float, step: Steps) -> Fit:
    """LIME's linear model of a game's values for the coalitions `drawn` (n, K) bool."""
    lime = LimeBase(
        forward_func=partial(game.values, step=step),
        interpretable_model=WeightedRidge(ridge),
        similarity_func=lambda _image, _sample, kept, **_: similarity(kept, width),
        perturb_func=_one_by_one,
        perturb_interpretable_space=True,
        from_interp_rep_transform=lambda kept, _image, **_: kept,  # `game.values` covers the superpixels itself
        to_interp_rep_transform=None,
    )
    return lime.attribute(game.image[None], n_samples=len(drawn), perturbations_per_eval=game.model.batch, drawn=drawn)


def _one_by_one(_image: Tensor, drawn: Tensor) -> Iterator[Tensor]:
    yield from drawn.split(1)


def similarity(kept: Tensor, width: float) -> Tensor:
    """Weight (n,) float64 of coalitions (n, K): exp(-D² / width²), D the cosine distance from the whole image."""
    distance = 1 - kept.double().mean(1).sqrt()  # z · 1 / (|z| |1|) = sqrt(share that is kept)
    return torch.exp(-((distance / width) ** 2))


class WeightedRidge:
    """A weighted ridge regression as Captum fits and reads it; the intercept is not shrunk."""

    def __init__(self, ridge: float) -> None:
        self.ridge = ridge

    def fit(self, samples: DataLoader[tuple[Tensor, ...]]) -> None:
        """Fit to coalitions (n, K), their values (n,) and weights (n,), all float32."""
        z, values, weights = (part.double() for part in cast(TensorDataset, samples.dataset).tensors)
        z_mean, value_mean = ((weights @ part) / weights.sum() for part in (z, values))
        self._fit = regression(z - z_mean, values - value_mean, weights, self.ridge)

    def representation(self) -> Fit:
        """Coefficients and influences."""
        return self._fit


class KernelSHAP(Explainer):
    """Shapley values by weighted regression (Lundberg & Lee 2017, eq. 8 and theorem 2).

    phi has the least sum_z pi(z) (score(z) - score(0) - z · phi)² over pictures z in {0, 1}^K with the superpixels of
    z_k = 0 covered, under sum_k phi_k = score(1) - score(0) exactly, and pi(z) = (K - 1) / (C(K, |z|) |z| (K - |z|)).
    Pictures come in pairs z, 1 - z; sizes |z| of which all fit are taken in full, the largest weights first, as in the
    authors' code. phi_k is shared out over the pixels of superpixel k, so that the map sums to score(1) - score(0).
    """

    name, title, family, signed = "kernel-shap", "KernelSHAP", "surrogate", True
    question = "What is each part's fair share of the difference between this image and a covered one?"
    recipe = (
        "Copies with some superpixels covered go through the model. A linear model, weighted so that its coefficients "
        "are Shapley values, is fitted to the scores; each superpixel's share is spread over its pixels."
    )
    reference = "Lundberg & Lee 2017, A Unified Approach to Interpreting Model Predictions"
    caution = "Large parts look paler, as their share is spread thin; covered images are unlike any seen in training."
    chunk = 1

    @dataclass(frozen=True)
    class Params(SuperpixelParams):
        """The superpixels, and how many samples."""

        samples: int = setting(800, low=20, high=8000, help="Covered images; at least four a superpixel are taken.")

    def attribute(
        self, model: ModelHandle, inputs: Tensor, targets: Tensor, params: Params, progress: Progress
    ) -> Sampled:
        """(N, C, H, W) float32, normalised -> (N, H, W) float32 and its error, target's unit per pixel."""
        played = games(model, inputs, targets, params)
        drawn = [pairs(max(params.samples // 2, 2 * game.n_players), game.n_players, params.seed) for game in played]
        step = Steps(progress, sum(2 + 2 * len(kept) for kept, _, _ in drawn))
        found = [_shapley(game, *pair, step) for game, pair in zip(played, drawn, strict=True)]
        maps, errors = zip(*found, strict=True)
        return Sampled(torch.stack(maps), torch.stack(errors))

    def promised(self, model: ModelHandle, inputs: Tensor, targets: Tensor, params: Params) -> Tensor:
        """score(picture) - score(all covered), (N,)."""
        return difference(model, inputs, targets, params)


def _shapley(game: Game, kept: Tensor, weights: Tensor, n_full: int, step: Steps) -> tuple[Tensor, Tensor]:
    """Map and error (H, W) from `pairs`."""
    nothing, everything = game.ends(step)
    one, other = game.values(torch.cat([kept, ~kept]), step).view(2, -1)
    total = everything - nothing
    # With phi = total / K + psi, sum psi = 0, both pictures of a pair say the same of psi: half their difference is
    # (z - 1/2) · phi = (z - mean z) · psi + (mean z - 1/2) total.
    z = kept.double()
    share = z.mean(1, keepdim=True)
    fit = regression(z - share, (one - other) / 2 - (share[:, 0] - 0.5) * total, weights)
    drawn = fit.influences[n_full:]  # only what was drawn could have come out otherwise
    spread = (drawn - drawn.mean(0)).square().sum(0).sqrt() if len(drawn) else torch.zeros(game.n_players)
    return game.shared(total / game.n_players + fit.coefficients), game.shared(spread)


def pairs(n: int, n_players: int, seed: int) -> tuple[Tensor, Tensor, int]:
    """At most `n` coalitions (m, n_players) bool, each standing for itself and its complement, and weights (m,).

    The weights are float64 and sum to 1; the third value counts the first rows, whose sizes are there in full.
    """
    sizes = list(range(1, n_players // 2 + 1))
    weight = {size: (1 if 2 * size == n_players else 2) / (size * (n_players - size)) for size in sizes}
    everything = sum(weight.values())
    full: list[tuple[int, ...]] = []
    weights: list[float] = []
    while sizes:
        size = sizes[0]
        count = comb(n_players, size) // (1 if 2 * size != n_players else 2)
        if (n - len(full)) * weight[size] / sum(weight[rest] for rest in sizes) < count:
            break
        full += list(combinations(range(n_players), size))[:count]  # of the middle size, those that hold the first
        weights += [weight[size] / everything / count] * count
        sizes.pop(0)
    kept = torch.zeros((len(full), n_players), dtype=torch.bool)
    for row, members in zip(kept, full, strict=True):
        row[list(members)] = True
    n_drawn = n - len(full) if sizes else 0
    if n_drawn:
        generator = torch.Generator().manual_seed(seed)
        odds = torch.tensor([weight[size] for size in sizes], dtype=torch.float64)
        drawn = torch.tensor(sizes)[torch.multinomial(odds, n_drawn, replacement=True, generator=generator)]
        order = torch.rand((n_drawn, n_players), generator=generator).argsort(1).argsort(1)
        kept = torch.cat([kept, order < drawn[:, None]])
        weights += [float(odds.sum()) / everything / n_drawn] * n_drawn
    return kept, torch.tensor(weights, dtype=torch.float64), len(full)
