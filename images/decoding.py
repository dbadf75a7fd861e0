"""One image file to `(H, W, 3) uint8` RGB, or a mask to `(H, W) bool`, or one line that says why not."""

import io
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import EXTRASAMPLES, TiffImageFile

from common.bounds import MAX_DECODE_BYTES, MAX_DECODE_BYTES_AT_ONCE, MAX_IMAGE_BYTES
from common.errors import InputError, first_line
from common.settings import settings
from images.colour import to_srgb
from images.depth import Samples, check_deep_png, is_tiff, read_samples, to_8_bits, to_image
from images.formats import FORMAT_NAMES, FORMATS, LOSSY
from images.frames import check_frames
from images.room import Room

#: PIL opens by content, whatever a file is called: without this list, a ".png" could start Ghostscript. (MPO files are
#: met as JPEG.)
_OPENED = [kind for kind in FORMATS if kind != "MPO"]

#: A strip of pixels is no image, and grows out of all bounds when its shorter side is enlarged for a model.
_MAX_ASPECT = 100

#: Our own limit stands before PIL's, which only warns between one and two times its own.
Image.MAX_IMAGE_PIXELS = None

#: PIL warns of odd metadata, which does not touch the pixels. (`catch_warnings` would not do: threads decode.)
warnings.filterwarnings("ignore", module=r"PIL\.")


#: Masks of lossy formats are cut here: what was black is no longer quite black.
_HALF = 128

#: What all decoders of the process hold at once.
_ROOM = Room(MAX_DECODE_BYTES_AT_ONCE)

T = TypeVar("T")


@dataclass(frozen=True)
class Decoded:
    """An image, (H, W, 3) uint8 RGB, and what was done to get there ("from CMYK", "first of 12 frames").

    `reading` is text where the pixels are more than the file's own, scaled: converted from a profile, say.
    """

    image: np.ndarray
    notes: tuple[str, ...] = ()
    reading: str = ""


def decode(source: Path | bytes, name: str = "") -> Decoded:
    """Decode an image: turned upright (EXIF), in sRGB, flattened on white, as 8 bits, first frame of an animation.

    Deeper values are scaled by their type and tags (see `images.depth`), colours converted from the file's profile.

    Raises `InputError` for a file that is no image, is cut short, is larger than the settings allow, or does not say
    what its values mean.
    """
    return _open(source, name, _to_rgb, _samples_to_rgb)


def decode_mask(source: Path | bytes, name: str = "") -> np.ndarray:
    """Decode a mask, turned upright (EXIF): (H, W) bool, True inside.

    - What is not black is inside: 1 bit, grey with 0/1 or 0/255 or the numbers of classes, any depth, palettes, RGB.
    - In a lossy format (JPEG, WebP, AVIF, HEIC, JPEG 2000), what is at least half as bright as white.
    - Where some pixels are transparent (RGBA, cut-outs), what is at least half opaque, whatever its colour.

    Raises `InputError` as `decode` does.
    """
    return _open(source, name, _to_mask, _samples_to_mask)


def _open(
    source: Path | bytes,
    name: str,
    convert: Callable[[Image.Image, str, Path | bytes], T],
    convert_samples: Callable[[Samples, str], T],
) -> T:
    name = name or (source.name if isinstance(source, Path) else "the file")
    try:
        n_bytes = len(source) if isinstance(source, bytes) else source.stat().st_size
        if n_bytes > MAX_IMAGE_BYTES:
            expected, cure = f"an image file of at most {MAX_IMAGE_BYTES // 1024**2} MB", "Export it smaller."
            raise InputError(expected, f"{name} with {n_bytes / 1024**2:,.0f} MB", cure)
        check_frames(source, name)
        with ExitStack() as held:

            def check_size(width: int, height: int, bytes_per_pixel: float) -> None:
                _check_size(width, height, bytes_per_pixel, name)
                held.enter_context(_ROOM.taken(width * height * bytes_per_pixel))

            return _read(source, name, convert, convert_samples, check_size)
    except UnidentifiedImageError as error:
        empty = not source if isinstance(source, bytes) else source.stat().st_size == 0
        received = f"{name}, which is empty" if empty else f"{name}, which holds something else"
        cure = "Copy it again." if empty else "Look what kind of file it is, and export it as JPEG or PNG."
        raise InputError(f"an image ({FORMAT_NAMES})", received, cure) from error
    except InputError:
        raise
    except Exception as error:  # a damaged file makes the readers stumble in many ways (zlib, struct, index …)
        received = f"{name}, which is cut short or damaged ({first_line(error)})"
        raise InputError("a whole image", received, "Copy or export it again.") from error


