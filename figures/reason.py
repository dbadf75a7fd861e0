"""The Reason figure: for each target every layer's map and all of them together; one zoom moves all panels."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.colors import hex_to_rgb

from figures.compare import Panel, scale_bar

#: Colours of targets, told apart by colour-blind people and over a grey picture (Paul Tol's "vibrant"); models have
#: others.
TARGET_COLOURS = ("#EE3377", "#33BBEE", "#EE7733", "#009988", "#BBCC33")

#: Sizes in pixels that the layout is drawn for; panels keep their aspect at any other width.
PAGE_PX = 980
_HEADER_PX = 290
_GAP_PX = 14
_TITLE_PX = 30
_CAPTION_PX = 58
_MOST_IN_LINE = 6
_WIDEST_PX = 260
_LETTER_PX = 6.2
_LEGEND_PX = 20

_ANCHORS = {"xanchor": "left", "yanchor": "top", "align": "left", "showarrow": False}

#: Where panels of the header are, for a click: above the first row.
HEADER = -1


@dataclass(frozen=True)
class TargetRow:
    """A target's maps: title, colour, what is known of it in one line, panels; or `words` in place of the panels."""

    title: str
    colour: str
    facts: str
    panels: tuple[Panel, ...]
    words: str = ""


@dataclass
class Board:
    """Panels and words at places in pixels, collected as plain data: plotly checks them once, in the figure."""

    height_px: float
    size: tuple[int, int]
    traces: list[dict[str, Any]] = field(default_factory=list)
    images: list[dict[str, Any]] = field(default_factory=list)
    words: list[dict[str, Any]] = field(default_factory=list)
    axes: dict[str, dict[str, Any]] = field(default_factory=dict)

    def panel(self, left: float, top: float, width: float, height: float, toward: str = "bottom") -> dict[str, str]:
        """A subplot in the picture's pixels; returns the references that its traces and images need.

        `toward` is where it stays when a narrower page makes it smaller: at its caption.
        """
        number = len(self.traces) + 1
        suffix = "" if number == 1 else str(number)
        shared = {"visible": False, "constrain": "domain", "showgrid": False, "zeroline": False}
        x = {**shared, "range": [0, self.size[1]], "domain": [left / PAGE_PX, (left + width) / PAGE_PX]}
        y = {**shared, "range": [self.size[0], 0], "domain": [self._up(top + height), self._up(top)]}
        y |= {"anchor": f"x{suffix}", "constraintoward": toward}
        x |= {"anchor": f"y{suffix}", "constraintoward": "left"}
        if suffix:
            x["matches"], y["matches"] = "x", "y"
        else:
            y["scaleanchor"] = "x"
        self.axes[f"xaxis{suffix}"], self.axes[f"yaxis{suffix}"] = x, y
        place = {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}
        # A subplot without a trace is not drawn.
        self.traces.append({"type": "scatter", "x": [None], "y": [None], "hoverinfo": "skip", **place})
        return place

    def lay(self, place: dict[str, str], source: str, opacity: float | None = None) -> None:
        """Lay a picture into a panel; one with an opacity lies over one without."""
        if source:
            self.images.append({
                "source": source, "xref": place["xaxis"], "yref": place["yaxis"], "layer": "below", "sizing": "stretch",
                "x": 0 if opacity is None else 1e-3,  # plotly draws only one of two images at the very same place
                "y": 0, "sizex": self.size[1], "sizey": self.size[0], "opacity": 1.0 if opacity is None else opacity,
            })  # fmt: skip

    def enlarge(self, place: dict[str, str], row: int, column: int) -> None:
        """The mark in a panel's corner that a click on shows it at full width."""
        trace = self.traces[int(place["xaxis"][1:] or 1) - 1]
        trace |= {
            "mode": "text", "text": ["⤢"], "x": [self.size[1]], "y": [0], "textposition": "bottom left",
            "textfont": {"size": 18, "color": "white", "shadow": "0 0 3px black, 0 0 3px black"},
            "customdata": [[row, column]], "hovertext": ["full width"], "hoverinfo": "text",
        }  # fmt: skip

    def say(self, left: float, top: float, text: str, size_px: int = 13, **options: Any) -> None:
        """Words at a place of the page."""
        place = {"x": left / PAGE_PX, "y": self._up(top), "xref": "paper", "yref": "paper"}
        self.words.append({"text": text, "font": {"size": size_px}, **place, **_ANCHORS, **options})

    def say_at(self, place: dict[str, str], x: float, y: float, text: str, size_px: int, **options: Any) -> None:
        """Words at shares of a panel, however wide the page is; they stand still when the panel pans."""
        where = {"x": x, "y": y, "xref": f"{place['xaxis']} domain", "yref": f"{place['yaxis']} domain"}
        self.words.append({"text": text, "font": {"size": size_px}, **where, **_ANCHORS, **options})

    def legend(self, left: float, top: float) -> None:
        """The strip of colours and what its ends mean."""
        width = 150
        self.images.append({
            "source": scale_bar(signed=False), "xref": "paper", "yref": "paper", "sizing": "stretch", "yanchor": "top",
            "x": left / PAGE_PX, "y": self._up(top), "sizex": width / PAGE_PX, "sizey": 10 / self.height_px,
        })  # fmt: skip
        self.say(left, top + 11, "nothing", 11)
        self.say(left + width, top + 11, "much", 11, xanchor="right")

    def _up(self, top_px: float) -> float:
        return min(1.0, max(0.0, 1 - top_px / self.height_px))


