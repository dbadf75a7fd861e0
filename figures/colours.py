"""The house's colours: one for each model, two scales for maps; all told apart by colour-blind people."""

from __future__ import annotations

import numpy as np
from plotly.colors import sample_colorscale

#: Okabe and Ito's palette without black and yellow, which vanish on one of our two themes.
MODEL_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#7F6BB3", "#8C8C4A")

#: Signed maps: blue speaks against, white says nothing, red speaks for (after ColorBrewer's RdBu).
DIVERGING = ((0.0, "#2166AC"), (0.25, "#92C5DE"), (0.5, "#FFFFFF"), (0.75, "#F4A582"), (1.0, "#B2182B"))

#: Unsigned maps: perceptually even, dark is little, bright is much.
SEQUENTIAL = "Inferno"

#: What a model never saw.
UNSEEN = (128, 128, 128)

_N_STEPS = 256


def model_colour(position: int) -> str:
    """The colour of the model at this place in the session; it repeats after eight."""
    return MODEL_COLOURS[position % len(MODEL_COLOURS)]


def colour_table(signed: bool) -> np.ndarray:
    """(256, 3) uint8: the map colours from −1 to 1 (signed) or from 0 to 1."""
    scale = DIVERGING if signed else SEQUENTIAL
    colours = sample_colorscale(scale, list(np.linspace(0, 1, _N_STEPS)), colortype="tuple")
    return (np.array(colours) * 255).round().astype(np.uint8)


def translucent(colour: str, alpha: float) -> str:
    """`#RRGGBB` as an rgba() string with this opacity."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"
