"""Hair, beards and hats of a sitter."""

from __future__ import annotations

import numpy as np

from tools.painter.canvas import Canvas, Rng, choose, lit, mix, oval, smooth, vary
from tools.painter.sitter import Sitter


def paint_back_hair(canvas: Canvas, who: Sitter) -> None:
    """What hangs or stands behind the head."""
    hair = who.hair
    if who.cut == "long":
        shape = [
            (0, -1.3),
            (0.8, -1.1),
            (1.08, -0.2),
            (1.1, 0.9),
            (1.2, 1.9),
            (0.5, 2.1),
            (-0.5, 2.1),
            (-1.2, 1.9),
            (-1.1, 0.9),
            (-1.08, -0.2),
            (-0.8, -1.1),
        ]
        canvas.rounded(smooth(who.at(shape)), lit(hair, -0.12), 0.6)
    elif who.cut == "bob":
        shape = [
            (0, -1.3),
            (0.85, -1.1),
            (1.12, -0.2),
            (1.14, 0.75),
            (0.6, 1.0),
            (-0.6, 1.0),
            (-1.14, 0.75),
            (-1.12, -0.2),
            (-0.85, -1.1),
        ]
        canvas.rounded(smooth(who.at(shape)), lit(hair, -0.08), 0.6)
    elif who.cut == "bun":
        cx, cy = who.spot(0, -1.32, -0.2)
        canvas.ball(cx, cy, 0.4 * who.size, 0.36 * who.size, hair)
    elif who.cut == "curls":
        for dx, dy, r in (
            (-0.72, -0.5, 0.58),
            (0.72, -0.5, 0.58),
            (0, -0.95, 0.7),
            (-0.88, 0.25, 0.46),
            (0.88, 0.25, 0.46),
        ):
            cx, cy = who.spot(dx, dy)
            canvas.sprite("foliage1", cx, cy, r * who.size, r * who.size, (lit(hair, -0.5), hair, lit(hair, 0.25)))


def paint_beard(canvas: Canvas, who: Sitter) -> None:
    """A full beard or a moustache."""
    tones = (lit(who.hair, -0.4), who.hair, lit(who.hair, 0.25))
    if who.beard == "full":
        shape = [
            (-0.78, 0.1),
            (-0.62, 0.34),
            (-0.36, 0.5),
            (0, 0.48),
            (0.36, 0.5),
            (0.62, 0.34),
            (0.78, 0.1),
            (0.7, 0.8),
            (0.36, 1.3),
            (0, 1.46),
            (-0.36, 1.3),
            (-0.7, 0.8),
        ]
        canvas.rounded(smooth(who.at(shape, 0.08)), who.hair, 0.6)
        lips = mix(who.skin, (168, 40, 48), 0.6)
        canvas.polygon(smooth(who.at([(-0.22, 0.7), (0, 0.64), (0.22, 0.7), (0, 0.8)], 0.18)), lips)
        return
    for side in (-1, 1):
        tip = who.at([(0, 0.48), (side * 0.2, 0.46), (side * 0.5, 0.62), (side * 0.22, 0.62), (0, 0.58)], 0.2)
        canvas.polygon(smooth(tip, 1), tones[1] if side * canvas.light > 0 else tones[0])


def paint_front_hair(canvas: Canvas, rng: Rng, who: Sitter) -> None:
    """What frames the forehead."""
    hair = who.hair
    if who.cut == "bald":
        for side in (-1, 1):
            canvas.rounded(
                smooth(
                    who.at([(side * 0.7, -0.5), (side * 0.9, -0.35), (side * 0.9, 0.1), (side * 0.74, 0.05)], -0.05)
                ),
                hair,
                0.4,
            )
        return
    if who.cut == "curls":
        for t in np.linspace(-1, 1, 5).tolist():
            cx, cy = who.spot(0.62 * t, -0.98 + 0.34 * t * t)
            canvas.sprite("foliage2", cx, cy, 0.34 * who.size, 0.3 * who.size, (lit(hair, -0.45), hair, lit(hair, 0.3)))
        return
    parting = rng.uniform(-0.5, 0.5)
    brow = -0.48 if who.cut in ("bob", "long") and rng.random() < 0.3 else -0.78
    temple = 0.25 if who.cut in ("long", "bob") else -0.12
    cap = [
        (0, -1.28),
        (0.55, -1.2),
        (0.88, -0.75),
        (0.92, temple),
        (0.76, temple),
        (0.7, -0.4),
        (parting + 0.25, brow),
        (parting, brow - 0.1),
        (parting - 0.25, brow),
        (-0.7, -0.4),
        (-0.76, temple),
        (-0.92, temple),
        (-0.88, -0.75),
        (-0.55, -1.2),
    ]
    canvas.rounded(smooth(who.at(cap)), hair, 0.62)
    shine = lit(hair, 0.36)
    for t in np.linspace(-0.5, 0.5, 5).tolist():
        strand = who.at([(parting * 0.6 + t * 0.3, -1.18), (t * 1.15, -1.02), (t * 1.5, -0.66)])
        canvas.line(
            smooth(strand, 2, closed=False),
            shine if t * canvas.light > -0.1 else lit(hair, -0.35),
            0.035 * who.size,
            0.5,
        )