def regions(masks: Sequence[np.ndarray], colours: Sequence[str]) -> np.ndarray:
    """Each target's region, tinted and outlined in its colour: masks (H, W) bool -> (H, W, 4) uint8 RGBA."""
    shape = masks[0].shape
    colour, alpha = np.zeros((*shape, 3), dtype=np.float32), np.zeros(shape, dtype=np.float32)
    width = max(1, round(max(shape) / 250))
    for mask, name in zip(masks, colours, strict=True):
        share = np.where(_outline(mask, width), 1.0, np.where(mask, 0.35, 0.0)).astype(np.float32)
        kept = alpha * (1 - share)  # what came before shines through
        total = share + kept
        mixed = share[..., None] * np.array(hex_to_rgb(name), dtype=np.float32) + kept[..., None] * colour
        colour = mixed / np.maximum(total, 1e-6)[..., None]
        alpha = total
    return np.concatenate([colour, alpha[..., None] * 255], axis=2).round().astype(np.uint8)


def _outline(mask: np.ndarray, width: int) -> np.ndarray:
    """The parts of a region (H, W) bool that are at most `width` pixels from what is outside of it."""
    height, length = mask.shape
    wide = np.pad(mask, width, mode="edge")  # the picture's own edge is no outline
    inner = mask.copy()
    for y, x in ((0, width), (2 * width, width), (width, 0), (width, 2 * width)):
        inner &= wide[y : y + height, x : x + length]
    return mask & ~inner


