"""Painter of towns: skylines, old quarters and streets that run to a vanishing point."""

from __future__ import annotations

import numpy as np

from tools.painter.canvas import BACKGROUND, DETAIL, Canvas, Colour, Rng, choose, lit, mix, vary
from tools.painter.sky import Mood

PLASTER: tuple[Colour, ...] = (
    (216, 176, 128),
    (196, 128, 96),
    (228, 206, 168),
    (172, 96, 78),
    (190, 178, 160),
    (150, 160, 168),
    (222, 166, 130),
)
CONCRETE: tuple[Colour, ...] = ((120, 132, 150), (96, 108, 128), (150, 152, 156), (134, 110, 100), (86, 96, 106))
ROOFS: tuple[Colour, ...] = ((164, 72, 50), (130, 58, 48), (90, 92, 104), (72, 98, 98), (110, 74, 60))
LAMP: Colour = (255, 214, 120)


def paint_town(canvas: Canvas, rng: Rng, mood: Mood, floor: float, owner: int, rise: float = 1.0) -> None:
    """A skyline in three rows, standing on `floor`, an old quarter or a modern one; `rise` scales its height."""
    modern = rng.random() < 0.5
    windows_lit = mood.night or mood.tint_amount > 0.3
    canvas.claim(owner)
    for row in range(3):
        distance = (0.7, 0.36, 0.0)[row]
        base = floor - (0.0, 0.0, 0.0)[row]
        x = rng.uniform(-0.12, -0.02)
        while x < 1.02:
            width = rng.uniform(0.075, 0.14) * (1.0 + 0.35 * row) * (0.9 if modern else 1.1)
            if modern:
                height = rng.uniform(0.3, 0.72) - (0.0, 0.08, 0.22)[row]
            else:
                height = rng.uniform(0.34, 0.46) - (0.0, 0.09, 0.18)[row]
            wall = mood.tone(vary(rng, choose(rng, CONCRETE if modern else PLASTER), 16), distance)
            paint_house(canvas, rng, mood, x, base, width, height * rise, wall, modern, distance, windows_lit)
            x += width * rng.uniform(0.92, 1.12)
    canvas.claim(BACKGROUND)


def paint_house(
    canvas: Canvas, rng: Rng, mood: Mood, x: float, floor: float, width: float, height: float, wall: Colour,
    modern: bool, distance: float, windows_lit: bool,
) -> None:  # fmt: skip
    """One house seen from the front, with a shaded side, a roof and rows of windows."""
    top, right = floor - height, x + width
    bright, dark = lit(wall, 0.14), lit(wall, -0.34)
    canvas.faded([(x, floor), (x, top), (right, top), (right, floor)], (bright, wall, lit(wall, -0.12)))
    depth = width * rng.uniform(0.16, 0.3)
    side = (right - depth, right) if canvas.light < 0 else (x, x + depth)
    canvas.faded([(side[0], floor), (side[0], top), (side[1], top), (side[1], floor)], (lit(dark, 0.06), dark))
    front = (x, right - depth) if canvas.light < 0 else (x + depth, right)
    _roof(canvas, rng, mood, x, right, top, modern, distance)
    if distance > 0.6 and not windows_lit:
        return
    _windows(canvas, rng, mood, front, top, floor, modern, windows_lit, dark, wall)


