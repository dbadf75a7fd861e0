"""Maps of prediction difference in bands: one for each model, window size, class or unit; one zoom moves them all."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from figures.board import PAGE_PX, Board, per_line
from figures.compare import Panel, scale_bar

_GAP_PX = 14
_WIDEST_PX = 300
_BAND_PX, _HEADING_PX, _LINE_PX, _LEGEND_PX = 30, 40, 15, 44

#: Lines that captions get room for, so that nothing moves when they come.
_CAPTION_LINES = 4

#: What lies outside of a mask: a veil as dense as this, nearly black, with a rim that shows on dark pictures too.
_VEIL, _RIM = (20, 24, 28, 215), (255, 190, 60, 255)


@dataclass(frozen=True)
class Tile:
    """One map under its title (bold, behind a square in `colour` if there is one) and lines of facts."""

    title: str
    facts: str
    panel: Panel
    colour: str = ""


@dataclass(frozen=True)
class Band:
    """Tiles side by side under one title; without one they stand by themselves."""

    title: str
    tiles: tuple[Tile, ...]


def strongest(values: np.ndarray, share: float = 0.05) -> np.ndarray:
    """Where |values| (H, W), NaN where unknown, are among the strongest `share` of what is known: (H, W) bool.

    Nowhere in a map that says nothing.
    """
    magnitude = np.nan_to_num(np.abs(values), nan=0.0)
    known = np.isfinite(values).sum()
    n_kept = round(share * known)
    if not n_kept or not magnitude.any():
        return np.zeros(values.shape, dtype=bool)
    return (magnitude >= np.partition(magnitude.ravel(), -n_kept)[-n_kept]) & (magnitude > 0)


def spotlight(mask: np.ndarray) -> np.ndarray:
    """A mask (H, W) bool as a veil to lay over the picture, clear where the mask is: (H, W, 4) uint8 RGBA.

    The pixels around the mask are its rim.
    """
    veil = np.empty((*mask.shape, 4), dtype=np.uint8)
    veil[:] = _VEIL
    wide = np.pad(mask, 1)
    veil[wide[:-2, 1:-1] | wide[2:, 1:-1] | wide[1:-1, :-2] | wide[1:-1, 2:]] = _RIM
    veil[mask, 3] = 0
    return veil


def difference_figure(
    bands: Sequence[Band],
    size: tuple[int, int],
    opacity: float = 1.0,
    legend: bool = True,
) -> go.Figure:
    """All bands' tiles over a picture of `size` (height, width), and below them, if wanted, what the colours mean.

    The mark in a panel's corner carries (band, tile) as its customdata.
    """
    n_columns = per_line(max((len(band.tiles) for band in bands), default=1))
    width = min(_WIDEST_PX, (PAGE_PX - _GAP_PX * (n_columns - 1)) / n_columns)
    height = float(np.clip(width * size[0] / size[1], 80, 340))
    n_letters = int(width / 6)
    captions = [caption_lines(tile.panel.caption, n_letters) for band in bands for tile in band.tiles]
    caption_px = _LINE_PX * max([_CAPTION_LINES if legend else 0, *map(len, captions)]) + 12
    line_px = _HEADING_PX + height + caption_px
    tops = [0.0]
    for band in bands:
        tops.append(tops[-1] + (_BAND_PX if band.title else 0) + line_px * -(-len(band.tiles) // n_columns))
    board = Board(tops[-1] + _LEGEND_PX * legend, size)
    for b, (band, top) in enumerate(zip(bands, tops, strict=False)):
        if band.title:
            board.say(0, top, f"<b>{band.title}</b>", 14)
            top += _BAND_PX
        for t, tile in enumerate(band.tiles):
            left, above = t % n_columns * (width + _GAP_PX), top + t // n_columns * line_px
            place = board.panel(left, above + _HEADING_PX, width, height, "top")
            draw_tile(board, place, tile, width, opacity)
            if tile.panel.overlay:
                board.enlarge(place, b, t)
    if legend:
        lay_legend(board, tops[-1])
    return board.figure()


def draw_tile(board: Board, place: dict[str, str], tile: Tile, width: float, opacity: float) -> None:
    """A map between its title and its caption; a faint picture where words stand for the map."""
    panel, n_letters = tile.panel, int(width / 6)
    board.lay(place, panel.picture, 0.25 if panel.words else None)
    board.lay(place, panel.overlay, opacity)
    square = f"<span style='color:{tile.colour}'>■</span> " if tile.colour else ""
    title = textwrap.shorten(tile.title, n_letters - 2, placeholder="…")
    facts = "<br>".join(textwrap.shorten(line, n_letters, placeholder="…") for line in tile.facts.splitlines())
    heading = f"{square}<b>{title}</b><br><span style='font-size:11px'>{facts}</span>"
    board.say_at(place, 0, 1, heading, 13, yanchor="bottom", yshift=2)
    if panel.words:
        words = "<br>".join(textwrap.wrap(panel.words, max(14, int(width / 8))))
        board.say_at(place, 0.5, 0.5, words, 12, xanchor="center", yanchor="middle", align="center")
    if lines := caption_lines(panel.caption, n_letters):
        board.say_at(place, 0, 0, "<br>".join(lines), 11, yshift=-3)


def caption_lines(caption: str, n_letters: int) -> list[str]:
    """A caption's lines, broken between facts where they can be."""
    facts = caption.replace(" ", "\N{NO-BREAK SPACE}").replace("\N{NO-BREAK SPACE}·\N{NO-BREAK SPACE}", " · ")
    return [part for line in facts.splitlines() for part in textwrap.wrap(line, n_letters)]


def lay_legend(board: Board, top: float, ends: tuple[str, str] = ("against", "for")) -> None:
    """The strip of colours and what its ends and its middle mean."""
    length = 240
    board.images.append({
        "source": scale_bar(signed=True), "xref": "paper", "yref": "paper", "sizing": "stretch", "yanchor": "top",
        "x": 0, "y": 1 - (top + 6) / board.height_px, "sizex": length / PAGE_PX, "sizey": 10 / board.height_px,
    })  # fmt: skip
    for share, anchor, word in ((0, "left", ends[0]), (0.5, "center", "nothing"), (1, "right", ends[1])):
        board.say(length * share, top + 17, word, 11, xanchor=anchor)
