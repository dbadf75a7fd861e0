"""Portraits: a sitter with a face, hair, clothes, and perhaps a hat."""

from __future__ import annotations

import numpy as np

from tools.painter.canvas import BACKGROUND, Canvas, Colour, Rng, choose, lit, mix, smooth, vary
from tools.painter.hair import paint_back_hair, paint_beard, paint_front_hair, paint_hat
from tools.painter.indoors import paint_drape
from tools.painter.sitter import GARMENTS, Sitter

BACKDROPS: tuple[Colour, ...] = (
    (72, 56, 44), (50, 64, 62), (96, 46, 42), (58, 62, 88),
    (126, 112, 84), (94, 110, 96), (150, 136, 120), (186, 150, 96),
)  # fmt: skip


def paint_backdrop(canvas: Canvas, rng: Rng) -> None:
    """A studio's wall: dark, lighter beside the head, sometimes with a curtain."""
    canvas.claim(BACKGROUND)
    wall = vary(rng, choose(rng, BACKDROPS), 12)
    canvas.down((lit(wall, -0.3), wall, lit(wall, -0.4)))
    canvas.glow(0.5 - canvas.light * 0.12, 0.36, 0.62, 0.62, lit(wall, 0.42), 0.75)
    if rng.random() < 0.3:
        paint_drape(canvas, rng, vary(rng, choose(rng, GARMENTS), 8), choose(rng, (-1.0, 1.0)))


def paint_figure(canvas: Canvas, rng: Rng, sitter: Sitter, owner: int) -> None:
    """Back hair, body, head, features, front hair, hat: from behind to the front."""
    canvas.claim(owner)
    paint_back_hair(canvas, sitter)
    _body(canvas, rng, sitter)
    _head(canvas, sitter)
    _eyes(canvas, rng, sitter)
    _nose_and_mouth(canvas, rng, sitter)
    if sitter.beard and sitter.cut not in ("bun", "bob"):
        paint_beard(canvas, sitter)
    paint_front_hair(canvas, rng, sitter)
    paint_hat(canvas, rng, sitter)


