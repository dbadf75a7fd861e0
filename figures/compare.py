"""The compare grid: one picture, every model's map of it by every method, all panels zooming in step."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import plotly.graph_objects as go

from figures.colours import colour_table, translucent
from figures.maps import data_uri

#: Width in pixels that the layout is drawn for; panels keep their aspect at any other.
_PAGE_PX = 1080
_HEADER_PX = 150
_GAP_PX = 30
_BAR_PX = 30
_LINE_PX = 15


@dataclass(frozen=True)
class Column:
    """A model: its name, colour, and top answers as (class, probability, is it the true class)."""

    name: str
    colour: str
    answers: tuple[tuple[str, float, bool], ...]


@dataclass(frozen=True)
class Panel:
    """One map, or the words that stand in its place; images are addresses, such as data URIs."""

    picture: str = ""
    overlay: str = ""
    words: str = ""
    caption: str = ""


@dataclass(frozen=True)
class Row:
    """A method: its title, what it answers, whether signed, the value of full colour (if shared) and its panels."""

    title: str
    question: str
    signed: bool
    panels: tuple[Panel, ...]


@dataclass
class _Grid:
    """Subplots in rows and columns, collected as plain data: plotly checks them once, when the figure is made."""

    heights_px: Sequence[float]
    n_columns: int
    gap_px: float = _GAP_PX
    traces: list[dict[str, Any]] = field(default_factory=list)
    images: list[dict[str, Any]] = field(default_factory=list)
    words: list[dict[str, Any]] = field(default_factory=list)
    axes: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def height_px(self) -> float:
        return sum(self.heights_px) + self.gap_px * (len(self.heights_px) - 1)

    def domain(self, row: int, column: int) -> tuple[float, float, float, float]:
        """(left, right, bottom, top) of a subplot, in shares of the figure; row 0 is on top."""
        gap = _GAP_PX / _PAGE_PX
        width = (1 - gap * (self.n_columns - 1)) / self.n_columns
        left = column * (width + gap)
        above_px = sum(self.heights_px[:row]) + row * self.gap_px
        top = 1 - above_px / self.height_px
        return left, left + width, max(0.0, top - self.heights_px[row] / self.height_px), top

    def _suffix(self, row: int, column: int) -> str:
        """What plotly puts behind `x` and `y` for this subplot; nothing for the first."""
        return "" if row == column == 0 else str(row * self.n_columns + column + 1)

    def add_axes(self, row: int, column: int, x: dict[str, Any], y: dict[str, Any]) -> dict[str, str]:
        """A subplot with these axes; returns the references that its traces need."""
        suffix = self._suffix(row, column)
        left, right, bottom, top = self.domain(row, column)
        shared = {"visible": False}
        self.axes[f"xaxis{suffix}"] = {**shared, "domain": [left, right], "anchor": f"y{suffix}", **x}
        self.axes[f"yaxis{suffix}"] = {**shared, "domain": [bottom, top], "anchor": f"x{suffix}", **y}
        return {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}

    def add_picture_axes(self, row: int, column: int, size: tuple[int, int]) -> dict[str, str]:
        """A subplot in a picture's pixels; all of these pan and zoom in step."""
        suffix = self._suffix(row, column)
        x: dict[str, Any] = {"range": [0, size[1]], "constrain": "domain"}
        y: dict[str, Any] = {"range": [size[0], 0], "constrain": "domain", "scaleanchor": f"x{suffix}"}
        if suffix:
            x["matches"], y["matches"] = "x", "y"
        place = self.add_axes(row, column, x, y)
        # A subplot without a trace is not drawn.
        self.traces.append({"type": "scatter", "x": [None], "y": [None], "hoverinfo": "skip", **place})
        return place

    def lay(self, place: dict[str, str], source: str, size: tuple[int, int], opacity: float | None = None) -> None:
        """Lay a picture into a subplot; one with an opacity lies over one without."""
        if source:
            self.images.append({
                "source": source, "xref": place["xaxis"], "yref": place["yaxis"], "layer": "below", "sizing": "stretch",
                "x": 0 if opacity is None else 1e-3,  # plotly draws only one of two images at the very same place
                "y": 0, "sizex": size[1], "sizey": size[0], "opacity": 1.0 if opacity is None else opacity,
            })  # fmt: skip

    def say(self, row: int, column: int, text: str, share: float, yanchor: str, centre: bool = False) -> None:
        """Words at a height (a share of the subplot) that do not move when the panel pans."""
        left, right, bottom, top = self.domain(row, column)
        anchor = "center" if centre else "left"
        x, y = (left + right) / 2 if centre else left, bottom + (top - bottom) * share
        self.words.append(_words(text, x, y, xref="paper", yref="paper", xanchor=anchor, yanchor=yanchor, align=anchor))


