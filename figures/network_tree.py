"""An image on its way through a network: what every layer makes of it, from the input to the answer."""

import base64
import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go
from PIL import Image

from common.escape import plotly
from figures.confusion import bar_colours, percent

#: Side of a node and the gap below it on the screen, in pixels: pictures keep it, however wide the page is.
_NODE_PX, _GAP_PX = 40, 8

#: A picture's side in its file: at least the first, so that it is sharp on fine screens, too; larger ones are averaged.
_FILE_PX, _LARGEST_PX = 80, 96

#: The narrowest that the figure is drawn for, what its titles take there, and a line of them.
_NARROWEST_PX, _LETTER_PX, _LINE_PX = 700, 6.2, 13

#: The bars of the answer: columns that they are wide, at least; pixels that one is thick, at most and at least; letters
#: of a class name; room for a percentage.
_BARS_COLUMNS, _THICK_PX, _THIN_PX, _CLASS_LETTERS, _PERCENT_PX = 2.2, 22, 14, 10, 40

#: Above a column there is room for so many lines of its title; where columns are narrower, titles stand in two rows.
_TITLE_LINES, _WIDE_PX = 2, 84

#: Bars that are shown where there are more classes: those of the highest probabilities.
_MOST_BARS = 12

#: Grey stands for what nothing is known of yet.
_UNKNOWN = np.full((1, 1, 3), 150, dtype=np.uint8)

_LINK, _CHOSEN_LINK = "rgba(128,128,128,0.38)", "#FFB000"


@dataclass(frozen=True)
class TreeNode:
    """A unit of a layer: `picture` (h, w, 3) uint8 in its colours, `None` before there is one; its least and most."""

    unit: int
    picture: np.ndarray | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class TreeColumn:
    """A layer: its title, its output's shape in words, its units that are shown, and how many there are in all.

    `links` says how its units hang on those of the column before: on "all" of them (a convolution), on the "same"
    unit (ReLU, pooling), or on "none".
    """

    title: str
    shape: str
    nodes: tuple[TreeNode, ...]
    n_units: int
    links: Literal["all", "same", "none"] = "all"


def network_tree(
    columns: Sequence[TreeColumn],
    probabilities: np.ndarray | None = None,
    classes: Sequence[str] = (),
    true: int | None = None,
    chosen: tuple[int, int] | None = None,
    most: int = 8,
) -> go.Figure:
    """The layers from left to right, the units of each below each other, and the answer's bars at the right end.

    Of a layer the first `most` units are shown, and how many more there are is said. A node carries [column, unit] as
    its customdata, a bar [number of columns, class]; the node `chosen` is framed and its links stand out.

    Args:
        columns: the input first.
        probabilities: (K,) float in [0, 1] of `classes`; `None` before there is an answer.
        classes: the names of all classes; none for a network without an answer.
        true: the number of the true class.
        chosen: (column, unit).
        most: nodes of a column, at most.
    """
    shown = [column.nodes[:most] for column in columns]
    bars = _bars(probabilities, classes)
    n_slots = len(columns) + (max(_BARS_COLUMNS, len(columns) / 4) if bars else 0)
    centres = ((np.arange(len(columns)) + 0.5) / n_slots).tolist()
    body_px = max([_column_px(len(nodes)) for nodes in shown] + [len(bars) * _THIN_PX, _NODE_PX])
    places = [_places(len(nodes), body_px) for nodes in shown]
    nodes_at = list(zip(centres, places, strict=True))
    notes = _more(columns, shown, nodes_at, n_slots) + _more_classes(bars, classes, n_slots, len(columns))
    heads, head_px = _heads(columns, len(classes) if bars else 0, n_slots, centres)
    below_px = 20 if notes else 6
    layout: dict[str, Any] = {
        "images": [
            _picture(nodes, x, tops) for nodes, (x, tops) in zip(shown, nodes_at, strict=True) if nodes
        ],
        "annotations": heads + notes,
        "shapes": _leaders(heads, head_px, body_px),
        "height": head_px + body_px + below_px,
        "margin": {"l": 8, "r": 2, "t": head_px, "b": below_px},
        "showlegend": False, "dragmode": False, "hovermode": "closest", "hoverdistance": 10,
        "plot_bgcolor": "rgba(0,0,0,0)", "paper_bgcolor": "rgba(0,0,0,0)",
        "xaxis": {"range": [0, 1], "visible": False, "fixedrange": True},
        "yaxis": {"range": [body_px, 0], "visible": False, "fixedrange": True},
    }  # fmt: skip
    ends = _bar_places(len(bars), body_px)
    traces = _links(columns, shown, nodes_at, chosen)
    if bars:
        start, layout["xaxis2"], layout["yaxis2"] = _bar_axes(bars, classes, true, n_slots, len(columns), body_px)
        if columns:
            traces.insert(0, _fan(nodes_at[-1], (start, ends)))
        traces.append(_answer(len(columns), bars, probabilities, classes, true, ends))
    traces += [_marks(n, columns[n], shown[n], nodes_at[n]) for n in range(len(columns)) if shown[n]]
    if chosen is not None:
        layout["shapes"] += _frame(chosen, shown, nodes_at)
    return go.Figure({"data": traces, "layout": layout})