def _body(canvas: Canvas, rng: Rng, who: Sitter) -> None:
    cloth = who.garment
    broad = rng.uniform(1.5, 1.85)
    half = [(0.42, 1.12), (0.8, 1.34), (broad * 0.86, 1.56), (broad, 2.1), (broad * 1.12, 3.2), (broad * 1.1, 6.0)]
    outline = [*half, *[(-x, y) for x, y in reversed(half)]]
    canvas.rounded(smooth(who.at(outline), 2), cloth, 0.6)
    for side in (-1, 1):  # the folds where arms meet the chest
        fold = smooth(
            who.at([(side * broad * 0.66, 2.0), (side * broad * 0.6, 2.7), (side * broad * 0.7, 4.0)]), 2, closed=False
        )
        canvas.line(fold, lit(cloth, -0.6), 0.06 * who.size, 0.3)
        canvas.line(fold + np.array([canvas.light * 0.06 * who.size, 0.0]), lit(cloth, 0.3), 0.05 * who.size, 0.25)
    neck = lit(who.skin, -0.14)
    canvas.rounded(
        who.at([(-0.36, 0.5), (0.36, 0.5), (0.42, 1.3), (0.15, 1.55), (-0.15, 1.55), (-0.42, 1.3)], 0.08), neck, 0.5
    )
    collar = choose(rng, ("ruff", "lapels", "round", "scarf", "shirt", "lapels" if who.beard else "pearls"))
    linen = (240, 234, 220)
    if collar == "ruff":
        for angle in np.linspace(0, 2 * np.pi, 18, endpoint=False).tolist():
            cx, cy = who.spot(0.78 * np.cos(angle), 1.22 + 0.22 * np.sin(angle))
            canvas.sprite("ball", cx, cy, 0.2 * who.size, 0.17 * who.size, (lit(linen, -0.3), linen, (255, 253, 246)))
    elif collar == "lapels":
        canvas.polygon(who.at([(-0.42, 1.2), (0.42, 1.2), (0, 2.5)]), linen)
        canvas.polygon(
            who.at([(-0.1, 1.45), (0.1, 1.45), (0.14, 2.3), (0, 2.5), (-0.14, 2.3)]),
            choose(rng, ((150, 40, 44), (40, 60, 110), (30, 30, 36))),
        )
        for side in (-1, 1):
            canvas.polygon(
                who.at([(side * 0.4, 1.12), (side * 0.85, 1.5), (side * 0.5, 1.9), (0, 2.75)]),
                lit(cloth, -0.2 if side * canvas.light < 0 else 0.12),
            )
    elif collar == "round":
        canvas.polygon(smooth(who.at([(-0.62, 1.22), (0, 2.0), (0.62, 1.22), (0, 1.5)])), lit(cloth, 0.35))
        canvas.polygon(smooth(who.at([(-0.5, 1.2), (0, 1.85), (0.5, 1.2), (0, 1.1)])), lit(who.skin, -0.06))
    elif collar == "scarf":
        hue = vary(rng, choose(rng, ((190, 60, 50), (220, 180, 80), (60, 110, 130))), 12)
        canvas.rounded(
            smooth(who.at([(-0.66, 1.0), (0, 1.3), (0.66, 1.0), (0.78, 1.42), (0, 1.72), (-0.78, 1.42)])), hue, 0.6
        )
        canvas.rounded(who.at([(0.2, 1.5), (0.55, 1.5), (0.7, 2.9), (0.2, 2.8)]), lit(hue, -0.15), 0.5)
    elif collar == "shirt":
        for side in (-1, 1):
            canvas.polygon(who.at([(side * 0.4, 1.08), (side * 0.68, 1.3), (side * 0.34, 1.75), (0, 1.5)]), linen)
        for y in (1.9, 2.4, 2.9):
            canvas.ellipse(*who.spot(0, y), 0.06 * who.size, 0.06 * who.size, lit(cloth, 0.5))
    else:
        canvas.polygon(smooth(who.at([(-0.7, 1.28), (0, 2.15), (0.7, 1.28), (0, 1.1)])), lit(who.skin, -0.05))
        for t in np.linspace(-1, 1, 11).tolist():
            cx, cy = who.spot(0.5 * t, 1.62 - 0.36 * t * t)
            canvas.ball(cx, cy, 0.065 * who.size, 0.065 * who.size, (226, 218, 206))


def _head(canvas: Canvas, who: Sitter) -> None:
    chin_shadow = smooth(who.at([(-0.4, 0.85), (0.4, 0.85), (0.34, 1.22), (0, 1.36), (-0.34, 1.22)], 0.08))
    canvas.polygon(chin_shadow, lit(who.skin, -0.62), 0.45)
    for side in (-1, 1):
        if side * who.turn < 0.55:  # the far ear hides behind the cheek
            cx, cy = who.spot(side * 0.78, 0.06, -0.14)
            canvas.ellipse(
                cx, cy, 0.13 * who.size, 0.22 * who.size, lit(who.skin, -0.14 if side * canvas.light > 0 else -0.36)
            )
    half = [(0.3, -1.04), (0.62, -0.8), (0.79, -0.3), (0.76, 0.25), (0.58, 0.68), (0.28, 0.99)]
    outline = [(0, -1.08), *half, (0, 1.08), *[(-x, y) for x, y in reversed(half)]]
    canvas.rounded(smooth(who.at(outline)), who.skin, 0.62)
    warm = mix(who.skin, (214, 84, 70), 0.55)
    for side in (-1, 1):
        cx, cy = who.spot(side * 0.42, 0.3, 0.14)
        canvas.glow(cx, cy, 0.26 * who.size, 0.22 * who.size, warm, 0.45)
    cx, cy = who.spot(canvas.light * 0.22, -0.55, 0.1)
    canvas.glow(cx, cy, 0.36 * who.size, 0.28 * who.size, lit(who.skin, 0.5), 0.5)


