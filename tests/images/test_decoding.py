import contextlib
import struct
import time
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import ExifTags, Image

from common.errors import InputError
from images.decoding import decode
from tests.makers import encoded, one_line, picture

IMAGE = picture(40, 60)


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(width, height):
    """A PNG whose header claims a size that would take a gigabyte to decode."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    packer = zlib.compressobj(1)
    row = bytes(1 + 3 * width)
    body = b"".join(packer.compress(row) for _ in range(200)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", body) + png_chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_lossless_pictures_come_as_they_are(kind):
    decoded = decode(encoded(IMAGE, kind))
    np.testing.assert_array_equal(decoded.image, IMAGE)
    assert (decoded.image.dtype, decoded.notes) == (np.uint8, ())


@pytest.mark.parametrize(("kind", "options"), [("JPEG", {"quality": 95}), ("WEBP", {"lossless": True})])
def test_packed_pictures_come_nearly_as_they_are(kind, options):
    decoded = decode(encoded(IMAGE, kind, **options))
    assert np.abs(decoded.image.astype(int) - IMAGE).mean() < 12
    assert decoded.notes == ()


def test_a_picture_may_lie_on_disk(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encoded(IMAGE))
    np.testing.assert_array_equal(decode(path).image, IMAGE)


def test_sixteen_bits_are_scaled_to_eight():
    deep = np.array([[0, 257 * 100, 65535]], dtype=np.uint16)
    decoded = decode(encoded(Image.fromarray(deep)))
    assert decoded.image[0, :, 0].tolist() == [0, 100, 255]
    assert decoded.notes == ("from 16 bits",)


def test_floats_from_zero_to_one_are_scaled_up():
    decoded = decode(encoded(Image.fromarray(np.array([[0, 0.5, 1, np.nan]], np.float32)), "TIFF"))
    assert decoded.image[0, :, 1].tolist() == [0, 128, 255, 0]


def test_cmyk_becomes_rgb():
    decoded = decode(encoded(Image.fromarray(IMAGE).convert("CMYK"), "JPEG", quality=98))
    assert np.abs(decoded.image.astype(int) - IMAGE).mean() < 12
    assert decoded.notes == ("from CMYK",)


def test_grey_becomes_rgb():
    decoded = decode(encoded(Image.fromarray(IMAGE).convert("L")))
    assert (decoded.image[..., 0] == decoded.image[..., 2]).all()
    assert decoded.notes == ("from greyscale",)
    assert decode(encoded(Image.fromarray(IMAGE).convert("1"))).notes == ("from black and white",)


def test_a_palette_becomes_rgb():
    decoded = decode(encoded(Image.fromarray(IMAGE).quantize(200)))
    assert np.abs(decoded.image.astype(int) - IMAGE).mean() < 12
    assert decoded.notes == ("from a palette",)


def test_a_palettes_transparent_colour_becomes_white():
    indexed = Image.fromarray(np.array([[0, 1]], np.uint8)).convert("P")
    indexed.putpalette([255, 0, 0, 0, 0, 255])
    decoded = decode(encoded(indexed, transparency=0))
    assert decoded.image[0].tolist() == [[255, 255, 255], [0, 0, 255]]
    assert decoded.notes == ("from a palette", "transparency on white")


def test_transparency_is_laid_on_white():
    layers = np.dstack([IMAGE, np.full(IMAGE.shape[:2], 255, np.uint8)])
    assert decode(encoded(layers)).notes == ()
    np.testing.assert_array_equal(decode(encoded(layers)).image, IMAGE)
    layers[:20, :, 3] = 0
    decoded = decode(encoded(layers))
    assert (decoded.image[:20] == 255).all()
    np.testing.assert_array_equal(decoded.image[20:], IMAGE[20:])
    assert decoded.notes == ("transparency on white",)


@pytest.mark.parametrize(("orientation", "turn"), [(3, 2), (6, -1), (8, 1)])
def test_a_turned_camera_is_turned_back(orientation, turn):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    decoded = decode(encoded(IMAGE, "PNG", exif=exif))
    np.testing.assert_array_equal(decoded.image, np.rot90(IMAGE, turn))
    assert decoded.notes == ("turned upright",)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_damaged_exif_harms_no_picture():
    content = encoded(IMAGE, "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff\x01\x02")
    assert decode(content).image.shape == IMAGE.shape


def test_of_an_animation_the_first_frame_is_taken():
    frames = [Image.fromarray(np.full((20, 30, 3), level, np.uint8)) for level in (40, 120, 200)]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    decoded = decode(content)
    assert decoded.image[0, 0].tolist() == [40, 40, 40]
    assert decoded.notes[0] == "first of 3 frames"


def test_a_picture_cut_short_is_refused():
    with one_line("a whole image", "half.jpg, which is cut short or damaged", "export it again"):
        decode(encoded(IMAGE, "JPEG")[:900], "half.jpg")
    with one_line("half.png"):
        decode(encoded(IMAGE)[:900], "half.png")


def test_damage_inside_a_picture_is_noticed():
    content = bytearray(encoded(IMAGE))
    content[500:520] = bytes(20)
    with one_line("damaged"):
        decode(bytes(content), "a.png")


@pytest.mark.filterwarnings("ignore:::PIL")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_no_damage_ends_in_anything_but_one_line(kind):
    whole = encoded(IMAGE, kind)
    rng = np.random.default_rng(0)
    for _ in range(60):
        content = bytearray(whole)
        for position in rng.integers(0, min(len(whole), 600), rng.integers(1, 8)):
            content[position] = rng.integers(0, 256)
        with contextlib.suppress(InputError):
            assert decode(bytes(content)).image.ndim == 3


@pytest.mark.parametrize(
    "content", [b"just some text, no picture at all", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"]
)
def test_what_only_calls_itself_a_picture_is_refused(content):
    with one_line("an image (JPEG, PNG", "notes.png, which holds something else"):
        decode(content, "notes.png")


def test_an_empty_file_is_called_so(tmp_path):
    with one_line("a.png, which is empty"):
        decode(b"", "a.png")
    (tmp_path / "b.png").touch()
    with one_line("b.png, which is empty"):
        decode(tmp_path / "b.png")


def test_a_picture_bomb_is_refused_by_its_header_alone():
    content = bomb(20_000, 20_000)
    tracemalloc.start()
    started = time.perf_counter()
    with one_line("at most 100 megapixels", "bomb.png with 20,000 × 20,000 pixels", "max_image_megapixels"):
        decode(content, "bomb.png")
    seconds = time.perf_counter() - started
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seconds < 0.5
    assert peak_bytes < 5_000_000


def test_a_strip_of_pixels_is_no_picture():
    with one_line("strip.png with 1 × 101 pixels", "100 times"):
        decode(encoded(picture(101, 1)), "strip.png")
    assert decode(encoded(picture(100, 1))).image.shape == (100, 1, 3)
