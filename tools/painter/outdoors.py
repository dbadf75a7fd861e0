"""Landscapes and seascapes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tools.painter.canvas import BACKGROUND, Canvas, Colour, Rng, choose, lit, mix, oval, smooth, vary
from tools.painter.sky import Mood

SEASONS: dict[str, tuple[tuple[Colour, ...], tuple[Colour, ...], tuple[Colour, ...]]] = {
    # meadows, leaves, dots of the foreground
    "spring": (
        ((136, 176, 84), (164, 190, 92), (108, 158, 82)),
        ((104, 156, 74), (236, 178, 190), (150, 184, 84)),
        ((250, 240, 220), (240, 200, 70), (222, 110, 150)),
    ),
    "summer": (
        ((88, 138, 62), (120, 152, 60), (204, 178, 84)),
        ((44, 98, 52), (66, 116, 56), (36, 84, 60)),
        ((226, 66, 52), (244, 214, 90), (120, 104, 190)),
    ),
    "autumn": (
        ((176, 146, 66), (150, 122, 58), (196, 158, 76)),
        ((204, 108, 38), (222, 158, 46), (164, 62, 40)),
        ((202, 94, 40), (232, 178, 70), (150, 60, 40)),
    ),
    "winter": (
        ((226, 232, 238), (206, 216, 228), (240, 242, 242)),
        ((62, 88, 88), (96, 104, 108), (48, 74, 82)),
        ((150, 132, 112), (196, 206, 218), (120, 108, 100)),
    ),
    "south": (
        ((214, 182, 112), (190, 152, 90), (156, 160, 84)),
        ((92, 112, 70), (60, 92, 66), (128, 138, 92)),
        ((148, 112, 180), (226, 120, 60), (238, 220, 150)),
    ),
}


def ridge(rng: Rng, base: float, height: float, roughness: float = 1.0, n_points: int = 65) -> npt.NDArray[np.float64]:
    """A crest line from beyond the left edge to beyond the right one, (n_points, 2)."""
    x = np.linspace(-0.02, 1.02, n_points)
    rise = np.zeros(n_points)
    for octave in range(1, 6):
        waves = octave * 1.7 * roughness
        rise += np.sin(2 * np.pi * (waves * x * rng.uniform(0.5, 0.9) + rng.random())) / octave**1.7
    return np.stack([x, base - height * (0.5 + 0.32 * rise)], axis=1)


def below(crest: npt.NDArray[np.float64], floor: float = 1.02) -> npt.NDArray[np.float64]:
    """The area under a crest line as an outline."""
    return np.concatenate([crest, [[crest[-1, 0], floor], [crest[0, 0], floor]]])


def paint_land(canvas: Canvas, rng: Rng, mood: Mood, horizon: float, owner: int, floor: float = 1.0) -> None:
    """Mountains, hills, a path or a river, trees: a landscape from the horizon down to `floor`."""
    canvas.claim(owner)
    meadows, leaves, dots = SEASONS[choose(rng, tuple(SEASONS))]
    if rng.random() < 0.6:
        _mountains(canvas, rng, mood, horizon)
    n_hills = int(rng.integers(3, 5))
    way = choose(rng, ("path", "river", "fields", "none"))
    way_x = rng.uniform(0.3, 0.7)
    bends = way_x + rng.uniform(-0.14, 0.14, 2 * n_hills + 2)
    for i in range(n_hills):
        near = (i + 0.4) / n_hills
        base = horizon + (floor - horizon) * (near**1.5) * 0.92
        crest = ridge(rng, base, 0.13 * (0.5 + near * 0.6), rng.uniform(0.5, 0.9))
        grass = mood.tone(vary(rng, choose(rng, meadows), 14), 0.75 * (1 - near) ** 1.3)
        canvas.faded(below(crest), (lit(grass, 0.16), grass, lit(grass, -0.22 - 0.12 * near)))
        if way == "fields" and i < n_hills - 1:
            _furrows(canvas, rng, crest, grass, near)
        elif way in ("path", "river") and i >= 1:
            _way(canvas, crest, bends[2 * i : 2 * i + 2], near, way == "river", mood)
        for _ in range(int(rng.integers(3, 8)) if i < n_hills - 1 else int(rng.integers(1, 4))):
            x = rng.uniform(0.02, 0.98)
            if i < n_hills - 1 or abs(x - 0.5) > 0.2:
                ground = float(np.interp(x, crest[:, 0], crest[:, 1])) + rng.uniform(0.01, 0.05) * near
                leaf = mood.tone(vary(rng, choose(rng, leaves), 12), 0.6 * (1 - near) ** 1.3)
                paint_tree(canvas, rng, x, ground, (0.05 + 0.25 * near**1.4) * rng.uniform(0.75, 1.25), leaf, mood)
    if rng.random() < 0.3:
        _haystacks(canvas, rng, mood, horizon + (floor - horizon) * rng.uniform(0.4, 0.6))
    _foreground(canvas, rng, mood, dots, floor)
    if rng.random() < 0.3:  # a big tree that frames the view
        leaf = mood.tone(vary(rng, choose(rng, leaves), 12))
        side = choose(rng, (0.08, 0.92))
        paint_tree(canvas, rng, side, floor - 0.03, rng.uniform(0.55, 0.75) * (floor - horizon) / 0.5, leaf, mood)


def _haystacks(canvas: Canvas, rng: Rng, mood: Mood, y: float) -> None:
    straw = mood.tone((222, 184, 96))
    for x in rng.uniform(0.15, 0.85, int(rng.integers(1, 4))).tolist():
        foot, size = y + rng.uniform(0, 0.08), rng.uniform(0.03, 0.055)
        canvas.polygon(oval(x - canvas.light * size, foot, size * 1.5, size * 0.26), (20, 24, 40), 0.3)
        outline = [(x - size, foot), (x - size * 0.9, foot - size * 0.8), (x, foot - size * 1.7)]
        outline += [(x + size * 0.9, foot - size * 0.8), (x + size, foot)]
        canvas.rounded(smooth(outline, 2, closed=False), straw, 0.6)


def _mountains(canvas: Canvas, rng: Rng, mood: Mood, horizon: float) -> None:
    rock = vary(rng, choose(rng, ((98, 108, 138), (120, 112, 120), (86, 104, 118))), 12)
    snow = rng.random() < 0.65
    for layer in range(2):
        colour = mood.tone(rock, 0.62 - 0.3 * layer)
        for x in rng.permutation(np.linspace(-0.02, 1.02, 4 + layer)).tolist():
            x += rng.uniform(-0.08, 0.08)
            height, half = rng.uniform(0.1, 0.26) * (1.15 - 0.4 * layer), rng.uniform(0.16, 0.28)
            peak, foot = (x, horizon - height), horizon + 0.1
            spine = [peak, (x + 0.03, horizon - height * 0.66), (x - 0.02, horizon - height * 0.3), (x + 0.02, foot)]
            for side in (1, -1):
                steps = np.array([1.0, 0.74, 0.46, 0.2, 0.0]) + rng.uniform(-0.05, 0.05, 5) * [0, 1, 1, 1, 0]
                out = np.array([1.0, 0.66, 0.52, 0.16, 0.0]) + rng.uniform(-0.07, 0.07, 5) * [0, 1, 1, 1, 0]
                slope = np.stack([x + side * half * out, foot - (foot - peak[1]) * (1 - steps)], 1)
                canvas.polygon([*spine, *slope], lit(colour, -0.26 if side * canvas.light < 0 else 0.16))
            if snow and height > 0.13:
                reach = rng.uniform(0.28, 0.42)
                cut = foot - (horizon - height)
                left, right = x - half * reach * height / cut, x + half * reach * height / cut
                y = horizon - height * (1 - reach)
                zigzag = [(right, y), (x + 0.03, y - 0.02), (x + 0.012, y + 0.024), (x - 0.018, y - 0.012), (left, y)]
                canvas.polygon([peak, *zigzag], mood.tone((246, 248, 252), 0.2 - 0.1 * layer))
                shadow = [peak, *(zigzag[:3] if canvas.light < 0 else zigzag[2:])]
                canvas.polygon(shadow, mood.tone((160, 178, 210), 0.2))


def _furrows(canvas: Canvas, rng: Rng, crest: npt.NDArray[np.float64], grass: Colour, near: float) -> None:
    """Field rows that run towards a vanishing point above the crest."""
    vanish_x, dark = rng.uniform(0.2, 0.8), lit(grass, -0.24)
    centre = rng.uniform(0.15, 0.85)
    for x in np.linspace(centre - 0.2, centre + 0.2, 12).tolist():
        y = float(np.interp(x, crest[:, 0], crest[:, 1]))
        reach = 0.05 + 0.16 * near
        canvas.line([(x, y + 0.006), (x + (x - vanish_x) * reach * 3, y + reach)], dark, 0.003 + 0.004 * near, 0.7)


def _way(
    canvas: Canvas, crest: npt.NDArray[np.float64], bends: npt.NDArray[np.float64], near: float, river: bool, mood: Mood
) -> None:
    """One bend of a path or river, from this hill's crest towards the next."""
    start, end = float(bends[0]), float(bends[1])
    top = float(np.interp(start, crest[:, 0], crest[:, 1]))
    length, width = 0.1 + 0.3 * near, 0.008 + 0.075 * near**1.5
    t = np.linspace(0, 1, 12)
    x = start + (end - start) * t + 0.09 * near * np.sin(t * np.pi * 1.5)
    half = width * (0.3 + 0.9 * t**1.2)
    y = top + length * t
    outline = np.concatenate([np.stack([x - half, y], 1), np.stack([x + half, y], 1)[::-1]])
    if river:
        canvas.faded(outline, (mix(mood.sky[2], (255, 255, 255), 0.3), mix(mood.sky[1], (70, 110, 150), 0.35)))
        canvas.line(np.stack([x - canvas.light * half * 0.5, y], 1)[2:], (250, 250, 246), 0.004, 0.5)
    else:
        sand = mood.tone((224, 200, 152), 0.3 * (1 - near))
        canvas.faded(outline, (lit(sand, 0.1), sand, lit(sand, -0.2)))


