"""Contrasts of several models side by side (CDeepEx, Figure 7), and the way from one class to the other (Figure 5b)."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from figures.colours import TEXT_COLOUR
from figures.panel_grid import LETTER_PX, PAGE_PX, PanelGrid, Tile, caption_lines

#: The first column in pixels, for words and small pictures; what is between columns; a tile's side at most and least.
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
    """A small picture of the first column under its label: addresses, the `overlay` over the `picture`."""

    label: str
    picture: str
    overlay: str = ""


@dataclass(frozen=True)
class Row:
    """A method: its title and a few words, or small pictures (three at most) in their place, and a tile for a model."""

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


@dataclass(frozen=True)
class _Columns:
    """Where tiles of pictures of `size` (height, width) stand; all lengths in pixels."""

    size: tuple[int, int]
    n_tiles: int

    @property
    def n(self) -> int:
        """Columns of a line, so that lines are equally full."""
        n_lines = -(-max(self.n_tiles, 1) // _MOST_COLUMNS)
        return -(-max(self.n_tiles, 1) // n_lines)

    @property
    def width(self) -> float:
        """Of a tile."""
        return min(_WIDEST_PX, (PAGE_PX - _FIRST_PX) / self.n - _GAP_PX)

    @property
    def height(self) -> float:
        """Of a tile's picture."""
        return float(np.clip(self.width * self.size[0] / self.size[1], _LOWEST_PX, _HIGHEST_PX))

    def left(self, tile: int) -> float:
        """Of a tile."""
        return _FIRST_PX + _GAP_PX + tile % self.n * (self.width + _GAP_PX)


def contrast_figure(
    rows: Sequence[Row],
    size: tuple[int, int],
) -> go.Figure:
    """All rows over pictures of `size` (height, width), and what the colours mean.

    The mark in a panel's corner carries (row, tile) as its customdata.
    """
    columns = _Columns(size, max((len(row.tiles) for row in rows), default=1))
    caption_px = _LINE_PX * _caption_lines(rows, columns.width) + 12
    line_px = _HEADING_PX + columns.height + caption_px
    tops = [0.0]
    for row in rows:
        tops.append(tops[-1] + max(line_px * -(-len(row.tiles) // columns.n), _first_px(row, size)))
    grid = PanelGrid(tops[-1] + _LEGEND_PX, size)
    for r, (row, top) in enumerate(zip(rows, tops, strict=False)):
        _first(grid, row, top, size)
        for t, tile in enumerate(row.tiles):
            above = top + t // columns.n * line_px + _HEADING_PX
            place = grid.panel(columns.left(t), above, columns.width, columns.height)
            grid.draw(place, tile, columns.width, 1.0, (r, t))
    grid.legend(0, tops[-1] + 6, _STRIP_PX, ("to take away", "nothing", "to add"))
    return grid.figure()


def morph_figure(row: Row, curves: Sequence[Curves | None], axis: str, size: tuple[int, int]) -> go.Figure:
    """One step of the way for each model, and below it the likelihoods along `axis`; `None` where there are none."""
    columns = _Columns(size, len(row.tiles))
    line_px = _HEADING_PX + columns.height + _LINE_PX + 8 + _NAMES_PX + _CHART_PX + _AXIS_PX
    grid = PanelGrid(line_px * -(-len(row.tiles) // columns.n), size)
    _first(grid, row, 0, size)
    for t, tile in enumerate(row.tiles):
        top, left = t // columns.n * line_px + _HEADING_PX, columns.left(t)
        grid.draw(grid.panel(left, top, columns.width, columns.height), tile, columns.width, 1.0)
    for axes in grid.axes.values():
        axes["fixedrange"] = True
    for t, one in enumerate(curves):
        top = t // columns.n * line_px + line_px - _AXIS_PX - _CHART_PX
        if one is not None:
            _chart(grid, columns.left(t), top, columns.width, one, axis)
    return grid.figure(above_px=8).update_layout(hovermode="x")


def losses_figure(losses: np.ndarray) -> go.Figure:
    """The critic's loss (steps,) of a training with its sign turned: at most `_MOST_POINTS` points, means of steps."""
    step = max(1, -(-len(losses) // _MOST_POINTS))
    means = [float(np.mean(losses[start : start + step])) for start in range(0, len(losses), step)]
    at = [min(start + step, len(losses)) for start in range(0, len(losses), step)]
    trace = {
        "type": "scatter", "mode": "lines", "x": at, "y": means, "line": {"color": CURVE_COLOURS[0], "width": 1.6},
        "hovertemplate": "step %{x}: %{y:.3g}<extra></extra>",
    }  # fmt: skip
    axis = {"gridcolor": "rgba(128,128,128,0.2)", "zerolinecolor": "rgba(128,128,128,0.4)"}
    layout = {
        "height": 300,
        "margin": {"l": 50, "r": 8, "t": 8, "b": 40},
        "xaxis": {**axis, "title": "step", "rangemode": "tozero"},
        "yaxis": {**axis, "title": "critic's loss, sign turned"},
        "plot_bgcolor": "rgba(0,0,0,0)",
        "paper_bgcolor": "rgba(0,0,0,0)",
    }
    return go.Figure({"data": [trace], "layout": layout})


def _first_px(row: Row, size: tuple[int, int]) -> float:
    """The height that a row's first column needs."""
    n_lines = -(-len(row.small) // 2)
    return _TITLE_PX + n_lines * (_LABEL_PX + _small_px(size) + 6) + 8


def _small_px(size: tuple[int, int]) -> float:
    return float(np.clip((_FIRST_PX - 10) / 2 * size[0] / size[1], 60, 150))


def _first(grid: PanelGrid, row: Row, top: float, size: tuple[int, int]) -> None:
    """The first column: the row's title, and small pictures or words."""
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
    left = (width + 10) * (len(row.small) % 2)  # words go beside a picture that stands alone
    n_letters = int((_FIRST_PX - left) / 6)
    lines = [part for line in row.words.splitlines() for part in textwrap.wrap(line, n_letters)]
    grid.say(left, below + (_LABEL_PX if row.small else 0), "<br>".join(lines), 11)


def _caption_lines(rows: Sequence[Row], width: float) -> int:
    captions = [caption_lines(tile.panel.caption, int(width / LETTER_PX)) for row in rows for tile in row.tiles]
    return max([_CAPTION_LINES, *map(len, captions)])


def _chart(grid: PanelGrid, left: float, top: float, width: float, curves: Curves, axis: str) -> None:
    """Likelihoods with axes of their own, which do not move with the pictures."""
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
            "type": "scatter", "mode": "lines", "name": name, "x": np.arange(len(shares)), "y": shares,
            "line": {"color": colour, "width": 2}, "hovertemplate": f"{name} %{{y:.2f}}<extra></extra>", **place,
        })  # fmt: skip
    names = [f"<span style='color:{c}'>■</span> {n}" for (n, _), c in zip(known, CURVE_COLOURS, strict=False)]
    grid.say(left, top - _NAMES_PX + 2, "  ".join(names), 11)
