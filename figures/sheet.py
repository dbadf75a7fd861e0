"""A grid of images with words as one image file, for a slide or a report."""

import textwrap
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_SIDE_PX = 320
_GAP_PX = 12
_TEXT_PX = 44


def sheet(columns: Sequence[str], rows: Sequence[str], cells: Sequence[Sequence[np.ndarray | str]]) -> np.ndarray:
    """Draw `cells[row][column]`, images (H, W, 3) uint8 or words, under the columns' and beside the rows' titles.

    Returns (height, width, 3) uint8 on white.
    """
    side, gap, text = _SIDE_PX, _GAP_PX, _TEXT_PX
    width = (len(columns) + 1) * (side + gap) + gap
    height = text + len(rows) * (side + gap) + gap
    page = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(size=17)
    for c, title in enumerate(columns):
        draw.text((gap + (c + 1) * (side + gap), gap), textwrap.shorten(title, 36, placeholder="…"), "black", font)
    for r, title in enumerate(rows):
        top = text + r * (side + gap)
        draw.text((gap, top), "\n".join(textwrap.wrap(title, 32)), "black", font)
        for c, cell in enumerate(cells[r]):
            left = gap + (c + 1) * (side + gap)
            if isinstance(cell, str):
                draw.text((left, top), "\n".join(textwrap.wrap(cell, 34)), "#666666", font)
            else:
                picture = Image.fromarray(cell)
                picture.thumbnail((side, side), Image.Resampling.LANCZOS)
                page.paste(picture, (left, top))
    return np.asarray(page)