def _windows(
    canvas: Canvas, rng: Rng, mood: Mood, front: tuple[float, float], top: float, floor: float, modern: bool,
    windows_lit: bool, dark: Colour, wall: Colour,
) -> None:  # fmt: skip
    width = front[1] - front[0]
    n_across = max(2, round(width / (0.021 if modern else 0.032)))
    step_x, step_y = width / n_across, 0.03 if modern else 0.052
    rows = np.arange(top + step_y * 0.75, floor - step_y * 0.5, step_y).tolist()
    glass = mix(dark, (70, 96, 130), 0.4) if not windows_lit else lit(dark, -0.3)
    glint = mix(mood.sky[2], wall, 0.45)
    shining = rng.random((len(rows), n_across))
    share = 0.5 if windows_lit else 0.06
    if modern and rng.random() < 0.3:  # a curtain wall: ribbons of glass
        for y, row in zip(rows, shining, strict=True):
            colour = LAMP if row[0] < share * 0.6 else glass
            canvas.line([(front[0] + 0.006, y), (front[1] - 0.006, y)], colour, 0.011)
        return
    half_x, half_y = step_x * (0.3 if modern else 0.25), step_y * (0.3 if modern else 0.29)
    for y, row in zip(rows, shining.tolist(), strict=True):
        for i, chance in enumerate(row):
            cx = front[0] + (i + 0.5) * step_x
            lamp = mix(LAMP, (255, 160, 70), chance) if windows_lit else glint
            box = [
                (cx - half_x, y - half_y),
                (cx + half_x, y - half_y),
                (cx + half_x, y + half_y),
                (cx - half_x, y + half_y),
            ]
            canvas.polygon(box, lamp if chance < share else glass, owned=False)


def _roof(
    canvas: Canvas, rng: Rng, mood: Mood, x: float, right: float, top: float, modern: bool, distance: float
) -> None:
    middle, width = (x + right) / 2, right - x
    tile = mood.tone(vary(rng, choose(rng, ROOFS), 12), distance)
    if modern:
        kind = choose(rng, ("flat", "flat", "steps", "mast", "spire"))
        metal = mood.tone((80, 84, 96), distance)
        if kind == "steps":
            for part in (0.7, 0.4):
                half, high = width * part / 2, top - width * (1 - part) * 0.5
                canvas.rounded(
                    [(middle - half, top), (middle - half, high), (middle + half, high), (middle + half, top)], metal
                )
        elif kind in ("mast", "spire"):
            foot = width * (0.05 if kind == "mast" else 0.3)
            canvas.polygon([(middle - foot, top), (middle + foot, top), (middle, top - width * 0.85)], metal)
        else:
            canvas.line([(x, top), (right, top)], lit(metal, -0.2), 0.01)
        return
    kind = choose(rng, ("gable", "gable", "hip", "dome", "tower"))
    if kind == "dome" and distance > 0.2:
        green = mood.tone((96, 140, 126), distance)
        canvas.sprite("ball", middle, top, width * 0.46, width * 0.55, (lit(green, -0.5), green, lit(green, 0.4)))
        canvas.line([(middle, top - width * 0.5), (middle, top - width * 0.85)], tile, 0.006)
    elif kind == "tower" and distance > 0.2:
        half, high = width * 0.26, top - width * 0.55
        stone = mood.tone((196, 178, 150), distance)
        canvas.rounded(
            [(middle - half, top), (middle - half, high), (middle + half, high), (middle + half, top)], stone, 0.6
        )
        canvas.polygon([(middle - half * 1.2, high), (middle + half * 1.2, high), (middle, high - width * 0.9)], tile)
        canvas.ellipse(middle, high + width * 0.2, half * 0.5, half * 0.5, mood.tone((244, 236, 210), distance))
    elif kind == "hip":
        canvas.faded(
            [
                (x - 0.008, top),
                (x + width * 0.22, top - width * 0.36),
                (right - width * 0.22, top - width * 0.36),
                (right + 0.008, top),
            ],
            (lit(tile, 0.14), lit(tile, -0.2)),
        )
    else:
        peak = top - width * rng.uniform(0.4, 0.6)
        canvas.polygon([(x - 0.008, top), (middle, peak), (right + 0.008, top)], lit(tile, -0.1))
        lit_side = x - 0.008 if canvas.light < 0 else right + 0.008
        canvas.polygon([(lit_side, top), (middle, peak), (middle, top)], lit(tile, 0.14))
        chimney = middle + width * choose(rng, (-0.26, 0.26))
        canvas.polygon(
            [
                (chimney, peak + 0.03),
                (chimney, peak - 0.014),
                (chimney + 0.014, peak - 0.014),
                (chimney + 0.014, peak + 0.04),
            ],
            lit(tile, -0.3),
        )


