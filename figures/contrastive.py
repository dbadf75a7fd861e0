"""Contrasts side by side, as in CDeepEx's Figure 3: input, what was rebuilt of it, and what would have to change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from figures.board import PAGE_PX, Board
from figures.compare import scale_bar
from figures.maps import colour_map, data_uri, grey, map_scale, over

_GAP_PX, _HEADING_PX, _CAPTION_PX, _LEGEND_PX = 8, 24, 20, 40

#: Small pictures are enlarged to at least this side by whole steps, so that neither browser nor WebP blurs a pixel.
_CRISP_PX = 256


@dataclass(frozen=True)
class Plate:
    """One contrast: `picture` and `rebuilt` (H, W, 3) uint8, `change` (H, W) float32, above 0 what is to be added."""

    title: str
    picture: np.ndarray
    rebuilt: np.ndarray
    change: np.ndarray
    facts: str = ""


def changed_over(picture: np.ndarray, change: np.ndarray, scale: float | None = None) -> np.ndarray:
    """A change (H, W) over its picture (H, W, 3) uint8 in grey: red is to add, blue to take away; (H, W, 3) uint8.

    `scale` is the change that gets the full colour, by default its own strongest.
    """
    scale = map_scale([change]) if scale is None else scale
    return over(paled(picture), colour_map(change, True, scale, overlay=True), 1.0)


def paled(picture: np.ndarray) -> np.ndarray:
    """A picture (H, W, 3) uint8 in middle greys: red and blue are told from white strokes and black ground alike."""
    return (64 + grey(picture).astype(np.float32) * 0.5).astype(np.uint8)


def crisp(picture: np.ndarray) -> np.ndarray:
    """A small picture (H, W, C) enlarged by whole steps."""
    step = max(1, -(-_CRISP_PX // max(picture.shape[:2])))
    return picture.repeat(step, 0).repeat(step, 1)


def plates_figure(plates: Sequence[Plate], n_columns: int = 2, ink: str = "#1F2A33") -> go.Figure:
    """Plates in `n_columns`: title, then input, rebuilt and change side by side, with a line of facts beneath."""
    height, width = plates[0].change.shape
    plate_px = (PAGE_PX - (n_columns - 1) * 3 * _GAP_PX) / n_columns
    side = (plate_px - 2 * _GAP_PX) / 3
    tall = side * height / width
    row_px = _HEADING_PX + tall + _CAPTION_PX + _GAP_PX
    n_rows = -(-len(plates) // n_columns)
    board = Board(n_rows * row_px + _LEGEND_PX, (height, width))
    for number, plate in enumerate(plates):
        row, column = divmod(number, n_columns)
        left, top = column * (plate_px + 3 * _GAP_PX), row * row_px
        board.say(left, top, f"<b>{plate.title}</b>")
        shown = (plate.picture, plate.rebuilt, changed_over(plate.picture, plate.change))
        for place, picture in enumerate(shown):
            panel = board.panel(left + place * (side + _GAP_PX), top + _HEADING_PX, side, tall)
            board.lay(panel, data_uri(crisp(picture)))
        board.say(left, top + _HEADING_PX + tall + 2, plate.facts, 11)
    top = n_rows * row_px
    board.images.append({
        "source": scale_bar(signed=True), "xref": "paper", "yref": "paper", "sizing": "stretch", "yanchor": "top",
        "x": 0, "y": 1 - top / board.height_px, "sizex": 150 / PAGE_PX, "sizey": 10 / board.height_px,
    })  # fmt: skip
    board.say(0, top + 11, "to take away", 11)
    board.say(150, top + 11, "to add", 11, xanchor="right")
    board.say(
        190, top - 2, "Each: the input · what the generator rebuilt of it · the change over the input in grey", 11
    )
    return board.figure(ink, None, "contrasts")
