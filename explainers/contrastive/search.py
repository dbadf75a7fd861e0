"""The constrained search: from where an image lies to the nearest point between two classes, many images at once.

CDeepEx, equation 2: min |z - z0|² subject to h = ℓ_true - ℓ_probe = 0 and g <= 0, where every g says that a third class
stays ε below one of the two. Augmented Lagrangian (Bertsekas 1999, section 4.2):

    L = |z - z0|² + λh + ½ρh² + (1/2ρ) Σ (max(0, μ + ρg)² - μ²);  λ += ρh, μ = max(0, μ + ρg)

and ρ × 4 where the violation fell by less than ¾. Without g it is xGEMs (Joshi et al. 2018).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from common.errors import InputError
from explainers.base import Progress, nobody
from explainers.contrastive.lbfgs import minimise
from explainers.contrastive.method import ContrastParams

#: The answers of a model: points z (n, k) and the numbers (n,) of their problems -> logits (n, classes).
Answers = Callable[[Tensor, Tensor], Tensor]

#: The first ρ, what it grows by, and the share of the violation that may be left for it not to grow.
_RHO, _GROW, _LEFT = 1.0, 4.0, 0.25


@dataclass(frozen=True)
class Found:
    """What a search of N problems found.

    `z` (N, k): the nearest feasible point, or where none was found the one of the least violation. `feasible` (N,)
    bool; `violation` (N,) in logits: the larger of |h| and the highest g, at least 0; `iterations` (N,) int64 steps of
    L-BFGS. `paths`: for each problem (steps, 3) float32, the likelihoods of true, probe and the likeliest other class
    on the way (0 where there are two classes only), the first of them at z0.
    """

    z: Tensor
    feasible: np.ndarray
    violation: np.ndarray
    iterations: np.ndarray
    paths: tuple[np.ndarray, ...]


class Lagrangian:
    """Equation 2 of N problems; `true` and `probe` (N,) int64 are columns of the model's answer.

    Raises `InputError` for a model without gradients.
    """

    def __init__(self, answers: Answers, z0: Tensor, true: Tensor, probe: Tensor, params: ContrastParams) -> None:
        self.answers, self.z0, self.true, self.probe, self.params = answers, z0, true, probe, params
        n = len(z0)
        with torch.enable_grad():
            point = z0[:1].detach().requires_grad_()
            logits = answers(point, torch.zeros(1, dtype=torch.int64, device=z0.device))
        if not logits.requires_grad:
            cure = "Take a model of differentiable functions only."
            raise InputError("a model whose gradients reach its input", "one without gradients", cure)
        n_classes = logits.shape[1]
        others = torch.ones(n, n_classes, dtype=torch.bool, device=z0.device)
        others.scatter_(1, torch.stack([true, probe], 1), False)
        self.others = others.nonzero()[:, 1].view(n, n_classes - 2)
        n_limits = 2 * (n_classes - 2) if params.constraints else 0
        self.multiplier, self.weight = z0.new_zeros(n), z0.new_full((n,), _RHO)
        self.multipliers = z0.new_zeros(n, n_limits)

    def constraints(self, logits: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """h (n,) and g (n, 2 (classes - 2)), or (n, 0) for xGEMs, of logits (n, classes)."""
        true, probe = (logits.gather(1, chosen[rows, None]) for chosen in (self.true, self.probe))
        if not self.multipliers.shape[1]:
            return (true - probe)[:, 0], logits[:, :0]
        third = logits.gather(1, self.others[rows])
        return (true - probe)[:, 0], torch.cat([third - true, third - probe], 1) + self.params.margin

    def slope_of(self, z: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """L, its gradient, and the logits at z (n, k)."""
        with torch.enable_grad():
            point = z.detach().requires_grad_()
            logits = self.answers(point, rows)
            value = self._value(point, logits, rows)
            (slope,) = torch.autograd.grad(value.sum(), point)
        return value.detach(), slope, logits.detach()

    def _value(self, z: Tensor, logits: Tensor, rows: Tensor) -> Tensor:
        h, g = self.constraints(logits, rows)
        g = g + self.params.tolerance  # aimed a little beyond, so that g <= 0 holds where the search stops
        weight, multipliers = self.weight[rows], self.multipliers[rows]
        limits = (multipliers + weight[:, None] * g).clamp(min=0).square() - multipliers.square()
        nearness = (z - self.z0[rows]).square().sum(1)
        return nearness + self.multiplier[rows] * h + weight * h.square() / 2 + limits.sum(1) / (2 * weight)

    def shares(self, logits: Tensor, rows: Tensor) -> np.ndarray:
        """Likelihoods (n, 3) float32 of true, probe and the likeliest other class, of logits (n, classes)."""
        likelihood = logits.softmax(1)
        chosen = [likelihood.gather(1, column[rows, None]) for column in (self.true, self.probe)]
        third = likelihood.gather(1, self.others[rows])
        chosen.append(third.amax(1, keepdim=True) if third.shape[1] else torch.zeros_like(chosen[0]))
        return torch.cat(chosen, 1).float().cpu().numpy()

    def update(self, h: Tensor, g: Tensor, rows: Tensor, slow: Tensor) -> None:
        """New multipliers after a round; ρ grows for the rows that `slow` (n,) bool names."""
        weight = self.weight[rows]
        self.multiplier[rows] += weight * h
        aimed = g + self.params.tolerance
        self.multipliers[rows] = (self.multipliers[rows] + weight[:, None] * aimed).clamp(min=0)
        self.weight[rows] = torch.where(slow, weight * _GROW, weight)


def search(
    answers: Answers,
    z0: Tensor,
    true: Tensor,
    probe: Tensor,
    params: ContrastParams,
    progress: Progress = nobody,
) -> Found:
    """Solve equation 2 from `z0` (N, k) for columns `true` and `probe` (N,), which differ in every row.

    `progress` counts rounds and may raise to stop.
    """
    lagrangian = Lagrangian(answers, z0, true, probe, params)
    z, best = z0.clone(), z0.clone()
    n, rows = len(z0), torch.arange(len(z0), device=z0.device)
    least, before = z0.new_full((n,), torch.inf), z0.new_full((n,), torch.inf)
    iterations = torch.zeros(n, dtype=torch.int64, device=z0.device)
    ways: list[list[np.ndarray]] = [[] for _ in range(n)]

    def see(logits: Tensor, seen: Tensor) -> None:
        for row, likelihoods in zip(seen.tolist(), lagrangian.shares(logits, seen), strict=True):
            ways[row].append(likelihoods)

    with torch.no_grad():
        see(answers(z0, rows), rows)
    for number in range(params.rounds):
        progress(number, params.rounds)
        z[rows], taken = minimise(lagrangian.slope_of, z[rows], rows, params.iterations, params.tolerance, see)
        iterations[rows] += taken
        with torch.no_grad():
            h, g = lagrangian.constraints(answers(z[rows], rows), rows)
        violation = _violation(h, g)
        better = violation < least[rows]
        best[rows[better]], least[rows[better]] = z[rows[better]], violation[better]
        lagrangian.update(h, g, rows, ~(violation <= _LEFT * before[rows]))
        before[rows] = violation
        rows = rows[~_holds(h, g, params)]
        if not len(rows):
            break
    progress(params.rounds, params.rounds)
    with torch.no_grad():
        every = torch.arange(n, device=z0.device)
        h, g = lagrangian.constraints(answers(best, every), every)
    return Found(
        best,
        _holds(h, g, params).cpu().numpy(),
        _violation(h, g).float().cpu().numpy(),
        iterations.cpu().numpy(),
        tuple(np.array(way, dtype=np.float32) for way in ways),
    )


def _violation(h: Tensor, g: Tensor) -> Tensor:
    """The larger of |h| and the highest g, infinite where either is no number: (n,)."""
    highest = g.amax(1).clamp(min=0) if g.shape[1] else torch.zeros_like(h)
    return torch.maximum(h.abs(), highest).nan_to_num(nan=torch.inf)


def _holds(h: Tensor, g: Tensor, params: ContrastParams) -> Tensor:
    """Whether |h| is below the tolerance and no g above 0: (n,) bool."""
    return (h.abs() < params.tolerance) & (g <= 0).all(1)
