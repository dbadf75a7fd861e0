"""How strongly a layer, one unit of it, or a class answers to every image of a data set."""

from __future__ import annotations

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
    for start in range(0, len(images), CHUNK):
        report(start, len(images))
        indices = range(start, min(start + CHUNK, len(images)))
        key = _key(card, layer, [images.ids[i] for i in indices])
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
    return all(_key(card, layer, list(ids)) in store for ids in _batched(images.ids))


def extremes(values: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the `n` highest of `values` (N,), highest first, and of the `n` lowest, lowest first; NaN is neither.

    No row is among both: with fewer than 2 n values, the highest go first.
    """
    order = np.argsort(values, kind="stable")[: np.isfinite(values).sum()]
    most = order[::-1][:n]
    return most, order[: len(order) - len(most)][:n]


def measured(card: ModelCard, images: ImageSet, layer: str | None, store: ResultStore) -> np.ndarray | None:
    """(N, units) float32: mean activation of every unit on every image; `None` while `measure` is not through."""
    chunks = [store.get(_key(card, layer, list(ids))) for ids in _batched(images.ids)]
    found = [chunk["units"] for chunk in chunks if chunk is not None]
    return np.concatenate(found) if len(found) == len(chunks) else None


def _key(card: ModelCard, layer: str | None, ids: list[str]) -> str:
    return key_of(what="unit activations", model=card.digest, layer=layer, images=ids)


def _batched(ids: tuple[str, ...]) -> list[tuple[str, ...]]:
    return [ids[start : start + CHUNK] for start in range(0, len(ids), CHUNK)]
