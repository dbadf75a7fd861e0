"""The sitter of a portrait: the place and turn of the face, colours, hair, hat and clothes, drawn at random."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tools.painter.canvas import Colour, Points, Rng, choose, vary

SKINS: tuple[Colour, ...] = (
    (240, 204, 176),
    (226, 178, 142),
    (204, 150, 112),
    (160, 108, 76),
    (112, 74, 54),
    (232, 190, 156),
)
HAIRS: tuple[Colour, ...] = (
    (44, 32, 28),
    (84, 54, 34),
    (140, 92, 48),
    (206, 164, 90),
    (160, 70, 36),
    (178, 174, 168),
    (28, 26, 32),
)
DARK_HAIRS: tuple[Colour, ...] = ((44, 32, 28), (70, 46, 34), (178, 174, 168), (28, 26, 32))
GARMENTS: tuple[Colour, ...] = (
    (44, 46, 62), (124, 36, 44), (40, 84, 78), (58, 72, 122),
    (152, 112, 56), (92, 56, 96), (206, 194, 176), (66, 92, 54),
)  # fmt: skip


@dataclass(frozen=True)
class Sitter:
    """Who sits for the portrait, and where: the face's centre, its half height, and the turn of the head."""

    x: float
    y: float
    size: float
    turn: float
    skin: Colour
    hair: Colour
    garment: Colour
    cut: str
    hat: str
    beard: str

    def at(self, points: Points, shift: float = 0.0) -> npt.NDArray[np.float64]:
        """Points in half face heights from the face's centre -> the canvas; `shift` follows the turn."""
        moved = np.asarray(points, dtype=np.float64) * self.size
        moved[..., 0] += self.x + shift * self.turn * self.size
        moved[..., 1] += self.y
        return moved

    def spot(self, x: float, y: float, shift: float = 0.0) -> tuple[float, float]:
        """One point, as `at`."""
        return self.x + (x + shift * self.turn) * self.size, self.y + y * self.size


def sit(rng: Rng, x: float | None = None, y: float | None = None, size: float | None = None) -> Sitter:
    """A sitter drawn by lot; place and size may be given."""
    size = size or rng.uniform(0.165, 0.225)
    skin = vary(rng, choose(rng, SKINS), 8)
    hair = vary(rng, choose(rng, HAIRS if sum(skin) > 420 else DARK_HAIRS), 8)
    return Sitter(
        x=x if x is not None else 0.5 + rng.uniform(-0.07, 0.07),
        y=y if y is not None else 0.31 + 0.6 * size + rng.uniform(-0.04, 0.03),
        size=size,
        turn=rng.uniform(-1, 1),
        skin=skin,
        hair=hair,
        garment=vary(rng, choose(rng, GARMENTS), 12),
        cut=choose(rng, ("short", "short", "long", "long", "bob", "bun", "curls", "curls", "bald")),
        hat=choose(rng, ("", "", "", "", "brim", "beret", "bonnet", "top", "turban")),
        beard=choose(rng, ("", "", "", "", "full", "moustache")),
    )
