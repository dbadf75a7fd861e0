"""MNIST and Fashion-MNIST as image sets, by torchvision: from its files on disk, else from the network."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.errors import InputError, check_known, first_line
from common.hub import answers
from images.arrays import nobody, write_image_set, written_once
from images.image_set import ImageSet


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


def mnist_image_set(name: str, data: Path, progress: Callable[[int, int], None] = nobody) -> ImageSet:
    """The 10,000 test images (28 × 28) of `mnist` or `fashion-mnist`, written under `data` at the first call.

    `progress` counts images and may raise to stop. Raises `InputError` for another name, and where the files are
    neither under `data` nor to be had.
    """
    check_known(name, SOURCES, "a set of torchvision")
    source, folder = SOURCES[name], data / name

    def write() -> ImageSet:
        images, labels = arrays_of(name, data)
        names = [f"test-{number:05d}" for number in range(len(images))]
        return write_image_set(source.title, images, names, [source.classes[n] for n in labels], folder, progress)

    return written_once(folder, data, write)


def arrays_of(name: str, data: Path, training: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 28, 28) uint8 and labels (N,) int64 of the test split, or of the training split.

    From torchvision's files under `data`, else from the network; raises `InputError` where they are in neither.
    """
    from torchvision import datasets  # slow to import

    source, root = SOURCES[name], data / "torchvision"
    dataset, missing = getattr(datasets, source.dataset), f"{source.url} does not answer"
    cure = f"Connect the server, or put torchvision's files into {root / source.dataset / 'raw'}."
    try:
        found = dataset(root, train=training)
    except RuntimeError:  # torchvision's word for files that are not there
        if not answers(source.url):
            raise InputError(f"{source.title} from the network", missing, cure) from None
        try:
            found = dataset(root, train=training, download=True)
        except (OSError, RuntimeError) as error:
            raise InputError(f"{source.title} from the network", "a download that broke off", cure) from error
    except (AssertionError, ValueError, KeyError, IndexError, EOFError, OSError) as error:  # torchvision checks so
        received = f"files that are damaged ({first_line(error)})"
        cure = f"Remove {root}, to have it again."
        raise InputError(f"{source.title} as torchvision keeps it", received, cure) from error
    return found.data.numpy(), found.targets.numpy()
