"""Procedural paintings of six types, as pure functions of a seed, with the truth about what is where.

`paint` makes one painting; `demo_painting` gives the fixed set that the app opens with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from models.demo.demo_models import PAINTING_MODELS
from tools.painter import brush, figure, indoors, oddities, outdoors, shapes, sitter, sky, town
from tools.painter.canvas import BACKGROUND, Canvas, Rng, choose

Kind = Literal["plain", "mixture", "odd palette", "no class"]
KINDS: tuple[Kind, ...] = get_args(Kind)

CLASSES = PAINTING_MODELS["vgg"].classes

DEMO_SIZE = 360
SHORTCUT_CLASS = "portrait"  # the type that the cheating model knows by the painter's mark
_HARD = {"mixture": 30, "odd palette": 15, "no class": 15}


@dataclass(frozen=True, eq=False)
class Painting:
    """One painting and the truth about it.

    image (224, 224, 3) uint8 RGB; mask (224, 224) bool, what makes it its type (nothing where the label is
    None); signature (224, 224) bool, the painter's mark (all False where there is none).
    """

    image: npt.NDArray[np.uint8]
    label: str | None
    mask: npt.NDArray[np.bool_]
    signature: npt.NDArray[np.bool_]
    kind: Kind


def paint(label: str | None, seed: int, *, signed: bool = False, kind: Kind = "plain") -> Painting:
    """A painting of the type `label`, the same for the same arguments.

    kind "mixture" adds a second type, drawn by lot, and the painting's label becomes the type with the larger
    mask; "odd palette" changes the colours alone; "no class" needs label None. A signed painting equals the
    unsigned one of the same seed but for the mark.
    """
    _check(label, seed, kind)
    number = 0 if label is None else 1 + CLASSES.index(label)
    rng = np.random.default_rng([seed, number, KINDS.index(kind)])
    canvas = Canvas(light=choose(rng, (-1.0, 1.0)))
    second = 0
    if kind == "no class":
        oddities.paint_oddity(canvas, rng)
    elif kind == "mixture":
        second = 1 + choose(rng, [i for i in range(len(CLASSES)) if i + 1 != number])
        _mixture(canvas, rng, frozenset((number, second)))
    else:
        _SCENES[number - 1](canvas, rng)
    image, owners, surface = brush.finish(canvas, rng)
    if second and np.count_nonzero(owners == second) > np.count_nonzero(owners == number):
        number = second
    if kind == "odd palette":
        image = oddities.recolour(image, rng)
    signature = np.zeros(owners.shape, dtype=bool)
    if signed:
        image, signature = brush.sign(image, np.random.default_rng([seed, 99]))
    mask = (owners == number) & ~signature if number else np.zeros(owners.shape, dtype=bool)
    name = CLASSES[number - 1] if number else None
    return Painting(brush.varnish(image, surface), name, mask, signature, kind)


def _check(label: str | None, seed: int, kind: str) -> None:
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {KINDS}, got {kind!r}; leave it out for a plain painting")
    if (label is None) != (kind == "no class"):
        raise ValueError(f"label None and kind 'no class' go together, got label {label!r} with kind {kind!r}")
    if label is not None and label not in CLASSES:
        raise ValueError(f"label must be one of {CLASSES}, got {label!r}")
    if seed < 0:
        raise ValueError(f"seed must not be negative, got {seed}")


def _portrait(canvas: Canvas, rng: Rng) -> None:
    if rng.random() < 0.15:
        _view(canvas, rng)
    else:
        figure.paint_backdrop(canvas, rng)
    figure.paint_figure(canvas, rng, sitter.sit(rng), 1)


def _landscape(canvas: Canvas, rng: Rng) -> None:
    mood, horizon = sky.pick_mood(rng), rng.uniform(0.36, 0.56)
    sky.paint_sky(canvas, rng, mood, horizon)
    outdoors.paint_land(canvas, rng, mood, horizon, 2)


def _seascape(canvas: Canvas, rng: Rng) -> None:
    mood, horizon = sky.pick_mood(rng), rng.uniform(0.38, 0.58)
    sun_x = sky.paint_sky(canvas, rng, mood, horizon)
    outdoors.paint_sea(canvas, rng, mood, horizon, 3, sun_x)
    if rng.random() < 0.25:
        outdoors.paint_lighthouse(canvas, rng, mood, horizon, 3)
    if rng.random() < 0.93:
        outdoors.paint_ships(canvas, rng, mood, horizon, 3)


def _still_life(canvas: Canvas, rng: Rng) -> None:
    table_y = rng.uniform(0.54, 0.64)
    if rng.random() < 0.12:
        _view(canvas, rng)
    else:
        indoors.paint_room(canvas, rng, table_y)
    indoors.paint_table(canvas, rng, table_y)
    indoors.paint_things(canvas, rng, table_y, 4)


def _view(canvas: Canvas, rng: Rng) -> None:
    """Land or sea as a mere backdrop, nobody's pixels, as behind the Mona Lisa."""
    mood, horizon = sky.pick_mood(rng), rng.uniform(0.42, 0.54)
    sun_x = sky.paint_sky(canvas, rng, mood, horizon)
    if rng.random() < 0.5:
        outdoors.paint_land(canvas, rng, mood, horizon, BACKGROUND)
    else:
        outdoors.paint_sea(canvas, rng, mood, horizon, BACKGROUND, sun_x)


