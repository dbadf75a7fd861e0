"""Files that would take the memory or the time of a server are refused by what they claim."""

import io
import os
import struct
import threading
import time
import zipfile
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from images import decoding, intake
from images.decoding import decode, decode_mask
from images.room import Room
from images.tables import read_table
from images.upload import of_folder, of_zip, open_zip
from tests.makers import one_line


def png(width=8, height=8, *chunks):
    """A PNG whose header claims a size, with further chunks before its pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(bytes(25 * 8))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def zipped(files, method=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


PNG = encoded(Image.new("RGB", (4, 4), "red"), "PNG")
WEBP = encoded(Image.new("RGB", (4, 4)), "WEBP", lossless=True)


def webp(width, height):
    """A WebP that claims a size in its header of lossless pixels."""
    at = WEBP.index(b"VP8L") + 9
    return WEBP[:at] + struct.pack("<I", (width - 1) | (height - 1) << 14) + WEBP[at + 4 :]


def tiff(**options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.full((16, 16, 3), 2**15, dtype=np.uint16), photometric="rgb", **options)
    return buffer.getvalue()


def gif(n_frames):
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    colours = bytes(6)
    return b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + colours + frame * n_frames + b";"


def many_pages(n):
    """A TIFF whose directories of no entry point to each other."""
    pages = b"".join(struct.pack("<HL", 0, 8 + 6 * (page + 1)) for page in range(n))
    return b"II*\0" + struct.pack("<L", 8) + pages


@pytest.mark.parametrize("read", [decode, decode_mask])
@pytest.mark.parametrize(
    "content",
    [
        png(30_000, 30_000),
        png(9_000, 9_000, (b"tRNS", bytes(6))),
        webp(9_900, 10_000),
        gif(20_000),
        many_pages(20_000),
        tiff(tile=(16, 16)).replace(struct.pack("<HHIHH", 322, 3, 1, 16, 0), struct.pack("<HHII", 322, 4, 1, 2**30)),
        encoded(Image.new("RGB", (9_000, 8), "red"), "PNG"),
    ],
)
def test_an_image_is_refused_by_what_its_header_claims(content, read, monkeypatch):
    def load(*_args, **_options):
        raise AssertionError("it was decoded")

    monkeypatch.setattr(Image.Image, "load", load)
    monkeypatch.setattr(tifffile.TiffPage, "asarray", load)
    with one_line():
        read(content, "picture")


def test_text_and_profiles_of_any_length_harm_no_image():
    bomb = zlib.compress(bytes(50_000_000))
    for kind in (b"zTXt", b"iTXt", b"iCCP"):
        rest = {b"zTXt": b"a\0\0", b"iTXt": b"a\0\1\0\0\0", b"iCCP": b"a\0\0"}[kind]
        with one_line():
            decode(png(8, 8, (kind, rest + bomb)))
    profile = encoded(Image.new("RGB", (8, 8), "red"), "JPEG", icc_profile=os.urandom(5_000_000))
    assert "ignored" in ", ".join(decode(profile).notes)


def test_large_images_are_as_before_and_copied_in_strips(monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (60, 50, 3), dtype=np.uint8)
    content = encoded(Image.fromarray(pixels), "PNG")
    monkeypatch.setattr(decoding, "_STRIP_PIXELS", 700)
    assert (decode(content).image == pixels).all()


def test_decoders_share_room_and_nobody_starves():
    room, order, inside = Room(100), [], []
    gate = threading.Event()

    def hold(name, size, until=None):
        with room.taken(size):
            inside.append(size)
            assert sum(inside) <= 100 or len(inside) == 1
            order.append(name)
            if until is not None:
                until.wait(10)
            inside.remove(size)

    def started(*args):
        thread = threading.Thread(target=hold, args=args)
        thread.start()
        return thread

    threads = [started("small", 40, gate)]
    while not order:
        time.sleep(0.001)
    threads += [started("beside", 40)]
    threads[-1].join()
    threads += [started("huge", 500)]
    while not room._turn.locked():
        time.sleep(0.001)
    threads += [started("later", 10)]
    assert order == ["small", "beside"]
    gate.set()
    for thread in threads:
        thread.join()
    assert order == ["small", "beside", "huge", "later"]


# Archives


def overlapping():
    """Two entries of which the second's data are the first's."""
    content = bytearray(zipped({"a.png": PNG, "b.png": PNG}))
    second = content.rindex(b"PK\1\2")
    first = content.index(b"PK\1\2")
    content[second + 42 : second + 46] = content[first + 42 : first + 46]
    return bytes(content)


def small_claim():
    """An entry that says that it unpacks to less than it does."""
    content = bytearray(zipped({"a.png": bytes(900_000)}, zipfile.ZIP_DEFLATED))
    at = content.index(b"PK\1\2")
    content[at + 24 : at + 28] = struct.pack("<L", 100)
    return bytes(content)


@pytest.mark.parametrize(
    "content",
    [
        overlapping(),
        b"PK\5\6" + struct.pack("<HHHHLLH", 0, 0, 9, 9, 2**31, 0, 0),
        b"x" * 100 + b"PK\5\6" + struct.pack("<HHHHLLH", 0, 0, 65535, 65535, 2**32 - 1, 2**32 - 1, 0),
        small_claim(),
        zipped({"a.png": bytes(5_000_000)}, zipfile.ZIP_DEFLATED),
        zipped({"a.png": PNG}, zipfile.ZIP_LZMA),
        zipped({"a.png": PNG}, zipfile.ZIP_BZIP2),
        zipped({"x" * 2_000 + ".png": PNG}),
        zipped({"a/" * 100 + "b.png": PNG}),
        zipped({"a\x1b[31m.png": PNG}),
        zipped({}),
        b"",
        b"PK",
    ],
)
def test_a_zip_that_lies_is_refused_in_a_line(content, data_folder):
    with one_line():
        intake.from_zip(io.BytesIO(content), "photos.zip", data_folder)


def test_a_zips_directory_is_bounded_before_it_is_read(monkeypatch):
    monkeypatch.setattr("images.upload.MAX_ZIP_DIRECTORY_BYTES", 100)
    with one_line("3 files"):
        open_zip(io.BytesIO(zipped({f"{n}.png": PNG for n in range(3)})), "photos.zip")


def test_bad_names_leave_the_rest(data_folder):
    files = {"good.png": PNG, "bad\x07.png": PNG, "long" * 500 + ".png": PNG}
    upload = of_zip(open_zip(io.BytesIO(zipped(files)), "photos.zip"), "photos.zip")
    assert [image.name for image in upload.images] == ["good.png"]
    assert len(upload.skipped) == 2
    assert all(one.name.isprintable() and len(one.name) < 100 for one in upload.skipped)


# Folders and uploads


def test_a_folder_with_devices_pipes_and_odd_names_is_read_at_once(tmp_path, data_folder):
    folder = tmp_path / "pets"
    folder.mkdir()
    (folder / "good.png").write_bytes(PNG)
    os.mkfifo(folder / "pipe.png")
    (folder / "null.png").symlink_to("/dev/zero")
    (folder / "line\nbreak.png").write_bytes(PNG)
    (folder / os.fsdecode(b"latin\xe9.png")).write_bytes(PNG)
    deep = folder
    for _ in range(80):
        deep = deep / "d"
        deep.mkdir()
    (deep / "far.png").write_bytes(PNG)
    images = intake.from_folder(folder, data_folder)
    assert images.names == ("good.png",)
    assert len(images.skipped) == 5


def test_links_among_folders_do_not_multiply_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr("images.upload.MAX_FILES", 200)
    for n in range(12):
        (tmp_path / f"level{n}").mkdir()
        for twin in "ab":
            (tmp_path / f"level{n}" / twin).symlink_to(tmp_path / f"level{n + 1}")
    (tmp_path / "level12").mkdir()
    (tmp_path / "level12" / "a.png").write_bytes(PNG)
    with one_line("at most 200 files"):
        of_folder(tmp_path)


def test_listing_a_folder_can_be_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr("images.upload._LOOK_EVERY", 10)
    for n in range(25):
        (tmp_path / f"{n}.png").write_bytes(b"")
    found = []

    def stop(done, total):
        found.append((done, total))
        if total >= 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        of_folder(tmp_path, None, stop)
    assert found == [(0, 10), (0, 20)]


def test_an_upload_is_weighed_before_it_is_read(monkeypatch, data_folder):
    class Heavy(io.BytesIO):
        def seek(self, place, whence=0):
            return 2**31 if whence else 0

        def read(self, n=-1):
            raise AssertionError("it was read")

    with one_line("an upload of at most 2 GB"):
        intake.from_files([("a.png", Heavy()), ("b.png", Heavy())], data_folder)
    with one_line("an upload of at most 2 GB"):
        intake.from_zip(Heavy(), "a.zip", data_folder)


# Tables


@pytest.mark.parametrize(
    "content",
    [
        b"file,label" + b",x" * 300_000 + b"\na.png,cat",
        b"file,label\n" + b"," * 7_000_000,
        b"file,label\n" + b"a.png,cat\n" * 6_800_000,
        b'file,label\n"' + b"x" * 1_000_000,
        b"file,label\na.png," + b"x" * 1_000_000,
        b"file,label\n" + b'"a' * 10_000,
        b"sep=" + b"," * 1_000_000,
        b"\xff\xfe" + b"\0\xd8" * 1000,
        b"\0" * 100_000,
    ],
)
def test_a_table_beyond_the_bounds_is_refused_at_once(content):
    began = time.thread_time()
    with one_line():
        read_table(content, "labels.csv", {"a.png"}.__contains__)
    assert time.thread_time() - began < 3
