"""Colour profiles: colours come in sRGB, whatever space their file counts in."""

import io
import struct

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from images.decoding import decode
from tests.makers import encoded, picture

IMAGE = picture(24, 30)

#: Primaries (columns, adapted to D50) and gamma of known spaces.
SPACES = {
    "Adobe RGB": ([[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]], 2.2),
    "Wide RGB": ([[0.79767, 0.13519, 0.03134], [0.28804, 0.71188, 0.00009], [0.0, 0.0, 0.82491]], 1.8),
    "BGR": ([[0.14307, 0.38515, 0.43607], [0.06061, 0.71687, 0.22249], [0.71413, 0.09708, 0.01392]], 2.2),
}
SRGB = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71413]])


def fixed(*values: float) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def profile(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes], title: str = "test") -> bytes:
    """An ICC profile of version 2."""
    text = title.encode() + b"\0"
    description = b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78)
    white = b"XYZ \0\0\0\0" + fixed(0.9642, 1, 0.8249)
    tags = {b"desc": description, b"wtpt": white, b"cprt": b"text\0\0\0\0none\0", **tags}
    tags = {name: data + bytes(-len(data) % 4) for name, data in tags.items()}
    start, table, body = 132 + 12 * len(tags), b"", b""
    for name, data in tags.items():
        table += name + struct.pack(">II", start + len(body), len(data))
        body += data
    header = struct.pack(">I4sI4s4s4s12s4s", start + len(body), b"", 0x02400000, kind, space, connection, b"", b"acsp")
    return header.ljust(68, b"\0") + fixed(0.9642, 1, 0.8249) + bytes(48) + struct.pack(">I", len(tags)) + table + body


def curve(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))


def rgb_profile(title: str) -> bytes:
    primaries, gamma = SPACES[title]
    columns = {f"{c}XYZ".encode(): b"XYZ \0\0\0\0" + fixed(*np.array(primaries)[:, n]) for n, c in enumerate("rgb")}
    curves = {f"{c}TRC".encode(): curve(gamma) for c in "rgb"}
    return profile(b"mntr", b"RGB ", b"XYZ ", columns | curves, title)


def cmyk_profile() -> bytes:
    """Inks that are greyish: every ink takes a quarter of the light."""
    corners = [
        [255 * (1 - (c + m + y + k) / 4), 128, 128] for c in (0, 1) for m in (0, 1) for y in (0, 1) for k in (0, 1)
    ]
    straight = bytes(range(256))
    table = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + fixed(1, 0, 0, 0, 1, 0, 0, 0, 1) + straight * 4
    return profile(b"prtr", b"CMYK", b"Lab ", {b"A2B0": table + bytes(np.uint8(corners).ravel()) + straight * 3})


def expected(image: np.ndarray, title: str) -> np.ndarray:
    """sRGB (float, 0 … 255) of colours in a space, by its definition; what sRGB lacks is cut off."""
    primaries, gamma = SPACES[title]
    linear = (np.linalg.inv(SRGB) @ np.array(primaries) @ ((image / 255.0) ** gamma)[..., None])[..., 0].clip(0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("title", SPACES)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_colours_are_converted_to_srgb(title, kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    decoded = decode(encoded(IMAGE, kind, icc_profile=rgb_profile(title), **options))
    assert np.abs(decoded.image - expected(IMAGE, title)).max() < 3
    assert decoded.notes == (f"from {title} to sRGB",)
    assert decoded.reading


def test_what_is_srgb_already_stays_as_it_is_to_the_bit():
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    decoded = decode(encoded(IMAGE, icc_profile=srgb))
    np.testing.assert_array_equal(decoded.image, IMAGE)
    assert (decoded.notes, decoded.reading) == ((), "")


def test_a_profile_counts_with_transparency_palettes_and_greys():
    adobe = rgb_profile("Adobe RGB")
    layers = np.dstack([IMAGE, np.where(np.arange(30) < 15, 255, 0) * np.ones((24, 1))]).astype(np.uint8)
    decoded = decode(encoded(layers, icc_profile=adobe)).image
    assert np.abs(decoded[:, :15] - expected(IMAGE[:, :15], "Adobe RGB")).max() < 3
    assert (decoded[:, 15:] == 255).all()
    indexed = Image.fromarray(IMAGE).quantize(200)
    plain = np.asarray(indexed.convert("RGB"))
    assert np.abs(decode(encoded(indexed, icc_profile=adobe)).image - expected(plain, "Adobe RGB")).max() < 3
    levels = np.tile(np.arange(256, dtype=np.uint8), (3, 1))
    linear = profile(b"mntr", b"GRAY", b"XYZ ", {b"kTRC": curve(1.0)}, "linear grey")
    bright = decode(encoded(levels, icc_profile=linear))
    assert bright.image[0, [0, 55, 255], 0].tolist() == pytest.approx([0, 128, 255], abs=2)
    assert "from linear grey to sRGB" in bright.notes


def test_deep_colours_and_cmyk_are_converted_too():
    buffer = io.BytesIO()
    deep = IMAGE.astype(np.uint16) * 257
    tifffile.imwrite(buffer, deep, photometric="rgb", iccprofile=rgb_profile("Wide RGB"))
    assert np.abs(decode(buffer.getvalue()).image - expected(IMAGE, "Wide RGB")).max() < 3
    inks = Image.fromarray(np.full((8, 8, 4), (255, 0, 0, 0), np.uint8), "CMYK")
    decoded = decode(encoded(inks, "TIFF", icc_profile=cmyk_profile()))
    assert decoded.image[0, 0].tolist() == pytest.approx([185] * 3, abs=3)  # L* = 75
    assert decode(encoded(inks, "TIFF")).image[0, 0].tolist() == [0, 255, 255]


@pytest.mark.parametrize("content", [b"no profile at all", cmyk_profile(), rgb_profile("BGR")[:150]])
def test_a_profile_that_does_not_fit_is_ignored_and_it_is_said(content):
    decoded = decode(encoded(IMAGE, icc_profile=content))
    np.testing.assert_array_equal(decoded.image, IMAGE)
    assert decoded.notes[0].startswith("its colour profile")
