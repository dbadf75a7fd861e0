"""What is drawn on the Playground: curves, the image on its way, what is mixed up, kernels, the table of runs."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import streamlit as st

from figures.confusion import confusion_matrix
from figures.maps import colour_map, crisp
from figures.network_tree import TreeColumn, TreeNode, network_tree
from figures.training_curves import training_curves
from images.image_set import ImageSet
from models.stack import Row, Stack
from pages.playground.runs import Entry
from pages.shared import cache
from pages.shared.chart.component import Drawing, drawing
from playground import look
from playground.data import TrainingData
from playground.history import History
from playground.look import Inside, LayerOutput
from playground.runs import TrainingRequest, data_for
from playground.training import COLUMNS, Run

#: Units of a layer that the tree shows.
MOST_UNITS = 8


def history(entry: Entry) -> History:
    """A run as the curves take it: epoch 0 is the network before it has learnt anything."""
    values = np.full((1, len(COLUMNS)), np.nan) if entry.run is None else entry.run.history
    return History(entry.name, np.arange(len(values)), dict(zip(COLUMNS, values.T, strict=True)))


def curves(entries: Sequence[Entry], epoch: int | None) -> Drawing:
    """Accuracy and loss of runs, epoch by epoch; `epoch` is the one on show."""
    last = max(entry.request.params.epochs for entry in entries)
    return drawing(
        training_curves([history(entry) for entry in entries], [entry.colour for entry in entries], epoch, last)
    )


def data_of(request: TrainingRequest, images: ImageSet) -> TrainingData:
    """The images of a run as its network sees them."""
    return data_for(images, request.params.side, request.shortcut, request.params.seed)


@st.cache_data(show_spinner=False, max_entries=300)
def answers(key: str, epoch: int, _request: TrainingRequest, _run: Run, _data: TrainingData) -> np.ndarray:
    """(N, K) float32: a run's answers to the test images after an epoch."""
    net = _request.network(cache.store(), _run, epoch, _data)
    return look.probabilities(net, _data.pixels[_data.test], _data.preprocessing)


def empty_tree(stack: Stack, rows: Sequence[Row], classes: Sequence[str]) -> Drawing:
    """The network before it is trained: grey nodes."""
    columns = [
        TreeColumn(row.title, row.shape_words, _nodes(row.shape[0]), row.shape[0], "all" if mixes else "same")
        for row, mixes in zip(rows[:-1], [True, *(layer.mixes for layer in stack)], strict=True)
    ]
    return drawing(network_tree(columns, None, classes, most=MOST_UNITS))


def tree(seen: Inside, classes: Sequence[str], true: int | None, chosen: tuple[int, int] | None) -> Drawing:
    """The image on its way through the network to the bars of its answer."""
    columns = [_input_column(seen.pixels), *(_column(layer) for layer in seen.layers)]
    return drawing(network_tree(columns, seen.probabilities, classes, true, chosen, MOST_UNITS))


def _nodes(n_units: int) -> tuple[TreeNode, ...]:
    return tuple(TreeNode(unit) for unit in range(min(n_units, MOST_UNITS)))


def _input_column(pixels: np.ndarray) -> TreeColumn:
    """The image itself, one node whatever its colours."""
    shape = " × ".join(map(str, pixels.shape))
    rgb = np.broadcast_to(pixels.transpose(1, 2, 0), (*pixels.shape[1:], 3))
    return TreeColumn("Input", shape, (TreeNode(0, rgb, float(pixels.min()), float(pixels.max())),), 1)


def _column(layer: LayerOutput) -> TreeColumn:
    """A layer's units, all on one scale, so that their strengths compare."""
    values = layer.values if layer.values.ndim == 3 else layer.values[:, None, None]
    signed = bool(values.min() < 0)
    scale = float(np.abs(values).max()) or 1.0
    nodes = tuple(
        TreeNode(unit, colour_map(values[unit], signed, scale, False)[..., :3], float(values[unit].min()),
                 float(values[unit].max()))
        for unit in range(min(len(values), MOST_UNITS))
    )  # fmt: skip
    shape = " × ".join(map(str, layer.values.shape))
    return TreeColumn(layer.title, shape, nodes, len(values), "all" if layer.mixes else "same")


def confusion(data: TrainingData, found: np.ndarray, chosen: tuple[int, int] | None) -> Drawing:
    """The confusion matrix of the test images."""
    counts = look.confusion(data.labels[data.test], found.argmax(1), len(data.classes))
    return drawing(confusion_matrix(counts, data.classes, chosen))


def mixed_up(data: TrainingData, found: np.ndarray, true: int, predicted: int) -> np.ndarray:
    """Positions among the test images of those of class `true` that were taken for `predicted`, the surest first."""
    where = np.flatnonzero((data.labels[data.test] == true) & (found.argmax(1) == predicted))
    return where[np.argsort(-found[where, predicted], kind="stable")]


def test_picture(data: TrainingData, position: int) -> np.ndarray:
    """(h, w, 3) uint8: a test image as the network sees it, large enough to be looked at."""
    pixels = data.pixels[data.test[position]].transpose(1, 2, 0)
    return crisp(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))


def table(entries: Sequence[Entry], test_accuracies: dict[str, float]) -> pd.DataFrame:
    """One row for each run."""
    rows = []
    for entry in entries:
        run, params = entry.run, entry.request.params
        best = None if run is None else run.best_epoch
        loss, accuracy = (np.nan, np.nan) if run is None else (run.history[best, 1], run.history[best, 3])
        rows.append(
            {
                "Run": entry.name,
                "Test accuracy": 100 * test_accuracies.get(entry.request.key, np.nan),
                "Validation accuracy": 100 * accuracy,
                "Validation loss": loss,
                "Best epoch": best,
                "Epochs": 0 if run is None else run.epoch,
                "Seconds": np.nan if run is None else run.seconds,
                "Batch": params.batch,
                "Learning rate": params.learning_rate,
                "Optimiser": params.optimiser,
                "Augmentation": params.augmentation,
                "Shortcut": entry.request.shortcut,
                "Seed": params.seed,
            }
        )
    return pd.DataFrame(rows)
