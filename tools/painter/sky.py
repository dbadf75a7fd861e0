"""Hours and weathers, and the skies that go with them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tools.painter.canvas import BACKGROUND, DETAIL, Canvas, Colour, Rng, choose, mix, vary


@dataclass(frozen=True)
class Mood:
    """An hour of the day: the sky from zenith to horizon, and how it colours all that lies below."""

    sky: tuple[Colour, Colour, Colour]
    cloud: tuple[Colour, Colour, Colour]
    tint: Colour
    tint_amount: float
    sun: Colour | None
    night: bool = False

    def tone(self, colour: Colour, distance: float = 0.0) -> Colour:
        """`colour` in this light; `distance` (0 near, 1 far) lets it fade into the horizon's haze."""
        return mix(mix(colour, self.tint, self.tint_amount), self.sky[2], 0.75 * distance)


MOODS = {
    "morning": Mood(
        ((122, 164, 205), (190, 205, 215), (248, 222, 190)),
        ((186, 170, 178), (240, 220, 205), (255, 246, 228)),
        (250, 205, 165), 0.14, (255, 244, 200),
    ),
    "noon": Mood(
        ((54, 118, 190), (118, 172, 220), (204, 226, 234)),
        ((168, 186, 204), (232, 238, 242), (255, 255, 252)),
        (255, 250, 215), 0.06, None,
    ),
    "golden": Mood(
        ((84, 112, 160), (232, 170, 112), (255, 216, 128)),
        ((150, 96, 104), (238, 150, 96), (255, 224, 150)),
        (255, 156, 60), 0.24, (255, 240, 170),
    ),
    "dusk": Mood(
        ((46, 44, 100), (150, 78, 124), (250, 142, 98)),
        ((70, 48, 96), (170, 84, 118), (255, 170, 130)),
        (92, 50, 110), 0.38, (255, 190, 120),
    ),
    "night": Mood(
        ((12, 18, 52), (26, 44, 92), (64, 92, 134)),
        ((24, 32, 66), (50, 66, 108), (120, 136, 168)),
        (22, 34, 84), 0.56, (246, 240, 208), night=True,
    ),
    "grey": Mood(
        ((122, 134, 148), (164, 172, 178), (208, 208, 200)),
        ((118, 126, 138), (172, 178, 184), (218, 220, 220)),
        (146, 152, 158), 0.26, None,
    ),
    "storm": Mood(
        ((42, 50, 66), (84, 98, 110), (176, 182, 160)),
        ((34, 38, 52), (70, 80, 94), (142, 150, 152)),
        (64, 84, 96), 0.36, None,
    ),
}  # fmt: skip


def pick_mood(rng: Rng, *names: str) -> Mood:
    """One of the named moods (of all of them when none is named)."""
    return MOODS[choose(rng, names or tuple(MOODS))]


def paint_sky(canvas: Canvas, rng: Rng, mood: Mood, horizon: float) -> float | None:
    """Gradient, stars, sun or moon, clouds. Returns where the sun stands from left to right, if it shows."""
    canvas.claim(BACKGROUND)
    stops = [vary(rng, colour, 9) for colour in mood.sky]
    canvas.down((*stops, stops[-1]), 0.0, 1.0)
    if mood.night:
        for x, y, size in rng.uniform((0, 0, 0.001), (1, horizon * 0.9, 0.0035), (26, 3)).tolist():
            canvas.ellipse(x, y, size, size, (236, 232, 214))
    sun_x = _sun(canvas, rng, mood, horizon) if mood.sun else None
    kind = choose(rng, ("heaps", "heaps", "bands", "few"))
    if kind == "bands":
        for y in np.sort(rng.uniform(0.04, horizon * 0.85, 6)).tolist():
            cx, length = rng.uniform(0, 1), rng.uniform(0.18, 0.45)
            canvas.sprite("glow", cx, y, length, 0.03 + 0.02 * rng.random(), (mood.cloud[2],), 0.85)
            canvas.sprite("glow", cx + 0.03, y + 0.014, length * 0.9, 0.018, (mood.cloud[0],), 0.6)
    else:
        n_clouds = int(rng.integers(3, 7)) if kind == "heaps" else int(rng.integers(1, 3))
        for y in np.sort(rng.uniform(0.05, horizon * 0.82, n_clouds)).tolist():
            size = rng.uniform(0.1, 0.26) * (1.25 - 0.9 * y / horizon)
            colours = (mix(mood.cloud[0], mood.sky[1], 0.2), mood.cloud[1], mood.cloud[2])
            canvas.sprite(f"cloud{rng.integers(4)}", rng.uniform(0, 1), y, size, size * 0.48, colours, 0.95)
    return sun_x


def _sun(canvas: Canvas, rng: Rng, mood: Mood, horizon: float) -> float:
    assert mood.sun is not None
    x = 0.5 + canvas.light * rng.uniform(0.08, 0.36)
    y, radius = horizon * rng.uniform(0.2, 0.78), rng.uniform(0.026, 0.046)
    canvas.glow(x, y, 0.34, 0.34, mood.sun, 0.5)
    canvas.glow(x, y, radius * 2.6, radius * 2.6, mood.sun, 0.9)
    canvas.claim(DETAIL)
    canvas.ellipse(x, y, radius, radius, mix(mood.sun, (255, 255, 255), 0.35))
    canvas.claim(BACKGROUND)
    return x
