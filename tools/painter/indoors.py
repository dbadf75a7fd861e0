"""Still lifes: a wall, a table with its cloth, and what stands on it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tools.painter.canvas import BACKGROUND, DETAIL, Canvas, Colour, Rng, choose, lit, mix, oval, smooth, vary

WALLS: tuple[Colour, ...] = (
    (74, 62, 52),
    (52, 66, 72),
    (110, 90, 66),
    (142, 130, 110),
    (84, 50, 46),
    (66, 78, 60),
    (176, 160, 132),
    (120, 136, 146),
)
CLOTHS: tuple[Colour, ...] = (
    (236, 230, 216),
    (226, 212, 180),
    (150, 46, 44),
    (58, 80, 110),
    (104, 124, 96),
    (120, 76, 46),
)
FRUITS: dict[str, tuple[Colour, ...]] = {
    "apple": ((192, 44, 40), (150, 176, 60), (214, 150, 56)),
    "orange": ((234, 134, 32), (240, 150, 48)),
    "lemon": ((242, 208, 60), (236, 196, 44)),
    "peach": ((240, 162, 112), (226, 130, 96)),
    "plum": ((92, 46, 88), (70, 44, 96)),
}
GLAZES: tuple[Colour, ...] = (
    (60, 96, 140),
    (228, 222, 206),
    (150, 84, 52),
    (72, 110, 92),
    (176, 148, 96),
    (96, 52, 60),
)
BLOOMS: tuple[Colour, ...] = (
    (226, 84, 92),
    (246, 222, 120),
    (240, 236, 228),
    (150, 104, 180),
    (240, 148, 76),
    (232, 150, 180),
)


def paint_room(canvas: Canvas, rng: Rng, table_y: float) -> None:
    """The wall behind a table: a pool of light, sometimes a dado, stripes, or a picture rail."""
    canvas.claim(BACKGROUND)
    wall = vary(rng, choose(rng, WALLS), 14)
    canvas.down((lit(wall, -0.32), wall, lit(wall, -0.12)))
    kind = choose(rng, ("bare", "bare", "stripes", "drape"))
    if kind == "stripes":
        for x in np.arange(rng.uniform(0, 0.08), 1, rng.uniform(0.07, 0.13)).tolist():
            canvas.polygon([(x, 0), (x + 0.03, 0), (x + 0.03, table_y), (x, table_y)], lit(wall, 0.16), 0.45)
    canvas.glow(0.5 + canvas.light * 0.3, 0.25, 0.7, 0.6, lit(wall, 0.55), 0.65)
    if kind == "drape":
        cloth = vary(rng, choose(rng, ((120, 36, 40), (44, 76, 66), (52, 58, 98), (134, 100, 50))), 10)
        paint_drape(canvas, rng, cloth, -canvas.light)


def paint_drape(canvas: Canvas, rng: Rng, cloth: Colour, side: float) -> None:
    """A curtain gathered at one side (-1 left, +1 right)."""
    canvas.claim(DETAIL)
    edge = 0.5 + side * rng.uniform(0.22, 0.32)
    outer = 0.5 + side * 0.54
    for i, t in enumerate(np.linspace(0, 1, 7).tolist()):
        x = edge + (outer - edge) * t
        sway = 0.05 * np.sin(np.linspace(0, 3.2, 8) + t * 2)
        left = np.stack([x - side * 0.03 + sway * side, np.linspace(-0.02, 1.0, 8)], 1)
        right = np.stack([x + side * 0.06 + sway * side, np.linspace(1.0, -0.02, 8)], 1)
        canvas.rounded(np.concatenate([left, right]), lit(cloth, (-0.28, 0.06, -0.1, 0.1)[i % 4]), 0.55)


def paint_table(canvas: Canvas, rng: Rng, table_y: float) -> None:
    """A table from `table_y` down, bare wood or under a cloth with folds."""
    canvas.claim(DETAIL)
    cloth = vary(rng, choose(rng, CLOTHS), 10)
    wood = vary(rng, choose(rng, ((112, 72, 44), (84, 54, 38), (150, 106, 64))), 10)
    front = rng.uniform(0.86, 0.93)
    canvas.down((lit(wood, 0.08), wood, lit(wood, -0.2)), table_y, front)
    canvas.down((lit(wood, -0.36), lit(wood, -0.6)), front, 1.0)
    if rng.random() < 0.25:
        for y in np.linspace(table_y + 0.03, front - 0.02, 5).tolist():
            canvas.line([(0, y), (1, y + rng.uniform(-0.006, 0.006))], lit(wood, -0.3), 0.004, 0.5)
        return
    left, right = rng.uniform(-0.1, 0.14), rng.uniform(0.86, 1.1)
    top = [(left + 0.06, table_y), (right - 0.06, table_y), (right, front), (left, front)]
    canvas.faded(top, (lit(cloth, -0.08), lit(cloth, 0.18), cloth))
    if rng.random() < 0.35:  # checks, in perspective
        check = mix(cloth, choose(rng, ((170, 50, 50), (50, 80, 140), (70, 110, 80))), 0.7)
        for t in np.linspace(0.04, 0.96, 9).tolist():
            canvas.line(
                [(left + 0.06 + (right - left - 0.12) * t, table_y), (left + (right - left) * t, front)],
                check,
                0.012,
                0.5,
            )
        for t in (0.1, 0.3, 0.58, 0.9):
            y = table_y + (front - table_y) * t
            canvas.line([(left, y), (right, y)], check, 0.006 + 0.01 * t, 0.5)
    hem = np.linspace(left, right, 15)
    drop = front + 0.05 + 0.025 * np.sin(np.arange(15) * 1.9 + rng.random() * 6) + 0.02
    canvas.faded([(left, front), *zip(hem, drop, strict=True), (right, front)], (lit(cloth, -0.12), lit(cloth, -0.4)))
    for x, y in zip(hem[1:-1:2], drop[1:-1:2], strict=True):
        canvas.polygon([(x - 0.012, front), (x + 0.012, front), (x + 0.02, y), (x - 0.016, y)], lit(cloth, -0.5), 0.45)
    for _ in range(3):
        x, y = rng.uniform(left + 0.1, right - 0.1), rng.uniform(table_y + 0.02, front)
        crease = smooth([(x, y), (x + 0.05, y + 0.02), (x + 0.12, y + 0.01)], 2, closed=False)
        canvas.line(crease, lit(cloth, -0.35), 0.006, 0.45)


def paint_things(canvas: Canvas, rng: Rng, table_y: float, owner: int) -> None:
    """One tall thing or two, a bowl or a plate, and loose fruit before them."""
    depth = 0.9 - table_y
    tall = rng.permutation(np.array([0, 1, 2, 3, 4]))[: int(rng.integers(1, 4))].tolist()
    makers: tuple[Callable[..., None], ...] = (paint_bouquet, paint_bottle, paint_jug, paint_glass, paint_candle)
    slots = rng.permutation(np.array([0.24, 0.5, 0.76]))
    for kind, x in zip(tall, slots, strict=False):
        foot = table_y + depth * rng.uniform(0.16, 0.4)
        makers[kind](canvas, rng, float(x) + rng.uniform(-0.06, 0.06), foot, rng.uniform(0.36, 0.48), owner)
    used = len(tall)
    if used < 3 and rng.random() < 0.8:
        paint_bowl(
            canvas, rng, float(slots[used]) + rng.uniform(-0.04, 0.04), table_y + depth * rng.uniform(0.45, 0.6), owner
        )
    for x in rng.permutation(np.linspace(0.14, 0.86, 7))[: int(rng.integers(2, 6))].tolist():
        foot = table_y + depth * rng.uniform(0.6, 0.98)
        if rng.random() < 0.16:
            paint_grapes(canvas, rng, x, foot - 0.05, owner)
        else:
            paint_fruit(canvas, rng, x, foot, rng.uniform(0.045, 0.068), owner)


def shadow(canvas: Canvas, x: float, foot: float, half: float, length: float) -> None:
    """A cast shadow away from the light, never anybody's pixels."""
    canvas.glow(x - canvas.light * length * 0.5, foot, half + length * 0.6, half * 0.42, (20, 12, 18), 0.75)


