"""MNIST and Fashion-MNIST as image sets, by torchvision: from its files on disk, else from the network."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from bank.errors import InputError, did_you_mean
from bank.images import ImageSet, image_id
from bank.loaders.hub import answers


@dataclass(frozen=True)
class _Source:
    """A set of torchvision: its class there, where it comes from, and its classes as models should name them."""

    title: str
    dataset: str
    url: str
    classes: tuple[str, ...]


SOURCES = {
    "mnist": _Source("MNIST", "MNIST", "https://ossci-datasets.s3.amazonaws.com/mnist/", tuple("0123456789")),
    "fashion-mnist": _Source(
        "Fashion-MNIST",
        "FashionMNIST",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        ("T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
}


def mnist_image_set(name: str, data: Path, progress: Callable[[int, int], None] = lambda done, total: None) -> ImageSet:
    """The 10,000 test pictures (28 × 28) of `mnist` or `fashion-mnist`, written under `data` at the first call.

    `progress` counts pictures and may raise to stop. Raises `InputError` for another name, and where the files are
    neither under `data` nor to be had.
    """
    if name not in SOURCES:
        cure = did_you_mean(name, SOURCES) or f"There are {', '.join(SOURCES)}."
        raise InputError("a set that torchvision brings", repr(name), cure)
    source, folder = SOURCES[name], data / name
    pointer = folder / "digest"
    if pointer.exists():
        return ImageSet.read(data / "image-sets" / f"{pointer.read_text()}.parquet")
    pictures, labels = _read(source, data / "torchvision")
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        progress(number, len(pictures))
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "BMP")
        path = folder / f"test-{number:05d}.bmp"
        path.write_bytes(buffer.getvalue())
        digest, words = image_id(buffer.getvalue()), source.classes[label]
        rows.append({"id": digest, "path": str(path), "name": path.name, "label": words, "note": ""})
    table = pd.DataFrame(rows).drop_duplicates("id", ignore_index=True)
    images = ImageSet(source.title, table)
    images.save(data / "image-sets")
    pointer.write_text(images.digest)
    return images


def _read(source: _Source, root: Path) -> tuple[np.ndarray, list[int]]:
    """Pictures (N, 28, 28) uint8 and labels (N,), from disk or the network."""
    from torchvision import datasets  # slow to import

    dataset, missing = getattr(datasets, source.dataset), f"{source.url} does not answer"
    cure = f"Connect the server, or put torchvision's files into {root / source.dataset / 'raw'}."
    try:
        found = dataset(root, train=False)
    except RuntimeError:  # torchvision's word for files that are not there
        if not answers(source.url):
            raise InputError(f"{source.title} from the network", missing, cure) from None
        try:
            found = dataset(root, train=False, download=True)
        except (OSError, RuntimeError) as error:
            raise InputError(f"{source.title} from the network", "a download that broke off", cure) from error
    return found.data.numpy(), found.targets.tolist()
