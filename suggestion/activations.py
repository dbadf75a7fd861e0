"""How strongly a layer, one unit of it, or a class answers to every image of a data set; NaN for one that is lost."""

from collections.abc import Callable, Collection

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
    for part in _parts(images):
        report(part[0], len(images))
        if _stored(card, images, layer, part, store) is not None:
            continue
        lost = _lost(images, part)
        rows = [index - part[0] for index in part if index not in lost]
        n_units = card.n_classes if layer is None else card.layer(layer).n_units
        units = np.full((len(part), n_units or 0), np.nan, dtype=np.float32)
        if rows:
            crops = np.stack([card.preprocessing.crop(images.image(part[row])) for row in rows])
            with model_store.borrow(card) as model, torch.inference_mode():
                units[rows] = _units(model, model.normalise(crops), layer).float().cpu().numpy()
        store.put(_key(card, images, layer, part, lost), units=units)
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
    return all(_stored(card, images, layer, part, store) is not None for part in _parts(images))


def extremes(values: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the `n` highest of `values` (N,), highest first, and of the `n` lowest, lowest first; NaN is neither.

    No row is among both: with fewer than 2 n values, the highest go first.
    """
    order = np.argsort(values, kind="stable")[: np.isfinite(values).sum()]
    most = order[::-1][:n]
    return most, order[: len(order) - len(most)][:n]


def measured(card: ModelCard, images: ImageSet, layer: str | None, store: ResultStore) -> np.ndarray | None:
    """(N, units) float32: mean activation of every unit on every image; `None` while `measure` is not through."""
    keys = [_stored(card, images, layer, part, store) for part in _parts(images)]
    chunks = [store.get(key) for key in keys if key is not None]
    found = [chunk["units"] for chunk in chunks if chunk is not None]
    return np.concatenate(found) if len(found) == len(keys) else None


def _parts(images: ImageSet) -> list[range]:
    """Positions of the images of each chunk."""
    return [range(len(images))[start : start + CHUNK] for start in range(0, len(images), CHUNK)]


def _key(card: ModelCard, images: ImageSet, layer: str | None, part: range, lost: Collection[int] = ()) -> str:
    """The key of the activations of a chunk without the `lost` images."""
    ids = [None if index in lost else images.ids[index] for index in part]
    return key_of(what="unit activations", model=card.digest, layer=layer, images=ids)


def _stored(card: ModelCard, images: ImageSet, layer: str | None, part: range, store: ResultStore) -> str | None:
    """The key under which a chunk's activations are stored, without images that are lost by now; `None` for none."""
    if (key := _key(card, images, layer, part)) in store:
        return key
    lost = _lost(images, part)
    return key if lost and (key := _key(card, images, layer, part, lost)) in store else None


def _lost(images: ImageSet, part: range) -> set[int]:
    """The images that cannot be read now."""
    return {index for index in part if not images.can_be_read(index)}