def paint_fruit(canvas: Canvas, rng: Rng, x: float, foot: float, radius: float, owner: int) -> None:
    """An apple, orange, lemon, peach, plum or pear lying on (x, foot)."""
    canvas.claim(owner)
    kind = choose(rng, (*FRUITS, "pear"))
    y = foot - radius * 0.9
    shadow(canvas, x, foot - radius * 0.15, radius * 1.1, radius * 1.5)
    if kind == "pear":
        colour = vary(rng, choose(rng, ((196, 184, 70), (168, 150, 60), (210, 150, 70))), 12)
        canvas.ball(x, y - radius * 1.0, radius * 0.62, radius * 0.8, colour)
        canvas.ball(x, y, radius, radius * 0.98, colour)
        canvas.line([(x, y - radius * 1.7), (x + radius * 0.2, y - radius * 2.05)], (70, 48, 32), 0.008)
        return
    colour = vary(rng, choose(rng, FRUITS[kind]), 12)
    canvas.ball(x, y, radius * (1.22 if kind == "lemon" else 1.0), radius * (0.86 if kind == "lemon" else 0.94), colour)
    if kind == "lemon":
        canvas.ball(x + canvas.light * radius * 1.15, y, radius * 0.2, radius * 0.2, colour)
    if kind in ("apple", "peach"):
        canvas.ellipse(x, y - radius * 0.7, radius * 0.26, radius * 0.1, lit(colour, -0.5), 0.8)
        canvas.line([(x, y - radius * 0.7), (x + radius * 0.16, y - radius * 1.24)], (74, 50, 34), 0.008)
    if kind == "apple" and rng.random() < 0.6:
        leaf = oval(x + radius * 0.5, y - radius * 1.08, radius * 0.4, radius * 0.17, -0.4, 14)
        canvas.polygon(leaf, (84, 124, 60))


