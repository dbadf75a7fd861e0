"""What the units of a layer answer: a mosaic of their maps, bars for those without, kernels, a unit's histogram."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from PIL import Image

from common.escape import plotly
from figures.colours import TEXT_COLOUR, colour_table, translucent
from figures.maps import map_scale, tiled
from figures.suggestion import histogram_bars
from suggestion.views import histogram

#: Width in pixels that a mosaic is laid out for where it is a file.
SHEET_PX = 1200

#: Sides of a tile in the image, in pixels.
_SMALLEST_PX, _LARGEST_PX = 16, 96

#: A tile on the screen is at least this wide, one with its number on it at least that.
_MIN_TILE_PX, _NUMBERED_PX = 26, 44

#: The last colours of a mosaic: the grey between tiles, and nothing where the last row ends. All below are map colours.
_GAP, _NOTHING = 253, 254
_STEPS = 253

#: Room between tiles, as a share of their side: to be seen also where the image is drawn smaller than it is.
_GAP_SHARE = 0.05

#: Up to so many neurons lie below each other with their names; more stand side by side.
_NAMED_BARS = 40


@dataclass(frozen=True)
class Mosaic:
    """Maps of a layer's units as tiles of one image, row by row.

    `steps` (H, W) uint8: the colour of each pixel, 0 to 252 from the least to the most of the map colours, 253 between
    tiles and 254 where there are none; `units` are the tiles' units in their order; `scales` (units,) float, by unit,
    the values of full colour, 0 for a unit that is zero all over.
    """

    steps: np.ndarray
    units: np.ndarray
    scales: np.ndarray
    n_columns: int
    tile_px: tuple[int, int]
    signed: bool

    @property
    def n_rows(self) -> int:
        """Rows of tiles."""
        return -(-len(self.units) // self.n_columns)

    def place(self, position: int) -> tuple[int, int]:
        """Row and column of the tile at `position` of the order."""
        return divmod(position, self.n_columns)

    def box(self, position: int) -> tuple[slice, slice]:
        """Rows and columns of the image that the tile covers."""
        row, column = self.place(position)
        height, width = self.tile_px
        top, left = row * (height + _gap_px(height)), column * (width + _gap_px(width))
        return slice(top, top + height), slice(left, left + width)

    def to_png(self) -> bytes:
        """The image as a PNG file; it is clear where there are no tiles."""
        picture = Image.fromarray(self.steps)
        picture.putpalette(_palette(self.signed).tobytes())
        buffer = io.BytesIO()
        picture.save(buffer, "PNG", transparency=_NOTHING, compress_level=1)
        return buffer.getvalue()


def mosaic(values: np.ndarray, order: np.ndarray, n_columns: int, shared: bool = False) -> Mosaic:
    """Lay out the maps of `values` (units, h, w) float32 in `order`, `n_columns` in a row.

    Each unit gets its own scale, or all of them a `shared` one. Values below zero make the colours diverging. Cells
    keep their edges; maps larger than a tile are averaged down to it.
    """
    n_columns = min(n_columns, len(order))
    signed = bool(values.min() < 0)
    tiles = _to_tiles(values, SHEET_PX // n_columns)
    scales = np.abs(values).reshape(len(values), -1).max(axis=1).astype(float)
    if shared:
        scales = np.where(scales > 0, map_scale([values.reshape(len(values), -1)]), 0.0)
    share = tiles / np.where(scales > 0, scales, 1.0)[:, None, None].astype(np.float32)
    share = (share.clip(-1, 1) + 1) / 2 if signed else share.clip(0, 1)
    steps = (share * (_STEPS - 1)).round().astype(np.uint8)[order]
    height, width = steps.shape[1:]
    steps = np.pad(steps, ((0, 0), (0, _gap_px(height)), (0, _gap_px(width))), constant_values=_GAP)
    return Mosaic(tiled(steps, n_columns, _NOTHING), order, scales, n_columns, (height, width), signed)


def _gap_px(side_px: int) -> int:
    return max(1, round(side_px * _GAP_SHARE))


def columns_for(n_units: int, width_px: int) -> int:
    """How many tiles stand side by side: as high as wide, unless tiles get too small to see."""
    return max(1, min(math.ceil(math.sqrt(n_units)), width_px // _MIN_TILE_PX))


def _to_tiles(values: np.ndarray, room_px: int) -> np.ndarray:
    """Maps (units, h, w) enlarged by a whole factor, or averaged, so that they fit `room_px` and our bounds."""
    height, width = values.shape[1:]
    side, goal = max(height, width), min(max(room_px, _SMALLEST_PX), _LARGEST_PX)
    if side > goal:
        factor = -(-side // goal)
        rows, columns = np.arange(0, height, factor), np.arange(0, width, factor)
        sums = np.add.reduceat(np.add.reduceat(values, rows, axis=1), columns, axis=2)
        n_rows, n_columns = np.diff([*rows, height]), np.diff([*columns, width])
        return sums / (n_rows[:, None] * n_columns).astype(np.float32)
    factor = max(1, goal // side)
    return values.repeat(factor, axis=1).repeat(factor, axis=2)


def _palette(signed: bool) -> np.ndarray:
    """(256, 3) uint8: the map colours in an odd number of steps, so that one is exactly zero; then grey."""
    table = colour_table(signed)
    places = np.linspace(0, len(table) - 1, _STEPS)
    steps = np.stack([np.interp(places, np.arange(len(table)), channel) for channel in table.T], axis=1)
    return np.vstack([steps.round(), np.full((256 - _STEPS, 3), 128)]).astype(np.uint8)


def mosaic_figure(
    source: str, tiles: Mosaic, words: Sequence[str], width_px: int, chosen: int | None = None
) -> go.Figure:
    """The mosaic at the address `source`, every tile to be clicked: its customdata is its unit.

    `words` say under the mouse what each tile is, in the mosaic's order; `width_px` is the width that there is for it;
    the unit `chosen` gets a frame.
    """
    rows, columns = np.divmod(np.arange(len(tiles.units)), tiles.n_columns)
    side_px = width_px / tiles.n_columns
    numbered = side_px >= _NUMBERED_PX
    figure = go.Figure(
        go.Scatter(
            x=columns + 0.5,
            y=rows + 0.5,
            mode="markers",
            marker={"size": side_px * 0.9, "symbol": "square", "color": "rgba(0,0,0,0)"},
            customdata=tiles.units.tolist(),
            hovertext=list(words),
            hoverinfo="text",
        )
    )
    if numbered:
        shadow = "0 0 3px black, 0 0 3px black"
        figure.add_trace(
            go.Scatter(
                x=columns + 0.06, y=rows + 0.14, mode="text", text=[str(unit) for unit in tiles.units],
                textposition="middle right", textfont={"size": 10, "color": "white", "shadow": shadow},
                hoverinfo="skip",
            )
        )  # fmt: skip
    height, width = tiles.tile_px
    picture = {"x": 0, "y": 0, "sizex": tiles.n_columns, "sizey": tiles.n_rows, "sizing": "stretch", "layer": "below"}
    hidden: dict[str, Any] = {"visible": False, "fixedrange": True, "constrain": "domain"}
    figure.update_layout(
        images=[{"source": source, "xref": "x", "yref": "y", **picture}],
        height=max(60, round(side_px * tiles.n_rows * height / width)) + 4,
        margin={"l": 2, "r": 2, "t": 2, "b": 2},
        showlegend=False,
        dragmode=False,
        hovermode="closest",
        hoverdistance=-1,  # wherever on a tile
        plot_bgcolor="rgba(0,0,0,0)",
        xaxis={**hidden, "range": [0, tiles.n_columns], "constraintoward": "left"},
        yaxis={**hidden, "range": [tiles.n_rows, 0], "scaleanchor": "x", "scaleratio": height / width,
               "constraintoward": "top"},
    )  # fmt: skip
    for position in np.flatnonzero(tiles.units == chosen):
        row, column = tiles.place(int(position))
        for colour, line_px in ((TEXT_COLOUR, 5), ("#FFB000", 2.5)):  # two colours: one of them shows on any tile
            figure.add_shape(
                type="rect", x0=column, x1=column + 1, y0=row, y1=row + 1, line={"color": colour, "width": line_px}
            )
    return figure


def bars_figure(
    values: np.ndarray, order: np.ndarray, names: Sequence[str], colour: str, chosen: int | None = None
) -> go.Figure:
    """Bars for units without a grid, `values` (units,) float32 in `order`; each carries its unit as customdata."""
    colours = [colour if unit == chosen else translucent(colour, 0.45) for unit in order.tolist()]
    words = [f"{plotly(names[unit])}: {values[unit]:.3g}" for unit in order.tolist()]
    bar: dict[str, Any] = {
        "marker": {"color": colours, "line": {"width": 0}},
        "customdata": order.tolist(),
        "hovertext": words,
        "hoverinfo": "text",
    }
    still = {"fixedrange": True, "zeroline": True}
    layout: dict[str, Any] = {
        "margin": {"l": 8, "r": 8, "t": 4, "b": 4},
        "showlegend": False,
        "dragmode": False,
        "bargap": 0.15,
    }
    if len(order) <= _NAMED_BARS:
        trace = go.Bar(x=values[order], y=list(range(len(order))), orientation="h", **bar)
        ticks = {
            "tickvals": list(range(len(order))),
            "ticktext": [plotly(names[unit]) for unit in order],
            "automargin": True,
        }
        layout |= {
            "xaxis": {**still, "automargin": True},
            "yaxis": {**still, **ticks, "zeroline": False, "range": [len(order) - 0.4, -0.6]},
            "height": 60 + 22 * len(order),
            "hovermode": "y",
        }
    else:
        trace = go.Bar(x=list(range(len(order))), y=values[order], **bar)
        layout |= {
            "xaxis": {**still, "visible": False, "range": [-0.6, len(order) - 0.4]},
            "yaxis": {**still, "automargin": True},
            "height": 340,
            "hovermode": "x",
        }
    return go.Figure(trace, layout)


def unit_histogram(values: np.ndarray, pick: float, colour: str) -> go.Figure:
    """How many images of the data set activate a unit how much, `values` (N,) float32, with the value `pick` marked."""
    edges, bins = histogram(values, n_bins=24)
    above = float((values[np.isfinite(values)] > pick).mean()) if len(values) else 0.0
    figure = go.Figure(histogram_bars(edges, bins, translucent(colour, 0.55)))
    figure.add_vline(x=pick, line={"color": TEXT_COLOUR, "width": 2})
    middle = (edges[0] + edges[-1]) / 2
    figure.add_annotation(
        x=pick, y=1, yref="paper", yanchor="bottom", xanchor="right" if pick > middle else "left", showarrow=False,
        text=f"{pick:.3g}: {above:.0%} of images are above", font={"size": 12},
    )  # fmt: skip
    figure.update_layout(
        height=190,
        margin={"l": 8, "r": 8, "t": 24, "b": 36},
        showlegend=False,
        dragmode=False,
        xaxis={"title": {"text": "mean activation", "font": {"size": 12}}, "fixedrange": True, "automargin": True},
        yaxis={"title": {"text": "images", "font": {"size": 12}}, "fixedrange": True, "automargin": True},
    )
    return figure


def kernel_sheet(weights: np.ndarray, n_columns: int = 16) -> np.ndarray:
    """Kernels (N, C, h, w) float32 as one image (H, W, 4) uint8, row by row, on nothing.

    Each is scaled by its own largest weight, so that grey is zero: three channels as RGB, one as grey, more as their
    mean in the diverging colours.
    """
    n, channels, height, width = weights.shape
    largest = np.abs(weights).reshape(n, -1).max(axis=1)
    share = weights / np.where(largest > 0, largest, 1.0)[:, None, None, None]
    if channels in (1, 3):
        pixels = ((share + 1) * 127.5).round().astype(np.uint8).transpose(0, 2, 3, 1)
        pixels = np.broadcast_to(pixels, (n, height, width, 3))
    else:
        pixels = colour_table(True)[((share.mean(axis=1) + 1) * 127.5).round().astype(np.uint8)]
    factor = max(1, 48 // max(height, width))
    pixels = pixels.repeat(factor, axis=1).repeat(factor, axis=2)
    opaque = np.full((*pixels.shape[:3], 1), 255, np.uint8)
    kernels = np.pad(np.concatenate([pixels, opaque], axis=3), ((0, 0), (0, 4), (0, 4), (0, 0)))
    return tiled(kernels, min(n, n_columns))
