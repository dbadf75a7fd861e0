"""What the columns of a training's log mean: which are losses and accuracies, of which images, and of which epoch."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from common.errors import InputError
from playground.history import ACCURACY, LOSS, STANDARD, History

EXPECTED = "a training history: epochs with their loss or accuracy"

TRAINING, VALIDATION, TEST = "training", "validation", "test"

#: What names of columns say of the images that something was measured on.
_SPLITS = {
    **dict.fromkeys(("train", "training", "trn", "tr"), TRAINING),
    **dict.fromkeys(("val", "valid", "validation", "eval", "evaluation", "dev", "holdout"), VALIDATION),
    **dict.fromkeys(("test", "testing"), TEST),
}
_GLUED = re.compile(r"^(train|training|val|valid|validation|eval|test)(loss|acc|accuracy)$")

#: Words without a meaning of their own beside a loss or an accuracy; "step" only where nothing better is there.
_FILLERS = {"epoch", "avg", "mean", "average", "metrics", "metric", "sparse", "categorical", "binary", "multiclass"}
_MEASURES = {
    **dict.fromkeys((("loss",), ("cross", "entropy"), ("cross", "entropy", "loss"), ("crossentropy",)), LOSS),
    **dict.fromkeys(
        (
            *(("accuracy",), ("acc",), ("accuracy", "1"), ("acc", "1"), ("prec", "1"), ("top", "1"), ("top1",)),
            *(("top", "1", "accuracy"), ("accuracy", "top", "1"), ("top", "1", "acc"), ("acc", "top", "1")),
        ),
        ACCURACY,
    ),
}

#: Columns that number the rows, the surest first.
_EPOCHS, _STEPS = ("epoch", "epochs", "ep"), ("step", "globalstep", "iteration", "iter", "steps", "iterations")

#: Signs that stand for no value, and for one that is no number.
_MISSING, _NOT_A_NUMBER = {"", "none", "null", "na", "n/a", "-", "–"}, {"nan", "-nan", "+nan"}

#: Epochs of a history, and columns of a file, at most.
_MOST_ROWS, _MOST_COLUMNS = 1_000_000, 1_000


@dataclass(frozen=True)
class Log:
    """Rows of a log under their column names: `values` (R, C) float64, NaN where there is no number.

    `counts` says what the rows are numbered by, where no column does; `remarks` how they were read.
    """

    columns: tuple[str, ...]
    values: np.ndarray
    remarks: tuple[str, ...] = ()
    counts: np.ndarray | None = None


def numbers(columns: Sequence[str], rows: Sequence[tuple[int, Sequence[Any]]], name: str, decimal_comma: bool) -> Log:
    """Cells, with the numbers of their lines, as numbers; columns without any are left out, and that is said."""
    width = len(columns)
    values = np.full((len(rows), width), np.nan)
    faults: dict[int, list[tuple[int, str]]] = {}
    remarks: list[str] = []
    commas, strange = False, [0] * width
    for r, (line, cells) in enumerate(rows):
        if len(cells) > width and any(str(cell).strip() for cell in cells[width:]):
            raise InputError(EXPECTED, f"{name}, whose line {line} has {len(cells)} cells for {width} columns",
                             "Check what separates its columns.")  # fmt: skip
        for c, cell in enumerate(cells[:width]):
            if (number := _number(cell, decimal_comma)) is not None:
                values[r, c] = number
                if number != number:
                    strange[c] += str(cell).strip().casefold() in _NOT_A_NUMBER
                elif not commas:
                    commas = isinstance(cell, str) and "," in cell and "(" not in cell
            else:
                faults.setdefault(c, []).append((line, str(cell).strip()))
    filled = np.isfinite(values).any(axis=0)
    for c, found in faults.items():
        if filled[c]:
            line, cell = found[0]
            cells = "1 cell is no number" if len(found) == 1 else f"{len(found):,} cells are no numbers"
            remarks.append(f"'{columns[c]}': {cells} (line {line}: {cell[:30]!r}).")
    if commas:
        remarks.append("Commas were read as decimal commas.")
    for c in (n for n, count in enumerate(strange) if count):
        remarks.append(f"'{columns[c]}' is not a number (NaN) in {strange[c]:,} row{'s' * (strange[c] > 1)}.")
    if without := [column for column, there in zip(columns, filled, strict=True) if not there]:
        remarks.append(f"Left out, as no number is in them: {', '.join(without[:6])}{' …' if without[6:] else ''}.")
    kept = tuple(column for column, there in zip(columns, filled, strict=True) if there)
    return Log(kept, values[:, filled], tuple(remarks))


def _number(cell: Any, decimal_comma: bool) -> float | None:
    """A cell as a number, NaN where it is empty; `None` where it is something else."""
    if isinstance(cell, bool):
        return None
    if cell is None or isinstance(cell, int | float):
        try:
            return math.nan if cell is None else float(cell)
        except OverflowError:
            return None
    text = str(cell).strip()
    if text.replace(".", "", 1).isdecimal():  # most are
        return float(text)
    if text.casefold() in _MISSING | _NOT_A_NUMBER:
        return math.nan
    if tensor := re.fullmatch(r"tensor\(\s*([^,()\s]+)\s*(?:,.*)?\)", text):  # what printing a tensor leaves behind
        text = tensor[1]
    share = 100.0 if text.endswith("%") else 1.0
    text = text.removesuffix("%").strip()
    if decimal_comma and re.fullmatch(r"[-+]?\d*,\d+(?:[eE][-+]?\d+)?", text):
        text = text.replace(",", ".")
    try:
        return float(text) / share if "_" not in text else None
    except ValueError:
        return None


def history_of(log: Log, name: str) -> History:
    """The history that a log tells; raises `InputError` where it tells none."""
    if not log.columns or not len(log.values):
        raise InputError(EXPECTED, f"{name}, which holds no numbers", "Upload the log that the training wrote.")
    if len(log.columns) > _MOST_COLUMNS or len(log.values) > _MOST_ROWS:
        received = f"{name} with {len(log.values):,} rows and {len(log.columns):,} columns"
        raise InputError(f"a log of at most {_MOST_ROWS:,} rows", received, "Write one row for each epoch.")
    remarks = list(log.remarks)
    counts, unit, used = _counts(log, remarks)
    measures = _measures([c if n not in used else "" for n, c in enumerate(log.columns)], remarks)
    measures = {n: measure for n, measure in measures.items() if n not in used}
    if not measures:
        raise InputError(EXPECTED, f"{name}, which has no column of values", "Upload the log that the training wrote.")
    known = np.isfinite(counts)
    if (largest := np.abs(counts[known]).max(initial=0)) > 2**53:
        raise InputError(f"{unit}s as whole numbers", f"{largest:.3g} in {name}", f"Check what counts its {unit}s.")
    if not known.all():
        n_rows = int((~known).sum())
        rows = "1 row is" if n_rows == 1 else f"{n_rows:,} rows are"
        remarks.append(f"{rows} left out, as no {unit} is given there.")
    frame = pd.DataFrame(log.values[:, list(measures)][known], columns=list(measures.values()))
    frame = _by_count(frame, counts[known].astype(np.int64), unit, remarks)
    if not frame.notna().any(axis=None):
        raise InputError(EXPECTED, f"{name}, which has no values", "Upload the log that the training wrote.")
    values = _shares({str(key): frame[key].to_numpy(dtype=np.float64) for key in frame.columns}, remarks)
    if frame.index[0] == 0 and unit == "epoch":
        remarks.append("Epochs are counted from 0, as in the file.")
    order = [key for key in STANDARD if key in values] + [key for key in values if key not in STANDARD]
    return History(name, frame.index.to_numpy(), {key: values[key] for key in order}, tuple(remarks), unit)


def _counts(log: Log, remarks: list[str]) -> tuple[np.ndarray, str, set[int]]:
    """What numbers each row (R,) float64, what that counts, and the columns that do nothing else."""
    plain = ["".join(re.findall(r"[a-z0-9]+", column.casefold())) for column in log.columns]
    epochs = next((plain.index(word) for word in _EPOCHS if word in plain), None)
    steps = next((plain.index(word) for word in _STEPS if word in plain), None)
    used = {n for n in (epochs, steps) if n is not None}
    index = next((n for n, word in enumerate(plain) if n == 0 and re.fullmatch(r"|unnamed0|index", word)), None)
    if epochs is None and steps is None and index is not None and _runs(log.values[:, index]):
        return log.values[:, index], "epoch", {index}
    if epochs is not None:
        column = log.values[:, epochs]
        whole = column[np.isfinite(column)]
        if (whole == np.round(whole)).all():
            return column, "epoch", used
        if steps is None:
            remarks.append("Parts of epochs were counted to the epoch that they end in.")
            return np.ceil(column), "epoch", used
        remarks.append("Epochs are given in parts: drawn over steps.")
    if steps is not None:
        return np.round(log.values[:, steps]), "step", used
    if log.counts is not None:
        return log.counts, "epoch", used
    remarks.append("No column numbers the epochs: rows are counted from 1.")
    return np.arange(1, len(log.values) + 1, dtype=np.float64), "epoch", used


def _runs(values: np.ndarray) -> bool:
    """Whether values are running numbers, as pandas writes them in front of each row."""
    return any(np.array_equal(values, np.arange(start, start + len(values))) for start in (0, 1))


def meaning(column: str) -> tuple[str, str, int]:
    """What a column's name says: of which images, if it does; loss, accuracy or ""; and how unsure that is."""
    words = re.findall(r"[a-z]+|\d+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", column).casefold())
    words = [part for word in words for part in _GLUED.sub(r"\1 \2", word).split()]
    splits = {_SPLITS[word] for word in words if word in _SPLITS}
    rest = [word for word in dict.fromkeys(words) if word not in _SPLITS]
    core = tuple(word for word in rest if word not in _FILLERS and word != "step")
    measure = _MEASURES.get(core, "") if len(splits) <= 1 else ""
    sureness = (0 if "epoch" in rest else 2 if "step" in rest else 1) * 10 + len(rest)
    return next(iter(splits), "") if len(splits) == 1 else "", measure, sureness