def _words(text: str, x: float, y: float, size_px: int = 13, **options: Any) -> dict[str, Any]:
    return {"text": text, "x": x, "y": y, "showarrow": False, "font": {"size": size_px}, **options}


def compare_figure(
    picture: str,
    size: tuple[int, int],
    columns: Sequence[Column],
    rows: Sequence[Row],
    opacity: float = 1.0,
) -> go.Figure:
    """The grid: on top the picture and each model's answers, then one row of maps for each method.

    `picture` is the address of a picture of `size` (height, width). Pan and zoom move all panels in step; the marker in
    a panel's corner carries (row, column) as its customdata.
    """
    panel_px = (_PAGE_PX - _GAP_PX * len(columns)) / (len(columns) + 1)
    row_px = float(np.clip(panel_px * size[0] / size[1], 120, 400))
    n_letters = max(16, int(panel_px / 8))
    captions = [panel.caption for row in rows for panel in row.panels]
    n_lines = max((len(caption_lines(caption, n_letters)) for caption in captions), default=1)
    gap_px = _GAP_PX + _LINE_PX * max(0, n_lines - 1)
    grid = _Grid([max(_HEADER_PX, row_px)] + [row_px] * len(rows), len(columns) + 1, gap_px)
    grid.lay(grid.add_picture_axes(0, 0, size), picture, size)
    for c, column in enumerate(columns, 1):
        _answers(grid, column, c)
    for r, row in enumerate(rows, 1):
        _row_title(grid, row, r, n_letters=max(16, int(panel_px / 7.5)))
        for c, panel in enumerate(row.panels, 1):
            _panel(grid, panel, r, c, size, opacity, n_letters)
    layout = {
        **grid.axes,
        "images": grid.images,
        "annotations": grid.words,
        "height": grid.height_px + 50 + gap_px,
        "margin": {"l": 4, "r": 4, "t": 50, "b": gap_px},
        "showlegend": False,
        "dragmode": "pan",
        "hovermode": "closest",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "bargap": 0.25,
    }
    return go.Figure({"data": grid.traces, "layout": layout})


def single_figure(panel: Panel, size: tuple[int, int], opacity: float = 1.0) -> go.Figure:
    """One panel at full width."""
    grid = _Grid([640], 1)
    place = grid.add_picture_axes(0, 0, size)
    grid.lay(place, panel.picture, size)
    grid.lay(place, panel.overlay, size, opacity)
    margin = dict.fromkeys("lrtb", 0)
    shared = {"height": 640, "margin": margin, "dragmode": "pan", "showlegend": False}
    return go.Figure({"data": grid.traces, "layout": {**grid.axes, "images": grid.images, **shared}})


@cache
def scale_bar(signed: bool) -> str:
    """The legend's strip of colours as a data URI."""
    return data_uri(np.repeat(colour_table(signed)[None], 12, axis=0))


