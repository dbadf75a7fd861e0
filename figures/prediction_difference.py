"""Maps of prediction difference in bands: one for each model, window size, class or unit; one zoom moves them all."""

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import binary_dilation

from figures.panel_grid import PAGE_PX, Band, PanelGrid, PlainFigure, Tile, bands_px, captions_px, in_bands, per_line

_GAP_PX = 14
_WIDEST_PX = 300
_HEADING_PX, _LEGEND_PX, _STRIP_PX = 40, 44, 240

#: Lines that captions get room for, so that nothing moves when they come.
_CAPTION_LINES = 4

#: What lies outside of a mask: a veil as dense as this, nearly black, with a rim that shows on dark images too.
_VEIL, _RIM = (20, 24, 28, 215), (255, 190, 60, 255)


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
    """A mask (H, W) bool as a veil to lay over the image, clear where the mask is: (H, W, 4) uint8 RGBA.

    The pixels around the mask are its rim.
    """
    veil = np.empty((*mask.shape, 4), dtype=np.uint8)
    veil[:] = _VEIL
    veil[binary_dilation(mask)] = _RIM
    veil[mask, 3] = 0
    return veil


def difference_figure(
    bands: Sequence[Band[Tile]], size: tuple[int, int], opacity: float = 1.0, legend: bool = True
) -> PlainFigure:
    """All bands' tiles over an image of `size` (height, width), and below them, if wanted, what the colours mean.

    The mark in a panel's corner carries (band, tile) as its customdata.
    """
    n_columns = per_line(max((len(band.tiles) for band in bands), default=1))
    width = min(_WIDEST_PX, (PAGE_PX - _GAP_PX * (n_columns - 1)) / n_columns)
    height = float(np.clip(width * size[0] / size[1], 80, 340))
    tiles = [tile for band in bands for tile in band.tiles]
    line_px = _HEADING_PX + height + captions_px(tiles, width, _CAPTION_LINES if legend else 0)
    bottom = bands_px(bands, n_columns, line_px)
    grid = PanelGrid(bottom + _LEGEND_PX * legend, size)
    for mark, tile, left, top in in_bands(grid, bands, n_columns, width + _GAP_PX, line_px):
        grid.draw(grid.panel(left, top + _HEADING_PX, width, height), tile, width, opacity, mark)
    if legend:
        grid.legend(0, bottom + 6, _STRIP_PX, ("against", "nothing", "for"))
    return grid.figure()
