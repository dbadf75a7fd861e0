"""MaxOut's images, each beside the data set's own images that activate its target; one zoom moves all. Their curves."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import plotly.graph_objects as go

from common.escape import plotly
from figures.colours import translucent
from figures.panel_grid import (
    LETTER_PX,
    PAGE_PX,
    Band,
    PanelGrid,
    PlainFigure,
    Tile,
    bands_px,
    in_bands,
    line_chart,
    per_line,
)

#: Sizes in pixels on the grid; an image has this side at most, so that a line holds at least four without images.
_WIDEST_PX = 220
_GAP_PX, _HEADING_PX, _CAPTION_PX = 16, 22, 52
_THUMB_GAP_PX, _THUMB_WORDS_PX = 4, 15
_LINK_PX = 30

#: The strip of images beside an image: two columns, two rows that activate it most, two that activate it least.
N_IMAGES = 4

#: What a click on an image asks for.
ENLARGE, REASON = "enlarge", "reason"


@dataclass(frozen=True)
class TargetTile(Tile):
    """A target's image, in its panel, and the addresses of images beside it, `N_IMAGES` at most of each."""

    most: tuple[str, ...] = ()
    least: tuple[str, ...] = ()


@dataclass(frozen=True)
class Curve:
    """How a target's value grew: `values` (steps,) float32, NaN where there was none."""

    title: str
    colour: str
    values: np.ndarray


def maxout_figure(bands: Sequence[Band[TargetTile]], size: tuple[int, int], images: bool) -> PlainFigure:
    """All bands' tiles, as images of `size` (height, width); with room for `images` beside them where wanted.

    The marks in an image's corners carry (band, tile, `ENLARGE` or `REASON`) as their customdata.
    """
    widest, narrowest = (4, 3) if images else (6, 4)
    most = max((len(band.tiles) for band in bands), default=1) or widest
    n_columns = max(per_line(most, widest), narrowest)
    tile_px = (PAGE_PX - _GAP_PX * (n_columns - 1)) / n_columns
    aspect = float(np.clip(size[0] / size[1], 0.5, 2.0))
    width = min(_WIDEST_PX, tile_px, _WIDEST_PX / aspect)
    if images:  # an image of height h has a strip of width (h - words) / 2 beside it
        width = min(width, (tile_px - 1.5 * _THUMB_GAP_PX + _THUMB_WORDS_PX) / (1 + aspect / 2))
    height = width * aspect
    line_px = _HEADING_PX + height + _CAPTION_PX
    grid = PanelGrid(max(bands_px(bands, n_columns, line_px), line_px), size)
    for mark, tile, left, top in in_bands(grid, bands, n_columns, tile_px + _GAP_PX, line_px):
        place = grid.panel(left, top + _HEADING_PX, width, height)
        _picture(grid, place, tile, mark, width, int(tile_px / LETTER_PX))
        if images:
            _strip(grid, left + width + 2 * _THUMB_GAP_PX, top + _HEADING_PX, height, tile)
    return grid.figure()


def _picture(
    grid: PanelGrid, place: dict[str, str], tile: TargetTile, mark: tuple[int, int], width: float, n_letters: int
) -> None:
    """The image between its title and its facts, each in one line however long it is, with marks in its corners."""
    grid.draw(place, replace(tile, panel=replace(tile.panel, caption="")), n_letters * LETTER_PX, 1.0)
    if tile.panel.picture:
        grid.enlarge(place, (*mark, ENLARGE))
        link = (*mark, REASON)
        grid.link(place, "Reason →", 1 - _LINK_PX / width, "where the data set's images hold it", link)
    facts = tile.panel.caption.splitlines()
    lines = [textwrap.shorten(line, n_letters, placeholder="…") for line in facts]
    grid.caption(place, lines, "<br>".join(map(plotly, facts)))


def _strip(grid: PanelGrid, left: float, top: float, height: float, tile: TargetTile) -> None:
    """The images that activate the target most, and below them those that activate it least."""
    half = height / 2
    side = (half - _THUMB_WORDS_PX - _THUMB_GAP_PX) / 2
    for words, images, above in (("most", tile.most, top), ("least", tile.least, top + half)):
        if images:
            grid.say(left, above - 2, words, 10)
        for n, image in enumerate(images[:N_IMAGES]):
            row, column = divmod(n, 2)
            y = above + _THUMB_WORDS_PX + row * (side + _THUMB_GAP_PX / 2)
            grid.stamp(left + column * (side + _THUMB_GAP_PX / 2), y, side, side, image)


def curves_figure(curves: Sequence[Curve], title: str) -> go.Figure:
    """Every target's value, step by step; `title` names the value."""
    traces = [
        {
            "name": plotly(curve.title), "x": np.arange(1, len(curve.values) + 1), "y": curve.values,
            "line": {"color": translucent(curve.colour, 0.7), "width": 1.4},
            "hovertemplate": f"{plotly(curve.title)}<br>step %{{x}}: %{{y:.3g}}<extra></extra>",
        }
        for curve in curves
    ]  # fmt: skip
    return line_chart(traces, title, 220)