def paint_grapes(canvas: Canvas, rng: Rng, x: float, y: float, owner: int) -> None:
    """A bunch of grapes."""
    canvas.claim(owner)
    colour = choose(rng, ((88, 44, 92), (128, 150, 70), (60, 48, 96)))
    shadow(canvas, x, y + 0.05, 0.09, 0.06)
    for row, count in enumerate((3, 4, 4, 3)):
        for i in range(count):
            dx = (i - (count - 1) / 2) * 0.036
            canvas.ball(x + dx + 0.012 * row, y - 0.03 + 0.027 * row, 0.022, 0.022, vary(rng, colour, 14))


def paint_bowl(canvas: Canvas, rng: Rng, x: float, foot: float, owner: int) -> None:
    """A bowl heaped with fruit."""
    canvas.claim(owner)
    half, height = rng.uniform(0.15, 0.2), rng.uniform(0.1, 0.13)
    glaze = vary(rng, choose(rng, GLAZES), 12)
    rim = foot - height
    shadow(canvas, x, foot, half, half)
    canvas.ellipse(x, rim, half, half * 0.2, lit(glaze, -0.5))
    for dx, dy in ((-0.1, 0.0), (0.1, 0.0), (-0.04, 0.045), (0.05, 0.04), (0.0, -0.015)):
        kind = choose(rng, tuple(FRUITS))
        radius = rng.uniform(0.048, 0.06)
        canvas.ball(x + dx * half / 0.18, rim - 0.02 - dy, radius, radius, vary(rng, choose(rng, FRUITS[kind]), 12))
    arc = oval(x, rim, half, half * 0.2, n_points=36)[:19]
    belly = [
        (x - half * 0.86, foot - height * 0.4),
        (x - half * 0.42, foot),
        (x + half * 0.42, foot),
        (x + half * 0.86, foot - height * 0.4),
    ]
    canvas.rounded(np.concatenate([arc, smooth([arc[-1], *belly, arc[0]], 2, closed=False)]), glaze, 0.75)
    if rng.random() < 0.6:
        band = arc.copy()
        band[:, 1] += height * 0.3
        band[:, 0] = x + (band[:, 0] - x) * 0.93
        canvas.line(band, lit(glaze, 0.5) if sum(glaze) < 420 else (60, 84, 140), 0.012, 0.85)


