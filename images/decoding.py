"""One image file to `(H, W, 3) uint8` RGB, or a mask to `(H, W) bool`, or one line that says why not."""

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from common.errors import InputError, first_line
from common.settings import settings

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")

#: PIL opens by content, whatever a file is called: without this list, a ".png" could start Ghostscript.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")

#: A strip of pixels is no image, and grows out of all bounds when its shorter side is enlarged for a model.
_MAX_ASPECT = 100

#: Our own limit stands before PIL's, which only warns between one and two times its own.
Image.MAX_IMAGE_PIXELS = None

#: PIL warns of odd metadata, which does not touch the pixels. (`catch_warnings` would not do: threads decode.)
warnings.filterwarnings("ignore", module=r"PIL\.")


#: Masks of lossy formats are cut here: what was black is no longer quite black.
_HALF = 128

T = TypeVar("T")


@dataclass(frozen=True)
class Decoded:
    """An image, (H, W, 3) uint8 RGB, and what was done to get there ("from CMYK", "first of 12 frames")."""

    image: np.ndarray
    notes: tuple[str, ...] = ()


def decode(source: Path | bytes, name: str = "") -> Decoded:
    """Decode an image: turned upright (EXIF), flattened on white, 16 bits scaled to 8, first frame of an animation.

    Raises `InputError` for a file that is no image, is cut short, or is larger than the settings allow.
    """
    return _open(source, name, _to_rgb)


def decode_mask(source: Path | bytes, name: str = "") -> np.ndarray:
    """Decode a mask, turned upright (EXIF): (H, W) bool, True inside.

    - What is not black is inside: 1 bit, grey with 0/1 or 0/255 or the numbers of classes, 16 bits, palettes, RGB.
    - In a lossy file (JPEG, WebP), what is at least half as bright as white.
    - Where some pixels are transparent (RGBA, cut-outs), what is at least half opaque, whatever its colour.

    Raises `InputError` as `decode` does.
    """
    return _open(source, name, _to_mask)


def _open(source: Path | bytes, name: str, convert: Callable[[Image.Image], T]) -> T:
    name = name or (source.name if isinstance(source, Path) else "the file")
    try:
        with Image.open(source if isinstance(source, Path) else io.BytesIO(source), formats=_FORMATS) as image:
            _check_size(image, name)
            return convert(image)
    except UnidentifiedImageError as error:
        empty = not source if isinstance(source, bytes) else source.stat().st_size == 0
        received = f"{name}, which is empty" if empty else f"{name}, which holds something else"
        cure = "Copy it again." if empty else "Look what kind of file it is, and export it as JPEG or PNG."
        raise InputError("an image (JPEG, PNG, WebP, GIF, BMP, TIFF)", received, cure) from error
    except InputError:
        raise
    except Exception as error:  # a damaged file makes PIL's readers stumble in many ways (zlib, struct, index …)
        received = f"{name}, which is cut short or damaged ({first_line(error)})"
        raise InputError("a whole image", received, "Copy or export it again.") from error


def _check_size(image: Image.Image, name: str) -> None:
    """Refuse by the header alone: nothing is decoded yet."""
    width, height = image.size
    limit = settings().max_image_megapixels
    if width * height > limit * 1_000_000:
        raise InputError(
            f"an image of at most {limit} megapixels",
            f"{name} with {width:,} × {height:,} pixels",
            "Scale it down, or raise max_image_megapixels in parallax.toml.",
        )
    if max(width, height) > _MAX_ASPECT * min(width, height):
        expected = f"an image at most {_MAX_ASPECT} times as long as it is wide"
        raise InputError(expected, f"{name} with {width:,} × {height:,} pixels", "Cut out the part that matters.")


def _to_rgb(image: Image.Image) -> Decoded:
    notes = []
    n_frames = getattr(image, "n_frames", 1)
    if n_frames > 1:
        notes.append(f"first of {n_frames} frames")
        image.seek(0)
    image.load()
    if _is_turned(image):
        image = ImageOps.exif_transpose(image)
        notes.append("turned upright")
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image, note = _to_8_bits(image)
        notes.append(note)
    elif image.mode not in ("RGB", "RGBA"):
        titles = {"L": "greyscale", "LA": "greyscale", "1": "black and white", "P": "a palette"}
        notes.append(f"from {titles.get(image.mode, image.mode)}")
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema() != (255, 255):
            notes.append("transparency on white")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return Decoded(np.asarray(image.convert("RGB")), tuple(notes))


def _to_mask(image: Image.Image) -> np.ndarray:
    lossy = image.format in ("JPEG", "WEBP")
    image.load()
    if _is_turned(image):
        image = ImageOps.exif_transpose(image)
    if "A" in image.getbands() or "transparency" in image.info:
        alpha = np.asarray(image.convert("RGBA").getchannel("A"))
        if alpha.min() < 255:
            return alpha >= _HALF
    if not (image.mode in ("1", "L", "I", "F") or image.mode.startswith("I;16")):
        image = image.convert("RGB")
    values = np.asarray(image)
    inside: np.ndarray = np.asarray(values >= _HALF) if lossy else np.nan_to_num(values) != 0
    return np.asarray(inside if inside.ndim == 2 else inside.any(axis=2))


def _is_turned(image: Image.Image) -> bool:
    """Whether EXIF says that the camera was held another way; damaged EXIF says nothing."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1) in range(2, 9)
    except Exception:
        return False


def _to_8_bits(image: Image.Image) -> tuple[Image.Image, str]:
    """Grey values of 16 or 32 bits, or floats in [0, 1], as 8 bits; values that fit into 8 bits stay what they are."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float32))
    highest = values.max(initial=0)
    top = 1 if image.mode == "F" and highest <= 1 else 255 if highest <= 255 else 65535
    scaled = (values.clip(0, top) * (255 / top)).round().astype(np.uint8)
    return Image.fromarray(scaled), "from 16 bits" if top > 255 else f"from mode {image.mode}"
