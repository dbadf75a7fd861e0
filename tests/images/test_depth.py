"""Values deeper than 8 bits: scaled by type and tags alone, or refused with a cure."""

import io
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image

from images.decoding import decode, decode_mask
from tests.images.test_decoding import png_chunk
from tests.makers import encoded, one_line

GREY = np.linspace(0, 1, 240).reshape(12, 20)
RGB = np.dstack([GREY, GREY[::-1], np.roll(GREY, 77)])
LOWEST, HIGHEST, LARGEST = 340, 341, 281


def whole(values: np.ndarray, bits: int = 16) -> np.ndarray:
    """0 … 1 as unsigned integers over all of their range."""
    return (values * (2**bits - 1)).round().astype(f"u{max(bits // 8, 2)}" if bits > 8 else "u1")


def tiff(values: np.ndarray, tags: dict[int, float] | None = None, **options) -> bytes:
    """A TIFF; tags of integers as 16 bits, of floats as floats."""
    buffer = io.BytesIO()
    kinds = {int: 8 if values.dtype.kind == "i" else 3, float: 11}
    extra = [(code, kinds[type(value)], 1, value, True) for code, value in (tags or {}).items()]
    tifffile.imwrite(buffer, values, extratags=extra, **options)
    return buffer.getvalue()


def near(content: bytes, expected: np.ndarray, within: float = 1.01) -> bool:
    """Whether an image is `expected` (0 … 1), to one level of 255."""
    image = decode(content, "a.tif").image
    target = np.broadcast_to((expected if expected.ndim == 3 else expected[..., None]) * 255, image.shape)
    return bool(np.abs(image - target).max() <= within)


@pytest.mark.parametrize(
    "content",
    [
        tiff(GREY.astype(np.float16)),
        tiff(GREY.astype(np.float32), byteorder=">"),
        tiff(GREY.astype(np.float64), bigtiff=True),
        tiff(GREY.astype(np.float32), compression="lzw", predictor=True),
        tiff(whole(GREY), byteorder=">"),
        tiff(whole(GREY, 32)),
        tiff(whole(1 - GREY), photometric="miniswhite"),
        tiff(whole(GREY, 10), bitspersample=10),
        tiff(whole(GREY, 12), bitspersample=12),
        tiff(whole(GREY, 12), {LARGEST: 4095}),
        tiff((GREY * 255).astype(np.float32), {LOWEST: 0.0, HIGHEST: 255.0}),
        tiff((GREY * 2 - 1).astype(np.float32), {LOWEST: -1.0, HIGHEST: 1.0}),
        tiff((GREY * 2000 - 1000).astype(np.int16), {LOWEST: -1000, HIGHEST: 1000}),
        encoded(Image.fromarray(whole(GREY)), "JPEG2000"),
        b"P5 20 12 4095\n" + whole(GREY, 12).astype(">u2").tobytes(),
    ],
    ids=[
        *["half floats", "big-endian floats", "doubles", "packed floats", "big-endian", "32 bits", "white is zero"],
        *["10 bits", "12 bits", "12 of 16 bits", "floats to 255", "floats from -1", "signed", "JPEG 2000", "PGM"],
    ],
)
def test_greys_of_any_depth_are_scaled_by_type_and_tags(content):
    assert near(content, GREY)


@pytest.mark.parametrize(
    "content",
    [
        tiff(whole(RGB), photometric="rgb"),
        tiff(whole(RGB).transpose(2, 0, 1).copy(), photometric="rgb", planarconfig="separate"),
        tiff(whole(RGB, 12), {LARGEST: 4095}, photometric="rgb"),
        tiff(RGB.astype(np.float32), photometric="rgb"),
        tiff(np.dstack([whole(1 - RGB), whole(GREY * 0)]), photometric="separated"),
        tiff(np.dstack([whole(RGB), whole(GREY * 0 + 1)]), photometric="rgb", extrasamples=["unassalpha"]),
        imagecodecs.png_encode(whole(RGB)),
        imagecodecs.png_encode(np.dstack([whole(RGB), whole(GREY * 0 + 1)])),
    ],
    ids=["RGB", "planes", "12 of 16 bits", "floats", "CMYK", "RGBA", "PNG", "PNG with alpha"],
)
def test_colours_of_any_depth_are_scaled_by_type_and_tags(content):
    assert near(content, RGB, within=1.5)


def test_few_bits_of_an_odd_number_are_scaled_too():
    assert near(tiff(whole(GREY, 6), bitspersample=6), GREY, within=255 / 63)


def test_a_dark_image_stays_dark_beside_a_bright_one():
    half = tiff((GREY * 0.4).astype(np.float32)), tiff(whole(GREY * 0.4))
    assert [decode(content).image.max() for content in half] == [102, 102]