def _turned(
    canvas: Canvas, x: float, foot: float, height: float, profile: tuple[tuple[float, float], ...], colour: Colour
) -> None:
    """A body of revolution: (half width, height) pairs from foot to lip, as parts of `height`."""
    right = [(x + w * height, foot - h * height) for w, h in profile]
    left = [(x - w * height, foot - h * height) for w, h in reversed(profile)]
    half = profile[0][0] * height
    base = [(x + half * c, foot + half * 0.22 * s) for c, s in ((-0.7, 0.7), (0.0, 1.0), (0.7, 0.7))]
    outline = np.concatenate([smooth(right, 2, closed=False), smooth(left, 2, closed=False), base])
    canvas.rounded(outline, colour, 0.8)
    widest = max(part for part in profile if part[1] >= 0.1)
    gx = x + canvas.light * widest[0] * height * 0.52
    gy = foot - widest[1] * height
    canvas.polygon(oval(gx, gy, 0.025 * height, 0.12 * height, 0.1 * canvas.light), (255, 252, 240), 0.6)


def paint_bottle(canvas: Canvas, rng: Rng, x: float, foot: float, height: float, owner: int) -> None:
    """A corked bottle with a label."""
    canvas.claim(owner)
    colour = vary(rng, choose(rng, ((34, 70, 48), (58, 40, 30), (40, 60, 84), (96, 112, 80))), 10)
    shadow(canvas, x, foot, 0.13 * height, 0.3 * height)
    profile = ((0.13, 0.0), (0.14, 0.1), (0.14, 0.5), (0.12, 0.62), (0.05, 0.74), (0.045, 1.0), (0.055, 1.05))
    _turned(canvas, x, foot, height, profile, colour)
    paper, half = (224, 210, 172), 0.115 * height
    y0, y1 = foot - 0.42 * height, foot - 0.18 * height
    canvas.rounded([(x - half, y0), (x + half, y0), (x + half, y1), (x - half, y1)], paper, 0.5)
    for part in (0.35, 0.6):
        y = y0 + (y1 - y0) * part
        canvas.line([(x - half * 0.6, y), (x + half * 0.6, y)], (130, 70, 50), 0.006)


def paint_jug(canvas: Canvas, rng: Rng, x: float, foot: float, height: float, owner: int) -> None:
    """A glazed jug with a handle."""
    canvas.claim(owner)
    glaze = vary(rng, choose(rng, GLAZES), 12)
    height *= 0.85
    shadow(canvas, x, foot, 0.24 * height, 0.34 * height)
    side = -canvas.light
    grip = smooth(
        [
            (x + side * 0.14 * height, foot - 0.82 * height),
            (x + side * 0.42 * height, foot - 0.8 * height),
            (x + side * 0.4 * height, foot - 0.42 * height),
            (x + side * 0.24 * height, foot - 0.32 * height),
        ],
        2,
        closed=False,
    )
    canvas.line(grip, lit(glaze, -0.3), 0.022)
    profile = ((0.16, 0.0), (0.27, 0.18), (0.29, 0.4), (0.2, 0.62), (0.13, 0.76), (0.17, 0.95))
    _turned(canvas, x, foot, height, profile, glaze)
    canvas.ellipse(x, foot - 0.94 * height, 0.165 * height, 0.04 * height, lit(glaze, -0.45))
    if rng.random() < 0.5:
        for part in (0.36, 0.46):
            arc = oval(x, foot - part * height, 0.285 * height, 0.05 * height, n_points=32)[1:16]
            canvas.line(arc, mix(glaze, (240, 230, 200), 0.6), 0.008)


def paint_glass(canvas: Canvas, rng: Rng, x: float, foot: float, height: float, owner: int) -> None:
    """A stemmed glass, half full of wine."""
    canvas.claim(owner)
    height *= 0.72
    shadow(canvas, x, foot, 0.16 * height, 0.2 * height)
    pale, wine = (206, 214, 214), choose(rng, ((126, 20, 36), (214, 176, 76), (170, 60, 60)))
    canvas.ellipse(x, foot, 0.2 * height, 0.05 * height, lit(pale, -0.2))
    canvas.line([(x, foot), (x, foot - 0.45 * height)], pale, 0.012)
    cup = smooth(
        [
            (x - 0.2 * height, foot - height),
            (x - 0.24 * height, foot - 0.66 * height),
            (x, foot - 0.4 * height),
            (x + 0.24 * height, foot - 0.66 * height),
            (x + 0.2 * height, foot - height),
        ],
        2,
        closed=False,
    )
    canvas.polygon(cup, pale, 0.5, owned=True)
    level = foot - 0.74 * height
    filled = cup[cup[:, 1] > level]
    canvas.rounded(filled, wine, 0.6)
    canvas.ellipse(x, level, 0.23 * height, 0.04 * height, lit(wine, 0.25))
    canvas.line(cup, (240, 244, 244), 0.005, 0.8)
    gx = x + canvas.light * 0.14 * height
    canvas.line([(gx, foot - 0.92 * height), (gx, foot - 0.62 * height)], (255, 255, 255), 0.008, 0.8)


