"""Hostile images, archives, tables and names."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from functools import cache, partial

import numpy as np
import tifffile
from PIL import Image, ImageCms

from images import formats  # noqa: F401 - registers the readers of HEIF
from tests.hostile.cases import Case, mutations
from tests.hostile.intakes import picture
from tests.images.test_bounds import gif, many_pages, overlapping, png, small_claim, webp, zipped

_SUFFIXES = {
    "PNG": ".png",
    "JPEG": ".jpg",
    "WEBP": ".webp",
    "GIF": ".gif",
    "BMP": ".bmp",
    "TIFF": ".tif",
    "AVIF": ".avif",
    "HEIF": ".heic",
    "JPEG2000": ".jp2",
    "PPM": ".ppm",
}


def pictures(random: np.random.Generator) -> Iterator[Case]:
    """Headers that claim, bombs in chunks, frames, tiles, profiles; and damage of every format."""
    doors = ("image", "mask")
    claims = [
        (png(w, h), ".png") for w, h in ((2**31 - 1, 2**31 - 1), (30_000, 30_000), (9_999, 10_000), (0, 0), (1, 9_000))
    ]
    claims += [(webp(w, h), ".webp") for w, h in ((16_383, 16_383), (9_900, 10_000), (1, 16_383))]
    claims += [(gif(n), ".gif") for n in (0, 500, 20_000, 200_000)]
    claims += [(many_pages(n), ".tif") for n in (1, 500, 200_000)]
    bomb = zlib.compress(bytes(60_000_000))
    for kind, start in ((b"zTXt", b"a\0\0"), (b"iTXt", b"a\0\1\0\0\0"), (b"iCCP", b"a\0\0"), (b"eXIf", b"")):
        claims.append((png(8, 8, (kind, start + bomb)), ".png"))
        claims.append((png(8, 8, *[(kind, start + zlib.compress(bytes(900_000)))] * 200), ".png"))
    claims.append((png(8, 8, (b"acTL", struct.pack(">II", 2**31 - 1, 0))), ".png"))
    claims.append((png(8, 8, (b"tEXt", b"a\0" + b"x" * 5_000_000)), ".png"))
    for size in (b"9999999 9999999", b"99999 1", b"9999 9999", b"-1 5", b"1" * 5000 + b" 1"):
        claims += [(b"P6 " + size + b" 255\n" + bytes(100), ".ppm"), (b"P4 " + size + b"\n", ".pbm")]
    for at, value in ((18, 2**31 - 1), (22, 2**31 - 1), (18, -1), (28, 0x7FFF), (30, 99), (10, 2**31 - 1)):
        content = bytearray(_image("BMP"))
        content[at : at + 4] = struct.pack("<i", value)
        claims.append((bytes(content), ".bmp"))
    claims += [(content, ".tif") for content in _tiffs()]
    claims += [(content, ".jpg") for content in _profiles(random)]
    for n, (content, suffix) in enumerate(claims):
        yield Case(doors[n % 2], f"claim {n}", content, suffix)
        if len(content) < 1000:
            yield Case(doors[1 - n % 2], f"claim {n}", content, suffix)
    side = 9_990
    for kind, mode in (("PNG", "1"), ("PNG", "L"), ("GIF", "L"), ("JPEG", "RGB"), ("TIFF", "1")):
        options = {"compression": "group4"} if kind == "TIFF" else {}
        yield Case(
            "image", f"99 megapixels, {kind} {mode}", partial(_image, kind, mode, side, **options), _SUFFIXES[kind]
        )
    for kind, suffix in _SUFFIXES.items():
        yield from mutations("image", _image(kind), suffix, random, 10)
        yield from mutations("mask", _image(kind), suffix, random, 4)
        yield Case("image", f"{kind} under another name", _image(kind), ".svg")
    starts = (
        b"%!PS-Adobe-3.0\n",
        b"<svg onload=alert(1)>",
        b"II*\0",
        b"MM\0+",
        b"\xff\xd8\xff",
        b"RIFF\xff\xff\xff\xffWEBP",
        b"\0\0\0\x20ftypavif",
        b"\0\0\0\x0cjP  \r\n\x87\n",
        b"\xff\x4f\xff\x51",
        b"8BPS",
        b"\0\0\1\0",
        b"MThd",
    )
    for start in starts:
        for suffix in (".png", ".tif", ".eps"):
            yield Case("image", f"begins with {start[:9]!r}", start + random.bytes(300), suffix)


@cache
def _image(kind: str, mode: str = "RGB", side: int = 24, **options: object) -> bytes:
    values = np.random.default_rng(1).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    image = Image.fromarray(values).convert(mode)
    if side > 24:
        image = Image.new(mode, (side, side), 1)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _tiffs() -> Iterator[bytes]:
    """Deep TIFFs, with one tag after the other made large."""
    for values, options in (
        (np.full((16, 16, 3), 2**15, np.uint16), {"photometric": "rgb"}),
        (np.full((16, 16), 0.5, np.float32), {"compression": "zlib"}),
        (np.full((16, 16, 3), 2**15, np.uint16), {"photometric": "rgb", "tile": (16, 16), "compression": "zstd"}),
    ):
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, values, **options)
        content = buffer.getvalue()
        yield content
        with tifffile.TiffFile(io.BytesIO(content)) as file:
            entries = [(tag.offset, tag.code) for tag in file.pages[0].tags]
        for offset, code in entries:
            if code in (256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 317, 322, 323, 324, 325, 338, 339, 32997):
                for value in (0, 2**31 - 1, 60_000):
                    changed = bytearray(content)
                    changed[offset + 2 : offset + 12] = struct.pack("<HII", 4, 1, value)
                    yield bytes(changed)
    yield _image("TIFF").replace(b"II*\0", b"II*\0", 1)[:-4] + struct.pack(
        "<L", 8
    )  # a chain of directories in a circle
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.zeros((3000, 3000), np.float64), compression="zlib")
    yield buffer.getvalue()


def _profiles(random: np.random.Generator) -> Iterator[bytes]:
    """JPEGs with colour profiles and EXIF that are none."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for n in range(12):
        changed = bytearray(srgb)
        for place in random.integers(0, len(srgb) - 4, 6):
            changed[place : place + 4] = random.bytes(4)
        yield _image("JPEG", icc_profile=bytes(changed[: 200 if n == 0 else None]))
    yield _image("JPEG", icc_profile=random.bytes(6_000_000))
    for exif in (b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + bytes(200), b"x" * 60_000):
        yield _image("JPEG", exif=exif)