def _read(
    source: Path | bytes,
    name: str,
    convert: Callable[[Image.Image, str, Path | bytes], T],
    convert_samples: Callable[[Samples, str], T],
    check_size: Callable[[int, int, float], None],
) -> T:
    """What one of the readers makes of a file."""
    if (tiff := is_tiff(source)) and (samples := read_samples(source, name, check_size)) is not None:
        return convert_samples(samples, name)
    try:
        with Image.open(source if isinstance(source, Path) else io.BytesIO(source), formats=_OPENED) as image:
            check_size(*image.size, _bytes_per_pixel(image))
            return convert(image, name, source)
    except UnidentifiedImageError:
        if not tiff:
            raise
        samples = read_samples(source, name, check_size, always=True)
        assert samples is not None
        return convert_samples(samples, name)


def _bytes_per_pixel(image: Image.Image) -> float:
    """What decoding takes at its peak, measured: Pillow's own copies, those of the codec, and the result."""
    alpha = image.has_transparency_data or image.mode in ("LA", "PA", "La", "RGBa")
    deep = image.mode in ("I", "F", "CMYK") or image.mode.startswith("I;16") or _is_deep_png(image)
    codec = {"WEBP": 9, "JPEG2000": 9, "AVIF": 4, "HEIF": 9}.get(image.format or "", 0)
    return 8 + 8 * alpha + 7 * deep + codec + 8 * ("icc_profile" in image.info)


def _is_deep_png(image: Image.Image) -> bool:
    """Whether a PNG has 16 bits a channel, of which Pillow takes the high ones."""
    return isinstance(image, PngImageFile) and any("16" in str(tile.args) for tile in image.tile)


def _check_size(width: int, height: int, bytes_per_pixel: float, name: str) -> None:
    """Refuse by the header alone: nothing is decoded yet."""
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
    most = MAX_DECODE_BYTES * max(1, limit / 100)
    if width * height * bytes_per_pixel > most:
        raise InputError(
            f"an image that takes at most {most / 1e6:,.0f} MB to decode",
            f"{name} with {width:,} × {height:,} pixels, which takes {width * height * bytes_per_pixel / 1e6:,.0f} MB",
            "Scale it down, or save it as JPEG, without opacity.",
        )


def _to_rgb(image: Image.Image, name: str, source: Path | bytes) -> Decoded:
    notes = []
    n_frames = getattr(image, "n_frames", 1)
    if n_frames > 1:
        notes.append(f"first of {n_frames} frames")
        if image.format != "HEIF":  # which opens at its primary image
            image.seek(0)
    extras = image.tag_v2.get(EXTRASAMPLES, ()) if isinstance(image, TiffImageFile) else ()
    notes += _left_out([int(kind) for kind in extras])
    deep = _is_deep_png(image)
    image.load()
    image = _upright(image, notes)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        notes.append("from 16 bits")
        image = _from_16_bits(image, name)
    elif image.mode not in ("RGB", "RGBA", "LAB"):
        titles = {"L": "greyscale", "LA": "greyscale", "1": "black and white", "P": "a palette"}
        notes.append(f"from {titles.get(image.mode, image.mode)}")
    if deep and image.mode in ("RGB", "RGBA") and np.asarray(image)[..., :3].max() < 16:  # Pillow has the high bytes
        check_deep_png(source if isinstance(source, bytes) else source.read_bytes(), name)
    return _flat(image, notes)