def paint_candle(canvas: Canvas, rng: Rng, x: float, foot: float, height: float, owner: int) -> None:
    """A burning candle in a brass stick."""
    canvas.claim(owner)
    shadow(canvas, x, foot, 0.16 * height, 0.2 * height)
    brass = (190, 146, 66)
    _turned(
        canvas,
        x,
        foot,
        height,
        ((0.17, 0.0), (0.15, 0.06), (0.04, 0.12), (0.05, 0.3), (0.09, 0.42), (0.07, 0.46)),
        brass,
    )
    top = foot - height * rng.uniform(0.72, 0.95)
    half = 0.045 * height
    canvas.rounded(
        [(x - half, foot - 0.45 * height), (x - half, top), (x + half, top), (x + half, foot - 0.45 * height)],
        (242, 232, 206),
        0.5,
    )
    canvas.glow(x, top - 0.03, 0.2, 0.2, (255, 200, 110), 0.7)
    canvas.polygon(
        smooth([(x - 0.014, top - 0.012), (x, top - 0.07), (x + 0.014, top - 0.012), (x, top)], 2), (255, 214, 110)
    )
    canvas.ellipse(x, top - 0.018, 0.006, 0.014, (255, 250, 226))


def paint_bouquet(canvas: Canvas, rng: Rng, x: float, foot: float, height: float, owner: int) -> None:
    """A vase of flowers."""
    canvas.claim(owner)
    glaze = vary(rng, choose(rng, GLAZES), 12)
    vase = height * 0.62
    shadow(canvas, x, foot, 0.24 * vase, 0.3 * vase)
    centre = foot - vase - 0.12
    leaf = vary(rng, (62, 98, 58), 12)
    canvas.sprite(f"foliage{rng.integers(4)}", x, centre + 0.02, 0.17, 0.16, (lit(leaf, -0.6), leaf, lit(leaf, 0.3)))
    hues = [choose(rng, BLOOMS) for _ in range(2)]
    n_blooms = int(rng.integers(6, 11))
    angles = np.arange(n_blooms) * 2.4 + rng.random() * 6
    for i, angle in enumerate(angles.tolist()):
        reach = 0.15 * np.sqrt((i + 0.5) / n_blooms)
        bx, by = x + reach * 1.15 * np.cos(angle), centre - 0.02 + reach * np.sin(angle)
        _bloom(canvas, rng, bx, by, rng.uniform(0.034, 0.052), vary(rng, choose(rng, hues), 14))
    kind = choose(rng, ("belly", "slim"))
    if kind == "belly":
        profile = ((0.16, 0.0), (0.32, 0.28), (0.33, 0.5), (0.16, 0.82), (0.2, 1.0))
    else:
        profile = ((0.18, 0.0), (0.2, 0.3), (0.25, 0.62), (0.2, 0.86), (0.27, 1.0))
    _turned(canvas, x, foot, vase, profile, glaze)


def _bloom(canvas: Canvas, rng: Rng, x: float, y: float, radius: float, colour: Colour) -> None:
    if rng.random() < 0.5:
        canvas.ball(x, y, radius, radius * 0.92, colour)
        canvas.ellipse(x, y, radius * 0.45, radius * 0.4, lit(colour, -0.3), 0.6)
        return
    for i in range(6):
        angle = i * np.pi / 3
        petal = oval(
            x + 0.6 * radius * np.cos(angle), y + 0.6 * radius * np.sin(angle), 0.5 * radius, 0.3 * radius, angle, 10
        )
        canvas.polygon(petal, lit(colour, 0.12 if np.sin(angle) < 0.1 else -0.16))
    canvas.ball(x, y, radius * 0.32, radius * 0.32, (226, 176, 60))