def archives(random: np.random.Generator) -> Iterator[Case]:
    """Zips that lie, overlap, unpack to much, or carry odd names."""
    photo = picture()
    names = (
        "../../evil.png",
        "/etc/evil.png",
        "C:\\evil.png",
        "..\\..\\evil.png",
        "a/../../evil.png",
        "~/evil.png",
        "a\0b.png",
        "a\nb.png",
        "\x1b[2J.png",
        "\u202egnp.exe.png",
        "con.png",
        ".png",
        "",
        ".",
        "..",
        "a" * 5000 + ".png",
        "b/" * 3000 + "c.png",
        "\ufeff.png",
        "é" * 200 + ".png",
        "<script>.png",
        "{{7*7}}.png",
        "%s%n.png",
        "-rf.png",
    )
    for name in names:
        yield Case("archive", f"named {name[:20]!r}", zipped({name or "x": photo, "good.png": picture(2)}), ".zip")
    yield Case("archive", "overlap", overlapping(), ".zip")
    yield Case("archive", "small claim", small_claim(), ".zip")
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        yield Case("archive", f"bomb by {method}", partial(_bomb, "a.png", method), ".zip")
        yield Case("archive", f"table bomb by {method}", partial(_bomb, "l.csv", method), ".zip")
        yield Case("archive", f"packed by {method}", zipped({"a.png": photo, "b.png": picture(3)}, method), ".zip")
    yield Case("archive", "many", _many_files, ".zip")
    yield Case(
        "archive",
        "many tables",
        zipped({"a.png": photo, **{f"{n}.csv": b"file,label\na.png,cat" for n in range(300)}}),
        ".zip",
    )
    yield Case("archive", "zip in zip", zipped({"a.zip": zipped({"b.png": photo})}), ".zip")
    honest = zipped(
        {"cat/a.png": photo, "dog/b.png": picture(4), "labels.csv": b"file,label\na.png,cat\n"}, zipfile.ZIP_DEFLATED
    )
    local, central, end = honest.index(b"PK\3\4"), honest.index(b"PK\1\2"), honest.rindex(b"PK\5\6")
    for start, fields in (
        (local, (4, 6, 8, 14, 18, 22, 26, 28)),
        (central, (6, 8, 10, 16, 20, 24, 28, 30, 32, 38, 42)),
        (end, (8, 10, 12, 16, 20)),
    ):
        for field in fields:
            for value in (b"\xff\xff", b"\0\0", b"\x01\0"):
                changed = bytearray(honest)
                changed[start + field : start + field + 2] = value
                yield Case("archive", f"field {field} behind {start}", bytes(changed), ".zip")
    zip64 = struct.pack("<LQHHLLQQQQ", 0x06064B50, 44, 45, 45, 0, 0, 2**40, 2**40, 2**40, 2**40)
    locator = struct.pack("<LLQL", 0x07064B50, 0, 0, 1)
    yield Case("archive", "zip64", zip64 + locator + b"PK\5\6" + b"\0\0\0\0" + b"\xff" * 12 + b"\0\0", ".zip")
    yield from mutations("archive", honest, ".zip", random, 60)