def _samples_to_rgb(samples: Samples, name: str) -> Decoded:
    notes = [f"first of {samples.n_frames} frames"] if samples.n_frames > 1 else []
    image, note, odd = to_image(samples, name)
    image = _upright(image, notes)
    notes += _left_out(samples.extras)
    notes += [note, "from CMYK"] if image.mode == "CMYK" else [note]
    return _flat(image, notes, note if odd else "")


def _left_out(extras: Sequence[int]) -> list[str]:
    """A note where a TIFF has channels that are neither colours nor opacity."""
    return [f"without its further channels ({extras.count(0)})"] if 0 in extras else []


def _upright(image: Image.Image, notes: list[str]) -> Image.Image:
    if not _is_turned(image):
        return image
    notes.append("turned upright")
    ImageOps.exif_transpose(image, in_place=True)
    return image


def _flat(image: Image.Image, notes: list[str], reading: str = "") -> Decoded:
    """Colours in sRGB, transparency on white."""
    image, note = to_srgb(image)
    if note:
        notes.append(note)
        reading += note * (not note.endswith("ignored"))
    if "A" in image.getbands():
        if image.getchannel("A").getextrema() != (255, 255):
            notes.append("transparency on white")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return Decoded(_pixels(image if image.mode == "RGB" else image.convert("RGB")), tuple(notes), reading)


def _pixels(image: Image.Image) -> np.ndarray:
    """(H, W, 3) uint8; of large images strip by strip, as Pillow would hold them twice on the way."""
    width, height = image.size
    rows = max(1, _STRIP_PIXELS // width)
    if height <= rows:
        return np.asarray(image)
    found = np.empty((height, width, 3), dtype=np.uint8)
    for top in range(0, height, rows):
        found[top : top + rows] = np.asarray(image.crop((0, top, width, min(height, top + rows))))
    found.flags.writeable = False
    return found


#: Pixels that are copied at once.
_STRIP_PIXELS = 4_000_000


def _to_mask(image: Image.Image, _name: str, _source: Path | bytes) -> np.ndarray:
    lossy = image.format in LOSSY
    image.load()
    image = _upright(image, [])
    if image.has_transparency_data:
        alpha = np.asarray(image.convert("RGBA").getchannel("A"))
        if alpha.min() < 255:
            return alpha >= _HALF
    if not (image.mode in ("1", "L", "I", "F") or image.mode.startswith("I;16")):
        image = image.convert("RGB")
    values = np.asarray(image)
    inside: np.ndarray = np.asarray(values >= _HALF) if lossy else np.nan_to_num(values) != 0
    return np.asarray(inside if inside.ndim == 2 else inside.any(axis=2))


def _samples_to_mask(samples: Samples, _name: str) -> np.ndarray:
    opacity = samples.opacity
    if opacity is not None and opacity.min() < 255:
        inside = opacity >= _HALF
    else:
        inside = (np.nan_to_num(samples.colours) != samples.black).any(axis=2)
    return np.asarray(_upright(samples.upright(Image.fromarray(inside)), []))


def _is_turned(image: Image.Image) -> bool:
    """Whether EXIF says that the camera was held another way; damaged EXIF says nothing."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1) in range(2, 9)
    except Exception:
        return False


def _from_16_bits(image: Image.Image, name: str) -> Image.Image:
    """Greys of 16 bits as 8; in PNG, the one that stands for transparency becomes so."""
    if image.mode == "F":
        raise InputError("an image of 8 or 16 bits", f"{name} with floats", "Save it as 16 bits, or as TIFF.")
    values = np.asarray(image)
    eight = Image.fromarray(to_8_bits(values, 0, 65535, name))
    eight.info = {key: value for key, value in image.info.items() if key != "transparency"}
    if isinstance(clear := image.info.get("transparency"), int):
        eight.putalpha(Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8)))
    return eight
