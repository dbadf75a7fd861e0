"""From an image to what a model sees, and back: resize, crop, and the way a map returns to the image's pixels.

Resizing and cropping are those of torchvision and timm (PIL, antialiased), to the pixel; a test holds them together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from common.bounds import MAX_RESIZE, MAX_RESIZED_PIXELS
from common.errors import InputError, check_known
from common.settings import settings

if TYPE_CHECKING:
    import torch
    from torch import Tensor

MODES = ("center", "squash", "border")
INTERPOLATIONS = tuple(kind.name.lower() for kind in Image.Resampling)


#: What `Preprocessing.changed` takes.
FIELDS = ("input_size", "mean", "std", "resize", "mode", "interpolation", "range")


@dataclass(frozen=True)
class Frame:
    """Where a model's input lies on an image.

    An image of any size is resized to `resized` (height, width), then `size` (height, width) is cut at `offset`
    (top, left; negative where the model sees padding).
    """

    resized: tuple[int, int]
    offset: tuple[int, int]
    size: tuple[int, int]

    def box(self, height: int, width: int) -> tuple[float, float, float, float]:
        """(left, top, right, bottom) of the model's input, in pixels of an image of `height` × `width`."""
        y, x = height / self.resized[0], width / self.resized[1]
        top, left = self.offset
        return left * x, top * y, (left + self.size[1]) * x, (top + self.size[0]) * y


@dataclass(frozen=True)
class Preprocessing:
    """What happens to an image before a model sees it.

    `input_size` and `resize` are (height, width) in pixels; `mean` and `std` belong to channels in [0, 1].
    `mode`: "center" resizes the shorter side to `resize` and cuts the middle, "squash" resizes both sides,
    "border" fits the whole image in and pads. Raises `InputError` for values that no image can go through.
    """

    input_size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: tuple[int, int]
    mode: str = "center"
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        for name in ("input_size", "resize"):
            _check_sides(name, getattr(self, name))
        expected, received = "mean and std of each channel, in [0, 1]", f"mean {self.mean} and std {self.std}"
        if not all(isinstance(value, int | float) and abs(value) < math.inf for value in (*self.mean, *self.std)):
            raise InputError(expected, received, "Write numbers, as in 0.485, 0.456, 0.406.")
        if len(self.mean) not in (1, 3) or len(self.std) != len(self.mean) or min(self.std) <= 0:
            raise InputError(expected, received, "Give three values of each for colour, one for grey; std above zero.")
        if max(*self.mean, *self.std) > 1:
            raise InputError(expected, received, "For pixels from 0 to 255, add range=255, or divide both by 255.")
        for name, known in (("mode", MODES), ("interpolation", INTERPOLATIONS)):
            check_known(str(getattr(self, name)), known, f"{name} to be one of {', '.join(known)}")

    def describe(self) -> str:
        """All of it in a line, as `224 × 224 px RGB: shorter side to 256, centre crop, bilinear · pixels 0 to 1, …`."""
        height, width = self.resize
        resized = {
            "center": f"shorter side to {width}" if width == height else f"to at least {width} × {height}",
            "squash": f"both sides to {width} × {height}",
            "border": f"whole image within {width} × {height}, padded",
        }[self.mode]
        crop = "" if self.mode == "squash" and self.resize == self.input_size else ", centre crop"
        mean, std = (", ".join(f"{value:.4g}" for value in values) for values in (self.mean, self.std))
        seen = f"{self.input_size[1]} × {self.input_size[0]} px {'in grey' if self.channels == 1 else 'RGB'}"
        return f"{seen}: {resized}{crop}, {self.interpolation} · pixels 0 to 1, mean {mean}, std {std}"

    @property
    def channels(self) -> int:
        """3 for colour, 1 for grey models."""
        return len(self.mean)

    def mean_and_std(self, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
        """`mean` and `std` as tensors (channels, 1, 1) float32, which broadcast over images (..., channels, H, W)."""
        import torch  # late: cards are read where nothing is computed

        mean, std = (torch.tensor(values, device=device).view(-1, 1, 1) for values in (self.mean, self.std))
        return mean, std

    def changed(self, changes: Mapping[str, Any]) -> Preprocessing:
        """A copy with some fields changed, as a form or a JSON file gives them: lists for tuples, one side for two.

        A new `input_size` alone takes `resize` along, so that the model sees the same share of the image. With a
        `range`, `mean` and `std` belong to pixels from 0 to that number, such as 255. Raises `InputError` for an
        unknown field, or values that are none.
        """
        for name in changes:
            check_known(name, FIELDS, "a field of the preprocessing")
        plain: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in changes.items()
        }
        top = plain.pop("range", 1)
        if top != 1 and not (isinstance(top, int | float) and top > 0 and {"mean", "std"} <= plain.keys()):
            cure = "Write range=255&mean=124,116,104&std=58,57,57, or mean=0 and std=1 for pixels as they are."
            raise InputError("the largest value of a pixel, with the mean and std that belong to it", repr(top), cure)
        for name in ("mean", "std"):
            if name in plain:
                plain[name] = _per_channel(plain[name], self.channels, top)
        for name in ("input_size", "resize"):
            if name in plain:
                plain[name] = _sides(plain[name])
                _check_sides(name, plain[name])
        if "input_size" in plain and "resize" not in plain:
            pairs = zip(plain["input_size"], self.resize, self.input_size, strict=True)
            plain["resize"] = tuple(round(new * resize / old) for new, resize, old in pairs)
        return replace(self, **plain)

    def frame(self, height: int, width: int) -> Frame:
        """Where the model's input lies on an image of `height` × `width` pixels."""
        y, x = height / self.resize[0], width / self.resize[1]
        if self.mode == "squash":
            resized = self.resize
        elif self.mode == "border":
            resized = (max(1, round(height / max(y, x))), max(1, round(width / max(y, x))))
        elif self.resize[0] != self.resize[1]:
            resized = (round(height / min(y, x)), round(width / min(y, x)))
        else:
            side = self.resize[0]  # torchvision rounds the longer side down
            resized = (side, int(side * width / height)) if height <= width else (int(side * height / width), side)
        offset = (_centre(resized[0], self.input_size[0]), _centre(resized[1], self.input_size[1]))
        return Frame(resized, offset, self.input_size)

    def crop(self, image: np.ndarray) -> np.ndarray:
        """The image as the model sees it, before normalising.

        `image` (H, W, 3) uint8 RGB -> (h, w, channels) uint8, h × w the model's input size.
        """
        frame = self.frame(*image.shape[:2])
        if math.prod(frame.resized) > MAX_RESIZED_PIXELS:
            received = f"one of {frame.resized[1]:,} × {frame.resized[0]:,} pixels"
            cure = "Cut out the part of the image that matters, or choose a smaller resize."
            expected = f"an image that is resized to at most {MAX_RESIZED_PIXELS // 10**6} megapixels"
            raise InputError(expected, received, cure)
        resized = Image.fromarray(image)
        if self.channels == 1:
            resized = resized.convert("L")
        cut = resized = resized.resize(frame.resized[::-1], Image.Resampling[self.interpolation.upper()])
        if (frame.offset, frame.size) != ((0, 0), frame.resized):
            top, left = frame.offset
            cut = Image.new(resized.mode, frame.size[::-1], self._padding())
            cut.paste(resized, (-left, -top))
        pixels = np.asarray(cut)
        return pixels[..., None] if pixels.ndim == 2 else pixels

    def to_image(self, attribution: np.ndarray, height: int, width: int) -> np.ndarray:
        """Lay a map over an image: undo the model's resize and crop.

        `attribution` (h, w) float32 over the model's input, at any resolution -> (height, width) float32 in the
        image's pixels, bilinear; NaN where the model never saw the image.
        """
        left, top, right, bottom = self.frame(height, width).box(height, width)
        x0, x1 = _pixels(left, right, width)
        y0, y1 = _pixels(top, bottom, height)
        rows, columns = attribution.shape
        y, x = rows / (bottom - top), columns / (right - left)  # cells of the map per pixel of the image
        box = (
            max(0.0, (x0 - left) * x),
            max(0.0, (y0 - top) * y),
            min(float(columns), (x1 - left) * x),
            min(float(rows), (y1 - top) * y),
        )
        whole = np.full((height, width), np.nan, dtype=np.float32)
        patch = Image.fromarray(np.ascontiguousarray(attribution, dtype=np.float32))
        whole[y0:y1, x0:x1] = np.asarray(patch.resize((x1 - x0, y1 - y0), Image.Resampling.BILINEAR, box=box))
        return whole

    def _padding(self) -> int | tuple[int, ...]:
        """Colour outside the image: black where torchvision crops beyond it, the mean where timm adds a border."""
        if self.mode != "border":
            return 0
        mean = tuple(round(255 * value) for value in self.mean)
        return mean if len(mean) > 1 else mean[0]


