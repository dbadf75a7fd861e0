"""Abstract images, and shapes for those that are none of the six types."""

from __future__ import annotations

import numpy as np

from tools.painter.canvas import BACKGROUND, Canvas, Colour, Rng, choose, lit, mix, oval, smooth, vary

SCHEMES: tuple[tuple[Colour, ...], ...] = (
    # ground first, then the shapes' colours
    ((240, 234, 220), (206, 44, 40), (32, 70, 150), (244, 200, 50), (26, 26, 30)),
    ((236, 220, 190), (220, 110, 60), (40, 110, 120), (240, 180, 80), (70, 50, 80)),
    ((30, 34, 56), (240, 120, 90), (90, 190, 190), (250, 220, 130), (180, 90, 150)),
    ((226, 230, 222), (60, 130, 110), (220, 90, 110), (250, 190, 120), (50, 60, 90)),
    ((70, 24, 30), (190, 60, 40), (236, 140, 50), (110, 30, 60), (250, 210, 150)),
    ((214, 222, 232), (50, 90, 170), (20, 40, 90), (130, 190, 220), (240, 150, 60)),
    ((44, 60, 52), (200, 180, 90), (120, 160, 90), (226, 226, 200), (180, 80, 50)),
)


def paint_abstract(canvas: Canvas, rng: Rng, owner: int) -> None:
    """One of eight manners on a ground of one colour."""
    scheme = choose(rng, SCHEMES)
    ground, inks = scheme[0], [vary(rng, c, 10) for c in scheme[1:]]
    canvas.claim(BACKGROUND)
    canvas.down((lit(ground, 0.06), ground, lit(ground, -0.08)))
    if rng.random() < 0.4:
        canvas.glow(rng.random(), rng.random(), 0.7, 0.7, mix(ground, inks[0], 0.5), 0.6)
    canvas.claim(owner)
    manners = (_grid, _planes, _fields, _cutouts, _rings, _patches, _constellation, _arcs)
    choose(rng, manners)(canvas, rng, inks)


def scatter_shapes(canvas: Canvas, rng: Rng, owner: int) -> None:
    """Abstract planes and discs laid over whatever is on the canvas."""
    canvas.claim(owner)
    inks = [vary(rng, c, 10) for c in choose(rng, SCHEMES)[1:]]
    (_planes if rng.random() < 0.5 else _constellation)(canvas, rng, inks)


def _box(x0: float, y0: float, x1: float, y1: float) -> list[tuple[float, float]]:
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]


def _grid(canvas: Canvas, rng: Rng, inks: list[Colour]) -> None:
    """Black bars on a pale ground, some cells filled (after Mondrian)."""
    xs = [0.0, *np.sort(rng.uniform(0.1, 0.9, int(rng.integers(2, 5)))).tolist(), 1.0]
    ys = [0.0, *np.sort(rng.uniform(0.1, 0.9, int(rng.integers(2, 5)))).tolist(), 1.0]
    for i in range(len(xs) - 1):
        for j in range(len(ys) - 1):
            if rng.random() < 0.42:
                canvas.polygon(_box(xs[i], ys[j], xs[i + 1], ys[j + 1]), choose(rng, inks))
    for x in xs[1:-1]:
        canvas.line([(x, 0), (x, 1)], (22, 22, 26), 0.024)
    for y in ys[1:-1]:
        canvas.line([(0, y), (1, y)], (22, 22, 26), 0.024)


def _planes(canvas: Canvas, rng: Rng, inks: list[Colour]) -> None:
    """Tilted bars and discs afloat (after Malevich)."""
    tilt = rng.uniform(-0.9, 0.9)
    for i in range(int(rng.integers(7, 13))):
        cx, cy = rng.uniform(0.14, 0.86, 2).tolist()
        long, short = rng.uniform(0.07, 0.3), rng.uniform(0.012, 0.09)
        angle = tilt + choose(rng, (0.0, 0.0, np.pi / 2, 0.3))
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        corners = np.array([cx, cy]) + np.array([(-long, -short), (long, -short), (long, short), (-long, short)]) @ turn
        canvas.polygon(corners, inks[i % len(inks)])
    cx, cy, radius = rng.uniform(0.25, 0.75), rng.uniform(0.25, 0.75), rng.uniform(0.06, 0.16)
    canvas.ellipse(cx, cy, radius, radius, choose(rng, inks))


def _fields(canvas: Canvas, rng: Rng, inks: list[Colour]) -> None:
    """Two or three soft-edged fields of colour, one above the other (after Rothko)."""
    edges = [rng.uniform(0.3, 0.7)] if rng.random() < 0.5 else [rng.uniform(0.25, 0.42), rng.uniform(0.58, 0.75)]
    tops, bottoms = [0.06, *[e + 0.02 for e in edges]], [*[e - 0.02 for e in edges], 0.94]
    order = rng.permutation(len(inks)).tolist()
    for i, (top, bottom) in enumerate(zip(tops, bottoms, strict=True)):
        ink = inks[order[i]]
        for inset in (0.0, 0.008, 0.016):
            wobble = rng.uniform(-0.006, 0.006, 8)
            x0, x1, y0, y1 = 0.07 + inset, 0.93 - inset, top + inset, bottom - inset
            corners = np.array(
                [(x0, y0), (0.5, y0), (x1, y0), (x1, (y0 + y1) / 2), (x1, y1), (0.5, y1), (x0, y1), (x0, (y0 + y1) / 2)]
            )
            corners[:, 0] += wobble
            canvas.polygon(corners, ink, 0.55 if inset < 0.016 else 1.0)
        for _ in range(5):
            y = rng.uniform(top + 0.02, bottom - 0.02)
            canvas.sprite("glow", rng.uniform(0.2, 0.8), y, 0.4, 0.05, (lit(ink, rng.uniform(-0.25, 0.3)),), 0.5)


