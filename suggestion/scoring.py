"""Models × images -> answers, chunk by chunk on disk: what is finished is never worked out again.

Each chunk of images is decoded once for all models, ahead of the forward passes, and every model's answers to it
become one Parquet file. A run that was killed goes on at the first missing file; batches are the same then as in an
unbroken run, so the answers are too. Images that cannot be read get no answer, and are tried again by the next run.
"""

import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from common.class_names import unite
from common.errors import InputError
from common.files import atomic_write
from images.image_set import ImageSet, Skipped
from models.card import ModelCard
from models.preprocessing import Preprocessing
from models.store import ModelHandle, ModelStore, check_output, normalise
from suggestion.table import NONE, TOP_K, Predictions, combine, read_labels

CHUNK = 256
BATCH = 32

#: Batches decoded ahead of the forward passes, and threads that do it.
_AHEAD = 2
_N_THREADS = 2

#: A batch as each distinct preprocessing sees it: (B, h, w, C) uint8.
Crops = dict[Preprocessing, np.ndarray]
Report = Callable[[int, int], None]


def score(
    model_store: ModelStore,
    cards: Sequence[ModelCard],
    images: ImageSet,
    folder: Path,
    report: Report = lambda done, total: None,
    chunk: int = CHUNK,
) -> dict[str, str]:
    """Score every model on every image that `folder` does not hold yet.

    `report(done, total)` counts image × model pairs and may raise to stop. Returns the models that could not go on
    (digest -> reason); all others are complete, but for images that cannot be read (see `unread`).
    """
    failed: dict[str, str] = {}
    for card in cards:
        _reopen(card, images, folder, chunk)
    todo = {card: _missing(card, images, folder, chunk) for card in cards}
    total = len(images) * len(cards)
    done = total - sum(min(chunk, len(images) - start) for starts in todo.values() for start in starts)
    report(done, total)
    true = {card: _true_classes(card, images) for card in cards if todo[card]}
    starts = sorted({start for missing in todo.values() for start in missing})
    with ThreadPoolExecutor(_N_THREADS, thread_name_prefix="decode") as pool:
        plan = [(start, [card for card in cards if start in todo[card]]) for start in starts]
        batches = _decoded_ahead(pool, images, plan, chunk)
        for start, wanting in plan:
            stop = min(start + chunk, len(images))
            answers: dict[ModelCard, list[tuple[Tensor, Tensor]]] = {card: [] for card in wanting}
            rows: list[int] = []
            for first in range(start, stop, BATCH):
                (readable, crops), size = next(batches), min(BATCH, stop - first)
                rows += readable
                inputs = {p: normalise(c, p, model_store.device) for p, c in crops.items()}
                for card in wanting:
                    if card.digest not in failed and readable:
                        try:
                            with model_store.borrow(card) as model:
                                answers[card].append(_answer(model, inputs[card.preprocessing]))
                        except InputError as error:
                            failed[card.digest] = str(error)
                    done += size
                    report(done, total)
            for card in wanting:
                if card.digest not in failed:
                    with atomic_write(_part(card, images, folder, start)) as partial:
                        places = [row - start for row in rows]
                        _frame(true[card][start:stop], places, answers[card]).to_parquet(partial, index=False)
    for card in cards:
        if card.digest not in failed:
            _merge(card, images, folder, chunk)
    return failed


def load(cards: Sequence[ModelCard], images: ImageSet, folder: Path) -> Predictions | None:
    """The table of models that were scored on `images`; `None` while one of them is not complete."""
    files = [_whole(card, images, folder) for card in cards]
    if not cards or not all(file.exists() for file in files):
        return None
    return combine(cards, images, [pd.read_parquet(file) for file in files])


def scored(card: ModelCard, images: ImageSet, folder: Path) -> bool:
    """Whether the model's answers to all images are there."""
    return _whole(card, images, folder).exists()


def unread(predictions: Predictions, images: ImageSet) -> list[Skipped]:
    """The images without answers, and why they cannot be read."""
    found = []
    for row in map(int, np.flatnonzero(~predictions.scored)):
        try:
            images.check(row)
            why = "It could not be read when the images were scored. Score them again."
        except InputError as error:
            why = str(error)
        found.append(Skipped(images.names[row], why))
    return found


def version(card: ModelCard, images: ImageSet, folder: Path) -> int:
    """Stands for the model's stored answers, which change when an image can be read again."""
    return _whole(card, images, folder).stat().st_mtime_ns


