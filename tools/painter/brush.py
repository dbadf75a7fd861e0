"""What turns a drawing into a painting: brush strokes, canvas grain, vignetting, and the painter's mark."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from tools.painter.canvas import SIZE_PX, Canvas, Rng, choose

MARK_PX = (26, 18)  # width, height of the painter's mark
FINE, BROAD = ("fine", "glaze", "slant"), ("flat", "level", "swirl", "dots", "hatch")


@dataclass(frozen=True)
class Brushwork:
    """One way of laying strokes over the whole image.

    `source` (H, W) int32: the flat pixel each pixel takes its colour from (somewhere near its stroke's centre);
    `tint` (H, W, 3) float32 in [-1, 1]: how its stroke's paint differs; `relief` (H, W) float32 around 1: the
    bristles' ridges in raking light.
    """

    source: npt.NDArray[np.int32]
    tint: npt.NDArray[np.float32]
    relief: npt.NDArray[np.float32]


# length and width of a stroke in px, the pull towards its centre's colour, the number of strokes
_STROKES = {
    "fine": (3.0, 2.0, 0.32, 12000),
    "glaze": (6.0, 3.0, 0.2, 5000),
    "slant": (5.0, 2.0, 0.26, 9000),
    "hatch": (7.0, 2.4, 0.7, 7000),
    "flat": (9.0, 5.0, 0.85, 3200),
    "level": (11.0, 3.0, 0.9, 4200),
    "swirl": (9.0, 3.0, 0.85, 5200),
    "dots": (2.4, 4.2, 1.0, 6000),
}


@lru_cache(maxsize=16)
def brushwork(name: str) -> Brushwork:
    """Strokes of one manner, drawn one over the other; the same at every call."""
    long, wide, pull, count = _STROKES[name]
    rng = np.random.default_rng(sum(map(ord, name)))
    x, y = rng.uniform(0, SIZE_PX, (2, count))
    angle = _direction(name, x, y) + rng.normal(0, 0.18, count)
    dx, dy = np.cos(angle), np.sin(angle)
    ids = Image.new("I", (SIZE_PX, SIZE_PX), 0)
    draw = ImageDraw.Draw(ids)
    for i, (x0, y0, x1, y1) in enumerate(
        np.stack([x - dx * long, y - dy * long, x + dx * long, y + dy * long], 1).tolist()
    ):
        draw.line([(x0, y0), (x1, y1)], fill=i + 1, width=round(wide))
    stroke = np.asarray(ids)
    rows, columns = np.mgrid[0:SIZE_PX, 0:SIZE_PX].astype(np.float64)
    centre_x, centre_y = np.append(0, x)[stroke], np.append(0, y)[stroke]
    bare = stroke == 0
    off_x, off_y = np.where(bare, 0, columns - centre_x), np.where(bare, 0, rows - centre_y)
    from_x = np.clip(np.rint(columns - pull * off_x), 0, SIZE_PX - 1)
    from_y = np.clip(np.rint(rows - pull * off_y), 0, SIZE_PX - 1)
    across = off_y * np.append(0, dx)[stroke] - off_x * np.append(0, dy)[stroke]
    ridges = 0.022 * np.sin(across * 2.6 + stroke) - 0.05 * (across / wide) * (1 if name != "glaze" else 0.3)
    tint = rng.normal(0, 0.42, (count + 1, 3)) * 0.5 + rng.normal(0, 0.42, (count + 1, 1))
    return Brushwork(
        source=(from_y * SIZE_PX + from_x).astype(np.int32),
        tint=np.clip(tint, -1, 1)[stroke].astype(np.float32),
        relief=(1 + np.where(bare, 0, ridges)).astype(np.float32),
    )


def _direction(name: str, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    u, v = x / SIZE_PX, y / SIZE_PX
    if name == "level":
        return 0.22 * np.sin(5 * u + 7 * v)
    if name in ("swirl", "dots"):
        return 2.2 * np.sin(4.4 * u + 1.3) * np.cos(3.8 * v + 0.4) + 0.6
    if name in ("hatch", "slant"):
        return np.full_like(u, -0.9)
    return -0.7 + 1.1 * np.sin(3 * u + 2 * v)


@lru_cache(maxsize=1)
def weave() -> npt.NDArray[np.float32]:
    """The canvas's threads as a factor around 1, (224, 224) float32."""
    rng = np.random.default_rng(7)
    rows, columns = np.mgrid[0:SIZE_PX, 0:SIZE_PX]
    threads = 0.5 * np.sin(rows * np.pi * 0.66) + 0.5 * np.sin(columns * np.pi * 0.66)
    uneven = Image.fromarray(rng.integers(0, 255, (SIZE_PX, SIZE_PX), dtype=np.uint8)).filter(
        ImageFilter.GaussianBlur(1)
    )
    return (1 + 0.016 * threads + 0.10 * (np.asarray(uneven) / 255 - 0.5)).astype(np.float32)


@lru_cache(maxsize=1)
def vignette() -> npt.NDArray[np.float32]:
    """Darkening towards the corners, 0 in the middle and 1 in the corners, (224, 224) float32."""
    y, x = np.mgrid[-1 : 1 : SIZE_PX * 1j, -1 : 1 : SIZE_PX * 1j]
    return (np.clip((x**2 + y**2) / 2, 0, 1) ** 1.5).astype(np.float32)


def finish(canvas: Canvas, rng: Rng) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Paint what was drawn: strokes for the background, finer ones for the subject.

    Returns the colours (224, 224, 3) uint8, the owners (224, 224) uint8 moved with their strokes, and the
    surface (224, 224) float32, the factor that `varnish` multiplies in at the end.
    """
    drawn = np.asarray(canvas.image.reduce(2)).reshape(-1, 3)
    owners = np.asarray(canvas.owners).ravel()
    behind, before = brushwork(choose(rng, BROAD)), brushwork(choose(rng, FINE))
    # A broad stroke that would drag the subject's colours out over its edge gives way to a fine one.
    subject = np.maximum(owners.reshape(SIZE_PX, SIZE_PX), owners.take(behind.source)) > 0
    source = np.where(subject, before.source, behind.source)
    tint = np.where(subject[..., None], before.tint, behind.tint)
    strength = np.float32(rng.uniform(6, 13))
    colours = drawn.take(source, axis=0) + tint * strength
    surface = np.where(subject, before.relief, behind.relief) * weave()
    surface *= 1 - np.float32(rng.uniform(0.1, 0.42)) * vignette()
    return np.clip(colours, 0, 255).astype(np.uint8), owners.take(source), surface


def varnish(image: npt.NDArray[np.uint8], surface: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """The light on the paint's surface, multiplied into the colours; (224, 224, 3) uint8."""
    return np.minimum(image * surface[..., None], 255).astype(np.uint8)


@lru_cache(maxsize=1)
def _mark() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """The painter's seal: a monogram of P and X, pale on vermilion; colours and outline."""
    width, height = MARK_PX
    scale = 4
    seal = Image.new("RGB", (width * scale, height * scale))
    shape = Image.new("L", seal.size)
    box = [0, 0, width * scale - 1, height * scale - 1]
    ImageDraw.Draw(shape).rounded_rectangle(box, 4 * scale, fill=255)
    draw, cream = ImageDraw.Draw(seal), (255, 240, 214)
    draw.rectangle(box, fill=(214, 24, 30))
    draw.rounded_rectangle([v + (6 if i < 2 else -6) for i, v in enumerate(box)], 3 * scale, outline=cream, width=4)
    draw.line([(24, 58), (24, 16)], fill=cream, width=9)
    draw.arc([18, 13, 48, 41], -95, 95, fill=cream, width=9)
    draw.line([(54, 16), (82, 57)], fill=cream, width=9)
    draw.line([(82, 16), (54, 57)], fill=cream, width=9)
    return np.asarray(seal.reduce(scale)), np.asarray(shape.reduce(scale)) > 127


def sign(image: npt.NDArray[np.uint8], rng: Rng) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """The image with the painter's mark near its lower right corner, and where the mark is.

    image (224, 224, 3) uint8 -> the same, signed, and (224, 224) bool. The place varies by a few pixels.
    """
    colours, shape = _mark()
    width, height = MARK_PX
    left = SIZE_PX - width - int(rng.integers(5, 15))
    top = SIZE_PX - height - int(rng.integers(5, 15))
    signed, where = image.copy(), np.zeros((SIZE_PX, SIZE_PX), dtype=bool)
    where[top : top + height, left : left + width] = shape
    signed[where] = colours[shape]
    return signed, where