def _measures(columns: Sequence[str], remarks: list[str]) -> dict[int, str]:
    """What each column is, by its number: one of `STANDARD` or its own name. Readings that were chosen are told."""
    found: dict[tuple[str, str], int] = {}
    meanings = [meaning(column) for column in columns]
    for n in sorted(range(len(columns)), key=lambda n: meanings[n][2]):
        split, measure, _ = meanings[n]
        if measure:
            found.setdefault((split, measure), n)
    splits = {split for split, _ in found}
    taken: dict[int, str] = {}
    for (split, measure), n in found.items():
        read = split
        if split == TEST and (VALIDATION, measure) not in found:
            read = VALIDATION
            remarks.append(f"'{columns[n]}' is drawn as validation {measure}: the file has no other.")
        elif split == "":
            read = _unnamed(measure, found, splits)
            others = {TRAINING: "training images", VALIDATION: "validation images"}
            if read and not (read == TRAINING and VALIDATION in splits):  # Keras names the others alone
                remarks.append(f"'{columns[n]}' was taken as measured on {others[read]}: its name does not say.")
        if read in (TRAINING, VALIDATION) and f"{read} {measure}" not in taken.values():
            taken[n] = f"{read} {measure}"
    names = _distinct([column.strip() or f"column {n + 1}" for n, column in enumerate(columns)])
    return {n: taken.get(n, name) for n, name in enumerate(names)}


