"""The compare grid: one picture, every model's map of it by every method, all panels zooming in step."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from figures.colours import colour_table, translucent
from figures.maps import data_uri

#: Width in pixels that the layout is drawn for; panels keep their aspect at any other.
_PAGE_PX = 1080
_HEADER_PX = 150
_GAP_PX = 30
_BAR_PX = 30
_GREY = "rgba(128,128,128,1)"


@dataclass(frozen=True)
class Column:
    """A model: its name, colour, and top answers as (class, probability, is it the true class)."""

    name: str
    colour: str
    answers: tuple[tuple[str, float, bool], ...]


@dataclass(frozen=True)
class Panel:
    """One map, or the words that stand in its place; images are data URIs."""

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


def compare_figure(
    picture: str,
    size: tuple[int, int],
    columns: Sequence[Column],
    rows: Sequence[Row],
    opacity: float = 1.0,
    ink: str = "#1F2A33",
) -> go.Figure:
    """The grid: on top the picture and each model's answers, then one row of maps for each method.

    `picture` is a data URI of a picture of `size` (height, width), `ink` the colour of words. Pan and zoom move all
    panels in step; the marker in a panel's corner carries (row, column) as its customdata.
    """
    height, width = size
    panel_px = (_PAGE_PX - _GAP_PX * len(columns)) / (len(columns) + 1)
    row_px = float(np.clip(panel_px * height / width, 120, 400))
    header_px = max(_HEADER_PX, row_px)
    heights = [header_px] + [row_px] * len(rows)
    total_px = sum(heights) + _GAP_PX * len(rows)
    figure = make_subplots(
        rows=len(rows) + 1,
        cols=len(columns) + 1,
        row_heights=heights,
        horizontal_spacing=_GAP_PX / _PAGE_PX,
        vertical_spacing=_GAP_PX / total_px if rows else 0,
    )
    _picture_axes(figure, 1, 1, size)
    _place(figure, 1, 1, picture, size)
    for c, column in enumerate(columns):
        _answers(figure, column, c + 2, header_px)
    for r, row in enumerate(rows):
        _row_title(figure, row, r + 2, panel_px)
        for c, panel in enumerate(row.panels):
            _panel(figure, panel, r, c, size, opacity, max(16, int(panel_px / 8)))
    figure.update_annotations(font_color=ink)
    figure.update_layout(
        height=total_px + 80,
        margin={"l": 4, "r": 4, "t": 50, "b": 30},
        showlegend=False,
        dragmode="pan",
        hovermode="closest",
        uirevision="compare",
        plot_bgcolor="rgba(0,0,0,0)",
        bargap=0.25,
    )
    return figure


def single_figure(panel: Panel, size: tuple[int, int], opacity: float = 1.0) -> go.Figure:
    """One panel at full width."""
    figure = make_subplots(rows=1, cols=1)
    _picture_axes(figure, 1, 1, size)
    _place(figure, 1, 1, panel.picture, size)
    _place(figure, 1, 1, panel.overlay, size, opacity)
    figure.update_layout(height=640, margin={"l": 0, "r": 0, "t": 0, "b": 0}, dragmode="pan", showlegend=False)
    return figure


def scale_bar(signed: bool) -> str:
    """The legend's strip of colours as a data URI."""
    return data_uri(np.repeat(colour_table(signed)[None], 12, axis=0))


def _picture_axes(figure: go.Figure, row: int, column: int, size: tuple[int, int]) -> None:
    """Axes in the picture's pixels, matched so that all panels pan and zoom in step."""
    height, width = size
    hidden = {"visible": False, "constrain": "domain"}
    x = next(figure.select_xaxes(row=row, col=column)).plotly_name.replace("axis", "")
    figure.update_xaxes(range=[0, width], matches=None if x == "x" else "x", **hidden, row=row, col=column)
    y_matches = None if (row, column) == (1, 1) else "y"
    figure.update_yaxes(
        range=[height, 0], matches=y_matches, scaleanchor=x, scaleratio=1, **hidden, row=row, col=column
    )
    figure.add_trace(  # a subplot without a trace is not drawn
        go.Scatter(x=[None], y=[None], mode="markers", hoverinfo="skip"), row=row, col=column
    )


def _place(
    figure: go.Figure, row: int, column: int, source: str, size: tuple[int, int], opacity: float | None = None
) -> None:
    """Lay a picture into a panel; one with an opacity lies over one without."""
    if source:
        figure.add_layout_image(
            source=source,
            x=0 if opacity is None else 1e-3,  # plotly draws only one of two images at the very same place
            y=0,
            sizex=size[1],
            sizey=size[0],
            sizing="stretch",
            opacity=1.0 if opacity is None else opacity,
            layer="below",
            row=row,
            col=column,
        )