def per_line(n_panels: int) -> int:
    """How many panels stand side by side, so that lines are equally full and panels big enough to see something."""
    n_lines = -(-n_panels // _MOST_IN_LINE)
    return -(-n_panels // n_lines)


def reason_figure(
    picture: str,
    marked: Panel,
    size: tuple[int, int],
    rows: Sequence[TargetRow],
    threshold: float,
    opacity: float = 1.0,
    ink: str = "#1F2A33",
    zoom: tuple[list[float], list[float]] | None = None,
) -> go.Figure:
    """On top the picture, all targets' regions and their legend; then for each target its layers and the aggregate.

    `picture` is a data URI of a picture of `size` (height, width); a region is where the aggregate exceeds `threshold`
    of its maximum. `ink` is the colour of words, `zoom` are the ranges (x, y) to begin with. The mark in a panel's
    corner carries (row, column) as its customdata, row `HEADER` for the one with the regions.
    """
    n_columns = per_line(max((len(row.panels) for row in rows), default=1))
    width = min(_WIDEST_PX, (PAGE_PX - _GAP_PX * (n_columns - 1)) / n_columns)
    height = float(np.clip(width * size[0] / size[1], 80, 300))
    head_width = min(_HEADER_PX, _HEADER_PX * size[1] / size[0])
    head_height = head_width * size[0] / size[1]
    n_letters = int(width / _LETTER_PX)
    lines = [-(-len(row.panels) // n_columns) for row in rows]
    legend = _legend_lines(2 * (head_width + _GAP_PX) + 10, threshold)
    header = max(head_height, _LEGEND_PX * (len(rows) + len(legend)) + 50)
    tops = np.cumsum([header + 20, *(_TITLE_PX + n * (height + _CAPTION_PX) + 14 for n in lines)])
    board = Board(float(tops[-1]), size)
    board.lay(board.panel(0, 0, head_width, head_height, "top"), picture)
    place = board.panel(head_width + _GAP_PX, 0, head_width, head_height, "top")
    _fill(board, place, marked, HEADER, 0, opacity)
    _legend(board, 2 * (head_width + _GAP_PX) + 10, rows, legend)
    for r, (row, top) in enumerate(zip(rows, tops, strict=False)):
        board.say(0, top, f"{_square(row.colour)} <b>{row.title}</b>  {row.facts}", 14)
        for c, panel in enumerate(row.panels):
            left = c % n_columns * (width + _GAP_PX)
            above = top + _TITLE_PX + c // n_columns * (height + _CAPTION_PX)
            place = board.panel(left, above, width, height)
            _fill(board, place, panel, r, c, opacity)
            if panel.words:
                text = "<br>".join(textwrap.wrap(panel.words, max(14, int(width / 8))))
                board.say_at(place, 0.5, 0.5, text, 12, xanchor="center", yanchor="middle", align="center")
            if shown := _caption_lines(panel.caption, n_letters):
                text = f"<b>{shown[0]}</b><br>" + "<br>".join(shown[1:])
                board.say_at(place, 0, 0, text, 11, yshift=-3, hovertext=panel.caption.splitlines()[0])
        if row.words:
            board.say(0, top + _TITLE_PX + height / 2, "<br>".join(textwrap.wrap(row.words, 140)), yanchor="middle")
    for name, axis in board.axes.items():
        if zoom is not None:
            axis["range"] = zoom[0] if name.startswith("x") else zoom[1]
    for words in board.words:
        words["font"]["color"] = ink
    layout = {
        **board.axes,
        "images": board.images,
        "annotations": board.words,
        "height": board.height_px + 16,
        "margin": {"l": 4, "r": 4, "t": 8, "b": 8},
        "showlegend": False,
        "dragmode": "pan",
        "hovermode": "closest",
        "uirevision": "reason",
        "plot_bgcolor": "rgba(0,0,0,0)",
    }
    return go.Figure({"data": board.traces, "layout": layout})


def _square(colour: str) -> str:
    return f"<span style='color:{colour}'>■</span>"


def _fill(board: Board, place: dict[str, str], panel: Panel, row: int, column: int, opacity: float) -> None:
    """A map over its picture; a faint picture where words stand for the map."""
    board.lay(place, panel.picture, 0.25 if panel.words else None)
    board.lay(place, panel.overlay, opacity)
    if panel.overlay:
        board.enlarge(place, row, column)


def _caption_lines(caption: str, n_letters: int) -> list[str]:
    """The lines beneath a panel: the layer's name, cut in front where it is too long, and what it found."""
    lines = caption.splitlines()
    if not lines:
        return []
    name = lines[0] if len(lines[0]) <= n_letters else f"…{lines[0][1 - n_letters :].lstrip('.')}"
    return [name, *lines[1:]]


def _legend_lines(left: float, threshold: float) -> list[str]:
    """How to read the figure, in lines that fit right of `left`."""
    reading = (
        f"Coloured: where the aggregate is above {threshold:.0%} of its maximum. Below: what each layer found, from "
        "early to late, then all together. The mean of a layer’s map is what it found, in the units of the score; "
        "0–x is the range of its colours."
    )
    return textwrap.wrap(reading, max(24, int((PAGE_PX - left) / 7)))


def _legend(board: Board, left: float, rows: Sequence[TargetRow], lines: Sequence[str]) -> None:
    """Right of the picture: the targets' colours, how to read the rest, and the colours of the maps."""
    n_letters = int((PAGE_PX - left) / 8)
    names = [textwrap.shorten(row.title, n_letters, placeholder="…") for row in rows]
    board.say(left, 0, "<br>".join(f"{_square(row.colour)} {name}" for row, name in zip(rows, names, strict=True)), 14)
    top = _LEGEND_PX * len(rows) + 8
    board.say(left, top, "<br>".join(lines), 12)
    top += _LEGEND_PX * len(lines) + 4
    board.legend(left, top)