def paint_tree(canvas: Canvas, rng: Rng, x: float, ground: float, height: float, leaf: Colour, mood: Mood) -> None:
    """A tree whose foot stands at (x, ground): round, poplar, fir, bare birch or pine."""
    kind = choose(rng, ("round", "round", "poplar", "fir", "fir", "pine"))
    bark = mood.tone((92, 66, 48))
    tones = (lit(leaf, -0.55), leaf, lit(leaf, 0.34))
    canvas.polygon(oval(x - canvas.light * height * 0.26, ground, height * 0.34, height * 0.05), (20, 24, 40), 0.3)
    if kind == "fir":
        canvas.polygon([(x - 0.03 * height, ground), (x + 0.03 * height, ground), (x, ground - 0.4 * height)], bark)
        for part in range(4):
            top, half = ground - height * (0.46 + 0.18 * part), height * (0.27 - 0.055 * part)
            tip, foot = (x, top - height * 0.1), ground - height * (0.14 + 0.19 * part)
            side = x + canvas.light * half
            canvas.polygon([tip, (x - half, foot), (x, foot + 0.02 * height), (x + half, foot)], lit(leaf, -0.42))
            canvas.polygon([tip, (side, foot), (x + canvas.light * half * 0.15, foot)], lit(leaf, 0.12))
        return
    lean = rng.uniform(-0.06, 0.06) * height
    trunk = 0.045 if kind != "poplar" else 0.03
    left, right, top = x - trunk * height, x + trunk * height, ground - 0.6 * height
    shaft = [(left, ground), (right, ground), (x + lean + 0.02 * height, top), (x + lean - 0.02 * height, top)]
    canvas.rounded(shaft, bark)
    crown = f"foliage{rng.integers(4)}"
    if kind == "poplar":
        canvas.sprite(crown, x + lean, ground - 0.56 * height, 0.13 * height, 0.46 * height, tones)
    elif kind == "pine":
        canvas.sprite(crown, x + lean, ground - 0.78 * height, 0.36 * height, 0.17 * height, tones)
        canvas.sprite(crown, x + lean * 2, ground - 0.9 * height, 0.24 * height, 0.13 * height, tones)
    else:
        canvas.sprite(crown, x + lean, ground - 0.68 * height, 0.34 * height, 0.34 * height, tones)