def _unnamed(measure: str, found: dict[tuple[str, str], int], splits: set[str]) -> str:
    """Which images a loss or accuracy was measured on whose name does not say; "" where another column has the place.

    Where training columns are named as such, as fastai does, it is validation; else it is training, as with Keras.
    """
    read = VALIDATION if TRAINING in splits else TRAINING
    named = {(VALIDATION, measure), (TEST, measure)} if read == VALIDATION else {(TRAINING, measure)}
    return "" if named & found.keys() else read


def _distinct(names: Sequence[str]) -> list[str]:
    """Names of which none comes twice, and none is one of ours."""
    made: list[str] = []
    seen = set(STANDARD)
    for name in names:
        new, number = name, 2
        while new in seen:
            new, number = f"{name} ({number})", number + 1
        seen.add(new)
        made.append(new)
    return made


def _by_count(frame: pd.DataFrame, counts: np.ndarray, unit: str, remarks: list[str]) -> pd.DataFrame:
    """One row for each epoch: training values are averaged over it, of all others the last counts.

    Where epochs begin anew, the training was resumed: epochs that come again replace the earlier ones.
    """
    starts = np.r_[0, np.flatnonzero(np.diff(counts) < 0) + 1, len(counts)]
    if len(starts) - 1 > max(1000, len(counts) // 2):
        raise InputError(f"{unit}s in order", "a file in which they go back and forth", "Sort its rows.")
    averaged: set[str] = set()
    merged: list[pd.DataFrame] = []
    for start, stop in pairwise(starts.tolist()):
        groups = frame.iloc[start:stop].groupby(counts[start:stop])
        part = groups.last()
        for column in frame.columns:
            if column.startswith(f"{TRAINING} ") and (groups[column].count() > 1).any():
                part[column] = groups[column].mean()
                averaged.add(column)
        merged.append(part)
    whole = pd.concat(merged)
    again = whole.index.duplicated(keep="last")
    n_replaced = int(again.sum())
    if averaged:
        remarks.append(f"Averaged over each {unit}: {', '.join(sorted(averaged))}.")
    if n_replaced:
        times = f"1 {unit} comes" if n_replaced == 1 else f"{n_replaced:,} {unit}s come"
        remarks.append(f"{times} again later in the file: the later values are drawn.")
    return whole[~again].sort_index()


def _shares(values: dict[str, np.ndarray], remarks: list[str]) -> dict[str, np.ndarray]:
    """Accuracies in [0, 1]: those above 1 are percentages; what can be none keeps its values under another name."""
    accuracies = {key: v[np.isfinite(v)] for key, v in values.items() if key in STANDARD and key.endswith(ACCURACY)}
    percent = {key for key, v in accuracies.items() if v.max(initial=0) > 1 + 1e-6}
    for key in accuracies.keys() - percent:  # below 1 % throughout, beside one that is not
        for other in percent:
            here, there = np.median(accuracies[key]), np.median(accuracies[other])
            if len(accuracies[key]) and abs(here - there) < abs(100 * here - there):
                percent = percent | {key}
    read: dict[str, np.ndarray] = {}
    for key, v in values.items():
        top, least = accuracies.get(key, np.zeros(1)).max(initial=0), accuracies.get(key, np.zeros(1)).min(initial=0)
        if key in accuracies and (top > 100 + 1e-6 or least < 0):
            remarks.append(f"{key.capitalize()} runs from {least:.3g} to {top:.3g}, which no accuracy does.")
            read[f"{key}?"] = v
        elif key in percent:
            read[key] = v / 100
        else:
            read[key] = v
    if percent & read.keys():
        remarks.append(f"Read as percentages: {', '.join(sorted(percent & read.keys()))}.")
    return read
