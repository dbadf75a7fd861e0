"""MaxOut's pictures, each beside the data set's own images that excite its target; one zoom moves all. Their curves."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from figures.board import PAGE_PX, Board
from figures.colours import translucent

#: Sizes in pixels on the board; a picture has this side at most, so that a line holds at least four without images.
_WIDEST_PX = 220
_GAP_PX, _HEADING_PX, _CAPTION_PX, _BAND_PX = 16, 22, 52, 30
_THUMB_GAP_PX, _THUMB_WORDS_PX = 4, 15
_LETTER_PX, _LINK_PX = 6.0, 30

#: The strip of images beside a picture: two columns, two rows that excite it most, two that excite it least.
N_IMAGES = 4

#: What a click on a picture asks for.
ENLARGE, REASON = "enlarge", "reason"


@dataclass(frozen=True)
class Tile:
    """One picture, an address; without one, `words` stand in its place.

    `title` is bold, behind a square in `colour` if there is one; `facts` are lines beneath. `most` and `least` are
    addresses of images beside it, `N_IMAGES` of each at most.
    """

    title: str
    colour: str = ""
    picture: str = ""
    words: str = ""
    facts: tuple[str, ...] = ()
    most: tuple[str, ...] = ()
    least: tuple[str, ...] = ()


@dataclass(frozen=True)
class Band:
    """Tiles side by side under one title; without one they stand by themselves."""

    title: str
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class Curve:
    """How a target's value grew: `values` (steps,) float32, NaN where there was none."""

    title: str
    colour: str
    values: np.ndarray


def maxout_figure(
    bands: Sequence[Band],
    size: tuple[int, int],
    images: bool,
) -> go.Figure:
    """All bands' tiles, as pictures of `size` (height, width); with room for `images` beside them where wanted.

    The marks in a picture's corners carry (band, tile, `ENLARGE` or `REASON`) as their customdata.
    """
    n_columns = _per_line(max((len(band.tiles) for band in bands), default=1), images)
    tile_px = (PAGE_PX - _GAP_PX * (n_columns - 1)) / n_columns
    aspect = float(np.clip(size[0] / size[1], 0.5, 2.0))
    width = min(_WIDEST_PX, tile_px, _WIDEST_PX / aspect)
    if images:  # a picture of height h has a strip of width (h - words) / 2 beside it
        width = min(width, (tile_px - 1.5 * _THUMB_GAP_PX + _THUMB_WORDS_PX) / (1 + aspect / 2))
    height = width * aspect
    line_px = _HEADING_PX + height + _CAPTION_PX
    tops = [0.0]
    for band in bands:
        tops.append(tops[-1] + (_BAND_PX if band.title else 0) + line_px * -(-len(band.tiles) // n_columns))
    board = Board(max(tops[-1], line_px), size)
    for b, (band, top) in enumerate(zip(bands, tops, strict=False)):
        if band.title:
            board.say(0, top, f"<b>{band.title}</b>", 14)
            top += _BAND_PX
        for t, tile in enumerate(band.tiles):
            left, above = t % n_columns * (tile_px + _GAP_PX), top + t // n_columns * line_px + _HEADING_PX
            place = board.panel(left, above, width, height, "top")
            _picture(board, place, tile, (b, t), width, int(tile_px / _LETTER_PX))
            if images:
                _strip(board, left + width + 2 * _THUMB_GAP_PX, above, height, tile)
    return board.figure()


def _per_line(most: int, images: bool) -> int:
    """How many tiles stand side by side, so that lines are equally full."""
    widest = 4 if images else 6
    n_lines = -(-most // widest)
    return max(-(-most // n_lines), 3 if images else 4) if n_lines else widest


def _picture(
    board: Board, place: dict[str, str], tile: Tile, at: tuple[int, int], width: float, n_letters: int
) -> None:
    """The picture between its title and its facts, with the marks in its corners."""
    board.lay(place, tile.picture)
    square = f"<span style='color:{tile.colour}'>■</span> " if tile.colour else ""
    title = textwrap.shorten(tile.title, max(8, n_letters - 2), placeholder="…")
    board.say_at(place, 0, 1, f"{square}<b>{title}</b>", 13, yanchor="bottom", yshift=2)
    if tile.picture:
        board.enlarge(place, *at, ENLARGE)
        board.link(place, "Reason →", 1 - _LINK_PX / width, "where the data set's images hold it", [*at, REASON])
    if tile.words:
        words = "<br>".join(textwrap.wrap(tile.words, max(14, n_letters - 8)))
        board.say_at(place, 0.5, 0.5, words, 12, xanchor="center", yanchor="middle", align="center")
    if tile.facts:
        lines = [textwrap.shorten(line, n_letters, placeholder="…") for line in tile.facts]
        board.say_at(place, 0, 0, "<br>".join(lines), 11, yshift=-3, hovertext="<br>".join(tile.facts))


def _strip(board: Board, left: float, top: float, height: float, tile: Tile) -> None:
    """The images that excite the target most, and below them those that excite it least."""
    half = height / 2
    side = (half - _THUMB_WORDS_PX - _THUMB_GAP_PX) / 2
    for words, images, above in (("most", tile.most, top), ("least", tile.least, top + half)):
        if images:
            board.say(left, above - 2, words, 10)
        for n, image in enumerate(images[:N_IMAGES]):
            row, column = divmod(n, 2)
            y = above + _THUMB_WORDS_PX + row * (side + _THUMB_GAP_PX / 2)
            board.stamp(left + column * (side + _THUMB_GAP_PX / 2), y, side, image)


def curves_figure(curves: Sequence[Curve], title: str) -> go.Figure:
    """Every target's value, step by step; `title` names the value."""
    traces = [
        {
            "type": "scatter", "mode": "lines", "name": curve.title, "x": np.arange(1, len(curve.values) + 1),
            "y": curve.values, "line": {"color": translucent(curve.colour, 0.7), "width": 1.4},
            "hovertemplate": f"{curve.title}<br>step %{{x}}: %{{y:.3g}}<extra></extra>",
        }
        for curve in curves
    ]  # fmt: skip
    axis = {"gridcolor": "rgba(128,128,128,0.2)", "zerolinecolor": "rgba(128,128,128,0.4)"}
    layout = {
        "height": 220,
        "margin": {"l": 50, "r": 8, "t": 8, "b": 40},
        "showlegend": False,
        "hovermode": "closest",
        "xaxis": {**axis, "title": "step", "rangemode": "tozero"},
        "yaxis": {**axis, "title": title},
        "plot_bgcolor": "rgba(0,0,0,0)",
        "paper_bgcolor": "rgba(0,0,0,0)",
    }
    return go.Figure({"data": traces, "layout": layout})