def _foreground(canvas: Canvas, rng: Rng, mood: Mood, dots: tuple[Colour, ...], floor: float) -> None:
    """Flowers, stones and blades of grass at the viewer's feet."""
    places = rng.uniform((0, floor - 0.17), (1, floor), (42, 2)).tolist()
    blade = mood.tone((64, 88, 48))
    for i, (x, y) in enumerate(places):
        size = 0.0035 + 0.007 * (y - floor + 0.17) / 0.17
        canvas.line([(x, y), (x + 0.006, y - size * 4)], blade, 0.004)
        if i % 2:
            canvas.ellipse(x + 0.006, y - size * 4, size, size * 0.8, mood.tone(dots[i % 3]))


def paint_sea(canvas: Canvas, rng: Rng, mood: Mood, horizon: float, owner: int, sun_x: float | None) -> None:
    """The sea from the horizon down: its colours, the light's path, waves, foam, perhaps a shore."""
    canvas.claim(owner)
    deep = mood.tone(vary(rng, choose(rng, ((28, 86, 122), (24, 104, 118), (40, 72, 112), (30, 116, 140))), 12))
    canvas.down((mix(deep, mood.sky[2], 0.55), mix(deep, mood.sky[1], 0.22), deep, lit(deep, -0.3)), horizon, 1.0)
    if sun_x is not None and mood.sun is not None:
        for t in rng.uniform(0, 1, 46).tolist():
            half = (0.012 + 0.05 * t) * rng.uniform(0.5, 1.2)
            x, y = sun_x + rng.normal(0, 0.012 + 0.045 * t), horizon + 0.006 + (1 - horizon) * t * 0.8
            canvas.ellipse(x, y, half, 0.0022 + 0.004 * t, mood.sun, 0.66)
    swell = rng.uniform(0.5, 1.5)
    t = np.linspace(0, 1, 9)
    arch = np.sin(np.pi * t)
    for near in np.sort(rng.uniform(0.02, 1, 64) ** 1.25).tolist():
        y, length = horizon + (1 - horizon) * near, (0.025 + 0.17 * near) * rng.uniform(0.6, 1.3)
        x, rise = rng.uniform(-0.05, 1.0), (0.003 + 0.022 * near) * swell
        back = np.stack([x + length * t, y - rise * arch], 1)
        body = np.concatenate([back, np.stack([x + length * t, y + rise * 0.35 * arch], 1)[::-1]])
        canvas.polygon(body, lit(deep, -0.34 if rng.random() < 0.55 else 0.22), 0.42)
        if rng.random() < 0.3 + 0.25 * swell:
            foam = mood.tone((248, 250, 250), 0.1)
            canvas.line(back[1:-2], foam, 0.002 + 0.006 * near, 0.55 + 0.4 * near * min(1.0, swell))
    if rng.random() < 0.3:
        _shore(canvas, rng, mood)