def _bomb(name: str, method: int) -> bytes:
    return zipped({"good.png": picture(), name: b"," * 60_000_000}, method)


def _many_files() -> bytes:
    return zipped({f"{n}.png": b"" for n in range(60_000)})


def tables(random: np.random.Generator) -> Iterator[Case]:
    """Tables of labels beyond all measure, and those that break."""
    row = b"a.png,cat\n"
    contents = [
        b"file,label" + b",x" * 300_000 + b"\n" + row,
        b"file,label\n" + b"a.png" + b"," * 300_000 + b"\n",
        b"file,label\n" + row * 500_000,
        b"file,label\n" + row * 7_000_000,
        b"file" + b",label" * 900 + b"\n" + row,
        b'file,label\n"' + b"x" * 3_000_000,
        b"file,label\n" + b'"' * 100_001,
        b"file,label\na.png," + b"x" * 200_000,
        b"",
        b"\n" * 100_000,
        b"\0" * 1000,
        b"sep=,\nfile,label\n" + row,
        b"sep=" + b"x" * 100_000,
        b"," * 2_000_000,
        b"file,label\r" * 100_000,
        b"mask" * 50_000 + b",file\n" + row,
        b"file,mask_" + b"m" * 100_000 + b"\na.png,b.png\n",
        b"file,label\n=cmd|' /C calc'!A0,cat\n",
        b"file,label\n../../etc/passwd,cat\n",
        b"file,label\n" + b"../" * 30_000 + b"a.png,cat\n",
        b"file,label\na.png," + b"\xf0\x9f\x92\xa9" * 30_000 + b"\n",
        b"\xff\xfe" + b"\0\xd8" * 1000,
        b"\xef\xbb\xbffile,label\n" + row,
        b"\x1f\x8b\x08" + random.bytes(100),
        b"file,label\n" + b"a.png,1.000000000000000000000000\n" * 10,
        b"file;label\n" + b"a.png;cat;dog\n" * 1000,
        ("file,label\n" + "\n".join(f"{n}.png,{n}" for n in range(200_000))).encode(),
        b"file,label,label,label\na.png,x,y,z\n",
        b"file,label\n" + b"a.png," + b"9" * 10_000 + b"\n",
        b"label\n" * 10,
        b"file\tlabel\n" + b"\t" * 100_000,
        "file,label\na.png,\u202ecat\n".encode(),
    ]
    for content in contents:
        for suffix in (".csv", ".tsv")[: 2 if len(content) < 100_000 else 1]:
            yield Case("table", f"begins with {content[:12]!r}", content, suffix)
    yield from mutations(
        "table", b"file,label,mask,when\na.png,cat,b.png,2020\nb.png,dog,,2021\n" * 5, ".csv", random, 40
    )


def names(random: np.random.Generator) -> Iterator[Case]:
    """Names of files and folders."""
    odd = (
        b"a\x00.png",
        b"\xff\xfe.png",
        b"a\nb.png",
        b"\r.png",
        b"<img src=x onerror=alert(1)>.png",
        b"![x](http://127.0.0.1:9/).png",
        b"con.png",
        b"nul",
        b".",
        b"..",
        b"/",
        b"//.png",
        b"a//b.png",
        b"/abs.png",
        b"../up.png",
        b"a/./../../b.png",
        b"\\\\host\\a.png",
        b"-rf *.png",
        b"$(touch x).png",
        b"`id`.png",
        b"; rm x.png",
        b"|x.png",
        b"%00.png",
        b"%2e%2e/x.png",
        b"masks/a.png",
        b"masks/masks/masks.png",
        b"a.png/b.png",
        b"a.csv",
        b"x.zip",
        b"Icon\r",
        b".DS_Store",
        b"a" * 300 + b".png",
        b"a/" * 200 + b"b.png",
        b"x" * 5000,
        "\u202e.png".encode(),
        "e\u0301.png".encode(),
        "\u00e9.png".encode(),
        "\U0001f4a9.png".encode(),
        b"\xed\xa0\x80.png",
        b"\x1b[31m.png",
        b"a.png" + b" " * 100,
        b" .png",
        b"\t.png",
        b"a.PNG.exe",
        b"a.tar.gz",
        b"{0.__class__}.png",
        b"%(x)s.png",
        b"\xef\xbf\xbe.png",
    )
    for name in odd:
        yield Case("names", f"{name[:30]!r}", name)
        yield Case(
            "names",
            f"{name[:30]!r} among others",
            b"\n\n".join((b"ok/a.png", name, b"ok/" + name + b".png", name + b"/c.png")),
        )
    for _ in range(20):
        parts = [random.bytes(int(random.integers(1, 60))).replace(b"\n\n", b"") + b".png" for _ in range(10)]
        yield Case("names", "at random", b"\n\n".join(parts))
