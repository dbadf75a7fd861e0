"""What the charts of the suggestion page show, as arrays over a table of predictions."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from models.card import ModelCard
from suggestion.table import NONE, Predictions, shared_classes

#: Mean top-1 probability from which the models count as confident.
CONFIDENT = 0.7

#: The four quadrants: (confident, agree) -> words.
QUADRANTS = {
    (True, True): "Confident, agree",
    (True, False): "Confident, disagree",
    (False, True): "Unsure, agree",
    (False, False): "Unsure, disagree",
}


@dataclass(frozen=True)
class Filters:
    """What a person wants to see; classes by number, `alone` by the model's position."""

    true_class: int | None = None
    predicted_class: int | None = None
    errors: bool = False
    disagreements: bool = False
    alone: int | None = None


@dataclass(frozen=True)
class Scatter:
    """Points of the suggestion chart.

    `index` (P,) positions in the table, `confidence` (P,) float32 mean top-1 probability in [0, 1], `n_classes` (P,)
    int32 distinct predicted classes, `y` (P,) float32 the same, jittered so that points don't hide each other.
    """

    index: np.ndarray
    confidence: np.ndarray
    n_classes: np.ndarray
    y: np.ndarray
    counts: dict[str, int]


@lru_cache(maxsize=32)
def _strangers(cards: tuple[ModelCard, ...]) -> list[list[str]]:
    """The models' names in groups: models of two groups share no class, nor do other models link them."""
    groups: list[list[ModelCard]] = []
    for card in cards:
        known = [group for group in groups if any(shared_classes((card, other)) for other in group)]
        groups = [group for group in groups if group not in known] + [
            [*(one for group in known for one in group), card]
        ]
    return [[card.name for card in group] for group in groups]


def without_shared_classes(cards: Sequence[ModelCard]) -> str:
    """What follows for their agreement where models have different classes, in a sentence; "" where nothing does."""
    if len(cards) < 2 or shared_classes(cards):
        return ""
    groups = _strangers(tuple(cards))
    if len(groups) == 1:
        return "No class is known to all of these models: they never agree all together, but some of them may."
    if len(groups) == len(cards):
        return "No two of these models have a class in common: they disagree on every image."
    words = " | ".join(", ".join(names) for names in groups)
    return f"These groups of models have no class in common, and disagree on every image: {words}."


def mean_confidence(predictions: Predictions) -> np.ndarray:
    """(N,) float32: mean over the models of their top-1 probability (iNNvestigate-GUI, section 4.3, x axis)."""
    return predictions.confidence.mean(axis=1)


def n_predicted_classes(predictions: Predictions) -> np.ndarray:
    """(N,) int32: number of distinct top classes over the models (iNNvestigate-GUI, section 4.3, y axis)."""
    ranked = np.sort(predictions.predicted, axis=1)
    return (1 + (np.diff(ranked, axis=1) != 0).sum(axis=1)).astype(np.int32)


def keep(predictions: Predictions, filters: Filters) -> np.ndarray:
    """(N,) bool: the images with answers that pass all filters."""
    kept = predictions.scored
    if filters.true_class is not None:
        kept &= predictions.true == filters.true_class
    if filters.predicted_class is not None:
        kept &= (predictions.predicted == filters.predicted_class).any(axis=1)
    if filters.errors:
        kept &= predictions.errors.any(axis=1)
    if filters.disagreements:
        kept &= n_predicted_classes(predictions) > 1
    if filters.alone is not None:
        kept &= alone(predictions, filters.alone)
    return kept


def alone(predictions: Predictions, model: int) -> np.ndarray:
    """(N,) bool: all the other models agree with each other, and not with this one."""
    others = np.delete(predictions.predicted, model, axis=1)
    if others.shape[1] == 0:
        return np.zeros(len(predictions), dtype=bool)
    agreed = (others == others[:, :1]).all(axis=1)
    return agreed & (others[:, 0] != predictions.predicted[:, model])