def _per_channel(values: Any, channels: int, top: float) -> tuple[Any, ...]:
    """One value for each channel, of pixels in [0, 1]; a single number holds for all."""
    values = values if isinstance(values, tuple) else (values,) * channels
    if len(values) != channels:
        cure = "Give three values of each for colour, one for grey; std above zero."
        raise InputError(f"mean and std of {channels} channels", f"{len(values)} values", cure)
    scaled = top != 1 and all(isinstance(value, int | float) for value in values)
    return tuple(value / top for value in values) if scaled else values


def _sides(value: Any) -> Any:
    """Height and width of one number for both, or of timm's (channels, height, width)."""
    return (value, value) if isinstance(value, int) else value[-2:] if isinstance(value, tuple) else value


def _check_sides(name: str, value: Any) -> None:
    if not (isinstance(value, tuple) and len(value) == 2 and all(isinstance(side, int) and side > 0 for side in value)):
        raise InputError(f"{name} as height and width in pixels", repr(value)[:200], "Write it as 224, 224.")
    most = settings().max_input_pixels * (1 if name == "input_size" else MAX_RESIZE)
    if max(value) > most:
        received = f"{value[1]:,} × {value[0]:,}" if max(value) < 1e15 else "more"
        raise InputError(f"{name} of at most {most:,} pixels a side", received, "Write it as 224, 224.")


def _centre(length: int, cut: int) -> int:
    """Start of a centred cut, rounded as torchvision's CenterCrop rounds it; negative where it pads."""
    return round((length - cut) / 2.0) if length >= cut else -((cut - length) // 2)


def _pixels(start: float, stop: float, length: int) -> tuple[int, int]:
    """The whole pixels that lie mostly between `start` and `stop`, at least one, within a side of `length`."""
    first = min(max(0, round(start)), length - 1)
    return first, max(first + 1, min(length, round(stop)))
