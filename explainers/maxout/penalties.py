"""What a picture costs: by how much neighbours differ, and by how far it is from grey.

Both lie in [0, 1], so that a weight is what the worst picture costs, in the units of what is maximised.
"""

from __future__ import annotations

from torch import Tensor


def total_variation(pictures: Tensor) -> Tensor:
    """Mean of |difference| between neighbouring pixels (N,), 1 for single pixels of black and white in turn.

    `pictures` (N, C, h, w) in [0, 1]. (Mahendran and Vedaldi 2015, eq. 4, with β = 1.)
    """
    down = (pictures[:, :, 1:] - pictures[:, :, :-1]).abs().mean((1, 2, 3))
    right = (pictures[:, :, :, 1:] - pictures[:, :, :, :-1]).abs().mean((1, 2, 3))
    return (down + right) / 2


def norm(pictures: Tensor) -> Tensor:
    """Mean of (2 x - 1)² (N,), 0 for grey, 1 for black and white. `pictures` (N, C, h, w) in [0, 1].

    (Simonyan et al. 2014, eq. 1, about mid-grey.)
    """
    return (2 * pictures - 1).square().mean((1, 2, 3))
