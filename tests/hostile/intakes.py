"""The doors through which the pages let files in, each as one function of a case's content and name."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from common import sealed, settings
from common.class_names_file import parse_class_names
from images import intake, mnist
from models import loaders
from models.loaders import checkpoint, zoo
from models.loaders.arguments import checked, parse_arguments
from models.preprocessing import Preprocessing
from models.store import ModelStore
from pages.server import address
from pages.shared import saved_views, workspace
from playground.history_files import read_files

SEEN = Preprocessing((32, 32), (0.5,) * 3, (0.5,) * 3, (36, 36))


def picture(seed: int = 0, kind: str = "PNG") -> bytes:
    """A small honest image."""
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)).save(buffer, kind)
    return buffer.getvalue()


def look_at(images: Any) -> None:
    """What pages and scoring do with each image of a set."""
    for index in range(min(len(images), 3)):
        SEEN.crop(images.image(index))
        images.thumbnail(index)
        for kind in images.mask_kinds:
            images.mask(index, kind)


def weights(content: bytes, name: str, data: Path) -> None:
    """A checkpoint on a small architecture, kept, loaded and added to a model store."""
    path = loaders.keep(io.BytesIO(content), name, data / "weights")
    loader = loaders.for_file(name)
    loaded = loader.load(path=str(path), architecture="cifar/resnet20", create={}, preprocessing={}, name=name)
    ModelStore(data, "cpu").add(loaded)


def config(content: bytes, _name: str, _data: Path) -> None:
    """A model's configuration, with what the Upload page shows of it."""
    found = checkpoint.read_config(content.decode("utf-8", "replace"))
    _, default = zoo.skeleton(found["architecture"], found["create"])
    default.changed(found.get("preprocessing", {}))


def class_names(content: bytes, _name: str, _data: Path) -> None:
    """A file of class names."""
    parse_class_names(content.decode("utf-8", "replace"), 10)


def arguments(content: bytes, _name: str, data: Path) -> None:
    """Creation arguments, and the model that they make."""
    create = checked(parse_arguments(content.decode("utf-8", "replace")))
    ModelStore(data, "cpu").add(zoo.load("timm/test_vit", create=create))


def model_text(content: bytes, _name: str, _data: Path) -> None:
    """A line that names a model, as on a command line."""
    loaders.read(content.decode("utf-8", "surrogateescape"))


def image(content: bytes, name: str, data: Path) -> None:
    """One image file."""
    look_at(intake.from_files([(name, io.BytesIO(content))], data))


def mask(content: bytes, name: str, data: Path) -> None:
    """A mask beside an image."""
    files = [("set/cat/a.png", picture()), (f"set/masks/cat/a{Path(name).suffix}", content)]
    look_at(intake.from_files([(title, io.BytesIO(part)) for title, part in files], data))


def archive(content: bytes, name: str, data: Path) -> None:
    """A zip."""
    look_at(intake.from_zip(io.BytesIO(content), name, data))


def table(content: bytes, name: str, data: Path) -> None:
    """A table of labels beside two images."""
    files = [("a.png", picture(1)), ("b.png", picture(2)), (name, content)]
    look_at(intake.from_files([(title, io.BytesIO(part)) for title, part in files], data))


def names(content: bytes, _name: str, data: Path) -> None:
    """An uploaded folder whose names are the lines of the content, and one that lies on the server."""
    lines = [os.fsdecode(line) for line in content.split(b"\n\n")]
    files = [(line, io.BytesIO(picture(n))) for n, line in enumerate(lines)]
    place = data / "folder"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    (place / "good.png").write_bytes(picture())
    for n, line in enumerate(lines):
        try:
            target = place / "/".join(part for part in line.split("/") if part not in ("", ".", ".."))
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(picture(n))
        except (OSError, ValueError):  # a name that no file system takes
            continue
    look_at(intake.from_folder(place, data))
    look_at(intake.from_files(files, data))


def history(content: bytes, name: str, _data: Path) -> None:
    """The history of a training."""
    read_files({name: content}, name)


def playground(content: bytes, name: str, data: Path) -> None:
    """A network that was downloaded from the Playground."""
    path = data / "playground" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    ModelStore(data, "cpu").add(loaders.read(f"playground/{path}")[0])


def toml(content: bytes, _name: str, data: Path) -> None:
    """The settings of an installation."""
    path, usual = data / "parallax.toml", settings.FILE
    path.write_bytes(content)
    settings.FILE = path
    settings.settings.cache_clear()
    try:
        settings.settings()
    finally:
        settings.FILE = usual
        settings.settings.cache_clear()


def view(content: bytes, _name: str, data: Path) -> None:
    """What a visitor chose, in its file."""
    path = data / "views" / "0123456789abcdef.txt"
    sealed.write(path, content)
    saved_views._read(path)


def query(content: bytes, _name: str, _data: Path) -> None:
    """Anything in the address bar."""
    text = content.decode("utf-8", "replace")
    parts, _ = address.parts(text)
    for part in (text, *parts):
        address.is_digest(part)
        address.short(part).encode()
        workspace.named(part)


def digits(content: bytes, _name: str, data: Path) -> None:
    """MNIST's files as torchvision keeps them."""
    folder = data / "torchvision" / "MNIST" / "raw"
    folder.mkdir(parents=True, exist_ok=True)
    for split in ("train", "t10k"):
        for part in ("images-idx3-ubyte", "labels-idx1-ubyte"):
            (folder / f"{split}-{part}").write_bytes(content)
    mnist.answers = lambda url: False  # where files are missing, it is asked for, and may be
    mnist.arrays_of("mnist", data)


INTAKES: dict[str, Callable[[bytes, str, Path], None]] = {
    door.__name__: door
    for door in (
        weights, config, class_names, arguments, model_text, image, mask, archive, table, names, history, playground,
        toml, view, query, digits,
    )
}  # fmt: skip
