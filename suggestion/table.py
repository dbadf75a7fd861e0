"""`Predictions`: what several models said of the images of one data set, as one table and as arrays over it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from common.class_names import class_numbers, first_pairs, unite
from common.files import write_bytes
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
    - `top` (N, M, k) int32 class numbers, best first, `NONE` beyond a model's classes and for an unreadable image;
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
    def scored(self) -> np.ndarray:
        """(N,) bool: the image could be read, so that all models have an answer."""
        return np.asarray((self.predicted != NONE).all(axis=1))

    @property
    def labelled(self) -> np.ndarray:
        """(N,) bool: the true class is known."""
        return self.true != NONE

    @property
    def judged(self) -> np.ndarray:
        """(N, M) bool: the true class is known, and is one that the model can answer."""
        return ~np.isnan(self.true_probability)

    @property
    def errors(self) -> np.ndarray:
        """(N, M) bool: the model's answer is not the true class; `False` where it is not `judged`."""
        return self.judged & (self.predicted != self.true[:, None])

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
        write_bytes(path, self.to_frame(names).to_parquet(index=False))


def combine(cards: Sequence[ModelCard], images: ImageSet, answers: Sequence[pd.DataFrame]) -> Predictions:
    """One table of several models' answers.

    `answers[m]` has one row per image in the set's order: `class_1` … `class_k` (int32, the model's own numbering,
    `NONE` beyond), `probability_1` … (float32), `true_probability` (float32).
    """
    labels = read_labels(cards, images.classes)
    classes, (*own_numbers, label_numbers) = unite([*(card.class_names for card in cards), tuple(labels.values())])
    number_of = dict(zip(labels, label_numbers, strict=True))
    true = np.array([NONE if label is None else number_of[label] for label in images.labels], dtype=np.int32)
    top = np.full((len(images), len(cards), TOP_K), NONE, dtype=np.int32)
    probability = np.zeros((len(images), len(cards), TOP_K), dtype=np.float32)
    true_probability = np.empty((len(images), len(cards)), dtype=np.float32)
    for m, (numbers, frame) in enumerate(zip(own_numbers, answers, strict=True)):
        own = np.array([*numbers, NONE], dtype=np.int32)
        for rank in range(TOP_K):
            top[:, m, rank] = own[frame[f"class_{rank + 1}"].to_numpy()]
            probability[:, m, rank] = frame[f"probability_{rank + 1}"].to_numpy()
        true_probability[:, m] = np.where(np.isin(true, own[:-1]), frame["true_probability"].to_numpy(), np.nan)
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


def read_labels(cards: Sequence[ModelCard], labels: Sequence[str]) -> dict[str, str]:
    """The class that each label means: itself, or where all labels are numbers of the models' classes, that class."""
    numbers = class_numbers(labels, [card.class_names for card in cards])
    names = next((card.class_names for card in cards if card.classifies), ())
    return {label: names[numbers[label]] if numbers else label for label in labels}


def label_note(cards: Sequence[ModelCard], labels: Sequence[str]) -> str:
    """How labels were read that are numbers and not names, in words; empty where they are names."""
    numbers = class_numbers(labels, [card.class_names for card in cards])
    if not numbers:
        return ""
    start = 1 if any(int(label) != number for label, number in numbers.items()) else 0
    names = next(card.class_names for card in cards if card.classifies)
    return f"Labels are taken as class numbers from {start}: {first_pairs(names, start=start)}."


def unknown_labels(cards: Sequence[ModelCard], labels: Sequence[str]) -> list[str]:
    """The labels that are no class of any of the models."""
    read = read_labels(cards, labels)
    _, (*known, numbers) = unite([*(card.class_names for card in cards), tuple(read.values())])
    classes = {number for own in known for number in own}
    return [label for label, number in zip(read, numbers, strict=True) if number not in classes]


def shared_classes(cards: Sequence[ModelCard]) -> tuple[str, ...]:
    """Classes that every model knows, as the first one spells them."""
    if not cards:
        return ()
    _, (first, *others) = unite([card.class_names for card in cards])
    common = set(first).intersection(*others)
    return tuple(name for name, number in zip(cards[0].class_names, first, strict=True) if number in common)
