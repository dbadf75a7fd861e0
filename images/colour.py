"""Colour profiles: what an image's numbers mean, and the same colours in sRGB, which models are trained on."""

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

from common.bounds import MAX_PROFILE_BYTES

#: Profiles that move no colour by more than this count as sRGB, and leave the image as it is.
_SAME_OF_255 = 3

#: Modes in which the colours of a profile's space can stand.
_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}


def to_srgb(image: Image.Image) -> tuple[Image.Image, str]:
    """An 8-bit image as RGB (RGBA where it has an alpha channel), its colours in sRGB; and what was done, or "".

    Colours without a profile, and in profiles that differ from sRGB only by rounding, stay what they are.
    """
    profile: bytes = image.info.get("icc_profile") or b""
    if len(profile) > MAX_PROFILE_BYTES:
        profile = b"too large"  # which does not fit
    opacity = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    converted, note = _converted(image, profile)
    if opacity is not None:
        converted.putalpha(opacity)
    return converted, note


def _converted(image: Image.Image, profile: bytes) -> tuple[Image.Image, str]:
    """Colours alone."""
    if image.mode == "LAB":
        lab = _transform(b"", "LAB")
        assert not isinstance(lab, str)
        return _applied(lab, image), "from Lab"
    if not profile:
        return _plain(image), ""
    mode = _mode_of(profile)
    if (mode == "CMYK" and image.mode != mode) or (mode == "L" and image.mode not in ("1", "L", "LA")) or not mode:
        return _plain(image), "its colour profile does not fit and is ignored"
    transform = _transform(profile, mode)
    if isinstance(transform, str):
        return _plain(image), transform
    source = image if image.mode == mode else _plain(image) if mode == "RGB" else image.convert(mode)
    return _applied(transform, source), f"from {_title(profile)} to sRGB"


def _plain(image: Image.Image) -> Image.Image:
    """RGB as Pillow makes it of any mode, without a profile."""
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    return (image.convert("RGBA") if image.has_transparency_data else image).convert("RGB")


def _applied(transform: ImageCms.ImageCmsTransform, image: Image.Image) -> Image.Image:
    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None  # only where it works in place
    return converted


def _open(profile: bytes) -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(io.BytesIO(profile))


@lru_cache(maxsize=16)
def _mode_of(profile: bytes) -> str:
    """The mode of images that a profile is for; empty for a profile that is damaged or for no image."""
    try:
        return _MODES.get(_open(profile).profile.xcolor_space.strip(), "")
    except OSError:
        return ""


@lru_cache(maxsize=16)
def _title(profile: bytes) -> str:
    """What a profile calls itself, in a few words."""
    title = " ".join(ImageCms.getProfileDescription(_open(profile)).replace(",", " ").split())
    return title[:40] or "its colour profile"


@lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | str:
    """The way from a profile (Lab for none) to sRGB; "" where it is sRGB, and else why there is no way."""
    srgb = ImageCms.createProfile("sRGB")
    try:
        source = _open(profile) if profile else ImageCms.createProfile("LAB")
        transform = ImageCms.buildTransform(source, srgb, mode, "RGB")
    except (OSError, ImageCms.PyCMSError):
        return "its colour profile cannot be used and is ignored"
    levels = np.linspace(0, 255, 17).round().astype(np.uint8)
    if mode == "RGB":
        cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(17, -1, 3)
    elif mode == "L":
        cube = np.arange(256, dtype=np.uint8)[None]
    else:
        return transform
    moved = np.asarray(_applied(transform, Image.fromarray(cube))).astype(int)
    same = np.abs(moved - cube.reshape(*moved.shape[:2], -1)).max() <= _SAME_OF_255
    return "" if same else transform
