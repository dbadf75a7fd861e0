"""MNIST and Fashion-MNIST: read from torchvision's files, or refused in one line."""

import struct

import numpy as np
import pytest

from common.errors import InputError
from common.settings import settings
from images import mnist
from parallax.sources import open_images


def write_files(folder, n: int) -> np.ndarray:
    """Torchvision's four files with `n` pictures in each split; returns the pictures."""
    folder.mkdir(parents=True)
    pictures = np.random.default_rng(0).integers(0, 256, (n, 28, 28), dtype=np.uint8)
    for split in ("train", "t10k"):
        (folder / f"{split}-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 2051, n, 28, 28) + pictures.tobytes())
        (folder / f"{split}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 2049, n) + bytes(range(n)))
    return pictures


def test_files_that_are_there_become_an_image_set_once(tmp_path, monkeypatch):
    pictures = write_files(tmp_path / "torchvision" / "FashionMNIST" / "raw", 10)
    seen = []
    images = mnist.mnist_image_set("fashion-mnist", tmp_path, lambda done, total: seen.append((done, total)))
    assert len(images) == 10
    assert images.labels[9] == "Ankle boot"
    assert (images.image(3)[..., 0] == pictures[3]).all()
    assert seen[-1] == (10, 10)
    monkeypatch.setattr(mnist, "arrays_of", lambda *_: pytest.fail("read again"))
    assert mnist.mnist_image_set("fashion-mnist", tmp_path).digest == images.digest


def test_without_a_network_there_is_one_line_with_the_cure(tmp_path, monkeypatch):
    monkeypatch.setattr(mnist, "answers", lambda url: False)
    with pytest.raises(InputError, match="Expected MNIST from the network") as caught:
        mnist.mnist_image_set("mnist", tmp_path)
    assert "does not answer" in str(caught.value)
    assert "raw" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_another_name_is_refused_with_a_guess(tmp_path):
    with pytest.raises(InputError, match="fashion-mnist"):
        mnist.mnist_image_set("fashon-mnist", tmp_path)


def test_command_lines_find_it_by_name():
    data = settings().data_folder
    pictures = write_files(data / "torchvision" / "MNIST" / "raw", 10)
    assert (open_images("mnist").image(9)[..., 0] == pictures[9]).all()
    assert mnist.arrays_of("mnist", data, training=True)[1].tolist() == list(range(10))