def scatter(predictions: Predictions, kept: np.ndarray, seed: int = 0) -> Scatter:
    """The chart's points for the images in `kept` (N,) bool, and how many lie in each quadrant."""
    confidence, n_classes = mean_confidence(predictions), n_predicted_classes(predictions)
    jitter = np.random.default_rng(seed).uniform(-0.36, 0.36, len(predictions)).astype(np.float32)
    index = np.flatnonzero(kept)
    confident, agree = confidence[index] >= CONFIDENT, n_classes[index] == 1
    counts = {words: int(((confident == c) & (agree == a)).sum()) for (c, a), words in QUADRANTS.items()}
    return Scatter(index, confidence[index], n_classes[index], (n_classes + jitter).astype(np.float32)[index], counts)


def accuracy(predictions: Predictions) -> tuple[np.ndarray, np.ndarray]:
    """Share of right answers (M,) float64 and number of images behind it (M,) int64.

    Counted over the images whose true class is known and among the model's classes; NaN where there are none.
    """
    counted = predictions.judged
    right = (predictions.predicted == predictions.true[:, None]) & counted
    n_counted = counted.sum(axis=0)
    with np.errstate(invalid="ignore"):
        return np.where(n_counted > 0, right.sum(axis=0) / np.maximum(n_counted, 1), np.nan), n_counted


def shuffled_names(predictions: Predictions, model: int) -> float | None:
    """Share of right answers in [0, 1] were the model's classes named in another order; `None` where none helps much.

    A model that is hardly ever right, though its answers tell the true classes apart, likely has its names in another
    order. The order that fits half of the images best is tried on the other half, so that chance gains nothing.
    """
    judged = np.flatnonzero(predictions.judged[:, model])
    true, predicted = predictions.true[judged], predictions.predicted[judged, model]
    learnt, tried = slice(0, None, 2), slice(1, None, 2)
    meant = np.full(len(predictions.classes), NONE)
    for answer in np.unique(predicted[learnt]):
        meant[answer] = np.bincount(true[learnt][predicted[learnt] == answer]).argmax()
    if len(judged) < 20 or len(np.unique(true)) < 3:
        return None
    as_named, renamed = (predicted == true).mean(), (meant[predicted] == true)[tried].mean()
    return float(renamed) if renamed >= 0.5 and as_named < 0.2 * renamed else None


def agreement(predictions: Predictions) -> np.ndarray:
    """(M, M) float64 in [0, 1]: share of images on which each pair of models gives the same top class."""
    predicted = predictions.predicted[predictions.scored]
    return (predicted[:, :, None] == predicted[:, None, :]).mean(axis=0)


def where_they_differ(predictions: Predictions, first: int, second: int) -> np.ndarray:
    """Positions of the images on which two models give different answers, those of which both are sure first."""
    answers = predictions.predicted
    differ = np.flatnonzero((answers[:, first] != answers[:, second]) & predictions.scored)
    surest = predictions.confidence[differ][:, [first, second]].min(axis=1)
    return differ[np.argsort(-surest, kind="stable")]


def label_difference(predictions: Predictions, model: int) -> np.ndarray:
    """(N,) float32 in [0, 1]: label minus prediction, 1 − p(true class); NaN where there is no label.

    0: sure of the true class; 1: sure of something else (iNNvestigate-GUI, section 4.3, single model).
    """
    return 1 - predictions.true_probability[:, model]


def histogram(
    values: np.ndarray, n_bins: int = 20, bounds: tuple[float, float] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Edges (n_bins + 1,) and the bin (N,) int64 of each value, `NONE` for NaN."""
    finite = values[np.isfinite(values)]
    low, high = bounds or ((finite.min(), finite.max()) if len(finite) else (0.0, 1.0))
    edges = np.linspace(low, high if high > low else low + 1, n_bins + 1)
    bins = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, n_bins - 1)
    return edges, np.where(np.isfinite(values), bins, NONE)
