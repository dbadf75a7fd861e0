"""What windows are likely worth, many from one pass there and back: for models in which single windows save nothing."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from explainers.engines.fast_input_gradient import FastInputGradient
from explainers.prediction_difference.evidence import Measure
from explainers.prediction_difference.samplers import Sampler
from explainers.prediction_difference.windows import Grid
from models.store import ModelHandle

#: Pairs of samples of a window, at most: beyond that the error is what the rule misses, and no longer noise.
_PAIRS = 8

#: Sides of a window from one window to the next that change in the same pass, at least: nearer ones feel each other.
_APART = 2.4

#: Passes for each window of the image and its target, at most.
_PASSES = 2


def apart(grid: Grid) -> int:
    """From a window's place to the next one's that changes in the same pass; the grid's rounds are whole groups."""
    coarsest = grid.strides[0]
    return coarsest * -(-round(_APART * grid.size) // coarsest)


class Gradients:
    """Estimates of windows' values by the trapezoid rule, f(x + d) - f(x) = (f'(x) + f'(x + d)) · d / 2.

    Its error is of third order in the change d. Where d changes many windows far apart at once, each window's part of
    the product is that window's estimate, but for what windows make of each other: a control variate of what single
    windows are worth, better by far than as many passes with one window each. `n_pairs` pairs of samples are worth
    their passes. `here` (T, 1, C, H, W) is the gradient at the image itself; `None`, and no estimates, where images
    hold few windows that far apart, or the model's answer has no gradient.
    """

    def __init__(
        self,
        model: ModelHandle,
        inputs: Tensor,
        grid: Grid,
        sampler: Sampler,
        measures: Sequence[Measure],
        samples: int,
    ) -> None:
        """`inputs` (C, H, W) float32, normalised; `samples` are as many as a window gets at most."""
        self._model, self._inputs, self._grid, self._sampler, self._measures = model, inputs, grid, sampler, measures
        self._apart = apart(grid)
        n_together = (grid.height - grid.size + 1) * (grid.width - grid.size + 1) // self._apart**2
        # as many whichever other targets share the passes, so that a target's estimate is what it would be alone
        self.n_pairs = min(2 * _PAIRS, samples, _PASSES * n_together // 2) // 2
        self.here = self._slopes(inputs[None]) if self.n_pairs else None

    def estimates(
        self, known: np.ndarray, image: Tensor, mean: Tensor, std: Tensor, seed: int
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """A pair's number, places (W, 2) and what they are worth (T, W) float32 by that pair alone, until all is known.

        `known` (pairs, h, w) says of which windows that is known already; `image` (C, H, W) are pixels in [0, 1], of
        which `mean` and `std` make inputs.
        """
        at_once = max(1, self._model.batch // 4)  # each has two images, there and back
        for number in range(self.n_pairs):
            wanted = [places for places in self._groups(seed) if not known[number, places[:, 0], places[:, 1]].all()]
            for start in range(0, len(wanted), at_once):
                groups = wanted[start : start + at_once]
                places = np.concatenate(groups)
                pair = range(2 * number, 2 * number + 2)
                contents = (self._sampler.draw(image, places, self._grid.size, pair, seed) - mean) / std
                of = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
                yield number, places, self._worth(places, of, contents)

    def _groups(self, seed: int) -> Iterator[np.ndarray]:
        """Places (W, 2) that change together, those of the coarsest stride first; all that the grid needs are in one.

        A group is the same whichever of its rounds' strides the grid has, and so is what it says.
        """
        random, seen = np.random.default_rng(seed), set[tuple[int, int]]()
        n_rows, n_columns = self._grid.height - self._grid.size + 1, self._grid.width - self._grid.size + 1
        for places in self._grid.rounds(seed):
            offsets = {(row, column) for row, column in (places % self._apart).tolist()} - seen
            seen |= offsets
            for row, column in random.permutation(sorted(offsets)).reshape(-1, 2):
                rows, columns = np.arange(row, n_rows, self._apart), np.arange(column, n_columns, self._apart)
                yield np.stack(np.meshgrid(rows, columns, indexing="ij"), -1).reshape(-1, 2)

    def _worth(self, places: np.ndarray, of: np.ndarray, contents: Tensor) -> np.ndarray:
        """Means over a pair (T, W) float32: `places` (W, 2) get `contents` (W, 2, C, h, w) in images `of` (W,)."""
        size = self._grid.size
        moved = self._inputs.repeat(int(of[-1]) + 1, 2, 1, 1, 1)
        for image, (row, column), pair in zip(of, places, contents, strict=True):
            moved[image, :, :, row : row + size, column : column + size] = pair
        there = self._slopes(moved.flatten(0, 1))
        assert there is not None
        assert self.here is not None
        rise = (there + self.here) / 2 * (moved.flatten(0, 1) - self._inputs)  # (T, images · 2, C, H, W)
        each = F.avg_pool2d(rise.sum(2), size, 1) * size**2  # of the window that begins at each place
        each = each.unflatten(1, (-1, 2)).mean(2)
        return -each[:, of, places[:, 0], places[:, 1]].cpu().numpy()

    def _slopes(self, images: Tensor) -> Tensor | None:
        """Gradient (T, N, C, H, W) of each target's measure at `images` (N, C, H, W); `None` if there is none."""
        seen = images.detach().contiguous(memory_format=torch.channels_last).requires_grad_()
        with torch.enable_grad(), FastInputGradient():
            scores = self._model.scores(seen)
            if not scores.requires_grad:
                return None
            values = torch.stack([measure.value(measure.statistics(scores)) for measure in self._measures], 1)
            n = values.shape[1]
            rows = [values[:, target].sum() for target in range(n)]
            return torch.stack([torch.autograd.grad(row, seen, retain_graph=row is not rows[-1])[0] for row in rows])
