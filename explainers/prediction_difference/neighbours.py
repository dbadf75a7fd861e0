"""What windows tell of their neighbours: sampling noise differs from one to the next, the truth hardly does."""

import numpy as np
from scipy.ndimage import convolve1d

#: Standard deviations, in windows' places, of the Gaussians that neighbours may be weighed by.
REACHES = (0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0)


def pooled(values: np.ndarray, errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values and their Monte Carlo errors (h, w), NaN where unknown -> the same, better known by their neighbours.

    A window's value r, of error s, and what its neighbours make of it without looking at it, c, of error t, are put
    together by their inverse variances: (t² r + s² c) / (s² + t²). How far neighbours are looked for, and t, are found
    by leaving one out: the mean of (r - c)² is t² + s², since a window's noise is its own. What is certain (s = 0)
    stays as it is, and all does where neighbours know no better.
    """
    known = np.isfinite(values) & np.isfinite(errors)
    if known.sum() < 3:
        return values, errors
    r, noise = np.where(known, values, 0.0), np.where(known, errors, 0.0) ** 2
    told, left = r, np.inf
    for reach in REACHES:
        others = _sum(known.astype(float), reach, itself=False)
        guess = np.divide(_sum(r, reach, itself=False), others, out=np.zeros_like(r), where=others > 1e-9)
        seen = known & (others > 1e-9)
        if seen.sum() < known.sum() / 2:
            continue
        surprise = np.square(r - guess)[seen].mean()
        if surprise - noise[seen].mean() < left:
            told, left = np.where(seen, guess, r), max(surprise - noise[seen].mean(), surprise / 100)
    near = np.where(noise > 0, _sum(noise, 1.0) / np.maximum(_sum((noise > 0).astype(float), 1.0), 1e-9), 0)
    if not np.isfinite(left):
        return values, errors
    trust = np.divide(near, near + left, out=np.zeros_like(near), where=near + left > 0)
    better = np.where(known, r + trust * (told - r), np.nan)
    return better, np.where(known, np.sqrt((1 - trust) * near), np.nan)


def _sum(field: np.ndarray, reach: float, itself: bool = True) -> np.ndarray:
    """Sums (h, w) over each place's neighbours, by a Gaussian that is 1 at the place itself, with or without that."""
    far = int(np.ceil(3 * reach))
    weights = np.exp(-np.square(np.arange(-far, far + 1) / reach) / 2)
    total = convolve1d(convolve1d(field, weights, 0, mode="constant"), weights, 1, mode="constant")
    return total if itself else total - field
