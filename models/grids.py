"""Where the cells of a layer lie: its shape suggests grids, bright spots in the image show which of them is true."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from models.card import MAPS, MAPS_LAST, TOKENS

#: Centres of the spots, in shares of height and width: eight queens on a board, so that no two of them share a row, a
#: column or a diagonal, and a grid that is transposed, mirrored, folded or in blocks has most of them elsewhere.
PLACES = tuple(((row + 0.5) / 8, (column + 0.5) / 8) for row, column in enumerate((0, 4, 7, 5, 2, 6, 1, 3)))
_HALF_SIDE = 1 / 16

#: How far beyond its own cells a spot may be seen in maps, in cells: convolutions shift a little and see neighbours.
_SLACK = 1.0

#: The same for tokens, in shares of the image, and how much of a spot must be seen there. Where other layers are known
#: to have the same grid, less will do: attention answers in more cells than a spot has, or everywhere, and then nowhere
#: `_FLAT` times as much as in most cells.
_TOKEN_SLACK, _MOST_OF_IT, _HALF_OF_IT, _A_PART_OF_IT = 1 / 12, 0.8, 0.6, 0.3
_IN_AS_FEW_CELLS, _FLAT = 0.9, 2.0

#: Of eight spots, so many must be seen right, random filters may see one better from beside; and so many at all.
_ENOUGH, _FEWEST_SEEN = 6, 3

#: Axes whose proportions differ from the image's by more than this factor are no rows and columns in front of channels:
#: blocks of tokens, say.
_MOST_STRETCHED = 4


#: Class and register tokens that may stand in front of patches where the model says nothing of them.
_MOST_PREFIX = 16


class Reading(NamedTuple):
    """One way to read a layer's output (N, …) as cells of a grid (height, width), behind `n_prefix` tokens without."""

    layout: str
    grid: tuple[int, int]
    n_prefix: int = 0

    def cells(self, output: Tensor) -> Tensor:
        """(N, channels, height, width)."""
        if self.layout == TOKENS:
            return output[:, self.n_prefix :].transpose(1, 2).unflatten(2, self.grid)
        return output.permute(0, 3, 1, 2) if self.layout == MAPS_LAST else output


class Sight(NamedTuple):
    """How many spots a layer answers `best` at their own places, and how many do not speak against the reading."""

    best: int
    fair: int


def readings(
    shape: tuple[int, ...], size: tuple[int, int], n_prefix: int, known: Collection[tuple[int, int]] = ()
) -> list[Reading]:
    """Ways to read an output of this `shape` (N, …) for images of `size` (height, width), the likeliest first.

    Tokens lie on a grid that the model has had before (`known`: that of its patch embedding), or on one of about the
    image's proportions.
    """
    height, width = size
    if len(shape) == 4:
        maps = [Reading(MAPS, (shape[2], shape[3]))]
        if max(shape[1] * width, shape[2] * height) <= _MOST_STRETCHED * min(shape[1] * width, shape[2] * height):
            maps.append(Reading(MAPS_LAST, (shape[1], shape[2])))
        return sorted(maps, key=lambda reading: abs(reading.grid[0] / reading.grid[1] - height / width))
    if len(shape) != 3:
        return []
    found = []
    for prefix in dict.fromkeys((n_prefix, 0, *range(1, _MOST_PREFIX + 1))):  # before its class token, a ViT has none
        grids = sorted(grid for grid in known if grid[0] * grid[1] == shape[1] - prefix)
        if prefix in (n_prefix, 0):
            grids += _alike(shape[1] - prefix, size)
        found += [Reading(TOKENS, grid, prefix) for grid in dict.fromkeys(grids)]
    return found


