"""From a picture to the numbers that a generator would make it from (CDeepEx, equation 1), many pictures at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from explainers.base import Progress, nobody, part_of
from explainers.contrastive.generator import Trained
from explainers.contrastive.method import ContrastParams

#: Length of Adam's steps at first; they shrink to a hundredth. After this share of the steps only the best go on.
_RATE, _LAST, _FIRST_PART = 0.1, 0.01, 0.25


@dataclass(frozen=True)
class Inverted:
    """Where pictures lie: `z` (N, latent), `made` = G(z) (N, C, side, side) in [0, 1], `residual` = made - picture."""

    z: Tensor
    made: Tensor
    residual: Tensor

    @property
    def error(self) -> Tensor:
        """(N,): root mean square of the residual, in grey values from 0 to 1."""
        return self.residual.flatten(1).square().mean(1).sqrt()


def invert(
    trained: Trained,
    pictures: Tensor,
    params: ContrastParams,
    progress: Progress = nobody,
) -> Inverted:
    """z0 = argmin |G(z) - I|² + prior |z|² for `pictures` (N, C, side, side) in [0, 1], on the generator's device.

    By Adam from `params.restarts` points each: the encoder's guess and random ones; a quarter of the way on, only the
    best goes on. `progress` counts steps and may raise to stop.
    """
    n, steps = len(pictures), params.inversion_steps
    first = max(1, round(_FIRST_PART * steps)) if params.restarts > 1 else steps
    generator = torch.Generator().manual_seed(params.seed)
    with torch.no_grad():
        guess = trained.encoder(pictures)
    random = torch.randn(params.restarts - 1, trained.shape.latent, generator=generator).to(guess)
    starts = torch.cat([guess[:, None], random.expand(n, -1, -1)], 1).flatten(0, 1)
    wanted = pictures.repeat_interleave(params.restarts, 0)
    z, cost = _descend(trained, starts, wanted, params.prior, first, part_of(progress, 0, first, steps))
    best = cost.view(n, -1).argmin(1)
    z = z.view(n, params.restarts, -1)[torch.arange(n, device=z.device), best]
    if steps > first:
        z, _ = _descend(
            trained, z, pictures, params.prior, steps - first, lambda done, _: progress(first + done, steps)
        )
    with torch.no_grad():
        made = trained.generator(z)
    return Inverted(z, made, made - pictures)


def _descend(
    trained: Trained,
    start: Tensor,
    pictures: Tensor,
    prior: float,
    steps: int,
    progress: Progress,
) -> tuple[Tensor, Tensor]:
    """The best points (N, latent) on Adam's way down from `start`, and their costs (N,)."""
    z = start.clone().requires_grad_()
    adam = torch.optim.Adam([z], _RATE, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps, _RATE * _LAST)
    best, least = start.clone(), torch.full((len(start),), torch.inf, device=start.device)
    for step in range(steps + 1):
        progress(step, steps)
        with torch.enable_grad():
            cost = (trained.generator(z) - pictures).flatten(1).square().sum(1) + prior * z.square().sum(1)
            (slope,) = torch.autograd.grad(cost.sum(), z)
        better = cost.detach() < least
        best[better], least[better] = z.detach()[better], cost.detach()[better]
        if step < steps:
            z.grad = slope
            adam.step()
            schedule.step()
    return best, least