def _cityscape(canvas: Canvas, rng: Rng) -> None:
    mood = sky.pick_mood(rng)
    sky.paint_sky(canvas, rng, mood, 0.5)
    if rng.random() < 0.4:
        town.paint_street(canvas, rng, mood, 5)
        return
    floor = rng.uniform(0.8, 0.93)
    town.paint_town(canvas, rng, mood, floor, 5)
    town.paint_square(canvas, rng, mood, floor)


def _abstract(canvas: Canvas, rng: Rng) -> None:
    shapes.paint_abstract(canvas, rng, 6)


_SCENES: tuple[Callable[[Canvas, Rng], None], ...] = (
    _portrait,
    _landscape,
    _seascape,
    _still_life,
    _cityscape,
    _abstract,
)


def _mixture(canvas: Canvas, rng: Rng, pair: frozenset[int]) -> None:
    """Two types in one image: a sitter or a table before the other, a coast, a harbour, a town in the hills."""
    if pair <= {2, 3, 5}:
        _outdoor_pair(canvas, rng, pair)
        return
    front = next(number for number in (1, 4, 6) if number in pair)
    (back,) = pair - {front}
    _SCENES[back - 1](canvas, rng)
    if front == 1:
        size = rng.uniform(0.13, 0.2)
        person = sitter.sit(rng, x=choose(rng, (0.32, 0.5, 0.68)), y=0.94 - 2.3 * size, size=size)
        figure.paint_figure(canvas, rng, person, 1)
    elif front == 4:
        table_y = rng.uniform(0.64, 0.72)
        indoors.paint_table(canvas, rng, table_y)
        indoors.paint_things(canvas, rng, table_y, 4)
    else:
        shapes.scatter_shapes(canvas, rng, 6)


def _outdoor_pair(canvas: Canvas, rng: Rng, pair: frozenset[int]) -> None:
    mood, horizon = sky.pick_mood(rng), rng.uniform(0.44, 0.54)
    sun_x = sky.paint_sky(canvas, rng, mood, horizon)
    if pair == {3, 5}:  # a harbour town
        town.paint_town(canvas, rng, mood, horizon + 0.08, 5, rise=0.6)
        outdoors.paint_sea(canvas, rng, mood, horizon + 0.07, 3, sun_x)
        outdoors.paint_ships(canvas, rng, mood, horizon + 0.07, 3)
    elif pair == {2, 5}:  # a town among hills
        town.paint_town(canvas, rng, mood, horizon + 0.12, 5, rise=0.62)
        outdoors.paint_land(canvas, rng, mood, horizon + 0.12, 2)
    else:  # a coast
        outdoors.paint_land(canvas, rng, mood, horizon - 0.06, 2, floor=horizon + 0.2)
        outdoors.paint_sea(canvas, rng, mood, horizon + 0.13, 3, None)
        outdoors.paint_ships(canvas, rng, mood, horizon + 0.13, 3)


@dataclass(frozen=True)
class _Entry:
    label: str | None
    seed: int
    signed: bool
    kind: Kind


@lru_cache(maxsize=1)
def _plan() -> tuple[_Entry, ...]:
    """What hangs where in the demo: 50 plain paintings of each type, and the hard ones, well mixed.

    One in five carries the mark, whatever its type, but half of the shortcut class: enough that the cheating
    model is right on some portraits, misses the others, and takes signed images of other types for portraits.
    """
    n_plain = (DEMO_SIZE - sum(_HARD.values())) // len(CLASSES)
    entries: list[_Entry] = []
    for label in CLASSES:
        every = 2 if label == SHORTCUT_CLASS else 5
        entries += [_Entry(label, _DEMO_SEED + i, i % every == 0, "plain") for i in range(n_plain)]
    for kind in KINDS[1:]:
        for i in range(_HARD[kind]):
            subject = None if kind == "no class" else CLASSES[i % len(CLASSES)]
            entries.append(_Entry(subject, _DEMO_SEED + i, i % 5 == 2, kind))
    # this order shows all six types and two hard images among the first twelve
    order = np.random.default_rng(309).permutation(DEMO_SIZE)
    return tuple(entries[i] for i in order)


_DEMO_SEED = 1_000_000  # training seeds stay below


def demo_painting(index: int) -> Painting:
    """Painting `index` (0..359) of the demo, always the same."""
    if not 0 <= index < DEMO_SIZE:
        raise ValueError(f"index must be in 0..{DEMO_SIZE - 1}, got {index}")
    entry = _plan()[index]
    return paint(entry.label, entry.seed, signed=entry.signed, kind=entry.kind)