def _answers(figure: go.Figure, column: Column, c: int, height_px: float) -> None:
    """The model's name, and its top answers as bars with their words on them; the true class is bold."""
    names = [name for name, _, _ in column.answers]
    values = [value for _, value, _ in column.answers]
    places = list(range(len(names)))
    figure.add_trace(
        go.Bar(
            x=values,
            y=places,
            orientation="h",
            marker={"color": translucent(column.colour, 0.4)},
            hovertext=[f"{name}: {value:.4f}" for name, value in zip(names, values, strict=True)],
            hoverinfo="text",
        ),
        row=1,
        col=c,
    )
    for place, (name, value, is_true) in enumerate(column.answers):
        short = textwrap.shorten(name, 24, placeholder="…")
        words = f"{short} {value:.2f}"
        figure.add_annotation(
            x=0.01,
            y=place,
            text=f"<b>{words} ✓</b>" if is_true else words,
            showarrow=False,
            xanchor="left",
            font={"size": 12},
            row=1,
            col=c,
        )
    figure.update_xaxes(range=[0, 1], visible=False, fixedrange=True, row=1, col=c)
    figure.update_yaxes(
        range=[max(len(names), height_px / _BAR_PX) - 0.4, -0.6], visible=False, fixedrange=True, row=1, col=c
    )
    _paper_text(figure, 1, c, f"<b><span style='color:{column.colour}'>■</span> {column.name}</b>", 1.0, "bottom")


def _row_title(figure: go.Figure, row: Row, r: int, panel_px: float) -> None:
    """The method's name, what it answers and its legend, in the grid's first column."""
    for axes in (figure.update_xaxes, figure.update_yaxes):
        axes(visible=False, fixedrange=True, row=r, col=1)
    figure.add_trace(go.Scatter(x=[None], y=[None], hoverinfo="skip"), row=r, col=1)
    question = "<br>".join(textwrap.wrap(row.question, max(16, int(panel_px / 7.5))))
    _paper_text(figure, r, 1, f"<b>{row.title}</b><br><span style='font-size:12px'>{question}</span>", 1.0, "top")
    x0, x1, y0, _ = _domain(figure, r, 1)
    strip = (x1 - x0) * 0.8
    bar_px = 10 / (figure.layout.height or 900)
    figure.add_layout_image(
        source=scale_bar(row.signed),
        xref="paper",
        yref="paper",
        x=x0,
        y=y0 + 0.02,
        sizex=strip,
        sizey=max(bar_px, 0.012),
        sizing="stretch",
        xanchor="left",
        yanchor="bottom",
    )
    words = ("against", "nothing", "for") if row.signed else ("none", "", "much")
    for share, anchor, word in zip((0, 0.5, 1), ("left", "center", "right"), words, strict=True):
        figure.add_annotation(
            xref="paper",
            yref="paper",
            x=x0 + strip * share,
            y=y0 + 0.02,
            text=word,
            xanchor=anchor,
            yanchor="top",
            showarrow=False,
            font={"size": 11},
        )


def _panel(
    figure: go.Figure, panel: Panel, r: int, c: int, size: tuple[int, int], opacity: float, n_letters: int
) -> None:
    row, column = r + 2, c + 2
    _picture_axes(figure, row, column, size)
    _place(figure, row, column, panel.picture, size, 0.25 if panel.words else None)
    _place(figure, row, column, panel.overlay, size, opacity)
    if panel.words:
        words = "<br>".join(textwrap.wrap(panel.words, n_letters))
        _paper_text(figure, row, column, words, 0.5, "middle", centre=True)
    if panel.overlay:
        figure.add_trace(
            go.Scatter(
                x=[size[1] * 0.94],
                y=[size[0] * 0.06],
                mode="text",
                text=["⤢"],
                textfont={"size": 20, "color": "white", "shadow": "0 0 3px black, 0 0 3px black"},
                customdata=[[r, c]],
                hovertext=["full width"],
                hoverinfo="text",
            ),
            row=row,
            col=column,
        )
    if panel.caption:
        _paper_text(figure, row, column, f"<span style='font-size:11px'>{panel.caption}</span>", 0.0, "top")


def _domain(figure: go.Figure, row: int, column: int) -> tuple[float, float, float, float]:
    """(left, right, bottom, top) of a subplot, in shares of the figure."""
    x = next(figure.select_xaxes(row=row, col=column)).domain
    y = next(figure.select_yaxes(row=row, col=column)).domain
    return x[0], x[1], y[0], y[1]


def _paper_text(
    figure: go.Figure, row: int, column: int, text: str, share: float, yanchor: str, centre: bool = False
) -> None:
    """Words at a height (`share` of the subplot) that do not move when the panel pans."""
    x0, x1, y0, y1 = _domain(figure, row, column)
    figure.add_annotation(
        xref="paper",
        yref="paper",
        x=(x0 + x1) / 2 if centre else x0,
        y=y0 + (y1 - y0) * share,
        xanchor="center" if centre else "left",
        yanchor=yanchor,
        align="center" if centre else "left",
        text=text,
        showarrow=False,
    )