def _cutouts(canvas: Canvas, rng: Rng, inks: list[Colour]) -> None:
    """Leaf-like shapes as if cut from paper (after Matisse)."""
    for i, (cx, cy) in enumerate(
        rng.permutation([(x, y) for x in (0.22, 0.52, 0.8) for y in (0.22, 0.52, 0.8)]).tolist()[:7]
    ):
        cx, cy = cx + rng.uniform(-0.06, 0.06), cy + rng.uniform(-0.06, 0.06)
        ink = inks[i % len(inks)]
        if rng.random() < 0.4:
            tile = _box(cx - 0.15, cy - 0.15, cx + 0.15, cy + 0.15)
            canvas.polygon(tile, inks[(i + 1) % len(inks)])
        n_lobes, size = int(rng.integers(4, 8)), rng.uniform(0.1, 0.17)
        angles = np.linspace(0, 2 * np.pi, 2 * n_lobes, endpoint=False) + rng.random()
        reach = np.where(np.arange(2 * n_lobes) % 2 == 0, 1.0, rng.uniform(0.25, 0.5)) * size
        canvas.polygon(smooth(np.stack([cx + reach * np.cos(angles), cy + reach * np.sin(angles)], 1), 2), ink)


def _rings(canvas: Canvas, rng: Rng, inks: list[Colour]) -> None:
    """Targets of many colours, quartered (after Delaunay)."""
    for cx, cy in rng.permutation([(0.3, 0.3), (0.72, 0.36), (0.36, 0.74), (0.74, 0.76)]).tolist()[
        : int(rng.integers(2, 5))
    ]:
        cx, cy, radius = cx + rng.uniform(-0.05, 0.05), cy + rng.uniform(-0.05, 0.05), rng.uniform(0.16, 0.27)
        for part in np.arange(1.0, 0.1, -0.2).tolist():
            first, second = choose(rng, inks), lit(choose(rng, inks), 0.15)
            disc = oval(cx, cy, radius * part, radius * part, n_points=40)
            canvas.polygon(disc, first)
            canvas.polygon(disc[:21] if rng.random() < 0.5 else disc[10:31], second)


def _patches(canvas: Canvas, rng: Rng, inks: list[Colour]) -> None:
    """A quilt of uneven squares (after Klee)."""
    n = int(rng.integers(5, 8))
    xs, ys = np.linspace(0.03, 0.97, n + 1), np.linspace(0.03, 0.97, n + 1)
    xs[1:-1] += rng.uniform(-0.025, 0.025, n - 1)
    ys[1:-1] += rng.uniform(-0.025, 0.025, n - 1)
    tones = rng.uniform(-0.3, 0.45, (n, n))
    for i in range(n):
        for j in range(n):
            if rng.random() < 0.9:
                ink = lit(choose(rng, inks), float(tones[i, j]))
                cell = _box(xs[i] + 0.004, ys[j] + 0.004, xs[i + 1] - 0.004, ys[j + 1] - 0.004)
                canvas.polygon(cell, ink)
                if rng.random() < 0.12:
                    canvas.polygon([cell[0], cell[1], cell[2]], choose(rng, inks))


def _constellation(canvas: Canvas, rng: Rng, inks: list[Colour]) -> None:
    """Discs, triangles, arcs and lines in loose order (after Kandinsky)."""
    for _ in range(int(rng.integers(3, 6))):
        (x0, y0), (x1, y1) = rng.uniform(0.05, 0.95, (2, 2)).tolist()
        canvas.line([(x0, y0), (x1, y1)], choose(rng, inks), rng.uniform(0.006, 0.018))
    for i in range(int(rng.integers(5, 9))):
        cx, cy = rng.uniform(0.12, 0.88, 2).tolist()
        radius, ink = rng.uniform(0.03, 0.13), inks[i % len(inks)]
        if rng.random() < 0.62:
            canvas.ellipse(cx, cy, radius, radius, ink)
            canvas.ellipse(cx, cy, radius * 0.62, radius * 0.62, choose(rng, inks))
        else:
            angle = rng.uniform(0, 6.3)
            canvas.polygon(oval(cx, cy, radius * 1.3, radius * 1.3, angle, 3), ink)
    start, cx, cy = rng.uniform(0, 6.3), rng.uniform(0.3, 0.7), rng.uniform(0.3, 0.7)
    turn = np.linspace(start, start + 3.4, 24)
    canvas.line(np.stack([cx + 0.26 * np.cos(turn), cy + 0.26 * np.sin(turn)], 1), choose(rng, inks), 0.02)


def _arcs(canvas: Canvas, rng: Rng, inks: list[Colour]) -> None:
    """Sweeping ribbons (after Frankenthaler and af Klint)."""
    for i in range(int(rng.integers(5, 8))):
        points = rng.uniform(-0.1, 1.1, (4, 2))
        points[0, 0], points[-1, 0] = -0.05, 1.05
        canvas.line(smooth(points, 4, closed=False), inks[i % len(inks)], rng.uniform(0.02, 0.1))
    for _ in range(3):
        cx, cy, radius = rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.9), rng.uniform(0.02, 0.06)
        canvas.ellipse(cx, cy, radius, radius, choose(rng, inks))