def _eyes(canvas: Canvas, rng: Rng, who: Sitter) -> None:
    iris = choose(rng, ((70, 100, 140), (84, 60, 36), (60, 92, 60), (40, 30, 26)))
    brow = lit(who.hair, -0.3)
    gaze = rng.uniform(-0.06, 0.06)
    for side in (-1, 1):
        narrow = 1 - 0.16 * max(0.0, side * who.turn)
        cx, cy = who.spot(side * 0.34 * narrow, -0.12, 0.16)
        wide = 0.17 * who.size * narrow
        canvas.ellipse(cx, cy - 0.03 * who.size, wide * 1.35, 0.16 * who.size, lit(who.skin, -0.5), 0.4)
        canvas.polygon(
            smooth([(cx - wide, cy), (cx, cy - wide * 0.62), (cx + wide, cy), (cx, cy + wide * 0.56)], 1),
            (244, 238, 228),
        )
        px = cx + gaze * who.size + 0.03 * who.turn * who.size
        canvas.ellipse(px, cy, 0.092 * who.size, 0.095 * who.size, iris)
        canvas.ellipse(px, cy, 0.05 * who.size, 0.052 * who.size, (14, 12, 16))
        canvas.ellipse(
            px + canvas.light * 0.035 * who.size,
            cy - 0.04 * who.size,
            0.024 * who.size,
            0.024 * who.size,
            (255, 255, 255),
        )
        lid = smooth(
            [
                (cx - wide * 1.1, cy + 0.01),
                (cx - wide * 0.4, cy - wide * 0.6),
                (cx + wide * 0.5, cy - wide * 0.6),
                (cx + wide * 1.1, cy),
            ],
            2,
            closed=False,
        )
        canvas.line(lid, (36, 24, 24), 0.04 * who.size, 0.95)
        y = cy - 0.27 * who.size
        arch = smooth(
            [
                (cx - side * wide * 0.9, y + 0.04 * who.size),
                (cx, y - 0.05 * who.size),
                (cx + side * wide * 1.35, y + 0.06 * who.size),
            ],
            2,
            closed=False,
        )
        canvas.line(arch, brow, 0.07 * who.size)


def _nose_and_mouth(canvas: Canvas, rng: Rng, who: Sitter) -> None:
    dark = -canvas.light
    shade = lit(who.skin, -0.55)
    nose = who.at([(dark * 0.04, -0.16), (dark * 0.2, 0.3), (dark * 0.02, 0.4), (-dark * 0.02, 0.3)], 0.24)
    canvas.polygon(smooth(nose, 1), shade, 0.5)
    canvas.line(
        smooth(who.at([(-0.13, 0.32), (-0.06, 0.41), (0.06, 0.41), (0.13, 0.32)], 0.24), 1, closed=False),
        shade,
        0.045 * who.size,
        0.8,
    )
    cx, cy = who.spot(-dark * 0.03, 0.27, 0.24)
    canvas.glow(cx, cy, 0.1 * who.size, 0.1 * who.size, lit(who.skin, 0.75), 0.85)
    lips = mix(who.skin, (168, 40, 48), rng.uniform(0.5, 0.8))
    wide, smile = rng.uniform(0.24, 0.31), rng.uniform(-0.01, 0.06)
    corner = 0.66 - smile
    upper = who.at([(-wide, corner), (-0.09, 0.585), (0, 0.605), (0.09, 0.585), (wide, corner), (0, 0.67)], 0.2)
    lower = who.at([(-wide * 0.9, corner), (0, 0.68), (wide * 0.9, corner), (0.1, 0.79), (-0.1, 0.79)], 0.2)
    canvas.polygon(lower, lit(lips, 0.12))
    canvas.polygon(upper, lit(lips, -0.2))
    canvas.line(who.at([(-wide, corner), (0, 0.675), (wide, corner)], 0.2), lit(lips, -0.65), 0.03 * who.size)
    canvas.ellipse(*who.spot(0, 0.9, 0.18), 0.16 * who.size, 0.04 * who.size, shade, 0.4)
