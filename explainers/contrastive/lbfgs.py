"""L-BFGS for a batch of independent problems; `torch.optim.LBFGS` would take them for one, with one step for all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

#: What is to be minimised: points (n, k) and the numbers (n,) of their problems -> values (n,), gradients (n, k), and
#: what there is to see there (n, m).
Slope = Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]

#: What gets what there is to see after a step (n, m), and the problems' numbers (n,).
See = Callable[[Tensor, Tensor], None]

#: Steps that are remembered; Armijo's share of the descent that a step must make; halvings before a line is given up.
_MEMORY, _DESCENT, _HALVINGS = 10, 1e-4, 12

#: A step is remembered where the slope grew along it by more than this share of their lengths.
_CURVED = 1e-10


@dataclass
class _Memory:
    """The last steps and what the slope changed along them, (m, n, k) each, and 1 / (step · change), (m, n)."""

    steps: Tensor
    changes: Tensor
    inverse: Tensor

    def direction(self, slope: Tensor) -> Tensor:
        """Minus the inverse Hessian times `slope` (n, k), by the two-loop recursion (Nocedal and Wright, Alg. 7.4)."""
        q, shares = slope.clone(), []
        for step, change, inverse in zip(self.steps, self.changes, self.inverse, strict=True):  # the latest comes first
            shares.append(inverse * (step * q).sum(1))
            q = q - shares[-1][:, None] * change
        scale = torch.ones_like(slope[:, 0])
        for step, change, inverse in reversed(list(zip(self.steps, self.changes, self.inverse, strict=True))):
            known = inverse > 0
            scale = torch.where(known, (step * change).sum(1) / change.square().sum(1).clamp(min=1e-30), scale)
        r = q * scale[:, None]
        for number in range(len(self.steps) - 1, -1, -1):
            back = self.inverse[number] * (self.changes[number] * r).sum(1)
            r = r + (shares[number] - back)[:, None] * self.steps[number]
        return -r

    def add(self, step: Tensor, change: Tensor) -> None:
        """Remember a step (n, k); rows along which the slope did not grow remember nothing (a weight of 0)."""
        product = (step * change).sum(1)
        good = product > _CURVED * step.norm(dim=1) * change.norm(dim=1)
        inverse = torch.where(good, 1 / torch.where(good, product, 1), 0)
        self.steps = torch.cat([step[None], self.steps])[:_MEMORY]
        self.changes = torch.cat([change[None], self.changes])[:_MEMORY]
        self.inverse = torch.cat([inverse[None], self.inverse])[:_MEMORY]

    def take(self, rows: Tensor) -> _Memory:
        """Of these rows alone."""
        return _Memory(self.steps[:, rows], self.changes[:, rows], self.inverse[:, rows])


def minimise(
    slope_of: Slope,
    start: Tensor,
    rows: Tensor,
    iterations: int,
    flat: float,
    see: See = lambda seen, rows: None,
) -> tuple[Tensor, Tensor]:
    """Go down from `start` (n, k), each row its own way, as problem number `rows` (n,).

    A row stops where its slope is shorter than `flat`, where no step goes down any more (a kink of a ReLU), or after
    `iterations` steps. Returns points (n, k) and steps taken (n,) int64.
    """
    points, taken = start.clone(), torch.zeros(len(start), dtype=torch.int64, device=start.device)
    at = torch.arange(len(start), device=start.device)
    value, slope, _ = slope_of(points, rows)
    none = start.new_zeros((0, *start.shape))
    memory = _Memory(none, none, none[..., 0])
    for number in range(iterations):
        going = slope.norm(dim=1) > flat
        if not bool(going.all()):
            at, value, slope, memory = at[going], value[going], slope[going], memory.take(going)
        if not len(at):
            break
        direction = memory.direction(slope)
        descent = (direction * slope).sum(1)
        uphill = descent >= 0
        direction = torch.where(uphill[:, None], -slope, direction)
        descent = torch.where(uphill, -slope.square().sum(1), descent)
        length = torch.ones_like(value)
        if not number:
            length = 1 / slope.norm(dim=1).clamp(min=1)
        moved, value_there, slope_there, found = _along(
            slope_of, points[at], rows[at], direction, descent, value, slope, length, see
        )
        memory.add(moved - points[at], slope_there - slope)
        points[at] = moved
        taken[at] += found
        at, value, slope, memory = at[found], value_there[found], slope_there[found], memory.take(found)
    return points, taken


def _along(
    slope_of: Slope,
    points: Tensor,
    rows: Tensor,
    direction: Tensor,
    descent: Tensor,
    value: Tensor,
    slope: Tensor,
    length: Tensor,
    see: See,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The first points along each direction that go down enough, their values and slopes, and where there is one."""
    moved, value_there, slope_there = points.clone(), value.clone(), slope.clone()
    left, length = torch.arange(len(points), device=points.device), length.clone()
    found = torch.zeros(len(points), dtype=torch.bool, device=points.device)
    for _ in range(_HALVINGS):
        tried = points[left] + length[left, None] * direction[left]
        values, slopes, shown = slope_of(tried, rows[left])
        good = values <= value[left] + _DESCENT * length[left] * descent[left]  # NaN is not good
        hit = left[good]
        moved[hit], value_there[hit], slope_there[hit] = tried[good], values[good], slopes[good]
        found[hit] = True
        see(shown[good], rows[hit])
        # where the parabola through both values and the slope is lowest, kept between a tenth and a half
        bend = values - value[left] - length[left] * descent[left]
        lowest = -0.5 * length[left] * descent[left] / torch.where(bend > 0, bend, torch.inf)
        length[left] *= lowest.nan_to_num(nan=0.1).clamp(0.1, 0.5)
        left = left[~good]
        if not len(left):
            break
    return moved, value_there, slope_there, found