def test_floats_that_overshoot_are_cut_and_it_is_said():
    decoded = decode(tiff((GREY * 1.2 - 0.1).astype(np.float32)))
    assert decoded.notes == ("from 32-bit floats; what lies beyond 0 to 1 is cut off",)
    assert decoded.image[..., 0].mean() == pytest.approx(127.5, abs=1)


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (tiff((GREY * 300).astype(np.float32)), ["floats from 0 (black) to 1", "from 0 to 300", "SMaxSampleValue"]),
        (tiff((GREY * 2 - 1).astype(np.float16)), ["floats from 0", "from -1 to 1"]),
        (tiff((GREY * 100 - 50).astype(np.int8)), ["signed integers", "from -50 to 50", "SMinSampleValue"]),
        (tiff((GREY * 100).astype(np.int32)), ["signed integers"]),
        (tiff(whole(GREY, 12)), ["nearly black", "4,095 of 65,535", "MaxSampleValue"]),
        (tiff(whole(RGB, 10), photometric="rgb"), ["nearly black", "1,023 of 65,535"]),
        (tiff(whole(GREY).astype(np.uint32)), ["nearly black"]),
        (encoded(Image.fromarray((GREY * 250).astype(np.uint16))), ["nearly black", "250 of 65,535"]),
        (imagecodecs.png_encode(whole(RGB, 12)), ["nearly black", "4,095"]),
        (imagecodecs.png_encode(np.dstack([whole(GREY, 12), whole(GREY * 0 + 1)])), ["nearly black"]),
        (tiff(np.dstack([whole(RGB)] * 2), photometric="minisblack", planarconfig="contig"), ["6 channels", "as RGB"]),
        (tiff(GREY.astype(np.complex64)), ["channels of 64 bits"]),
        (b"Pf 20 12 -1.0\n" + (GREY * 9).astype("<f4").tobytes(), ["with floats"]),
        (tiff(np.where(GREY > 0.5, np.inf, GREY).astype(np.float32)), ["to inf"]),
        (tiff(np.dstack([whole(GREY)] * 2), photometric="minisblack", planarconfig="contig"), ["2 channels"]),
    ],
)
def test_a_range_that_is_not_clear_is_refused_with_a_cure(content, parts):
    with one_line("a.tif", *parts):
        decode(content, "a.tif")


@pytest.mark.parametrize("values", [GREY * 0, RGB * 0])
def test_black_is_black_in_any_range(values):
    for content in (imagecodecs.png_encode(whole(values)), tiff(whole(values), photometric=None)):
        assert decode(content).image.max() == 0


def test_a_tag_that_its_own_values_belie_says_nothing():
    assert near(tiff(whole(GREY), {LARGEST: 255}), GREY)


@pytest.mark.parametrize("bits", [8, 16])
def test_channels_that_are_no_colours_are_left_out_and_it_is_said(bits):
    content = tiff(np.dstack([whole(RGB, bits), whole(1 - GREY, bits)]), photometric="rgb", extrasamples=[0])
    assert near(content, RGB, within=1.5)
    assert "without its further channels (1)" in decode(content).notes


def test_opacity_of_16_bits_is_laid_on_white():
    clear = whole((GREY > 0.5).astype(float))
    expected = np.where(GREY > 0.5, GREY, 1)
    assert near(imagecodecs.png_encode(np.dstack([whole(GREY), clear])), expected)
    layers = {"photometric": "minisblack", "planarconfig": "contig"}
    assert near(tiff(np.dstack([whole(GREY), clear]), extrasamples=["unassalpha"], **layers), expected)
    halved = np.dstack([whole(GREY * 0.5), whole(GREY * 0 + 0.5)])
    assert near(tiff(halved, extrasamples=["assocalpha"], **layers), GREY * 0.5 + 0.5, within=2)
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 20, 12, 16, 0, 0, 0, 0))
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in whole(GREY))
    clear_grey = png_chunk(b"tRNS", struct.pack(">H", int(whole(GREY)[3, 3])))
    png = b"\x89PNG\r\n\x1a\n" + header + clear_grey + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    assert decode(png).image[3, 3].tolist() == [255] * 3
    assert decode(png).notes == ("from 16 bits", "transparency on white")


@pytest.mark.parametrize(("kind", "bits"), [("cielab", 8), ("cielab", 16), ("icclab", 8)])
def test_lab_becomes_rgb(kind, bits):
    lab = np.zeros((4, 4, 3), dtype=np.int32)
    lab[:] = (138, 81, 70)  # pure red
    lab[:2] = (137, 0, 0)  # grey
    lab = lab + np.array([0, 128, 128]) * (kind == "icclab")
    values = (lab * (257 if bits == 16 else 1)).astype(f"u{bits // 8}")
    decoded = decode(tiff(values, photometric=kind))
    assert np.abs(decoded.image[0, 0].astype(int) - 128).max() <= 2
    assert np.abs(decoded.image[3, 3].astype(int) - (255, 0, 0)).max() <= 6
    assert "from Lab" in decoded.notes


def test_a_deep_image_is_turned_upright_and_kept_in_bounds(monkeypatch):
    turned = decode(tiff(whole(GREY), {int(ExifTags.Base.Orientation): 6}))
    assert np.array_equal(turned.image, np.rot90(decode(tiff(whole(GREY))).image, -1))
    with one_line("100 times as long", "strip.tif"):
        decode(tiff(np.zeros((300, 2), np.uint16)), "strip.tif")


def test_masks_of_any_depth_are_inside_where_they_are_not_black():
    inside = GREY > 0.7
    low = inside.astype(np.uint16) * 3
    floats = np.where(inside, 0.01, 0)
    for content in (
        tiff(low),
        tiff(low, byteorder=">"),
        tiff(low, bitspersample=12),
        tiff(65535 - low, photometric="miniswhite"),
        tiff(floats),
        tiff(floats.astype(np.float16)),
        tiff(np.dstack([low] * 3), photometric="rgb"),
        tiff(low.astype(np.int16)),
    ):
        assert np.array_equal(decode_mask(content), inside)