def paint_square(canvas: Canvas, rng: Rng, mood: Mood, floor: float) -> None:
    """The ground before a skyline: paving in perspective, lamps, people with long shadows."""
    canvas.claim(BACKGROUND)
    paving = mood.tone(vary(rng, choose(rng, ((178, 168, 156), (150, 150, 156), (190, 172, 140))), 10))
    canvas.down((lit(paving, 0.16), paving, lit(paving, -0.25)), floor, 1.0)
    canvas.claim(DETAIL)
    vanish_x = rng.uniform(0.3, 0.7)
    for x in np.linspace(-1.2, 2.2, 15).tolist():
        canvas.line([(vanish_x + (x - vanish_x) * 0.35, floor), (x, 1.0)], lit(paving, -0.24), 0.004, 0.6)
    for t in np.linspace(0.1, 1, 6).tolist():
        canvas.line(
            [(0, floor + (1 - floor) * t**1.8), (1, floor + (1 - floor) * t**1.8)], lit(paving, -0.22), 0.003, 0.6
        )
    for _ in range(int(rng.integers(3, 8))):
        near = rng.uniform(0.05, 0.85)
        paint_passer(canvas, rng, mood, rng.uniform(0.04, 0.96), floor + (1 - floor) * near, 0.035 + 0.09 * near)
    for x in rng.uniform(0.05, 0.95, 2).tolist():
        _lamp(canvas, mood, x, floor + (1 - floor) * 0.4, 0.2)


def paint_passer(canvas: Canvas, rng: Rng, mood: Mood, x: float, foot: float, height: float) -> None:
    """A small person in a coat, with a shadow away from the light."""
    coat = mood.tone(vary(rng, choose(rng, ((50, 52, 70), (120, 44, 44), (60, 84, 70), (150, 120, 84))), 12))
    away = -canvas.light * height
    canvas.line([(x, foot), (x + away * 0.9, foot + height * 0.06)], (20, 20, 36), height * 0.16, 0.35)
    canvas.polygon(
        [
            (x - 0.13 * height, foot),
            (x + 0.13 * height, foot),
            (x + 0.09 * height, foot - 0.8 * height),
            (x - 0.09 * height, foot - 0.8 * height),
        ],
        coat,
    )
    canvas.ellipse(x, foot - 0.9 * height, 0.08 * height, 0.1 * height, mood.tone((206, 160, 130)))


def _lamp(canvas: Canvas, mood: Mood, x: float, foot: float, height: float) -> None:
    iron = (40, 42, 52)
    canvas.line([(x, foot), (x, foot - height)], iron, 0.007)
    canvas.polygon(
        [
            (x - 0.014, foot - height - 0.03),
            (x + 0.014, foot - height - 0.03),
            (x + 0.009, foot - height),
            (x - 0.009, foot - height),
        ],
        LAMP,
    )
    canvas.polygon(
        [(x - 0.018, foot - height - 0.03), (x + 0.018, foot - height - 0.03), (x, foot - height - 0.046)], iron
    )
    if mood.night or mood.tint_amount > 0.3:
        canvas.glow(x, foot - height - 0.015, 0.09, 0.09, LAMP, 0.8)