def _shore(canvas: Canvas, rng: Rng, mood: Mood) -> None:
    """A beach in the lower corner with a line of surf."""
    side = 1 if rng.random() < 0.5 else -1
    t = np.linspace(0, 1, 20)
    y = 0.98 - 0.15 * t**1.6 + 0.012 * np.sin(9 * t + rng.random() * 6)
    x = 0.5 + side * (t * 1.1 - 0.5)
    sand = mood.tone((222, 196, 148))
    for shift, colour in ((-0.022, (244, 248, 248)), (-0.006, mix(sand, (90, 110, 120), 0.45)), (0.008, sand)):
        edge = np.stack([x, y + shift], 1)
        canvas.polygon([*edge, (x[-1], 1.1), (x[0], 1.1)], mood.tone(colour))


def paint_ships(canvas: Canvas, rng: Rng, mood: Mood, horizon: float, owner: int) -> None:
    """One sailing ship in view, perhaps smaller ones behind, gulls above."""
    canvas.claim(owner)
    far = sorted(rng.uniform(0.03, 0.1, int(rng.integers(0, 3))).tolist())
    spots = rng.permutation(np.array([0.18, 0.5, 0.82]))
    for near, x in zip([*far, rng.uniform(0.2, 0.5)], spots, strict=False):
        size = 0.045 + 0.36 * near + 0.05 * rng.random()
        paint_ship(canvas, rng, mood, float(x) + rng.uniform(-0.07, 0.07), horizon + (1 - horizon) * near, size)
    for _ in range(int(rng.integers(0, 6))):
        x, y, size = rng.uniform(0.08, 0.92), rng.uniform(0.08, horizon - 0.08), rng.uniform(0.012, 0.028)
        wing = [(x - size, y - size * 0.3), (x - size * 0.5, y - size * 0.55), (x, y)]
        feather = (244, 244, 240) if mood.night or rng.random() < 0.5 else (60, 64, 76)
        canvas.line([*wing, (x + size * 0.5, y - size * 0.55), (x + size, y - size * 0.3)], feather, 0.006)


