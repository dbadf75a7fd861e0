"""What a generator makes out of nothing: how far to trust contrasts begins with how real its own pictures look."""

from __future__ import annotations

import numpy as np
import torch

from explainers.contrastive.generator import Trained


def samples(trained: Trained, n: int = 32, seed: int = 0) -> np.ndarray:
    """Pictures of random numbers: (n, side, side, C) uint8, the same ones for the same `seed`."""
    device = next(trained.generator.parameters()).device
    z = torch.randn(n, trained.shape.latent, generator=torch.Generator().manual_seed(seed)).to(device)
    with torch.no_grad():
        made = trained.generator(z)
    return made.mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
