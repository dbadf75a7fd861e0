"""The compare grid: one image, every model's map of it by every method, all panels zooming in step."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from common.escape import plotly
from figures.colours import translucent
from figures.panel_grid import PAGE_PX, Panel, PanelGrid, PlainFigure, caption_lines
from figures.words import middle_cut

#: Sizes in pixels: the header at least, what is between panels, a bar of the header, a caption's line, and room above.
_HEADER_PX, _GAP_PX, _BAR_PX, _LINE_PX, _ABOVE_PX = 150, 30, 30, 15, 50

#: What a letter of a model's name takes, which is bold.
_BOLD_PX = 8.0


@dataclass(frozen=True)
class Column:
    """A model: its name, colour, and top answers as (class, probability, is it the true class)."""

    name: str
    colour: str
    answers: tuple[tuple[str, float, bool], ...]


@dataclass(frozen=True)
class Row:
    """A method: its title, what it answers, whether signed, and its panels."""

    title: str
    question: str
    signed: bool
    panels: tuple[Panel, ...]


def compare_figure(
    picture: str, size: tuple[int, int], columns: Sequence[Column], rows: Sequence[Row], opacity: float = 1.0
) -> PlainFigure:
    """The grid: on top the image and each model's answers, then one row of maps for each method.

    `picture` is the address of an image of `size` (height, width). Pan and zoom move all panels in step; the mark in a
    panel's corner carries (row, column) as its customdata.
    """
    width = (PAGE_PX - _GAP_PX * len(columns)) / (len(columns) + 1)
    height = float(np.clip(width * size[0] / size[1], 120, 400))
    n_letters = int(max(16, width / 8) * 1.5)
    captions = [caption_lines(panel.caption, n_letters) for row in rows for panel in row.panels]
    line_px = height + _GAP_PX + _LINE_PX * max(0, max(map(len, captions), default=1) - 1)
    first = max(_HEADER_PX, height) + line_px - height
    lefts = [c * (width + _GAP_PX) for c in range(len(columns) + 1)]
    grid = PanelGrid(first + len(rows) * line_px, size)
    grid.lay(grid.panel(0, 0, width, max(_HEADER_PX, height), "middle"), picture)
    for column, left in zip(columns, lefts[1:], strict=True):
        _answers(grid, column, left, width, max(_HEADER_PX, height))
    for r, row in enumerate(rows):
        top = first + r * line_px
        _row_title(grid, row, top, width, height)
        for c, (panel, left) in enumerate(zip(row.panels, lefts[1:], strict=True)):
            place = grid.panel(left, top, width, height, "middle")
            grid.fill(place, panel, width, opacity, (r, c))
            grid.caption(place, caption_lines(panel.caption, n_letters))
    return grid.figure(_ABOVE_PX, bargap=0.25)


def _answers(grid: PanelGrid, column: Column, left: float, width: float, height: float) -> None:
    """The model's name, and its top answers as bars with their words on them; the true class is bold."""
    n_places = max(len(column.answers), height / _BAR_PX)
    still = {"visible": False, "fixedrange": True}
    place = grid.axes_at(
        left, 0, width, height, {**still, "range": [0, 1]}, {**still, "range": [n_places - 0.4, -0.6]}
    )  # fmt: skip
    grid.traces.append({
        "type": "bar", "orientation": "h", "marker": {"color": translucent(column.colour, 0.4)}, "hoverinfo": "text",
        "x": [value for _, value, _ in column.answers], "y": list(range(len(column.answers))),
        "hovertext": [f"{plotly(name)}: {value:.4f}" for name, value, _ in column.answers], **place,
    })  # fmt: skip
    for y, (name, value, is_true) in enumerate(column.answers):
        words = f"{plotly(textwrap.shorten(name, 24, placeholder='…'))} {value:.2f}"
        words = f"<b>{words} ✓</b>" if is_true else words
        axes = {"xref": place["xaxis"], "yref": place["yaxis"], "x": 0.01, "y": y, "yanchor": "middle"}
        grid.say(0, 0, words, 12, **axes)
    name = plotly(middle_cut(column.name, max(10, int(width / _BOLD_PX) - 2)))
    title = f"<b><span style='color:{column.colour}'>■</span> {name}</b>"
    grid.say(left, 0, title, yanchor="bottom")


def _row_title(grid: PanelGrid, row: Row, top: float, width: float, height: float) -> None:
    """The method's name, what it answers and its legend, in the grid's first column."""
    question = "<br>".join(textwrap.wrap(row.question, max(16, int(width / 7.5))))
    grid.say(0, top, f"<b>{row.title}</b><br><span style='font-size:12px'>{question}</span>")
    words = ("against", "nothing", "for") if row.signed else ("none", "", "much")
    grid.legend(0, top + height - 30, 0.8 * width, words, row.signed)
