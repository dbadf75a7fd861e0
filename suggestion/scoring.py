"""Models × images -> answers, chunk by chunk on disk: what is finished is never worked out again.

Each chunk of images is decoded once for all models, ahead of the forward passes, and every model's answers to it
become one file with a Parquet table. A run that was killed goes on at the first missing file; batches are the same then
as in an unbroken run, so the answers are too. Runs at the same time share the work: each file is computed once. Images
that cannot be read get no answer, and are tried again by the next run.
"""

import shutil
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from common.class_names import unite
from common.errors import InputError
from common.files import mark_used
from common.tables import read_table, write_table
from images.image_set import ImageSet, Skipped
from jobs.claims import Claims, Mine
from models.card import ModelCard
from models.folding import folded
from models.preprocessing import Preprocessing
from models.store import ModelHandle, ModelStore, check_output, normalise
from suggestion.table import NONE, TOP_K, Predictions, combine, read_labels

CHUNK = 256
BATCH = 32

#: Batches decoded ahead of the forward passes, and threads that do it.
_AHEAD = 2
_N_THREADS = 2

#: Seconds between two looks at what others are computing.
_LOOK_S = 0.25

#: Who computes which part; and who puts parts together, or takes a table apart.
_CLAIMS = Claims()
_GUARD = threading.RLock()

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

    What another thread is at is left to it, and waited for. `report(done, total)` counts image × model pairs and may
    raise to stop. Returns the models that could not go on (digest -> reason); all others are complete, but for images
    that cannot be read (see `unread`).
    """
    for card in cards:
        _reopen(card, images, folder, chunk)
    scoring = _Scoring(model_store, list(dict.fromkeys(cards)), images, folder, report, chunk)
    with ThreadPoolExecutor(_N_THREADS, thread_name_prefix="decode") as pool:
        for group in model_store.side_by_side(scoring.cards):
            scoring.run(group, pool)
    return scoring.failed


@dataclass
class _Scoring:
    """One run of `score`."""

    model_store: ModelStore
    cards: list[ModelCard]
    images: ImageSet
    folder: Path
    report: Report
    chunk: int
    failed: dict[str, str] = field(default_factory=dict)
    _reported: int = -1
    _true: dict[ModelCard, np.ndarray] = field(default_factory=dict)
    _copies: dict[ModelCard, ModelHandle | None] = field(default_factory=dict)

    def run(self, group: list[ModelCard], pool: ThreadPoolExecutor) -> None:
        """Score these models."""
        self._copies.clear()
        while True:
            missing = [self._part(card, start) for card in group for start in sorted(self._missing(card))]
            if (known := self._n_known()) != self._reported:
                self._report(known)
            if not missing:
                for card in group:
                    if card.digest not in self.failed:
                        _merge(card, self.images, self.folder, self.chunk)
                if all(card.digest in self.failed or self._scored(card) for card in group):
                    return
            elif self._compute(group, pool) == 0:  # others are at all that is missing
                _CLAIMS.wait(missing, _LOOK_S)
                self._report(known)  # which raises to stop

    def _compute(self, group: list[ModelCard], pool: ThreadPoolExecutor) -> int:
        """Compute what is missing and nobody else is at; returns the number of chunks."""
        n_chunks = known = 0
        answers: dict[ModelCard, list[tuple[Tensor, Tensor]]] = {}
        rows: list[int] = []
        with _CLAIMS.mine() as mine:
            for batch in _decoded_ahead(pool, self.images, self._unclaimed(group, mine), self.chunk):
                if batch.first == batch.start:
                    answers, rows, known = {card: [] for card in batch.wanting}, [], self._n_known()
                rows += batch.rows
                inputs = {p: normalise(c, p, self.model_store.device) for p, c in batch.crops.items()}
                for card in batch.wanting:
                    if card.digest not in self.failed and batch.rows:
                        try:
                            answers[card].append(self._answer(card, inputs[card.preprocessing]))
                        except InputError as error:
                            self.failed[card.digest] = str(error)
                    known += len(batch.indices)
                    self._report(known)
                if batch.indices.stop < batch.stop:
                    continue
                places = [row - batch.start for row in rows]
                for card in batch.wanting:
                    part = self._part(card, batch.start)
                    if card.digest not in self.failed:
                        true = self._true_classes(card)[batch.start : batch.stop]
                        self._write(card, part, _frame(true, places, answers[card]))
                    mine.release([part])
                n_chunks += 1
        return n_chunks

    def _answer(self, card: ModelCard, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """By a copy of our own where one is faster, see `models.folding`, else by the model itself, borrowed."""
        if (copy := self._copies.get(card)) is not None:
            return _answer(copy, inputs)
        with self.model_store.borrow(card) as model:
            if card not in self._copies:
                module = folded(model.module, inputs[:1])
                self._copies[card] = None if module is None else replace(model, module=module)
            return _answer(self._copies[card] or model, inputs)

    def _write(self, card: ModelCard, part: Path, table: pd.DataFrame) -> None:
        """Write a part, unless another process has put all of them together meanwhile, and removed their folder."""
        try:
            write_table(part, table)
        except FileNotFoundError:
            if not self._scored(card):
                write_table(part, table)

    def _unclaimed(self, group: list[ModelCard], mine: Mine) -> Iterator[tuple[int, list[ModelCard]]]:
        """First images of chunks, and the models that nobody else runs on them, claimed as they are asked for."""
        for start in range(0, len(self.images), self.chunk):
            parts = {self._part(card, start): card for card in group if self._lacks(card, start)}
            claimed = mine.take(parts)
            mine.release([part for part in claimed if not self._lacks(parts[part], start)])  # done meanwhile
            if wanting := [parts[part] for part in claimed if part in mine.keys]:
                yield start, wanting

    def _n_known(self) -> int:
        """Image × model pairs that are on disk, by whoever they were computed."""
        left = sum(min(self.chunk, len(self.images) - start) for card in self.cards for start in self._missing(card))
        return len(self.images) * len(self.cards) - left

    def _report(self, known: int) -> None:
        self._reported = known
        self.report(known, len(self.images) * len(self.cards))

    def _missing(self, card: ModelCard) -> set[int]:
        """First images of the chunks that are to be computed."""
        return set() if card.digest in self.failed else _missing(card, self.images, self.folder, self.chunk)

    def _lacks(self, card: ModelCard, start: int) -> bool:
        """Whether the chunk that begins at `start` is one of those."""
        return card.digest not in self.failed and not self._scored(card) and not self._part(card, start).exists()

    def _true_classes(self, card: ModelCard) -> np.ndarray:
        if card not in self._true:
            self._true[card] = _true_classes(card, self.images)
        return self._true[card]

    def _scored(self, card: ModelCard) -> bool:
        return scored(card, self.images, self.folder)

    def _part(self, card: ModelCard, start: int) -> Path:
        return _part(card, self.images, self.folder, start)


def load(cards: Sequence[ModelCard], images: ImageSet, folder: Path) -> Predictions | None:
    """The table of models that were scored on `images`; `None` while one of them is not complete, or is damaged."""
    if not cards or not all(scored(card, images, folder) for card in cards):
        return None
    answers = [read_table(_whole(card, images, folder), len(images)) for card in cards]
    whole = [table for table in answers if table is not None]
    return combine(cards, images, whole) if len(whole) == len(cards) else None


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
    """Stands for the model's stored answers, which change when an image can be read again; 0 for none."""
    mark_used(_whole(card, images, folder))
    try:
        return _whole(card, images, folder).stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _reopen(card: ModelCard, images: ImageSet, folder: Path, chunk: int) -> None:
    """Take a complete table apart again where images without answers can be read now: their chunks are missing then."""
    whole = _whole(card, images, folder)
    with _GUARD:
        frame = read_table(whole, len(images))
        missing = [] if frame is None else map(int, np.flatnonzero(frame["class_1"] == NONE))
        again = {row // chunk * chunk for row in missing if images.can_be_read(row)}
        if frame is None or not again:
            return
        for start in set(range(0, len(images), chunk)) - again:
            write_table(_part(card, images, folder, start), frame[start : start + chunk].reset_index(drop=True))
        whole.unlink(missing_ok=True)


@dataclass(frozen=True)
class _Batch:
    """Images of the chunk from `start` to `stop`, decoded: those at `rows` of `indices` could be read."""

    start: int
    stop: int
    wanting: list[ModelCard]
    indices: range
    rows: list[int]
    crops: Crops

    @property
    def first(self) -> int:
        return self.indices.start


def _decoded_ahead(
    pool: ThreadPoolExecutor, images: ImageSet, plan: Iterator[tuple[int, list[ModelCard]]], chunk: int
) -> Iterator[_Batch]:
    """The batches of the plan in order, each decoded while the models work on those before it."""

    def crops_of(index: int, preprocessings: list[Preprocessing]) -> list[np.ndarray] | None:
        try:
            image = images.image(index)
        except InputError:
            return None
        return [preprocessing.crop(image) for preprocessing in preprocessings]

    def begun() -> Iterator[tuple[_Batch, list[Preprocessing], dict[int, Future[list[np.ndarray] | None]]]]:
        for start, wanting in plan:
            distinct = list(dict.fromkeys(card.preprocessing for card in wanting))
            stop = min(start + chunk, len(images))
            for first in range(start, stop, BATCH):
                indices = range(first, min(first + BATCH, stop))
                futures = {index: pool.submit(crops_of, index, distinct) for index in indices}
                yield _Batch(start, stop, wanting, indices, [], {}), distinct, futures

    upcoming = begun()
    waiting = deque(islice(upcoming, _AHEAD))
    try:
        while waiting:
            batch, distinct, futures = waiting.popleft()
            rows = {index: found for index, future in futures.items() if (found := future.result()) is not None}
            waiting.extend(islice(upcoming, 1))
            crops = {p: np.stack([row[i] for row in rows.values()]) for i, p in enumerate(distinct) if rows}
            yield replace(batch, rows=list(rows), crops=crops)
    finally:  # a run that was stopped waits for no image that nobody wants
        for _, _, futures in waiting:
            for future in futures.values():
                future.cancel()


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
    """One file for a complete model, instead of one per chunk; nothing where a part is missing, or damaged."""
    parts = {start: _part(card, images, folder, start) for start in range(0, len(images), chunk)}
    with _GUARD:
        if not scored(card, images, folder):
            tables = [read_table(part, min(chunk, len(images) - start)) for start, part in parts.items()]
            whole = [table for table in tables if table is not None]
            if len(whole) < len(parts):
                return
            write_table(_whole(card, images, folder), pd.concat(whole, ignore_index=True))
        shutil.rmtree(parts[0].parent, ignore_errors=True)  # where another process writes just now, it tidies up
