"""More than 8 bits: what the values of a file stand for, by their type and tags, and the same as 8 bits.

Never by the highest value of one image: a dark image would come out bright, beside its neighbours.
"""

import io
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from PIL import ExifTags, Image

from common.bounds import MAX_DECODE_BYTES
from common.errors import InputError

#: Images whose values all lie in this lowest part of their range are hardly meant so: 12 bits in a file of 16.
_NEARLY_BLACK = 1 / 16

#: Floats may lie so far beyond 0 to 1 and still mean that: resampling and sharpening overshoot.
_OVERSHOOT = 0.25

#: Channels of colour for each of TIFF's photometric interpretations that we read, and Pillow's mode for them.
_COLOURS = {0: (1, "L"), 1: (1, "L"), 2: (3, "RGB"), 5: (4, "CMYK"), 8: (3, "LAB"), 9: (3, "LAB")}
_WHITE_IS_ZERO, _ICC_LAB = 0, 9

#: Further channels that are opacity: colours multiplied by it, or not.
_ASSOCIATED, _UNASSOCIATED = 1, 2

#: Tags: orientation, colour profile, and the lowest and highest value (of any type, then of unsigned integers).
_ORIENTATION, _PROFILE, _LIMITS = 274, 34675, ((340, 341), (280, 281))

#: Values that are computed with at once, and channels of an image, at most.
_BLOCK, _MOST_CHANNELS = 1_000_000, 8

#: Ways of packing that cannot unpack to more than a piece holds: none, CCITT, LZW, Deflate, PackBits, LZMA, Zstandard.
_COMPRESSIONS, _MOST_PIECES = (1, 2, 3, 4, 5, 8, 32773, 32946, 34925, 50000), 200_000

#: Bytes a pixel beside the values themselves, twice: 8 bits, Pillow's copies, and the result.
_SAMPLE_BYTES = 14

_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # it tells of odd tags, which do not touch the pixels


@dataclass(frozen=True)
class Samples:
    """A TIFF's first image as the file has it.

    `values` (H, W, channels), of which the first `n_colours` are colours (in Pillow's `mode`) and those after it
    `extras`; `limits` are what its tags say of black and white, if they do.
    """

    values: np.ndarray
    n_colours: int
    mode: str
    photometric: int
    extras: tuple[int, ...]
    bits: int
    limits: tuple[float, float] | None
    profile: bytes
    orientation: int
    n_frames: int

    @property
    def colours(self) -> np.ndarray:
        """(H, W, n_colours)."""
        return self.values[..., : self.n_colours]

    @property
    def black(self) -> int:
        """What is black in the file."""
        return 2**self.bits - 1 if self.photometric == _WHITE_IS_ZERO and self.values.dtype.kind == "u" else 0

    @property
    def opacity(self) -> np.ndarray | None:
        """(H, W) uint8, where one of the further channels is that."""
        channel = next((n for n, kind in enumerate(self.extras) if kind in (_ASSOCIATED, _UNASSOCIATED)), None)
        if channel is None:
            return None
        values = self.values[..., self.n_colours + channel]
        top = 1 if values.dtype.kind == "f" else np.iinfo(values.dtype).max
        return np.asarray((np.nan_to_num(values / top).clip(0, 1) * 255).round().astype(np.uint8))

    def upright(self, image: Image.Image) -> Image.Image:
        """The image, which gets this file's orientation for Pillow to follow."""
        if self.orientation != 1:
            image.getexif()[ExifTags.Base.Orientation] = self.orientation
        return image


def is_tiff(source: Path | bytes) -> bool:
    """Whether a file begins as a TIFF does."""
    if isinstance(source, bytes):
        return source[:4] in _TIFF_STARTS
    with source.open("rb") as file:
        return file.read(4) in _TIFF_STARTS