def _reopen(card: ModelCard, images: ImageSet, folder: Path, chunk: int) -> None:
    """Take a complete table apart again where images without answers can be read now: their chunks are missing then."""
    if not scored(card, images, folder):
        return
    frame = pd.read_parquet(_whole(card, images, folder))
    missing = map(int, np.flatnonzero(frame["class_1"] == NONE))
    again = {row // chunk * chunk for row in missing if images.can_be_read(row)}
    if not again:
        return
    for start in set(range(0, len(images), chunk)) - again:
        with atomic_write(_part(card, images, folder, start)) as partial:
            frame[start : start + chunk].to_parquet(partial, index=False)
    _whole(card, images, folder).unlink()


def _decoded_ahead(
    pool: ThreadPoolExecutor, images: ImageSet, plan: list[tuple[int, list[ModelCard]]], chunk: int
) -> Iterator[tuple[list[int], Crops]]:
    """The batches of the plan in order, each decoded while the models work on those before it.

    Each comes with the positions of its images, without those that cannot be read.
    """

    def crops_of(index: int, preprocessings: list[Preprocessing]) -> list[np.ndarray] | None:
        try:
            image = images.image(index)
        except InputError:
            return None
        return [preprocessing.crop(image) for preprocessing in preprocessings]

    def requests() -> Iterator[tuple[list[Preprocessing], dict[int, Future[list[np.ndarray] | None]]]]:
        for start, wanting in plan:
            distinct = list(dict.fromkeys(card.preprocessing for card in wanting))
            stop = min(start + chunk, len(images))
            for first in range(start, stop, BATCH):
                indices = range(first, min(first + BATCH, stop))
                yield distinct, {index: pool.submit(crops_of, index, distinct) for index in indices}

    upcoming = requests()
    waiting = deque(request for _, request in zip(range(_AHEAD), upcoming, strict=False))
    while waiting:
        distinct, futures = waiting.popleft()
        rows = {index: crops for index, future in futures.items() if (crops := future.result()) is not None}
        if (request := next(upcoming, None)) is not None:
            waiting.append(request)
        yield list(rows), {p: np.stack([row[i] for row in rows.values()]) for i, p in enumerate(distinct) if rows}


def _answer(model: ModelHandle, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Probabilities (B, classes) and the classes in falling order (B, k), on the CPU; halves when memory runs out."""
    try:
        with torch.inference_mode():
            logits = model.logits(inputs)
            check_output(logits, len(inputs), model.card.name)
            probability = model.probabilities(logits)
            return probability.cpu(), probability.topk(min(TOP_K, model.card.n_classes)).indices.cpu()
    except torch.OutOfMemoryError:
        if len(inputs) == 1:
            raise
        halves = [_answer(model, half) for half in inputs.chunk(2)]
        return torch.cat([p for p, _ in halves]), torch.cat([t for _, t in halves])


def _true_classes(card: ModelCard, images: ImageSet) -> np.ndarray:
    """(N,) int32: each image's true class in the model's own numbers; `NONE` where unknown, or unknown to the model."""
    labels = read_labels([card], images.classes)
    _, (own, wanted) = unite([card.class_names, tuple(labels.values())])
    index = {number: place for place, number in enumerate(own)}
    true = {label: index.get(number, NONE) for label, number in zip(labels, wanted, strict=True)}
    return np.array([NONE if label is None else true[label] for label in images.labels], dtype=np.int32)


def _frame(true: np.ndarray, places: list[int], answers: list[tuple[Tensor, Tensor]]) -> pd.DataFrame:
    """One model's answers to one chunk as a table in its own numbers.

    `true` are the classes of all its images; those at `places` were read, and have answers.
    """
    whole = _unanswered(len(true))
    if not places:
        return whole
    true = true[places]
    probability = torch.cat([p for p, _ in answers]).numpy()
    top = torch.cat([t for _, t in answers]).numpy().astype(np.int32)
    rows = np.arange(len(top))
    frame = pd.DataFrame({"true_probability": np.where(true == NONE, np.nan, probability[rows, true])})
    for rank in range(TOP_K):
        known = rank < top.shape[1]
        frame[f"class_{rank + 1}"] = top[:, rank] if known else np.full(len(top), NONE, dtype=np.int32)
        frame[f"probability_{rank + 1}"] = probability[rows, top[:, rank]] if known else np.float32(0)
    for column in whole:
        whole.loc[places, column] = frame[column].to_numpy().astype(whole[column].dtype)
    return whole


def _unanswered(n: int) -> pd.DataFrame:
    """The table of images that no model saw."""
    frame = pd.DataFrame({"true_probability": np.full(n, np.nan, dtype=np.float32)})
    for rank in range(1, TOP_K + 1):
        frame[f"class_{rank}"] = np.full(n, NONE, dtype=np.int32)
        frame[f"probability_{rank}"] = np.zeros(n, dtype=np.float32)
    return frame


def _whole(card: ModelCard, images: ImageSet, folder: Path) -> Path:
    return folder / images.digest / f"{card.digest}.parquet"


def _part(card: ModelCard, images: ImageSet, folder: Path, start: int) -> Path:
    return folder / images.digest / card.digest / f"{start:08d}.parquet"


def _missing(card: ModelCard, images: ImageSet, folder: Path, chunk: int) -> set[int]:
    """First images of the chunks that are not on disk."""
    if scored(card, images, folder):
        return set()
    return {start for start in range(0, len(images), chunk) if not _part(card, images, folder, start).exists()}


def _merge(card: ModelCard, images: ImageSet, folder: Path, chunk: int) -> None:
    """One file for a complete model, instead of one per chunk."""
    if scored(card, images, folder):
        return
    parts = [_part(card, images, folder, start) for start in range(0, len(images), chunk)]
    with atomic_write(_whole(card, images, folder)) as partial:
        pd.concat([pd.read_parquet(part) for part in parts]).to_parquet(partial, index=False)
    shutil.rmtree(parts[0].parent)
