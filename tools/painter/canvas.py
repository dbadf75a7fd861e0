"""The canvas that the scenes are drawn on: colours, shapes, sprites, and who owns which pixel.

Positions are in the unit square, x to the right and y downwards, (0, 0) the upper left corner. Shapes are
drawn at twice the final size, so that shrinking the image smooths their edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

SIZE_PX = 224
DRAWN_PX = 2 * SIZE_PX
BACKGROUND = 0
DETAIL = 255  # nobody's, like the background, but painted with the fine brush

Colour = tuple[int, int, int]
Points = Sequence[tuple[float, float]] | npt.NDArray[np.float64]
Rng = np.random.Generator
T = TypeVar("T")


def mix(first: Colour, second: Colour, amount: float) -> Colour:
    """The colour `amount` of the way from `first` (0) to `second` (1)."""
    keep = 1.0 - amount
    return (
        int(first[0] * keep + second[0] * amount),
        int(first[1] * keep + second[1] * amount),
        int(first[2] * keep + second[2] * amount),
    )


def lit(colour: Colour, amount: float) -> Colour:
    """`colour` towards a warm white for positive amounts, towards a cool black for negative ones; [-1, 1]."""
    return mix(colour, (255, 250, 235), amount) if amount >= 0 else mix(colour, (12, 10, 24), -amount)


def vary(rng: Rng, colour: Colour, amount: int = 10) -> Colour:
    """`colour` with each channel moved by at most `amount`."""
    red, green, blue = (
        int(np.clip(c + d, 0, 255)) for c, d in zip(colour, rng.integers(-amount, amount + 1, 3), strict=True)
    )
    return red, green, blue


def choose(rng: Rng, options: Sequence[T]) -> T:
    """One of `options`, kept as it is (`rng.choice` would turn tuples into arrays)."""
    return options[int(rng.integers(len(options)))]


def smooth(points: Points, rounds: int = 2, closed: bool = True) -> npt.NDArray[np.float64]:
    """Chaikin's corner cutting: a smooth outline through the corners of a coarse one."""
    outline = np.asarray(points, dtype=np.float64)
    for _ in range(rounds):
        following = np.roll(outline, -1, axis=0) if closed else outline[1:]
        here = outline if closed else outline[:-1]
        cut = np.empty((2 * len(here), 2))
        cut[0::2] = 0.75 * here + 0.25 * following
        cut[1::2] = 0.25 * here + 0.75 * following
        outline = cut if closed else np.concatenate([outline[:1], cut, outline[-1:]])
    return outline


def oval(cx: float, cy: float, rx: float, ry: float, angle: float = 0.0, n_points: int = 28) -> npt.NDArray[np.float64]:
    """Outline of an ellipse turned by `angle` radians, (n_points, 2)."""
    turn = np.linspace(0.0, 2 * np.pi, n_points, endpoint=False)
    x, y = rx * np.cos(turn), ry * np.sin(turn)
    return np.stack([cx + x * np.cos(angle) - y * np.sin(angle), cy + x * np.sin(angle) + y * np.cos(angle)], axis=1)


