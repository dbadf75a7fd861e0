"""Small models, images and tables with known answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from images.image_set import ImageSet, image_id, to_jpeg
from models.card import ModelCard, Recipe
from models.loaders.base import Loaded
from models.preprocessing import Preprocessing
from suggestion.table import NONE, Predictions

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 40, 220)}


class ColourNet(nn.Module):
    """Answers with the colour channel that is strongest on average; `scale` makes it sure or unsure."""

    def __init__(self, order: tuple[int, ...] = (0, 1, 2), scale: float = 5.0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1, bias=False)
        self.conv.weight.data = torch.eye(3)[list(order)].reshape(3, 3, 1, 1) * scale

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.conv(images).mean(dim=(2, 3))


def colour_loaded(
    name: str = "colours", side_px: int = 16, classes: tuple[str, ...] = ("red", "green", "blue"), **options
):
    preprocessing = Preprocessing((side_px, side_px), (0.5,) * 3, (0.5,) * 3, resize=(side_px, side_px), mode="squash")
    return Loaded(
        name, "test", "ColourNet", f"test/{name}", ColourNet(**options), preprocessing, classes, Recipe("test")
    )


def colour_images(folder: Path, n_images: int = 20, labelled: bool = True) -> ImageSet:
    """Noisy plain pictures of the three colours in turn."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for index in range(n_images):
        name = list(COLOURS)[index % 3]
        noise = np.random.default_rng(index).integers(-25, 25, (24, 30, 3))
        content = to_jpeg((np.array(COLOURS[name]) + noise).clip(0, 255).astype(np.uint8), quality=95)
        path = folder / f"{index}.jpg"
        path.write_bytes(content)
        label = name if labelled else None
        rows.append({"id": image_id(content), "path": str(path), "name": path.name, "label": label, "note": ""})
    return ImageSet("colours", pd.DataFrame(rows))


def table(
    predicted: list[list[int]], confidence: list[list[float]], true: list[int], classes: str = "abcd"
) -> Predictions:
    """Predictions with top-1 answers only."""
    n_images, n_models = np.shape(predicted)
    top = np.full((n_images, n_models, 5), NONE, dtype=np.int32)
    top[:, :, 0] = predicted
    probability = np.zeros((n_images, n_models, 5), dtype=np.float32)
    probability[:, :, 0] = confidence
    truth = np.array(true, dtype=np.int32)
    right = np.where(top[:, :, 0] == truth[:, None], probability[:, :, 0], 0.1).astype(np.float32)
    right[truth == NONE] = np.nan
    names = tuple(f"model {m}" for m in range(n_models))
    return Predictions(
        tuple(f"image{i}" for i in range(n_images)), names, names, tuple(classes), top, probability, truth, right
    )


__all__ = ["COLOURS", "ColourNet", "ModelCard", "colour_images", "colour_loaded", "table"]
