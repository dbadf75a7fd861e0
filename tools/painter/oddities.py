"""Images that are none of the six types, and palettes that nature does not know."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import ImageFont

from tools.painter.canvas import (
    BACKGROUND,
    DETAIL,
    DRAWN_PX,
    SIZE_PX,
    Canvas,
    Colour,
    Rng,
    choose,
    lit,
    oval,
    smooth,
    vary,
)

PAPERS: tuple[Colour, ...] = (
    (238, 230, 210),
    (214, 226, 226),
    (232, 208, 190),
    (60, 66, 84),
    (226, 196, 96),
    (196, 214, 190),
)
INKS: tuple[Colour, ...] = ((30, 32, 44), (180, 50, 46), (36, 76, 130), (44, 96, 70), (240, 236, 226))


def paint_oddity(canvas: Canvas, rng: Rng) -> None:
    """Stripes, a board, letters, notes, or the silhouette of one animal."""
    canvas.claim(BACKGROUND)
    paper = vary(rng, choose(rng, PAPERS), 8)
    canvas.down((lit(paper, 0.08), paper, lit(paper, -0.1)))
    canvas.claim(DETAIL)
    inks = [ink for ink in INKS if sum(abs(a - b) for a, b in zip(ink, paper, strict=True)) > 150]
    makers = (_stripes, _board, _letters, _notes, _cat, _bird, _fish)
    choose(rng, makers)(canvas, rng, vary(rng, choose(rng, inks), 10))


def _stripes(canvas: Canvas, rng: Rng, ink: Colour) -> None:
    step, slant = rng.uniform(0.05, 0.13), choose(rng, (0.0, 0.0, 1.0, -0.5))
    other = choose(rng, INKS)
    for i, x in enumerate(np.arange(-1.1, 2.1, step).tolist()):
        stripe = [(x, 0), (x + step * 0.5, 0), (x + step * 0.5 + slant, 1), (x + slant, 1)]
        canvas.polygon(stripe, other if i % 3 == 0 else ink)


def _board(canvas: Canvas, rng: Rng, ink: Colour) -> None:
    n = int(rng.integers(6, 11))
    for i in range(n):
        for j in range(i % 2, n, 2):
            canvas.polygon(
                [(j / n, i / n), ((j + 1) / n, i / n), ((j + 1) / n, (i + 1) / n), (j / n, (i + 1) / n)], ink
            )


def _letters(canvas: Canvas, rng: Rng, ink: Colour) -> None:
    """A few big letters, or a page of type."""
    big = rng.random() < 0.6
    lines, size = (2, 0.42) if big else (9, 0.085)
    font = ImageFont.load_default(size * DRAWN_PX)
    for i in range(lines):
        text = "".join(chr(65 + int(c)) for c in rng.integers(0, 26, 2 if big else 13))
        place = (0.12 * DRAWN_PX if big else 0.07 * DRAWN_PX, (0.02 + (0.47 if big else 0.105) * i) * DRAWN_PX)
        canvas.pen.text(place, text, fill=ink, font=font)


def _notes(canvas: Canvas, rng: Rng, ink: Colour) -> None:
    """Staves with notes."""
    for top in (0.14, 0.44, 0.74):
        for i in range(5):
            canvas.line([(0.06, top + 0.03 * i), (0.94, top + 0.03 * i)], ink, 0.005)
        for x in np.linspace(0.14, 0.86, 8).tolist():
            y = top + 0.015 * float(rng.integers(-1, 10))
            canvas.polygon(oval(x, y, 0.024, 0.017, -0.4), ink)
            canvas.line([(x + 0.021, y), (x + 0.021, y - 0.11)], ink, 0.008)
            if rng.random() < 0.5:
                canvas.line([(x + 0.021, y - 0.11), (x + 0.05, y - 0.07)], ink, 0.01)


def _cat(canvas: Canvas, rng: Rng, ink: Colour) -> None:
    """A sitting cat seen from behind."""
    s, x = rng.uniform(0.85, 1.05), 0.5 + rng.uniform(-0.06, 0.06)

    def at(points: list[tuple[float, float]]) -> npt.NDArray[np.float64]:
        return np.array([x, 0.56]) + np.array(points) * s

    body = [(-0.1, -0.12), (0.1, -0.12), (0.21, 0.14), (0.2, 0.32), (-0.2, 0.32), (-0.21, 0.14)]
    canvas.polygon(smooth(at(body)), ink)
    canvas.ellipse(x, 0.56 - 0.22 * s, 0.135 * s, 0.12 * s, ink)
    for side in (-1, 1):
        canvas.polygon(at([(side * 0.13, -0.22), (side * 0.125, -0.41), (side * 0.03, -0.31)]), ink)
    tail = at([(0.12, 0.29), (0.3, 0.3), (0.36, 0.14), (0.29, 0.02), (0.32, -0.06)])
    canvas.line(smooth(tail, 3, closed=False), ink, 0.05 * s)


def _bird(canvas: Canvas, rng: Rng, ink: Colour) -> None:
    """A bird with raised wings."""
    s, side = rng.uniform(0.8, 1.05), choose(rng, (-1.0, 1.0))

    def at(points: list[tuple[float, float]]) -> npt.NDArray[np.float64]:
        return np.array([0.5, 0.54]) + np.array(points) * np.array([side, 1.0]) * s

    canvas.polygon(
        smooth(at([(-0.34, 0.1), (-0.06, -0.06), (0.2, -0.08), (0.3, 0.0), (0.14, 0.12), (-0.1, 0.13)])), ink
    )
    canvas.polygon(at([(0.27, -0.04), (0.4, 0.0), (0.27, 0.03)]), ink)
    canvas.polygon(smooth(at([(-0.08, 0.0), (0.1, -0.04), (0.02, -0.22), (-0.2, -0.38), (-0.18, -0.2)]), 1), ink)
    canvas.polygon(
        smooth(at([(0.02, 0.0), (0.14, -0.02), (0.22, -0.2), (0.16, -0.36), (0.05, -0.2)]), 1), lit(ink, 0.12)
    )
    canvas.polygon(at([(-0.28, 0.08), (-0.46, 0.05), (-0.42, 0.12), (-0.46, 0.18)]), ink)


def _fish(canvas: Canvas, rng: Rng, ink: Colour) -> None:
    """One fish in profile."""
    s, side = rng.uniform(0.85, 1.1), choose(rng, (-1.0, 1.0))

    def at(points: list[tuple[float, float]]) -> npt.NDArray[np.float64]:
        return np.array([0.5, 0.5]) + np.array(points) * np.array([side, 1.0]) * s

    canvas.polygon(smooth(at([(-0.22, 0), (0.0, -0.19), (0.2, -0.14), (0.36, 0.0), (0.2, 0.14), (0.0, 0.19)])), ink)
    canvas.polygon(smooth(at([(-0.16, 0), (-0.4, -0.18), (-0.33, 0.0), (-0.4, 0.18)]), 1), ink)
    canvas.polygon(at([(-0.04, -0.13), (0.06, -0.26), (0.16, -0.12)]), lit(ink, 0.15))
    eye_x, eye_y = 0.5 + 0.22 * side * s, 0.5 - 0.04 * s
    canvas.ellipse(eye_x, eye_y, 0.024 * s, 0.024 * s, (250, 250, 244))
    canvas.ellipse(eye_x, eye_y, 0.011 * s, 0.011 * s, (10, 10, 14))


def recolour(image: npt.NDArray[np.uint8], rng: Rng) -> npt.NDArray[np.uint8]:
    """The image in an odd palette: negative, exchanged channels, monochrome, or a ramp of loud colours.

    image (224, 224, 3) uint8 -> the same shape and type.
    """
    kind = choose(rng, ("negative", "exchanged", "monochrome", "loud", "loud"))
    if kind == "negative":
        return 255 - image
    if kind == "exchanged":
        return np.ascontiguousarray(image[..., choose(rng, ((2, 1, 0), (1, 2, 0), (2, 0, 1), (1, 0, 2)))])
    grey = (image @ np.array([0.3, 0.59, 0.11], dtype=np.float32)).astype(np.uint8)
    if kind == "monochrome":
        stops: tuple[Colour, ...] = (
            (24, 16, 30),
            choose(rng, ((110, 80, 60), (60, 90, 150), (110, 60, 120))),
            (248, 240, 226),
        )
    else:
        stops = choose(rng, (
            ((30, 0, 80), (220, 20, 120), (255, 180, 40), (250, 255, 190)),
            ((0, 40, 40), (0, 160, 120), (240, 230, 60), (255, 90, 120)),
            ((60, 0, 0), (255, 90, 0), (60, 200, 220), (240, 250, 255)),
        ))  # fmt: skip
    at = np.linspace(0, 255, len(stops))
    table = np.stack([np.interp(np.arange(256), at, [s[i] for s in stops]) for i in range(3)], axis=1).astype(np.uint8)
    recoloured: npt.NDArray[np.uint8] = table[grey]
    assert recoloured.shape == (SIZE_PX, SIZE_PX, 3)
    return recoloured
