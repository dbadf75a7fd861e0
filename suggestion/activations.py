"""How strongly a layer, one unit of it, or a class answers to every image of a data set."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from images.image_set import ImageSet
from jobs.results import ResultStore, key_of
from models.card import ModelCard
from models.layers import as_units, capture
from models.store import ModelHandle, ModelStore

CHUNK = 64


def measure(
    model_store: ModelStore,
    card: ModelCard,
    images: ImageSet,
    layer: str | None,
    store: ResultStore,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Work out the mean activation of each unit of `layer` on every image, chunk by chunk into `store`.

    For `None` in place of a layer, the model's own scores (logits).
    """
    for key, indices in _chunks(card, images, layer).items():
        report(indices[0], len(images))
        if key in store:
            continue
        crops = np.stack([card.preprocessing.crop(images.image(i)) for i in indices])
        with model_store.borrow(card) as model, torch.inference_mode():
            store.put(key, units=_units(model, model.normalise(crops), layer).float().cpu().numpy())
    report(len(images), len(images))


def _units(model: ModelHandle, inputs: Tensor, layer: str | None) -> Tensor:
    """(N, units) for normalised `inputs` (N, C, h, w)."""
    if layer is None:
        return model.logits(inputs)
    with capture(model.layer(layer)) as outputs:
        model.logits(inputs)
    return as_units(outputs[model.layer(layer)], model.card.layer(layer))


def through(card: ModelCard, images: ImageSet, layer: str | None, store: ResultStore) -> bool:
    """Whether `measure` has been through, without reading what it found."""
    return all(key in store for key in _chunks(card, images, layer))


def extremes(values: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the `n` highest of `values` (N,), highest first, and of the `n` lowest, lowest first; NaN is neither.

    No row is among both: with fewer than 2 n values, the highest go first.
    """
    order = np.argsort(values, kind="stable")[: np.isfinite(values).sum()]
    most = order[::-1][:n]
    return most, order[: len(order) - len(most)][:n]


def measured(card: ModelCard, images: ImageSet, layer: str | None, store: ResultStore) -> np.ndarray | None:
    """(N, units) float32: mean activation of every unit on every image; `None` while `measure` is not through."""
    chunks = [store.get(key) for key in _chunks(card, images, layer)]
    found = [chunk["units"] for chunk in chunks if chunk is not None]
    return np.concatenate(found) if len(found) == len(chunks) else None


def _chunks(card: ModelCard, images: ImageSet, layer: str | None) -> dict[str, range]:
    """Positions of the images of each chunk, by the key of their activations."""
    parts = [range(len(images))[start : start + CHUNK] for start in range(0, len(images), CHUNK)]
    facts = {"what": "unit activations", "model": card.digest, "layer": layer}
    return {key_of(**facts, images=[images.ids[i] for i in part]): part for part in parts}