def paint_ship(canvas: Canvas, rng: Rng, mood: Mood, x: float, y: float, size: float) -> None:
    """A boat of height about 2 `size` whose waterline is at `y`: yacht, square-rigger, or steamer."""
    kind = choose(rng, ("yacht", "yacht", "brig", "steamer"))
    way = 1.0 if rng.random() < 0.5 else -1.0
    hull = mood.tone(vary(rng, choose(rng, ((70, 46, 38), (150, 46, 40), (40, 58, 92), (236, 232, 220))), 12))
    sail = mood.tone(vary(rng, choose(rng, ((250, 244, 226), (250, 244, 226), (206, 92, 56), (236, 200, 120))), 8))

    def at(dx: float, dy: float) -> tuple[float, float]:
        return x + way * dx * size, y + dy * size

    half = 0.62 if kind == "yacht" else 1.0
    for i in range(7):
        dy = 0.1 + 0.14 * i
        wobble = half * (0.9 - 0.1 * i) * (1 if i % 2 else 0.7)
        canvas.line([at(-wobble, dy), at(wobble * 0.9, dy)], mix(hull, sail, min(0.9, 0.25 * i)), 0.11 * size, 0.38)
    if kind == "steamer":
        canvas.rounded([at(-0.5, -0.2), at(0.45, -0.2), at(0.45, -0.5), at(-0.5, -0.5)], mood.tone((240, 236, 226)))
        for dx in (-0.25, 0.12):
            canvas.rounded(
                [at(dx, -0.5), at(dx + 0.16, -0.5), at(dx + 0.14, -0.95), at(dx, -0.95)], mood.tone((188, 62, 44))
            )
            for puff in range(3):
                canvas.glow(*at(dx - 0.1 - 0.26 * puff, -1.1 - 0.14 * puff), 0.2 * size, 0.14 * size, (90, 88, 96), 0.7)
        for dx in np.linspace(-0.4, 0.32, 5).tolist():
            canvas.ellipse(*at(dx, -0.34), 0.05 * size, 0.05 * size, (255, 214, 120) if mood.night else (70, 84, 104))
    else:
        masts = (0.02,) if kind == "yacht" else (-0.42, 0.1, 0.55)
        for mast in masts:
            height = 1.75 if kind == "yacht" else 1.5 - 0.35 * abs(mast - 0.1)
            canvas.line([at(mast, -0.1), at(mast, -height)], mood.tone((74, 52, 40)), 0.06 * size)
            if kind == "yacht":
                main = smooth(
                    [at(mast - 0.04, -height), at(mast - 0.3, -1.0), at(mast - 0.62, -0.3), at(mast - 0.04, -0.3)], 1
                )
                canvas.faded(main, (sail, sail, lit(sail, -0.22)))
                canvas.faded(
                    [at(mast + 0.05, -height + 0.12), at(mast + 0.62, -0.24), at(mast + 0.05, -0.3)],
                    (lit(sail, -0.1), lit(sail, -0.28)),
                )
                canvas.polygon(
                    [at(mast, -height), at(mast - 0.2, -height + 0.07), at(mast, -height + 0.13)], (210, 50, 46)
                )
                continue
            for step in range(3):
                top, wide = height - 0.04 - 0.42 * step, 0.13 + 0.035 * step
                corners = [at(mast - wide, -top), at(mast + wide, -top), at(mast + wide * 1.5, -top + 0.2)]
                corners += [at(mast + wide * 1.05, -top + 0.37), at(mast - wide * 1.05, -top + 0.37)]
                canvas.faded(corners, (lit(sail, 0.1), sail, lit(sail, -0.26)))
    deck = [
        at(-half, -0.2),
        at(half * 0.9, -0.16),
        at(half * 1.12, -0.28),
        at(half * 0.8, 0.06),
        at(-half * 0.82, 0.07),
    ]
    canvas.faded(deck, (lit(hull, 0.18), hull, lit(hull, -0.35)))
    canvas.line([at(-half * 0.97, -0.15), at(half, -0.15)], mood.tone((244, 226, 180)), 0.035 * size)


