"""A small image set, a small net that reads it, and a generator that was made in no time."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from explainers.contrastive.generator import Encoder, Generator, Shape, Trained
from images.image_set import ImageSet, image_id
from models.preprocessing import Preprocessing
from tests.makers import TinyNet, tiny_loaded

TINY = Shape(side=32, channels=1, latent=8, width=4)


def image_set(folder: Path, n: int, side: int = 32, grey: bool = True, name: str = "small") -> ImageSet:
    """Bright bars, each at a place of its own, on a dark ground."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(n):
        picture = np.zeros((side, side, 3), np.uint8)
        start = number % (side - 8)
        picture[4 : side - 4, start : start + 2 + number % 7] = 255 - number % 50
        if not grey:
            picture[..., number % 3] //= 2
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "BMP")
        path = folder / f"{number:04d}.bmp"
        path.write_bytes(buffer.getvalue() + bytes([number % 256, number // 256]))
        rows.append(
            {"id": image_id(path.read_bytes()), "path": str(path), "name": path.name, "label": None, "note": ""}
        )
    return ImageSet(name, pd.DataFrame(rows))


def trained(data: str, shape: Shape = TINY, seed: int = 0) -> Trained:
    """An untrained generator, with an encoder."""
    torch.manual_seed(seed)
    nets = Generator(shape), Encoder(shape)
    for net in nets:
        net.eval().requires_grad_(False)
    return Trained(f"key {data} {seed}", data, 1, *nets)


def loaded(side: int = 32, channels: int = 1, n_classes: int = 4, name: str = "tiny", **changes):
    """A tiny net with logits that differ enough to have something between them."""
    torch.manual_seed(1)
    net = TinyNet(n_classes, channels)
    with torch.no_grad():
        net[-1].weight.mul_(8)
    preprocessing = Preprocessing(
        (side, side), (0.5,) * channels, (0.25,) * channels, resize=(side, side), mode="squash"
    ).changed(changes)
    return tiny_loaded(net, name=name, preprocessing=preprocessing, architecture=f"test/{name}{side}")
