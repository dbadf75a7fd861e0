"""How strongly a layer, or one unit of it, answers to every image of a data set."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from bank.bank import Bank
from bank.card import ModelCard
from bank.images import ImageSet
from bank.layers import as_units, capture
from jobs.results import ResultStore, key_of

CHUNK = 64


def measure(
    bank: Bank,
    card: ModelCard,
    images: ImageSet,
    layer: str,
    store: ResultStore,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Work out the mean activation of each unit of `layer` on every image, chunk by chunk into `store`."""
    for start in range(0, len(images), CHUNK):
        report(start, len(images))
        indices = range(start, min(start + CHUNK, len(images)))
        key = _key(card, layer, [images.ids[i] for i in indices])
        if key in store:
            continue
        crops = np.stack([card.preprocessing.crop(images.image(i)) for i in indices])
        with bank.lend(card) as loan, torch.inference_mode(), capture(loan.layer(layer)) as outputs:
            loan.logits(loan.normalise(crops))
            units = as_units(outputs[loan.layer(layer)], card.layer(layer))
        store.put(key, units=units.cpu().numpy())
    report(len(images), len(images))


def measured(card: ModelCard, images: ImageSet, layer: str, store: ResultStore) -> np.ndarray | None:
    """(N, units) float32: mean activation of every unit on every image; `None` while `measure` is not through."""
    chunks = [store.get(_key(card, layer, list(ids))) for ids in _batched(images.ids)]
    found = [chunk["units"] for chunk in chunks if chunk is not None]
    return np.concatenate(found) if len(found) == len(chunks) else None


def _key(card: ModelCard, layer: str, ids: list[str]) -> str:
    return key_of(what="unit activations", model=card.digest, layer=layer, images=ids)


def _batched(ids: tuple[str, ...]) -> list[tuple[str, ...]]:
    return [ids[start : start + CHUNK] for start in range(0, len(ids), CHUNK)]
