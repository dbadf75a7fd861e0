"""Raw attribution maps as images: scaling, colouring, laying over the photograph."""

import base64
import io
from functools import cache

import numpy as np
from PIL import Image

from figures.colours import UNSEEN, colour_table

#: Small images are enlarged to at least this side by whole steps, so that neither browser nor WebP blurs a pixel.
_CRISP_PX = 256


def map_scale(maps: list[np.ndarray]) -> float:
    """The magnitude that gets the full colour: a high percentile of |value|, so that one pixel cannot blind the rest.

    `maps` (H, W) float32 each, NaN where unseen; one map for its own scale, several for a shared one. 0 where there
    is nothing to show.
    """
    values = np.concatenate([np.abs(m[np.isfinite(m)]) for m in maps]) if maps else np.zeros(0)
    if not values.size:
        return 0.0
    scale = float(np.percentile(values, 99.5))
    return scale or float(values.max())


def has_evidence(attribution: np.ndarray) -> bool:
    """Whether a map (H, W) says anything at all; an all-zero map is said, not drawn."""
    return bool(np.nanmax(np.abs(attribution), initial=0.0) > 0)


def colour_map(attribution: np.ndarray, signed: bool, scale: float, overlay: bool) -> np.ndarray:
    """A map (H, W) float32 in the image's pixels -> (H, W, 4) uint8 RGBA.

    Values beyond `scale` get the full colour. As an overlay, the less a place says, the clearer it is; alone, the map
    is opaque. What the model never saw (NaN) is grey: half clear over the image.
    """
    unseen = ~np.isfinite(attribution)
    share = np.where(unseen, 0.0, attribution) / (scale or 1.0)
    share = share.clip(-1, 1) if signed else np.abs(share).clip(0, 1)
    steps = ((share + 1) / 2 if signed else share) * 255
    rgba = np.empty((*attribution.shape, 4), dtype=np.uint8)
    rgba[..., :3] = colour_table(signed)[steps.round().astype(np.uint8)]
    rgba[..., 3] = (255 * np.sqrt(np.abs(share))).astype(np.uint8) if overlay else 255
    rgba[unseen] = (*UNSEEN, 130 if overlay else 255)
    return rgba


def over(image: np.ndarray, rgba: np.ndarray, opacity: float) -> np.ndarray:
    """A coloured map (H, W, 4) uint8 laid over an image (H, W, 3) uint8 -> (H, W, 3) uint8."""
    alpha = rgba[..., 3:].astype(np.float32) / 255 * opacity
    return (image * (1 - alpha) + rgba[..., :3] * alpha).round().astype(np.uint8)


def map_over(
    image: np.ndarray, attribution: np.ndarray, signed: bool, scale: float, opacity: float = 1.0
) -> np.ndarray:
    """A map (H, W) float32 in colours over the grey image (H, W, 3) uint8 -> (H, W, 3) uint8; see `colour_map`."""
    return over(grey(image), colour_map(attribution, signed, scale, overlay=True), opacity)


def changed_over(image: np.ndarray, change: np.ndarray) -> np.ndarray:
    """A change (H, W) over its image (H, W, 3) uint8 in grey: red is to add, blue to take away; (H, W, 3) uint8."""
    return map_over(paled(image), change, True, map_scale([change]))


def paled(image: np.ndarray) -> np.ndarray:
    """An image (H, W, 3) uint8 in middle greys: red and blue are told from white strokes and black ground alike."""
    return (64 + grey(image).astype(np.float32) * 0.5).astype(np.uint8)


def crisp(image: np.ndarray) -> np.ndarray:
    """A small image (H, W, C) enlarged by whole steps."""
    step = max(1, -(-_CRISP_PX // max(image.shape[:2])))
    return image.repeat(step, 0).repeat(step, 1)


def tiled(tiles: np.ndarray, n_columns: int, empty: int = 0) -> np.ndarray:
    """Tiles (N, h, w, ...) row by row on one image, `n_columns` in a row; `empty` is what ends the last row."""
    n, height, width = tiles.shape[:3]
    n_rows = -(-n // n_columns)
    missing = np.full((n_rows * n_columns - n, *tiles.shape[1:]), empty, tiles.dtype)
    rows = np.concatenate([tiles, missing]).reshape(n_rows, n_columns, *tiles.shape[1:]).swapaxes(1, 2)
    return rows.reshape(n_rows * height, n_columns * width, *tiles.shape[3:])


def shrink(image: np.ndarray, side_px: int) -> np.ndarray:
    """An image (H, W, 3) uint8 with no side above `side_px`."""
    picture = Image.fromarray(image)
    picture.thumbnail((side_px, side_px), Image.Resampling.LANCZOS)
    return np.asarray(picture)


def grey(image: np.ndarray) -> np.ndarray:
    """An image (H, W, 3) uint8 without its colours, so that only the map laid over it has any."""
    return np.asarray(Image.fromarray(image).convert("L").convert("RGB"))


def to_webp(pixels: np.ndarray) -> bytes:
    """Pixels (H, W, 3 or 4) uint8 as a WebP file, small enough for a page."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", quality=85, method=0)
    return buffer.getvalue()


def data_uri(pixels: np.ndarray) -> str:
    """Pixels (H, W, 3 or 4) uint8 as an address that holds their whole WebP file."""
    return "data:image/webp;base64," + base64.b64encode(to_webp(pixels)).decode()


@cache
def scale_bar(signed: bool) -> str:
    """The strip of colours for a legend, as a data URI."""
    return data_uri(np.repeat(colour_table(signed)[None], 12, axis=0))


def to_png(pixels: np.ndarray) -> bytes:
    """Pixels (H, W, 3 or 4) uint8 as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