def paint_street(canvas: Canvas, rng: Rng, mood: Mood, owner: int) -> None:
    """Two rows of houses running to a vanishing point, a road between them, a tower at its end."""
    vanish_x, vanish_y = rng.uniform(0.36, 0.64), rng.uniform(0.56, 0.66)
    windows_lit = mood.night or mood.tint_amount > 0.3
    canvas.claim(BACKGROUND)
    road = mood.tone(vary(rng, (128, 122, 122), 10))
    canvas.down((lit(mix(road, mood.sky[2], 0.4), 0.1), road, lit(road, -0.3)), vanish_y, 1.0)
    canvas.claim(owner)
    for x in np.linspace(vanish_x - 0.13, vanish_x + 0.09, 4).tolist():
        wall = mood.tone(vary(rng, choose(rng, PLASTER), 14), 0.62)
        paint_house(canvas, rng, mood, x, vanish_y + 0.02, 0.07, rng.uniform(0.1, 0.2), wall, False, 0.62, windows_lit)
    for side in (-1.0, 1.0):
        wall_x = side * rng.uniform(0.62, 0.85)
        depths = np.cumsum(rng.uniform(0.45, 0.9, 5) * np.array([1.0, 1.1, 1.4, 1.7, 2.2])) + 0.42
        depths = np.concatenate([[0.4], depths])
        for i in range(4, -1, -1):
            _facade(canvas, rng, mood, (vanish_x, vanish_y), wall_x, depths[i], depths[i + 1], side, windows_lit)
    canvas.claim(DETAIL)
    for z in np.geomspace(0.9, 6, 9).tolist():
        y0, y1 = vanish_y + 0.36 / z, vanish_y + 0.36 / (z * 1.14)
        canvas.polygon(
            [
                (vanish_x - 0.014 / z, y0),
                (vanish_x + 0.014 / z, y0),
                (vanish_x + 0.011 / z, y1),
                (vanish_x - 0.011 / z, y1),
            ],
            lit(road, 0.5),
        )
    for _ in range(int(rng.integers(2, 6))):
        z = rng.uniform(1.0, 3.5)
        paint_passer(canvas, rng, mood, vanish_x + rng.uniform(-0.5, 0.5) / z, vanish_y + 0.36 / z, 0.24 / z)
    for side in (-0.5, 0.5):
        for z in (3.0, 1.6):
            _lamp(canvas, mood, vanish_x + side / z, vanish_y + 0.36 / z, 0.46 / z)


def _facade(
    canvas: Canvas, rng: Rng, mood: Mood, vanish: tuple[float, float], wall_x: float, near: float, far: float,
    side: float, windows_lit: bool,
) -> None:  # fmt: skip
    """One house of a street, between the depths `near` and `far`."""
    height, ground = rng.uniform(0.62, 1.1), 0.36

    def at(z: float, up: float) -> tuple[float, float]:
        return vanish[0] + wall_x / z, vanish[1] + (ground - (ground + height) * up) / z

    shaded = (side < 0) == (canvas.light < 0)
    distance = min(0.6, 0.1 * far)
    wall = lit(mood.tone(vary(rng, choose(rng, PLASTER), 16), distance), -0.3 if shaded else 0.08)
    canvas.faded([at(near, 0), at(near, 1), at(far, 1), at(far, 0)], (lit(wall, 0.1), wall, lit(wall, -0.2)))
    tile = mood.tone(choose(rng, ROOFS), distance)
    canvas.polygon([at(near, 1), at(near, 1.07), at(far, 1.07), at(far, 1)], lit(tile, -0.15 if shaded else 0.1))
    canvas.line([at(near, 0.27), at(far, 0.27)], lit(wall, -0.3), 0.006)
    glass = lit(mix(wall, (50, 70, 100), 0.6), -0.35)
    n_across, n_up = max(2, round((far - near) / 0.3)), 4
    edges = np.linspace(near, far, n_across + 1).tolist()
    for i in range(n_across):
        z0, z1 = edges[i] + (edges[i + 1] - edges[i]) * 0.28, edges[i] + (edges[i + 1] - edges[i]) * 0.72
        for row in range(n_up):
            low = 0.06 if row == 0 else 0.1 + 0.22 * row
            high = low + (0.16 if row == 0 else 0.13)
            lamp = rng.random() < (0.55 if windows_lit else 0.08)
            canvas.polygon([at(z0, low), at(z0, high), at(z1, high), at(z1, low)], LAMP if lamp else glass, owned=False)