def paint_hat(canvas: Canvas, rng: Rng, who: Sitter) -> None:
    """The hat, if there is one."""
    felt = vary(rng, choose(rng, ((40, 38, 46), (130, 40, 44), (196, 164, 104), (48, 70, 100), (70, 84, 60))), 10)
    band = lit(felt, 0.5) if sum(felt) < 300 else (90, 40, 40)
    if who.hat == "brim":
        crown = [(-0.72, -0.75), (-0.66, -1.5), (0, -1.68), (0.66, -1.5), (0.72, -0.75)]
        canvas.polygon(oval(*who.spot(0, -0.66), 0.85 * who.size, 0.2 * who.size), lit(who.skin, -0.7), 0.5)
        canvas.polygon(oval(*who.spot(0, -0.8), 1.5 * who.size, 0.3 * who.size, 0.06 * who.turn), lit(felt, -0.3))
        canvas.rounded(smooth(who.at(crown), 2), felt, 0.6)
        canvas.line(who.at([(-0.68, -0.95), (0, -0.87), (0.68, -0.95)]), band, 0.12 * who.size)
    elif who.hat == "beret":
        side = 1.0 if who.turn > 0 else -1.0
        shape = [
            (-0.86, -0.72),
            (-1.0 - 0.2 * side, -1.15),
            (-0.2 * side, -1.5),
            (1.0 - 0.2 * side, -1.15),
            (0.86, -0.72),
            (0, -0.86),
        ]
        canvas.rounded(smooth(who.at(shape)), felt, 0.65)
        canvas.line(who.at([(-0.2 * side, -1.42), (-0.22 * side, -1.56)]), felt, 0.08 * who.size)
    elif who.hat == "bonnet":
        linen = (236, 230, 218)
        shape = [
            (-0.9, 0.3),
            (-1.06, -0.5),
            (-0.8, -1.2),
            (0, -1.42),
            (0.8, -1.2),
            (1.06, -0.5),
            (0.9, 0.3),
            (0.76, -0.3),
            (0.5, -0.78),
            (0, -0.9),
            (-0.5, -0.78),
            (-0.76, -0.3),
        ]
        canvas.rounded(smooth(who.at(shape)), linen, 0.5)
        canvas.line(
            smooth(who.at([(-0.86, -0.7), (0, -1.2), (0.86, -0.7)]), 2, closed=False),
            lit(linen, -0.3),
            0.05 * who.size,
            0.6,
        )
    elif who.hat == "top":
        canvas.rounded(who.at([(-0.7, -0.8), (-0.78, -2.0), (0.78, -2.0), (0.7, -0.8)]), (38, 36, 44), 0.6)
        canvas.polygon(oval(*who.spot(0, -0.84), 1.12 * who.size, 0.18 * who.size), (26, 24, 32))
        canvas.line(who.at([(-0.7, -1.04), (0.7, -1.04)]), (120, 40, 46), 0.16 * who.size)
    elif who.hat == "turban":
        hue = vary(rng, choose(rng, ((60, 98, 150), (214, 176, 84), (176, 70, 50))), 10)
        for i in range(4):
            arc = [
                (-0.92 + 0.06 * i, -0.62 - 0.2 * i),
                (0, -0.98 - 0.2 * i),
                (0.92 - 0.06 * i, -0.62 - 0.2 * i),
                (0.7, -1.2 - 0.12 * i),
                (-0.7, -1.2 - 0.12 * i),
            ]
            canvas.rounded(smooth(who.at(arc)), lit(hue, 0.12 if i % 2 else -0.12), 0.6)
        canvas.ball(*who.spot(0, -0.98), 0.1 * who.size, 0.1 * who.size, (190, 50, 60))