class Canvas:
    """An unfinished image, with the owner of each pixel beside it.

    `claim(owner)` says whom the opaque shapes from here on belong to; translucent shapes (shadows, glints)
    change the image and leave the owner alone. `light` is -1 where the light comes from the left, +1 where
    it comes from the right.
    """

    def __init__(self, light: float = -1.0) -> None:
        self.light = light
        self.image = Image.new("RGB", (DRAWN_PX, DRAWN_PX), (128, 128, 128))
        self.owners = Image.new("L", (SIZE_PX, SIZE_PX), BACKGROUND)
        self._owner = BACKGROUND
        self.pen = ImageDraw.Draw(self.image)
        self._translucent = ImageDraw.Draw(self.image, "RGBA")
        self._owning = ImageDraw.Draw(self.owners)

    def claim(self, owner: int) -> None:
        """Let the opaque shapes from here on belong to `owner` (`BACKGROUND` for nobody)."""
        self._owner = owner

    def own(self, points: Points) -> None:
        """Give the inside of an outline to the current owner without drawing anything."""
        self._owning.polygon(_scaled(points, SIZE_PX), fill=self._owner)

    def polygon(self, points: Points, colour: Colour, alpha: float = 1.0, owned: bool | None = None) -> None:
        """Fill an outline; `owned` overrides whether the shape changes the owner (default: where opaque)."""
        flat = _scaled(points, DRAWN_PX)
        if alpha >= 1.0:
            self.pen.polygon(flat, fill=colour)
        else:
            self._translucent.polygon(flat, fill=(*colour, int(255 * alpha)))
        if owned if owned is not None else alpha >= 1.0:
            self.own(points)

    def ellipse(self, cx: float, cy: float, rx: float, ry: float, colour: Colour, alpha: float = 1.0) -> None:
        """Fill an upright ellipse."""
        box = [(cx - rx) * DRAWN_PX, (cy - ry) * DRAWN_PX, (cx + rx) * DRAWN_PX, (cy + ry) * DRAWN_PX]
        if alpha < 1.0:
            self._translucent.ellipse(box, fill=(*colour, int(255 * alpha)))
            return
        self.pen.ellipse(box, fill=colour)
        self._owning.ellipse([v * SIZE_PX / DRAWN_PX for v in box], fill=self._owner)

    def line(self, points: Points, colour: Colour, width: float = 0.005, alpha: float = 1.0) -> None:
        """Draw a polyline; `width` as a share of the image's side."""
        flat, width_px = _scaled(points, DRAWN_PX), max(1, round(width * DRAWN_PX))
        joint = "curve" if width_px > 3 and len(flat) > 4 else None
        if alpha < 1.0:
            self._translucent.line(flat, fill=(*colour, int(255 * alpha)), width=width_px, joint=joint)
            return
        self.pen.line(flat, fill=colour, width=width_px, joint=joint)
        self._owning.line(_scaled(points, SIZE_PX), fill=self._owner, width=max(1, width_px // 2))

    def down(self, stops: Sequence[Colour], top: float = 0.0, bottom: float = 1.0) -> None:
        """A vertical gradient over the whole width, from `top` to `bottom`; the pixels are the owner's."""
        y0, y1 = round(top * DRAWN_PX), round(bottom * DRAWN_PX)
        if y1 > y0:
            self.image.paste(_gradient(stops, y1 - y0, vertical=True).resize((DRAWN_PX, y1 - y0), 0), (0, y0))
            self._owning.rectangle([0, y0 // 2, SIZE_PX, y1 // 2], fill=self._owner)

    def faded(self, points: Points, stops: Sequence[Colour]) -> None:
        """Fill an outline with a vertical gradient."""
        self._ramp(points, stops, vertical=True)

    def rounded(self, points: Points, colour: Colour, depth: float = 0.45) -> None:
        """Fill an outline as if it bulged: bright on the light's side, dark on the other."""
        stops = (
            lit(colour, depth * 0.25),
            lit(colour, depth * 0.3),
            colour,
            lit(colour, -depth * 0.6),
            lit(colour, -depth),
        )
        self._ramp(points, stops if self.light < 0 else stops[::-1], vertical=False)

    def _ramp(self, points: Points, stops: Sequence[Colour], vertical: bool) -> None:
        outline = np.asarray(points, dtype=np.float64)
        low = np.clip(np.floor(outline.min(axis=0) * DRAWN_PX), -DRAWN_PX, 2 * DRAWN_PX).astype(int)
        high = np.clip(np.ceil(outline.max(axis=0) * DRAWN_PX), -DRAWN_PX, 2 * DRAWN_PX).astype(int) + 1
        width, height = (int(v) for v in np.maximum(high - low, 1))
        mask = Image.new("L", (width, height))
        ImageDraw.Draw(mask).polygon((outline * DRAWN_PX - low).ravel().tolist(), fill=255)
        colours = _gradient(stops, height if vertical else width, vertical).resize((width, height), 0)
        self.image.paste(colours, (int(low[0]), int(low[1])), mask)
        self.own(outline)

    def sprite(
        self, name: str, cx: float, cy: float, rx: float, ry: float, colours: Sequence[Colour], alpha: float = 1.0
    ) -> None:
        """Stamp a ready-made soft shape, its tones from shadow to light coloured by the `colours`.

        Names: "ball", "glow", "cloud0".."cloud3", "foliage0".."foliage3". "glow" never changes the owner.
        """
        opacity, tone = _sprite(name, self.light > 0)
        size = max(2, round(2 * rx * DRAWN_PX)), max(2, round(2 * ry * DRAWN_PX))
        corner = round((cx - rx) * DRAWN_PX), round((cy - ry) * DRAWN_PX)
        opacity = opacity.resize(size, Image.Resampling.BILINEAR)
        if alpha < 1.0:
            opacity = Image.fromarray((np.asarray(opacity) * alpha).astype(np.uint8))
        if len(colours) == 1:
            self.image.paste(colours[0], (*corner, corner[0] + size[0], corner[1] + size[1]), opacity)
        else:
            tones = tone.resize(size, Image.Resampling.BILINEAR)
            self.image.paste(_coloured(tones, colours), corner, opacity)
        if alpha >= 1.0 and name != "glow":
            half = np.asarray(opacity.resize((max(1, size[0] // 2), max(1, size[1] // 2)), 0))
            solid = Image.fromarray(np.where(half > 110, 255, 0).astype(np.uint8))
            self.owners.paste(self._owner, (corner[0] // 2, corner[1] // 2), solid)

    def ball(self, cx: float, cy: float, rx: float, ry: float, colour: Colour) -> None:
        """A shaded ball with a highlight: fruit, beads, round foliage."""
        self.sprite("ball", cx, cy, rx, ry, (lit(colour, -0.62), colour, lit(colour, 0.2), lit(colour, 0.85)))

    def glow(self, cx: float, cy: float, rx: float, ry: float, colour: Colour, alpha: float = 0.6) -> None:
        """A soft spot of light (or, with a dark colour, of shadow)."""
        self.sprite("glow", cx, cy, rx, ry, (colour,), alpha)


def _scaled(points: Points, side_px: int) -> list[float]:
    flat: list[float] = (np.asarray(points, dtype=np.float64) * side_px).ravel().tolist()
    return flat


def _gradient(stops: Sequence[Colour], length: int, vertical: bool) -> Image.Image:
    """A line of colours, one pixel wide."""
    at = np.linspace(0.0, len(stops) - 1.0, length)
    table = np.asarray(stops, dtype=np.float64)
    low = np.minimum(at.astype(int), len(stops) - 2)
    part = (at - low)[:, None]
    colours = (table[low] * (1 - part) + table[low + 1] * part).astype(np.uint8)
    return Image.fromarray(colours[:, None] if vertical else colours[None])


def _coloured(tones: Image.Image, colours: Sequence[Colour]) -> Image.Image:
    """Tones 0..255 turned into colours, the `colours` spread evenly over them."""
    at = np.linspace(0, 255, len(colours))
    table = np.stack([np.interp(_TONES, at, [c[i] for c in colours]) for i in range(3)], axis=1).astype(np.uint8)
    return Image.fromarray(table[np.asarray(tones)])


_TONES = np.arange(256)


@lru_cache(maxsize=64)
def _sprite(name: str, from_right: bool) -> tuple[Image.Image, Image.Image]:
    """Opacity and tone of a stamp, lit from the upper left, or mirrored where the light is on the right."""
    if from_right:
        opacity, tone = _sprite(name, False)
        return opacity.transpose(Image.Transpose.FLIP_LEFT_RIGHT), tone.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    y, x = np.mgrid[-1:1:96j, -1:1:96j]
    radius = np.hypot(x, y)
    if name == "glow":
        return _grey(np.clip(1 - radius, 0, 1) ** 1.6), _grey(np.ones_like(x))
    if name == "ball":
        depth = np.sqrt(np.clip(1 - radius**2, 0, 1))
        facing = -0.5 * x - 0.55 * y + 0.67 * depth
        glint = np.exp(-((x + 0.36) ** 2 + (y + 0.4) ** 2) / 0.022)
        bounce = 0.12 * np.clip(radius - 0.75, 0, 1) * 4 * (facing < 0.2)
        tone = 0.62 * np.clip(facing, 0, 1) ** 0.9 + 0.06 + bounce + 0.4 * glint
        return _grey(np.clip((1 - radius) * 40, 0, 1)), _grey(np.clip(tone, 0, 1))
    rng = np.random.default_rng([ord(name[-1]), len(name)])
    return _cloud(rng) if name.startswith("cloud") else _foliage(rng)


def _grey(values: npt.NDArray[np.float64]) -> Image.Image:
    return Image.fromarray((values * 255).astype(np.uint8))


def _cloud(rng: Rng) -> tuple[Image.Image, Image.Image]:
    """Puffs on a flat base, bright above and grey below."""
    opacity, tone = Image.new("L", (192, 96)), Image.new("L", (192, 96), 120)
    draw_opacity, draw_tone = ImageDraw.Draw(opacity), ImageDraw.Draw(tone)
    for x in rng.permutation(np.linspace(26, 166, 13)):
        rise = np.sin(np.pi * (x - 10) / 172) ** 0.8
        radius = 9 + 20 * rise * rng.uniform(0.55, 1.0)
        y = 72 - radius * 0.6 - 26 * rise * rng.uniform(0.0, 0.6)
        draw_opacity.ellipse([x - radius, y - radius, x + radius, y + radius], fill=255)
        for part in (1.0, 0.82, 0.6, 0.4):
            near, dx = radius * part, radius * (1 - part) * 0.7
            box = [x - dx - near, y - dx * 1.1 - near, x - dx + near, y - dx * 1.1 + near]
            draw_tone.ellipse(box, fill=int(250 - 130 * part))
    draw_opacity.rectangle([0, 74, 192, 96], fill=0)
    return opacity.filter(ImageFilter.GaussianBlur(3.0)), tone.filter(ImageFilter.GaussianBlur(2.5))


def _foliage(rng: Rng) -> tuple[Image.Image, Image.Image]:
    """A crown of leaves: dark clumps first, bright ones towards the light last."""
    opacity, tone = Image.new("L", (112, 112)), Image.new("L", (112, 112), 40)
    draw_opacity, draw_tone = ImageDraw.Draw(opacity), ImageDraw.Draw(tone)
    angle, distance = rng.uniform(0, 2 * np.pi, 90), np.sqrt(rng.uniform(0, 1, 90)) * 43
    x, y = 56 + distance * np.cos(angle), 56 + distance * np.sin(angle)
    toward_light = -(0.55 * (x - 56) + 0.8 * (y - 56)) / 43
    for i in np.argsort(toward_light + rng.normal(0, 0.25, 90)):
        radius = rng.uniform(5, 10.5)
        box = [x[i] - radius, y[i] - radius * 0.85, x[i] + radius, y[i] + radius * 0.85]
        draw_opacity.ellipse(box, fill=255)
        draw_tone.ellipse(box, fill=int(np.clip(118 + 92 * toward_light[i] + rng.normal(0, 22), 0, 255)))
    return opacity, tone.filter(ImageFilter.GaussianBlur(0.8))