def _answers(grid: _Grid, column: Column, c: int) -> None:
    """The model's name, and its top answers as bars with their words on them; the true class is bold."""
    n_places = max(len(column.answers), grid.heights_px[0] / _BAR_PX)
    still = {"fixedrange": True}
    place = grid.add_axes(0, c, {"range": [0, 1], **still}, {"range": [n_places - 0.4, -0.6], **still})
    grid.traces.append({
        "type": "bar", "orientation": "h", "marker": {"color": translucent(column.colour, 0.4)}, "hoverinfo": "text",
        "x": [value for _, value, _ in column.answers], "y": list(range(len(column.answers))),
        "hovertext": [f"{name}: {value:.4f}" for name, value, _ in column.answers], **place,
    })  # fmt: skip
    for y, (name, value, is_true) in enumerate(column.answers):
        words = f"{textwrap.shorten(name, 24, placeholder='…')} {value:.2f}"
        words = f"<b>{words} ✓</b>" if is_true else words
        grid.words.append(_words(words, 0.01, y, 12, xref=place["xaxis"], yref=place["yaxis"], xanchor="left"))
    grid.say(0, c, f"<b><span style='color:{column.colour}'>■</span> {column.name}</b>", 1.0, "bottom")


def _row_title(grid: _Grid, row: Row, r: int, n_letters: int) -> None:
    """The method's name, what it answers and its legend, in the grid's first column."""
    question = "<br>".join(textwrap.wrap(row.question, n_letters))
    grid.say(r, 0, f"<b>{row.title}</b><br><span style='font-size:12px'>{question}</span>", 1.0, "top")
    left, right, bottom, _ = grid.domain(r, 0)
    strip, y = (right - left) * 0.8, bottom + 20 / grid.height_px
    grid.images.append({
        "source": scale_bar(row.signed), "xref": "paper", "yref": "paper", "sizing": "stretch", "yanchor": "bottom",
        "x": left, "y": y, "sizex": strip, "sizey": 10 / grid.height_px,
    })  # fmt: skip
    words = ("against", "nothing", "for") if row.signed else ("none", "", "much")
    for share, anchor, word in zip((0, 0.5, 1), ("left", "center", "right"), words, strict=True):
        options = {"xref": "paper", "yref": "paper", "xanchor": anchor, "yanchor": "top"}
        grid.words.append(_words(word, left + strip * share, y, 11, **options))


def _panel(grid: _Grid, panel: Panel, r: int, c: int, size: tuple[int, int], opacity: float, n_letters: int) -> None:
    """A map over its picture, or the words that stand for it over a faint one."""
    place = grid.add_picture_axes(r, c, size)
    grid.lay(place, panel.picture, size, 0.25 if panel.words else None)
    grid.lay(place, panel.overlay, size, opacity)
    if panel.words:
        grid.say(r, c, "<br>".join(textwrap.wrap(panel.words, n_letters)), 0.5, "middle", centre=True)
    if panel.overlay:
        grid.traces.append({
            "type": "scatter", "mode": "text", "text": ["⤢"], "x": [size[1] * 0.94], "y": [size[0] * 0.06],
            "textfont": {"size": 20, "color": "white", "shadow": "0 0 3px black, 0 0 3px black"},
            "customdata": [[r - 1, c - 1]], "hovertext": ["full width"], "hoverinfo": "text", **place,
        })  # fmt: skip
    if panel.caption:
        lines = "<br>".join(caption_lines(panel.caption, n_letters))
        grid.say(r, c, f"<span style='font-size:11px'>{lines}</span>", 0.0, "top")


def caption_lines(caption: str, n_letters: int) -> list[str]:
    """A caption's lines, broken between facts, none longer than a panel is wide (its letters are small)."""
    facts = caption.replace(" ", "\N{NO-BREAK SPACE}").replace("\N{NO-BREAK SPACE}·\N{NO-BREAK SPACE}", " · ")
    return [part for line in facts.splitlines() for part in textwrap.wrap(line, round(n_letters * 1.5))]