def _column_px(n_nodes: int) -> int:
    return n_nodes * (_NODE_PX + _GAP_PX) - _GAP_PX if n_nodes else 0


def _places(n_nodes: int, body_px: float) -> np.ndarray:
    """(N,) float64: the middles of a column's nodes, in pixels from the top; the column is in the middle."""
    return (body_px - _column_px(n_nodes)) / 2 + _NODE_PX / 2 + np.arange(n_nodes) * (_NODE_PX + _GAP_PX)


def _picture(nodes: Sequence[TreeNode], x: float, tops: np.ndarray) -> dict[str, Any]:
    """The pictures of a column as one image, which keeps its size in pixels on a page of any width."""
    return {
        "source": _sheet([node.picture for node in nodes]), "xref": "x", "yref": "y", "layer": "above", "x": x,
        "y": float(tops.mean()), "xanchor": "center", "yanchor": "middle", "sizing": "contain", "sizex": 1.0,
        "sizey": _column_px(len(nodes)),
    }  # fmt: skip


def _sheet(pictures: Sequence[np.ndarray | None]) -> str:
    """Pictures below each other, each enlarged by a whole factor within a thin frame, as a data URI."""
    tiles = [_UNKNOWN if picture is None else _small(picture) for picture in pictures]
    largest = max(max(tile.shape[:2]) for tile in tiles)
    side = largest * -(-_FILE_PX // largest)
    gap = round(side * _GAP_PX / _NODE_PX)
    sheet = np.zeros((len(tiles) * (side + gap) - gap, side, 4), dtype=np.uint8)
    for n, tile in enumerate(tiles):
        factor = max(1, side // max(tile.shape[:2]))
        tile = tile.repeat(factor, axis=0).repeat(factor, axis=1)
        height, width = tile.shape[:2]
        top, left = n * (side + gap) + (side - height) // 2, (side - width) // 2
        place = sheet[top : top + height, left : left + width]
        place[...] = (128, 128, 128, 255)
        place[1:-1, 1:-1, :3] = tile[1:-1, 1:-1]
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, "WEBP", lossless=True, quality=50, method=1)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def _small(picture: np.ndarray) -> np.ndarray:
    """A picture whose longer side is at most `_LARGEST_PX`."""
    if max(picture.shape[:2]) <= _LARGEST_PX:
        return picture
    image = Image.fromarray(picture)
    image.thumbnail((_LARGEST_PX, _LARGEST_PX), Image.Resampling.BOX)
    return np.asarray(image)


def _heads(
    columns: Sequence[TreeColumn], n_classes: int, n_slots: float, centres: Sequence[float]
) -> tuple[list[dict[str, Any]], int]:
    """The columns' titles over their shapes, in two rows where they are too wide for one; and the height of it all."""
    slot_px = _NARROWEST_PX / n_slots
    two_rows = slot_px < _WIDE_PX
    n_letters = int((2 * slot_px - 12 if two_rows else slot_px - 4) / _LETTER_PX)
    words = [(column.title, column.shape) for column in columns]
    middles = list(centres)
    if n_classes:
        words.append(("Prediction", f"{n_classes:,} classes"))
        middles.append((len(columns) + n_slots) / 2 / n_slots)
    rows = [two_rows * (n % 2) for n in range(len(columns))] + [0]
    texts = []
    for title, shape in words:
        lines = textwrap.wrap(title, n_letters, max_lines=_TITLE_LINES, placeholder="…")
        bold = [f"<b>{plotly(line)}</b>" for line in lines]
        texts.append([*bold, *([f"<span style='font-size:10px'>{plotly(shape)}</span>"] if shape else [])])
    row_px = 4 + _LINE_PX * max((len(lines) for lines in texts), default=0)
    return [
        {
            "text": "<br>".join(lines), "x": x, "y": 1, "xref": "x", "yref": "paper", "yanchor": "bottom",
            "yshift": 4 + row_px * row, "showarrow": False, "font": {"size": 11},
        }
        for lines, x, row in zip(texts, middles, rows, strict=False)
    ], 8 + row_px * (1 + two_rows)  # fmt: skip


def _leaders(heads: Sequence[dict[str, Any]], head_px: int, body_px: float) -> list[dict[str, Any]]:
    """Thin lines from the titles of the upper row down to their columns."""
    return [
        {
            "type": "line", "xref": "x", "yref": "paper", "x0": head["x"], "x1": head["x"],
            "y0": 1 + 3 / body_px, "y1": 1 + (head["yshift"] - 1) / body_px, "line": {"color": _LINK, "width": 1},
        }
        for head in heads if head["yshift"] > head_px / 3
    ]  # fmt: skip


def _more(
    columns: Sequence[TreeColumn],
    shown: Sequence[Sequence[TreeNode]],
    nodes_at: Sequence[tuple[float, np.ndarray]],
    n_slots: float,
) -> list[dict[str, Any]]:
    """How many units of each layer are not shown, below those that are."""
    more = " more" if _NARROWEST_PX / n_slots >= _WIDE_PX else ""
    return [
        _note(f"+ {column.n_units - len(nodes):,}{more}", x, float(tops.max(initial=0)) + _NODE_PX / 2)
        for column, nodes, (x, tops) in zip(columns, shown, nodes_at, strict=True)
        if column.n_units > len(nodes)
    ]


def _more_classes(bars: Sequence[int], classes: Sequence[str], n_slots: float, n_columns: int) -> list[dict[str, Any]]:
    if len(bars) == len(classes):
        return []
    note = _note(f"+ {len(classes) - len(bars):,} more classes", (n_columns + n_slots) / 2 / n_slots, 0)
    return [note | {"y": 0, "yref": "paper"}]


def _note(text: str, x: float, y: float) -> dict[str, Any]:
    return {"text": text, "x": x, "y": y, "xref": "x", "yref": "y", "yanchor": "top", "yshift": -1, "showarrow": False,
            "font": {"size": 11}}  # fmt: skip


def _links(
    columns: Sequence[TreeColumn],
    shown: Sequence[Sequence[TreeNode]],
    nodes_at: Sequence[tuple[float, np.ndarray]],
    chosen: tuple[int, int] | None,
) -> list[dict[str, Any]]:
    """All links as one line with gaps, and those of the node `chosen` as another."""
    plain: list[tuple[float, float, float, float]] = []
    marked: list[tuple[float, float, float, float]] = []
    for n in range(1, len(columns)):
        (left, starts), (right, stops) = nodes_at[n - 1], nodes_at[n]
        for before, start in zip(shown[n - 1], starts.tolist(), strict=True):
            for after, stop in zip(shown[n], stops.tolist(), strict=True):
                kind = columns[n].links
                if kind == "all" or (kind == "same" and before.unit == after.unit):
                    of_chosen = chosen in ((n - 1, before.unit), (n, after.unit))
                    (marked if of_chosen else plain).append((left, right, start, stop))
    return [_lines(plain, _LINK, 1), *([_lines(marked, _CHOSEN_LINK, 1.6)] if marked else [])]


def _lines(pieces: Sequence[tuple[float, float, float, float]], colour: str, width: float) -> dict[str, Any]:
    """Straight pieces (left, right, start, stop) as one line."""
    return {
        "type": "scatter", "mode": "lines", "hoverinfo": "skip", "line": {"color": colour, "width": width},
        "x": [place for left, right, _, _ in pieces for place in (round(left, 4), round(right, 4), None)] or [None],
        "y": [place for _, _, start, stop in pieces for place in (start, stop, None)] or [None],
    }  # fmt: skip


def _fan(nodes: tuple[float, np.ndarray], bars: tuple[float, np.ndarray]) -> dict[str, Any]:
    """Links from all nodes of the last column to all bars."""
    return _lines([(nodes[0], bars[0], a, b) for a in nodes[1].tolist() for b in bars[1].tolist()], _LINK, 1)


def _marks(number: int, column: TreeColumn, nodes: Sequence[TreeNode], at: tuple[float, np.ndarray]) -> dict[str, Any]:
    """What makes the pictures of a column answer to the mouse."""
    return {
        "type": "scatter", "mode": "markers", "x": [at[0]] * len(nodes), "y": at[1].tolist(),
        "marker": {"symbol": "square", "size": _NODE_PX, "color": "rgba(0,0,0,0)"},
        "customdata": [[number, node.unit] for node in nodes],
        "hovertext": [_words(column, node) for node in nodes], "hoverinfo": "text",
    }  # fmt: skip


def _words(column: TreeColumn, node: TreeNode) -> str:
    words = f"<b>{plotly(column.title)}</b>, unit {node.unit}"
    if node.low is None or node.high is None:
        return words
    values = f"{node.low:.3g} to {node.high:.3g}" if node.low != node.high else f"{node.low:.3g}"
    return f"{words}<br>values {values.replace('-', '−')}"


def _frame(
    chosen: tuple[int, int], shown: Sequence[Sequence[TreeNode]], nodes_at: Sequence[tuple[float, np.ndarray]]
) -> list[dict[str, Any]]:
    """A frame around a node; none where it is not among those that are shown."""
    column, unit = chosen
    side = _NODE_PX / 2 + 3
    return [
        {
            "type": "rect", "xref": "x", "yref": "y", "xsizemode": "pixel", "ysizemode": "pixel",
            "xanchor": nodes_at[column][0], "yanchor": float(top), "x0": -side, "x1": side, "y0": -side, "y1": side,
            "line": {"color": _CHOSEN_LINK, "width": 2.5},
        }
        for node, top in zip(shown[column], nodes_at[column][1], strict=True)
        if node.unit == unit
    ]  # fmt: skip


def _bars(probabilities: np.ndarray | None, classes: Sequence[str]) -> list[int]:
    """The classes that get a bar: all in their order, or, of many, the most probable first."""
    if len(classes) <= _MOST_BARS or probabilities is None:
        return list(range(min(len(classes), _MOST_BARS)))
    return [int(number) for number in np.argsort(-probabilities, kind="stable")[:_MOST_BARS]]


def _bar_places(n_bars: int, body_px: float) -> np.ndarray:
    """(N,) float64: the middles of the bars, in pixels from the top."""
    pitch = min(body_px / max(n_bars, 1), 1.6 * _THICK_PX)
    return (body_px - pitch * n_bars) / 2 + pitch * (np.arange(n_bars) + 0.5)


def _bar_axes(
    bars: Sequence[int], classes: Sequence[str], true: int | None, n_slots: float, n_columns: int, body_px: float
) -> tuple[float, dict[str, Any], dict[str, Any]]:
    """Where the links to the bars end, and the axes of the bars: their names stand left of them."""
    names = [_class_words(classes[number], number == true) for number in bars]
    label_px = 6.4 * max(map(len, names)) + 8
    start = n_columns / n_slots
    left = start + label_px / _NARROWEST_PX
    bar_px = (1 - left) * _NARROWEST_PX - _PERCENT_PX
    shown = [f"<b>{plotly(name)}</b>" if number == true else plotly(name)
             for number, name in zip(bars, names, strict=True)]  # fmt: skip
    still = {"fixedrange": True, "showgrid": False, "zeroline": False, "automargin": False}
    x = {**still, "domain": [left, 1], "anchor": "y2", "range": [0, 1 + _PERCENT_PX / bar_px], "visible": False}
    y = {
        **still, "anchor": "x2", "range": [body_px, 0], "tickvals": _bar_places(len(bars), body_px).tolist(),
        "ticktext": shown, "tickfont": {"size": 11}, "ticks": "", "ticklabelstandoff": 2,
    }  # fmt: skip
    return start, x, y


def _class_words(name: str, true: bool) -> str:
    """A class name as it stands beside a bar."""
    short = name if len(name) <= _CLASS_LETTERS else name[: _CLASS_LETTERS - 1].rstrip() + "…"
    return f"✓ {short}" if true else short


def _answer(
    number: int,
    bars: Sequence[int],
    probabilities: np.ndarray | None,
    classes: Sequence[str],
    true: int | None,
    places: np.ndarray,
) -> dict[str, Any]:
    """The bars; empty ones before there are probabilities."""
    values = np.zeros(len(classes)) if probabilities is None else probabilities
    told = [plotly(classes[one]) + ("" if probabilities is None else f": {percent(values[one])}") for one in bars]
    pitch = float(places[1] - places[0]) if len(bars) > 1 else 2 * _THICK_PX
    colours = bar_colours(values, true)
    return {
        "type": "bar", "orientation": "h", "x": [float(values[one]) for one in bars], "y": places.tolist(),
        "width": min(_THICK_PX, 0.72 * pitch), "xaxis": "x2", "yaxis": "y2", "cliponaxis": False,
        "marker": {"color": [colours[one] for one in bars], "line": {"width": 0}},
        "text": ["" if probabilities is None else percent(values[one]) for one in bars], "textposition": "outside",
        "textfont": {"size": 11}, "customdata": [[number, one] for one in bars],
        "hovertext": [f"{words}, the true class" if one == true else words
                      for one, words in zip(bars, told, strict=True)],
        "hoverinfo": "text",
    }  # fmt: skip
