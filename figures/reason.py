"""The Reason figure: for each target every layer's map and all of them together; one zoom moves all panels."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from plotly.colors import hex_to_rgb

from common.escape import plotly
from figures.panel_grid import PAGE_PX, Panel, PanelGrid, PlainFigure, per_line

#: Colours of targets, told apart by colour-blind people and over a grey image (Paul Tol's "vibrant"); models have
#: others.
TARGET_COLOURS = ("#EE3377", "#33BBEE", "#EE7733", "#009988", "#BBCC33")

#: Sizes in pixels on the grid.
_HEADER_PX = 290
_GAP_PX = 14
_TITLE_PX = 30
_CAPTION_PX = 58
_WIDEST_PX = 260
_LETTER_PX = 6.2
_LEGEND_PX = 20
_STRIP_PX = 150

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
    wide = np.pad(mask, width, mode="edge")  # the image's own edge is no outline
    inner = mask.copy()
    for y, x in ((0, width), (2 * width, width), (width, 0), (width, 2 * width)):
        inner &= wide[y : y + height, x : x + length]
    return mask & ~inner


def reason_figure(
    picture: str,
    marked: Panel,
    size: tuple[int, int],
    rows: Sequence[TargetRow],
    threshold: float,
    opacity: float = 1.0,
) -> PlainFigure:
    """On top the image, all targets' regions and their legend; then for each target its layers and the aggregate.

    `picture` is the address of an image of `size` (height, width); a region is where the aggregate exceeds `threshold`
    of its maximum. The mark in a panel's corner carries (row, column) as its customdata, row `HEADER` for the one with
    the regions.
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
    grid = PanelGrid(float(tops[-1]), size)
    grid.lay(grid.panel(0, 0, head_width, head_height), picture)
    place = grid.panel(head_width + _GAP_PX, 0, head_width, head_height)
    grid.fill(place, marked, head_width, opacity, (HEADER, 0))
    _legend(grid, 2 * (head_width + _GAP_PX) + 10, rows, legend)
    for r, (row, top) in enumerate(zip(rows, tops, strict=False)):
        grid.say(0, top, f"{_square(row.colour)} <b>{plotly(row.title)}</b>  {plotly(row.facts)}", 14)
        for c, panel in enumerate(row.panels):
            left = c % n_columns * (width + _GAP_PX)
            above = top + _TITLE_PX + c // n_columns * (height + _CAPTION_PX)
            place = grid.panel(left, above, width, height, "bottom")
            grid.fill(place, panel, width, opacity, (r, c))
            if shown := _caption_lines(panel.caption, n_letters):
                grid.caption(place, shown, plotly(panel.caption.splitlines()[0]), bold=True)
        if row.words:
            grid.say(
                0,
                top + _TITLE_PX + height / 2,
                "<br>".join(map(plotly, textwrap.wrap(row.words, 140))),
                yanchor="middle",
            )
    return grid.figure()


def _square(colour: str) -> str:
    return f"<span style='color:{colour}'>■</span>"


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


def _legend(grid: PanelGrid, left: float, rows: Sequence[TargetRow], lines: Sequence[str]) -> None:
    """Right of the image: the targets' colours, how to read the rest, and the colours of the maps."""
    n_letters = int((PAGE_PX - left) / 8)
    names = [textwrap.shorten(row.title, n_letters, placeholder="…") for row in rows]
    grid.say(
        left, 0, "<br>".join(f"{_square(row.colour)} {plotly(name)}" for row, name in zip(rows, names, strict=True)), 14
    )
    top = _LEGEND_PX * len(rows) + 8
    grid.say(left, top, "<br>".join(lines), 12)
    top += _LEGEND_PX * len(lines) + 4
    grid.legend(left, top, _STRIP_PX, ("nothing", "", "much"), signed=False)
