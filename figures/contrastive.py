"""What would have to change in an image, drawn over it."""

from __future__ import annotations

import numpy as np

from figures.maps import colour_map, grey, map_scale, over

#: Small pictures are enlarged to at least this side by whole steps, so that neither browser nor WebP blurs a pixel.
_CRISP_PX = 256


def changed_over(picture: np.ndarray, change: np.ndarray, scale: float | None = None) -> np.ndarray:
    """A change (H, W) over its picture (H, W, 3) uint8 in grey: red is to add, blue to take away; (H, W, 3) uint8.

    `scale` is the change that gets the full colour, by default its own strongest.
    """
    scale = map_scale([change]) if scale is None else scale
    return over(paled(picture), colour_map(change, True, scale, overlay=True), 1.0)


def paled(picture: np.ndarray) -> np.ndarray:
    """A picture (H, W, 3) uint8 in middle greys: red and blue are told from white strokes and black ground alike."""
    return (64 + grey(picture).astype(np.float32) * 0.5).astype(np.uint8)


def crisp(picture: np.ndarray) -> np.ndarray:
    """A small picture (H, W, C) enlarged by whole steps."""
    step = max(1, -(-_CRISP_PX // max(picture.shape[:2])))
    return picture.repeat(step, 0).repeat(step, 1)
