"""`Predictions`: what several models said of the images of one data set, as one table and as arrays over it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from common.class_names import name_key
from images.image_set import ImageSet
from models.card import ModelCard

#: Answers kept for each image and model, the best first.
TOP_K = 5

#: No class: an unlabelled image, or a rank beyond a model's classes.
NONE = -1


@dataclass(frozen=True)
class Predictions:
    """Answers of M models on N images.

    Classes are compared by name, so models with different class lists share one numbering: `classes[i]`.

    - `image_ids` (N), `models` (M) digests, `model_names` (M);
    - `top` (N, M, k) int32 class numbers, best first, `NONE` beyond a model's classes;
    - `probability` (N, M, k) float32 in [0, 1];
    - `true` (N,) int32, `NONE` where unknown;
    - `true_probability` (N, M) float32, NaN where the model does not know the true class.
    """

    image_ids: tuple[str, ...]
    models: tuple[str, ...]
    model_names: tuple[str, ...]
    classes: tuple[str, ...]
    top: np.ndarray
    probability: np.ndarray
    true: np.ndarray
    true_probability: np.ndarray

    def __len__(self) -> int:
        return len(self.image_ids)

    @property
    def predicted(self) -> np.ndarray:
        """(N, M) int32: each model's top class."""
        return self.top[:, :, 0]

    @property
    def confidence(self) -> np.ndarray:
        """(N, M) float32: each model's top probability."""
        return self.probability[:, :, 0]

    @property
    def labelled(self) -> np.ndarray:
        """(N,) bool: the true class is known."""
        return self.true != NONE

    @property
    def errors(self) -> np.ndarray:
        """(N, M) bool: the model's answer is not the true class; `False` where that is unknown."""
        return self.labelled[:, None] & (self.predicted != self.true[:, None])

    def class_name(self, number: int) -> str | None:
        """A class by its number; `None` for `NONE`."""
        return None if number == NONE else self.classes[number]

    def to_frame(self, names: Sequence[str] = ()) -> pd.DataFrame:
        """The table as people read it: one row per image and model, class names as text; `names` are file names."""
        n_images, n_models, k = self.top.shape
        labels = pd.Categorical.from_codes(np.arange(len(self.classes)), list(self.classes))
        frame = pd.DataFrame({"image": np.repeat(self.image_ids, n_models)})
        if names:
            frame["file"] = np.repeat(list(names), n_models)
        frame["model"] = np.tile(self.model_names, n_images)
        frame["label"] = labels.take(np.repeat(self.true, n_models), allow_fill=True)
        frame["true_probability"] = self.true_probability.reshape(-1)
        for rank in range(k):
            frame[f"class_{rank + 1}"] = labels.take(self.top[:, :, rank].reshape(-1), allow_fill=True)
            frame[f"probability_{rank + 1}"] = self.probability[:, :, rank].reshape(-1)
        return frame

    def save(self, path: Path, names: Sequence[str] = ()) -> None:
        """Write `to_frame` as Parquet."""
        self.to_frame(names).to_parquet(path, index=False)


def combine(cards: Sequence[ModelCard], images: ImageSet, answers: Sequence[pd.DataFrame]) -> Predictions:
    """One table of several models' answers.

    `answers[m]` has one row per image in the set's order: `class_1` … `class_k` (int32, the model's own numbering,
    `NONE` beyond), `probability_1` … (float32), `true_probability` (float32).
    """
    classes, numbers = unite([card.class_names for card in cards], images.classes)
    true = np.array([numbers.get(name_key(label), NONE) if label else NONE for label in images.labels], dtype=np.int32)
    top = np.full((len(images), len(cards), TOP_K), NONE, dtype=np.int32)
    probability = np.zeros((len(images), len(cards), TOP_K), dtype=np.float32)
    true_probability = np.empty((len(images), len(cards)), dtype=np.float32)
    for m, (card, frame) in enumerate(zip(cards, answers, strict=True)):
        own = np.array([numbers[name_key(name)] for name in card.class_names] + [NONE], dtype=np.int32)
        for rank in range(TOP_K):
            top[:, m, rank] = own[frame[f"class_{rank + 1}"].to_numpy()]
            probability[:, m, rank] = frame[f"probability_{rank + 1}"].to_numpy()
        true_probability[:, m] = frame["true_probability"].to_numpy()
    return Predictions(
        image_ids=images.ids,
        models=tuple(card.digest for card in cards),
        model_names=tuple(card.name for card in cards),
        classes=classes,
        top=top,
        probability=probability,
        true=true,
        true_probability=true_probability,
    )


def unite(class_lists: Sequence[Sequence[str]], labels: Sequence[str] = ()) -> tuple[tuple[str, ...], dict[str, int]]:
    """All classes of several models and of the labels, each once, and their numbers by `name_key`."""
    names: list[str] = []
    numbers: dict[str, int] = {}
    for name in [name for names in class_lists for name in names] + list(labels):
        if name_key(name) not in numbers:
            numbers[name_key(name)] = len(names)
            names.append(name)
    return tuple(names), numbers


def shared_classes(cards: Sequence[ModelCard]) -> tuple[str, ...]:
    """Classes that every model knows, as the first one spells them."""
    if not cards:
        return ()
    others = [{name_key(name) for name in card.class_names} for card in cards[1:]]
    return tuple(name for name in cards[0].class_names if all(name_key(name) in known for known in others))
