"""Which files are read, by their suffixes: every such list of the app stands here."""

import pillow_heif

#: Pillow's formats of images, and the suffixes that their files have.
FORMATS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".pjpeg"),
    "MPO": (".mpo",),
    "PNG": (".png",),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "BMP": (".bmp", ".dib"),
    "TIFF": (".tif", ".tiff"),
    "AVIF": (".avif",),
    "HEIF": (".heic", ".heif", ".hif"),
    "JPEG2000": (".jp2", ".j2k", ".jpf", ".jpx", ".j2c"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
}

#: Formats that mostly come from lossy codecs, after which black is no longer quite black.
LOSSY = ("JPEG", "MPO", "WEBP", "AVIF", "HEIF", "JPEG2000")

#: Suffixes of images, and of tables of labels.
SUFFIXES = tuple(suffix for suffixes in FORMATS.values() for suffix in suffixes)
TABLE_SUFFIXES = (".csv", ".tsv", ".tab", ".psv")

#: For people.
FORMAT_NAMES = "JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF, HEIC, JPEG 2000, PPM"

#: Folders and files (in lower case) that systems and programs put between images; so is all that begins with a dot.
_SYSTEM_NAMES = {
    "__macosx",
    "@eadir",
    "@recycle",
    "@recently-snapshot",
    "#recycle",
    "#snapshot",
    "$recycle.bin",
    "recycler",
    "system volume information",
    "lost+found",
    "__pycache__",
    "thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "icon\r",
}

pillow_heif.register_heif_opener()  # Pillow has no reader of its own for it


def is_image(name: str) -> bool:
    """Whether a file is called like an image."""
    return name.lower().endswith(SUFFIXES)


def suffix_of(name: str) -> str:
    """The suffix of an image file, in lower case; "" for one that is called otherwise."""
    return next((suffix for suffix in sorted(SUFFIXES, key=len, reverse=True) if name.lower().endswith(suffix)), "")


def is_table(name: str) -> bool:
    """Whether a file is called like a table."""
    return name.lower().endswith(TABLE_SUFFIXES)


def system_part(name: str) -> str | None:
    """The first part of a path that systems or programs made (`@eaDir`, `.thumbnails`, `._cat.jpg`), if there is one.

    Files that macOS splits off (`._cat.jpg`) are all called `._…`.
    """
    for part in name.split("/"):
        if part.startswith("._"):
            return "._…"
        if part.startswith(".") or part.lower() in _SYSTEM_NAMES:
            return part
    return None
