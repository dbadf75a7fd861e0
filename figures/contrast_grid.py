"""Contrasts of several models side by side (CDeepEx, Figure 7), and the way from one class to the other (Figure 5b)."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from common.escape import plotly
from figures.colours import TEXT_COLOUR
from figures.panel_grid import PAGE_PX, PanelGrid, PlainFigure, Tile, captions_px, line_chart, per_line

#: The first column in pixels, for words and small images; what is between columns; a tile's side at most and least.
_FIRST_PX, _GAP_PX, _WIDEST_PX, _HIGHEST_PX, _LOWEST_PX = 236, 14, 250, 320, 80
_TITLE_PX, _HEADING_PX, _LINE_PX, _LEGEND_PX, _LABEL_PX = 22, 56, 15, 44, 16

#: Length of the strip of colours.
_STRIP_PX = 240

#: Columns of tiles in a line, and lines that every caption gets room for, so that nothing moves when they come.
_MOST_COLUMNS, _CAPTION_LINES = 4, 4

#: A chart of likelihoods, what is above it (the names of its curves), and beneath and left of it (its axes).
_CHART_PX, _NAMES_PX, _AXIS_PX, _TICKS_PX = 110, 22, 40, 24

#: Points of a training's curve.
_MOST_POINTS = 1000

#: The colours of the explained class, the probe and the next one; as in the maps, red is where the way leads to.
CURVE_COLOURS = ("#4393C3", "#D6604D", "#8A8F94")


@dataclass(frozen=True)
class Small:
    """A small image of the first column under its label: addresses, the `overlay` over the `picture`."""

    label: str
    picture: str
    overlay: str = ""


@dataclass(frozen=True)
class Row:
    """A method: its title and a few words, or small images (three at most) in their place, and a tile for a model."""

    title: str
    words: str
    tiles: tuple[Tile, ...]
    small: tuple[Small, ...] = ()


@dataclass(frozen=True)
class Curves:
    """Likelihoods `shares` (steps, 3) float32 in [0, 1] of the classes `names`: explained, probe, next.

    `at` is the step that is on show, `None` for none.
    """

    names: tuple[str, str, str]
    shares: np.ndarray
    at: int | None = None


def contrast_figure(rows: Sequence[Row], size: tuple[int, int]) -> PlainFigure:
    """All rows over images of `size` (height, width), and what the colours mean.

    The mark in a panel's corner carries (row, tile) as its customdata.
    """
    n_columns, width, height = _columns(max((len(row.tiles) for row in rows), default=1), size)
    tiles = [tile for row in rows for tile in row.tiles]
    line_px = _HEADING_PX + height + captions_px(tiles, width, _CAPTION_LINES)
    tops = [0.0]
    for row in rows:
        tops.append(tops[-1] + max(line_px * -(-len(row.tiles) // n_columns), _first_px(row, size)))
    grid = PanelGrid(tops[-1] + _LEGEND_PX, size)
    for r, (row, top) in enumerate(zip(rows, tops, strict=False)):
        _first(grid, row, top, size)
        for t, tile in enumerate(row.tiles):
            left, above = _left(t % n_columns, width), top + t // n_columns * line_px + _HEADING_PX
            grid.draw(grid.panel(left, above, width, height), tile, width, 1.0, (r, t))
    grid.legend(0, tops[-1] + 6, _STRIP_PX, ("to take away", "nothing", "to add"))
    return grid.figure()


def morph_figure(row: Row, curves: Sequence[Curves | None], axis: str, size: tuple[int, int]) -> PlainFigure:
    """One step of the way for each model, and below it the likelihoods along `axis`; `None` where there are none."""
    n_columns, width, height = _columns(len(row.tiles), size)
    line_px = _HEADING_PX + height + _LINE_PX + 8 + _NAMES_PX + _CHART_PX + _AXIS_PX
    grid = PanelGrid(line_px * -(-len(row.tiles) // n_columns), size)
    _first(grid, row, 0, size)
    for t, tile in enumerate(row.tiles):
        left, top = _left(t % n_columns, width), t // n_columns * line_px + _HEADING_PX
        grid.draw(grid.panel(left, top, width, height), tile, width, 1.0)
    for axes in grid.axes.values():
        axes["fixedrange"] = True
    for t, one in enumerate(curves):
        top = t // n_columns * line_px + line_px - _AXIS_PX - _CHART_PX
        if one is not None:
            _chart(grid, _left(t % n_columns, width), top, width, one, axis)
    return grid.figure(above_px=8, hovermode="x")


def losses_figure(losses: np.ndarray) -> go.Figure:
    """The critic's loss (steps,) of a training with its sign turned: at most `_MOST_POINTS` points, means of steps."""
    step = max(1, -(-len(losses) // _MOST_POINTS))
    means = [float(np.mean(losses[start : start + step])) for start in range(0, len(losses), step)]
    at = [min(start + step, len(losses)) for start in range(0, len(losses), step)]
    trace = {
        "x": at, "y": means, "line": {"color": CURVE_COLOURS[0], "width": 1.6},
        "hovertemplate": "step %{x}: %{y:.3g}<extra></extra>",
    }  # fmt: skip
    return line_chart([trace], "critic's loss, sign turned", 300)


def _columns(n_tiles: int, size: tuple[int, int]) -> tuple[int, float, float]:
    """How many tiles stand in a line, and their images' width and height in pixels."""
    n_columns = per_line(max(n_tiles, 1), _MOST_COLUMNS)
    width = min(_WIDEST_PX, (PAGE_PX - _FIRST_PX) / n_columns - _GAP_PX)
    return n_columns, width, float(np.clip(width * size[0] / size[1], _LOWEST_PX, _HIGHEST_PX))


def _left(column: int, width: float) -> float:
    return _FIRST_PX + _GAP_PX + column * (width + _GAP_PX)


def _first_px(row: Row, size: tuple[int, int]) -> float:
    """The height that a row's first column needs."""
    n_lines = -(-len(row.small) // 2)
    return _TITLE_PX + n_lines * (_LABEL_PX + _small_px(size) + 6) + 8


def _small_px(size: tuple[int, int]) -> float:
    return float(np.clip((_FIRST_PX - 10) / 2 * size[0] / size[1], 60, 150))


def _first(grid: PanelGrid, row: Row, top: float, size: tuple[int, int]) -> None:
    """The first column: the row's title, and small images or words."""
    grid.say(0, top, f"<b>{row.title}</b>", 14)
    width, height = (_FIRST_PX - 10) / 2, _small_px(size)
    below = top + _TITLE_PX
    for n, small in enumerate(row.small):
        line, column = divmod(n, 2)
        left, above = column * (width + 10), top + _TITLE_PX + line * (_LABEL_PX + height + 6)
        grid.say(left, above, small.label, 11)
        place = grid.panel(left, above + _LABEL_PX, width, height)
        grid.lay(place, small.picture)
        grid.lay(place, small.overlay, 1.0)
        below = above
    left = (width + 10) * (len(row.small) % 2)  # words go beside an image that stands alone
    n_letters = int((_FIRST_PX - left) / 6)
    lines = [part for line in row.words.splitlines() for part in textwrap.wrap(line, n_letters)]
    grid.say(left, below + (_LABEL_PX if row.small else 0), "<br>".join(map(plotly, lines)), 11)


def _chart(grid: PanelGrid, left: float, top: float, width: float, curves: Curves, axis: str) -> None:
    """Likelihoods with axes of their own, which do not move with the images."""
    shared = {"gridcolor": "rgba(128,128,128,0.2)", "zeroline": False, "fixedrange": True, "tickfont": {"size": 10}}
    last = max(1, len(curves.shares) - 1)
    title = {"text": axis, "font": {"size": 11}, "standoff": 4}
    place = grid.axes_at(
        left + _TICKS_PX, top, width - _TICKS_PX, _CHART_PX,
        {**shared, "title": title, "range": [-0.03 * last, 1.03 * last]},
        {**shared, "range": [-0.03, 1.03], "tickvals": [0, 0.5, 1]},
    )  # fmt: skip
    if curves.at is not None:
        grid.traces.append({
            "type": "scatter", "mode": "lines", "x": [curves.at, curves.at], "y": [-0.03, 1.03], "hoverinfo": "skip",
            "line": {"color": TEXT_COLOUR, "width": 1, "dash": "dot"}, **place,
        })  # fmt: skip
    known = [(name, shares) for name, shares in zip(curves.names, curves.shares.T, strict=True) if name]
    for (name, shares), colour in zip(known, CURVE_COLOURS, strict=False):
        grid.traces.append({
            "type": "scatter", "mode": "lines", "name": plotly(name), "x": np.arange(len(shares)), "y": shares,
            "line": {"color": colour, "width": 2}, **place,
            "hovertemplate": f"{plotly(name)} %{{y:.2f}}<extra></extra>",
        })  # fmt: skip
    names = [f"<span style='color:{c}'>■</span> {plotly(n)}" for (n, _), c in zip(known, CURVE_COLOURS, strict=False)]
    grid.say(left, top - _NAMES_PX + 2, "  ".join(names), 11)
