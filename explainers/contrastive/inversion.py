"""From an image to the latent code that a generator would make it from (CDeepEx, equation 1), many images at once."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from explainers.base import Progress, nobody, part_of
from explainers.contrastive.generator import Trained
from explainers.contrastive.method import ContrastParams
from jobs.results import ResultStore, key_of

#: Adam's learning rate at first; it falls to a hundredth. After this share of the steps only the best go on.
_RATE, _LAST, _FIRST_PART = 0.1, 0.01, 0.25


def inversions(
    store: ResultStore,
    trained: Trained,
    image_ids: Sequence[str],
    images: Tensor,
    params: ContrastParams,
    progress: Progress = nobody,
) -> Tensor:
    """The codes (N, latent) of `images` (N, C, side, side): found in `store`, or computed in one batch and kept."""
    keys = [
        key_of(what="inversion", generator=trained.key, image=image_id, params=params.inversion)
        for image_id in image_ids
    ]
    known = {key: arrays["z"] for key in keys if (arrays := store.get(key)) is not None}
    new = {key: row for row, key in enumerate(keys) if key not in known}
    if new:
        found = invert(trained, images[list(new.values())], params, progress)
        for key, z in zip(new, found.cpu().numpy(), strict=True):
            store.put(key, z=z)
            known[key] = z
    return torch.from_numpy(np.stack([known[key] for key in keys])).to(images.device)


def invert(trained: Trained, images: Tensor, params: ContrastParams, progress: Progress = nobody) -> Tensor:
    """z0 = argmin |G(z) - I|² + prior |z|² (N, latent) for `images` (N, C, side, side) in [0, 1].

    By Adam from `params.restarts` points each: the encoder's guess and random ones; a quarter of the way on, only the
    best goes on. On the generator's device. `progress` counts steps and may raise to stop.
    """
    n, steps = len(images), params.inversion_steps
    first = max(1, round(_FIRST_PART * steps)) if params.restarts > 1 else steps
    generator = torch.Generator().manual_seed(params.seed)
    with torch.no_grad():
        guess = trained.encoder(images)
    random = torch.randn(params.restarts - 1, trained.shape.latent, generator=generator).to(guess)
    starts = torch.cat([guess[:, None], random.expand(n, -1, -1)], 1).flatten(0, 1)
    wanted = images.repeat_interleave(params.restarts, 0)
    z, cost = _descend(trained, starts, wanted, params.prior, first, part_of(progress, 0, first, steps))
    best = cost.view(n, -1).argmin(1)
    z = z.view(n, params.restarts, -1)[torch.arange(n, device=z.device), best]
    if steps > first:
        rest = part_of(progress, first, steps - first, steps)
        z, _ = _descend(trained, z, images, params.prior, steps - first, rest)
    return z


def _descend(
    trained: Trained, start: Tensor, images: Tensor, prior: float, steps: int, progress: Progress
) -> tuple[Tensor, Tensor]:
    """The best points (N, latent) on Adam's way down from `start`, and their costs (N,)."""
    z = start.clone().requires_grad_()
    adam = torch.optim.Adam([z], _RATE, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps, _RATE * _LAST)
    best, least = start.clone(), torch.full((len(start),), torch.inf, device=start.device)
    for step in range(steps + 1):
        progress(step, steps)
        with torch.enable_grad():
            cost = (trained.generator(z) - images).flatten(1).square().sum(1) + prior * z.square().sum(1)
            (slope,) = torch.autograd.grad(cost.sum(), z)
        better = cost.detach() < least
        best[better], least[better] = z.detach()[better], cost.detach()[better]
        if step < steps:
            z.grad = slope
            adam.step()
            schedule.step()
    return best, least