@lru_cache(256)
def _alike(n_cells: int, size: tuple[int, int]) -> list[tuple[int, int]]:
    """Grids of so many cells that have the image's proportions, give or take a cell, the closest first."""
    height, width = size
    pairs = [(rows, n_cells // rows) for rows in range(1, n_cells + 1) if n_cells % rows == 0]
    alike = [(h, w) for h, w in pairs if abs(h * width - w * height) <= max(height, width)]
    return sorted(alike, key=lambda grid: abs(grid[0] / grid[1] - height / width))


def spotted(probe: Tensor) -> Tensor:
    """The first image of `probe` (N, C, H, W), and behind it one copy for each spot that has it (9, C, H, W)."""
    height, width = probe.shape[2:]
    images = probe[:1].repeat(1 + len(PLACES), 1, 1, 1)
    for image, (row, column) in zip(images[1:], PLACES, strict=True):
        (top, bottom), (left, right) = _reach(row, height, 0), _reach(column, width, 0)
        image[:, top : bottom + 1, left : right + 1] = probe.abs().amax().clamp(min=1)
    return images.contiguous(memory_format=torch.channels_last)


def sight(output: Tensor, reading: Reading) -> Sight:
    """Where a layer whose `output` belongs to `spotted` images answers to the spots, by this reading.

    Maps by the cell that answers most. Tokens may come in any order, of which a part may fit by chance: there, the
    whole answer counts, in excess of what it is in most places.
    """
    cells = reading.cells(output.detach().float())
    change = torch.linalg.vector_norm(cells[1:] - cells[:1], dim=1).flatten(1)
    there = _places(reading.grid, reading.layout != TOKENS).to(change.device)
    most = change.amax(1)
    if reading.layout != TOKENS:
        seen = torch.where(there, change, 0).amax(1)
        best, fair = seen == most, seen >= most / 2
    else:
        usual = change.median(1, keepdim=True).values
        excess = (change.square() - usual.square()).clamp(min=0)
        share = torch.where(there, excess, 0).sum(1) / excess.sum(1)  # NaN where nothing changes
        ranked = excess.sort(1, descending=True).values.cumsum(1)
        at_most = ranked.gather(1, there.sum(1, keepdim=True) - 1)[:, 0] / ranked[:, -1]
        flat, spread = most <= _FLAT * usual[:, 0], at_most < _IN_AS_FEW_CELLS
        best = ~flat & (share >= _MOST_OF_IT)
        fair = flat | (share >= _HALF_OF_IT) | (spread & (share >= _A_PART_OF_IT))
    silent = most == 0  # the model does not look there at all, which says nothing of the grid
    best = (best | silent) & ((~silent).sum() >= _FEWEST_SEEN)
    return Sight(*torch.stack([best, fair]).sum(1).tolist())


@lru_cache(256)
def _places(grid: tuple[int, int], is_map: bool) -> Tensor:
    """Where on a grid each spot may be seen, (8, cells) of bool."""
    height, width = grid
    there = torch.zeros(len(PLACES), height, width, dtype=torch.bool)
    for place, (row, column) in zip(there, PLACES, strict=True):
        slack = (_SLACK, _SLACK) if is_map else (_TOKEN_SLACK * height, _TOKEN_SLACK * width)
        (top, bottom), (left, right) = _reach(row, height, slack[0]), _reach(column, width, slack[1])
        place[top : bottom + 1, left : right + 1] = True
    return there.flatten(1)


def look(output: Tensor, ways: list[Reading]) -> dict[Reading, Sight]:
    """`sight` of an output by each reading, up to the first that sees the spots; taken on trust on the meta device."""
    looked: dict[Reading, Sight] = {}
    for way in ways:
        looked[way] = Sight(len(PLACES), len(PLACES)) if output.is_meta else sight(output, way)
        if looked[way].best >= _ENOUGH:
            break
    return looked


def choose(
    looked: dict[Reading, Sight], confirmed: Collection[tuple[int, int]] | None = None
) -> tuple[Reading | None, bool]:
    """The reading by which a layer saw the spots, and whether there is one; else one that nothing speaks against.

    A grid in `confirmed`, which another layer was seen to have, needs no more than that.
    """
    for reading, seen in looked.items():
        if seen.best >= _ENOUGH or (confirmed and reading.grid in confirmed and seen.fair >= _ENOUGH):
            return reading, True
    return next((reading for reading, seen in looked.items() if seen.fair >= _ENOUGH), None), False


def _reach(centre: float, n_cells: int, slack: float) -> tuple[int, int]:
    """First and last cell of `n_cells` that a spot covers."""
    low, high = ((centre + side * _HALF_SIDE) * n_cells + side * slack for side in (-1, 1))
    return max(0, int(low)), min(n_cells - 1, int(high))
