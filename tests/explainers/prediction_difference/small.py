"""A Gaussian of small patches and a picture near grey, for the tests of prediction difference."""

import numpy as np
import torch

from explainers.prediction_difference.samplers import Gaussian

PX, SIZE, RIM = 12, 3, 2
SIDE = SIZE + 2 * RIM
D = 3 * SIDE**2
PLACES = [(0, 0), (0, PX - SIZE), (4, 5), (PX - SIZE, 2), (1, 8), (PX - SIZE, PX - SIZE)]


def gaussian(seed=0, spread=0.02):
    """Smooth patches near grey, so that nothing is cut off at black or white."""
    random = np.random.default_rng(seed)
    mixed = random.normal(size=(D, D)) / D**0.5
    covariance = spread**2 * (mixed @ mixed.T + 0.1 * np.eye(D))
    return Gaussian(0.5 + 0.03 * random.normal(size=(1, D)), covariance[None], SIDE, 3, 25_000)


def picture(seed=0):
    return torch.from_numpy(0.5 + 0.03 * np.random.default_rng(seed).normal(size=(3, PX, PX))).float()


def given_rim(known, pixels, row, column):
    """Mean (n,) and covariance (n, n) of the window at a place, by inverting the whole covariance (numpy, float64)."""
    corner = np.clip((row - RIM, column - RIM), 0, PX - SIDE)
    inside = np.zeros((3, SIDE, SIDE), dtype=bool)
    top, left = np.array((row, column)) - corner
    inside[:, top : top + SIZE, left : left + SIZE] = True
    inside = inside.ravel()
    patch = pixels[:, corner[0] : corner[0] + SIDE, corner[1] : corner[1] + SIDE].double().numpy().ravel()
    precision = np.linalg.inv(known.covariance[0])
    covariance = np.linalg.inv(precision[np.ix_(inside, inside)])
    shift = covariance @ precision[np.ix_(inside, ~inside)] @ (patch - known.mean[0])[~inside]
    return known.mean[0][inside] - shift, covariance