def paint_lighthouse(canvas: Canvas, rng: Rng, mood: Mood, horizon: float, owner: int) -> None:
    """A rock with a lighthouse at one side of a sea."""
    canvas.claim(owner)
    x, foot, height = choose(rng, (0.12, 0.88)) + rng.uniform(-0.03, 0.03), horizon + 0.03, rng.uniform(0.26, 0.36)
    rock = mood.tone(vary(rng, (96, 90, 92), 14))
    edge = [
        (x - 0.2, foot + 0.09),
        (x - 0.13, foot),
        (x - 0.03, foot - 0.05),
        (x + 0.07, foot - 0.03),
        (x + 0.2, foot + 0.09),
    ]
    canvas.rounded(smooth(edge, 1), rock, 0.6)
    for step in range(5):
        low, high = foot - 0.03 - height * step / 5, foot - 0.03 - height * (step + 1) / 5
        w0, w1 = 0.042 - 0.004 * step, 0.042 - 0.004 * (step + 1)
        band = mood.tone((206, 58, 50) if step % 2 else (246, 242, 232))
        canvas.rounded([(x - w0, low), (x + w0, low), (x + w1, high), (x - w1, high)], band, 0.55)
    top = foot - 0.03 - height
    canvas.polygon([(x - 0.03, top), (x + 0.03, top), (x + 0.03, top - 0.008), (x - 0.03, top - 0.008)], (40, 40, 50))
    canvas.rounded(
        [(x - 0.016, top), (x + 0.016, top), (x + 0.016, top - 0.036), (x - 0.016, top - 0.036)], (255, 226, 140), 0.3
    )
    canvas.polygon([(x - 0.026, top - 0.034), (x + 0.026, top - 0.034), (x, top - 0.064)], mood.tone((120, 40, 40)))
    if mood.night:
        canvas.glow(x, top - 0.02, 0.12, 0.12, (255, 232, 160), 0.9)
    canvas.claim(BACKGROUND)