def read_samples(
    source: Path | bytes, name: str, check_size: Callable[[int, int, float], None], always: bool = False
) -> Samples | None:
    """The first image of a TIFF; `None` for up to 8 unsigned bits in the usual colours, unless it is wanted `always`.

    `check_size(width, height, bytes a pixel)` is asked before the pixels are decoded, and may raise. Raises
    `InputError` where the channels are no colours that we know.
    """
    with tifffile.TiffFile(io.BytesIO(source) if isinstance(source, bytes) else source) as file:
        page: Any = file.pages[0]
        bits = max(np.atleast_1d(page.bitspersample))
        photometric, extras = int(page.photometric), tuple(map(int, page.extrasamples))
        if not always and bits <= 8 and page.sampleformat in (0, 1, 4) and photometric != _ICC_LAB:
            return None
        _check_layout(page, name)
        check_size(page.imagewidth, page.imagelength, 2 * page.samplesperpixel * max(1, bits // 8) + _SAMPLE_BYTES)
        n_colours, mode = _COLOURS.get(photometric, (0, ""))
        unknown = len([kind for kind in extras if kind not in (_ASSOCIATED, _UNASSOCIATED)])
        numbers = page.dtype is not None and page.dtype.kind in "uif"
        if page.samplesperpixel != n_colours + len(extras) or not mode or not numbers or unknown > (mode == "RGB"):
            title = getattr(page.photometric, "name", page.photometric)
            received = f"{name} with {page.samplesperpixel} channels of {bits} bits ({title})"
            raise InputError("an image in grey, RGB, CMYK or Lab", received, "Export what matters of it as RGB.")
        values = page.asarray(maxworkers=1)
        if values.ndim == 3 and page.planarconfig == tifffile.PLANARCONFIG.SEPARATE:
            values = np.moveaxis(values, 0, -1)
        values = values.reshape(page.imagelength, page.imagewidth, page.samplesperpixel)
        orientation, profile = int(_tag(page, _ORIENTATION) or 1), bytes(_tag(page, _PROFILE) or b"")
        limits = _limits(page, values[..., :n_colours])
        return Samples(
            values, n_colours, mode, photometric, extras, int(bits), limits, profile, orientation, len(file.pages)
        )


def _check_layout(page: Any, name: str) -> None:
    """Refuse by the tags alone: pieces that are larger than the image, very many, or images of other formats."""
    n_values = float(np.prod(page.chunks, dtype=float))
    if page.samplesperpixel > _MOST_CHANNELS or page.imagedepth > 1 or n_values > MAX_DECODE_BYTES / 8:
        received = (
            f"{name} with {page.samplesperpixel:,} channels, {page.imagedepth:,} deep, in pieces of {n_values:,.0f}"
        )
        raise InputError("a flat image of few channels", received, "Export what matters of it as RGB.")
    if len(page.dataoffsets) > _MOST_PIECES or int(page.compression) not in _COMPRESSIONS:
        title = getattr(page.compression, "name", page.compression)
        received = f"{name} in {len(page.dataoffsets):,} pieces ({title})"
        raise InputError("a TIFF that is not packed, or by LZW or Deflate", received, "Export it again.")


def to_image(samples: Samples, name: str) -> tuple[Image.Image, str, bool]:
    """8 bits (L, RGB, CMYK or LAB, and an alpha channel), what was done, and whether that was more than scaling.

    Raises `InputError` where the file does not say what black and white are.
    """
    if samples.mode == "LAB":
        image, note, odd = _lab(samples, name), f"from {samples.bits} bits", True
    else:
        (low, high), note = _range(samples, name)
        colours = to_8_bits(samples.colours, low, high, name, sure=samples.limits is not None)
        if samples.photometric == _WHITE_IS_ZERO:
            colours = 255 - colours
        image = Image.frombytes(samples.mode, colours.shape[1::-1], colours.tobytes())
        plain = samples.bits == 16 or samples.values.dtype.kind == "f"
        odd = not plain or ";" in note or samples.photometric == _WHITE_IS_ZERO
    if (opacity := samples.opacity) is not None and image.mode in ("L", "RGB"):
        layers = Image.merge(f"{image.mode}A", (*image.split(), Image.fromarray(opacity)))
        if _ASSOCIATED in samples.extras:
            layers = Image.frombytes(f"{image.mode}a", image.size, layers.tobytes()).convert(f"{image.mode}A")
        image = layers
    if samples.profile:
        image.info["icc_profile"] = samples.profile
    return samples.upright(image), note, odd


def to_8_bits(values: np.ndarray, low: float, high: float, name: str, sure: bool = False) -> np.ndarray:
    """Values between `low` (black) and `high` (white) as uint8; what is no number is black.

    Raises `InputError` where all are nearly black, and it is not `sure` that the range is meant so.
    """
    highest = max((float(_known(block, low).max(initial=low)) for block in _blocks(values)), default=low)
    if not sure and low < highest < low + (high - low) * _NEARLY_BLACK:
        received = f"{name}, which is nearly black: its highest value is {highest:,.5g} of {high:,}"
        cure = "Save it as 8 bits, or multiply it up to the full range; a TIFF can also say its MaxSampleValue (281)."
        raise InputError("values that use the range of their type", received, cure)
    if values.ndim == 3 and values.shape[2] > 1 and (values.dtype, low, high) == (np.uint16, 0, 65535):
        return (values >> 8).astype(np.uint8)  # as Pillow does with colours
    eight = np.empty(values.shape, dtype=np.uint8)
    for block, place in zip(_blocks(values), _blocks(eight), strict=True):
        place[...] = ((_known(block, low).clip(low, high) - low) * (255 / (high - low))).round()
    return eight


def _known(values: np.ndarray, low: float) -> np.ndarray:
    """Values as floats, `low` where there is none."""
    return np.nan_to_num(values.astype(np.float32 if values.dtype.itemsize <= 2 else np.float64), nan=low)


def _blocks(values: np.ndarray) -> list[np.ndarray]:
    """Rows of an image, so many that computing with them takes little memory."""
    rows = max(1, _BLOCK * len(values) // max(1, values.size))
    return [values[start : start + rows] for start in range(0, len(values), rows)]


def check_deep_png(content: bytes, name: str) -> None:
    """Raise `InputError` for a PNG of 16-bit colours that would come out nearly black, see `to_8_bits`."""
    values = imagecodecs.png_decode(content)
    to_8_bits(values[..., : {2: 1}.get(values.shape[2], 3)], 0, 65535, name)  # without its opacity


def _tag(page: Any, code: int) -> Any:
    tag = page.tags.get(code)
    return None if tag is None else tag.value


def _limits(page: Any, colours: np.ndarray) -> tuple[float, float] | None:
    """What is black and white by the tags; `None` where they don't say it, or the values show that they are wrong."""
    for lowest, highest in _LIMITS:
        high, low = _tag(page, highest), _tag(page, lowest)
        if high is not None:
            low, high = float(np.min(0 if low is None else low)), float(np.max(high))
            if low < high and (colours.dtype.kind == "f" or (low <= colours.min() and colours.max() <= high)):
                return low, high
    return None


def _range(samples: Samples, name: str) -> tuple[tuple[float, float], str]:
    """The values that are black and white, and a note of that."""
    colours, kind = samples.colours, samples.colours.dtype.kind
    note = f"from {samples.bits}-bit floats" if kind == "f" else f"from {samples.bits} bits"
    if samples.limits is not None:
        return samples.limits, note + "; {:g} to {:g} by its tags".format(*samples.limits)
    if kind == "u":
        return (0, 2**samples.bits - 1), note
    lowest, highest = (float(one(colours, axis=None)) for one in (np.fmin.reduce, np.fmax.reduce))
    cure = "Save it as 8 or 16 unsigned bits, or set its tags SMinSampleValue and SMaxSampleValue (340, 341)."
    received = f"{name} with values from {lowest:g} to {highest:g}"
    if kind == "i":
        raise InputError("a range for signed integers", received, cure)
    if lowest < -_OVERSHOOT or highest > 1 + _OVERSHOOT:
        raise InputError("floats from 0 (black) to 1 (white)", received, cure)
    beyond = lowest < 0 or highest > 1
    return (0, 1), note + "; what lies beyond 0 to 1 is cut off" * beyond


def _lab(samples: Samples, name: str) -> Image.Image:
    """8-bit Lab with a and b signed, as Pillow has it."""
    colours = samples.colours
    if colours.dtype.itemsize > 2 or colours.dtype.kind == "f":
        raise InputError("Lab of 8 or 16 bits", f"{name} with {samples.bits} bits", "Export it as RGB.")
    eight = (colours.view(np.uint16) >> 8 if colours.dtype.itemsize == 2 else colours).astype(np.uint8)
    if samples.photometric == _ICC_LAB:
        eight = eight ^ np.array([0, 128, 128], dtype=np.uint8)
    return Image.frombytes("LAB", eight.shape[1::-1], eight.tobytes())
