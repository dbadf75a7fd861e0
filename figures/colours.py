"""The house's colours: one for each model, two scales for maps; all told apart by colour-blind people."""

from functools import cache

import numpy as np
from plotly.colors import get_colorscale, hex_to_rgb

#: Okabe and Ito's palette without black and yellow, which vanish on one of our two themes; the first models have these.
MODEL_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#7F6BB3", "#8C8C4A")

#: Images: right, wrong, of a class that the model lacks, without a label, and all of them; no model has these colours.
RIGHT, WRONG, NOT_ITS_CLASS, NO_LABEL, IMAGES = "#9BC53D", "#8E1B3A", "#D9C9A3", "#A9A9B3", "#5F7186"

#: Signed maps: blue speaks against, white says nothing, red speaks for (after ColorBrewer's RdBu).
DIVERGING = ((0.0, "#2166AC"), (0.25, "#92C5DE"), (0.5, "#FFFFFF"), (0.75, "#F4A582"), (1.0, "#B2182B"))

#: Unsigned maps: perceptually even, dark is little, bright is much.
SEQUENTIAL = "Inferno"

#: Stands for the colour of words: a page draws a figure with the one of its theme, light or dark.
TEXT_COLOUR = "#010203"

#: What a model never saw.
UNSEEN = (128, 128, 128)


@cache
def model_colour(position: int) -> str:
    """The colour of the model at this place in the session; none comes twice.

    After the palette it is the one that is farthest from all colours before it.
    """
    if position < len(MODEL_COLOURS):
        return MODEL_COLOURS[position]
    others = [
        hex_to_rgb(colour)
        for colour in (RIGHT, WRONG, NOT_ITS_CLASS, NO_LABEL, IMAGES, *map(model_colour, range(position)))
    ]
    candidates = _candidates()
    distances = np.linalg.norm(candidates[:, None] - np.array(others, dtype=float), axis=2).min(axis=1)
    return "#" + "".join(f"{int(channel):02X}" for channel in candidates[distances.argmax()])


@cache
def _candidates() -> np.ndarray:
    """(N, 3) float64 in [0, 255]: colours that show on a light and on a dark page."""
    steps = np.arange(30, 240, 15, dtype=float)
    every = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    lightness = every @ (0.299, 0.587, 0.114)
    return every[(lightness > 70) & (lightness < 185)]


@cache
def colour_table(signed: bool) -> np.ndarray:
    """(256, 3) uint8: the map colours from −1 to 1 (signed) or from 0 to 1."""
    stops = DIVERGING if signed else tuple(get_colorscale(SEQUENTIAL))
    places = [place for place, _ in stops]
    channels = np.array([hex_to_rgb(colour) for _, colour in stops], dtype=float)
    steps = np.linspace(0, 1, 256)
    return np.stack([np.interp(steps, places, channel) for channel in channels.T], axis=1).round().astype(np.uint8)


def translucent(colour: str, alpha: float) -> str:
    """`#RRGGBB` as an rgba() string with this opacity."""
    return f"rgba{(*hex_to_rgb(colour), alpha)}"
