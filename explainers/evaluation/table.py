"""The table of trust: every figure of `trust` over methods and models, and which models it exposes."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from typing import Any

import numpy as np
import pandas as pd
import torch

from common.errors import check_known, first_line
from explainers.attribution import AttributionRequest, request_for
from explainers.base import Explainer, Progress, nobody, out_of_memory, part_of
from explainers.evaluation.trust import (
    FIGURES,
    SLOW,
    USUAL,
    Figures,
    Measuring,
    OnMask,
    found,
    lacking_figures,
)
from explainers.results import Sources
from images.image_set import ImageSet
from jobs.results import ResultStore, key_of
from models.card import ModelCard

#: Images that are explained together, and whose figures are kept at once.
BLOCK = 16

#: A method shows that a model leans on what a mask marks when the mask holds this many times the relevance that a map
#: which says the same everywhere would lay on it. Set before any figure was seen, for the painter's mark in the demo:
#: five times even is no accident of a soft map or of the mark's bright edges, and even 4 × 4 cells can reach it.
EXPOSING = 5.0

#: What the table makes of the images' figures: medians where few maps go astray by far, else means, as in the papers.
IN_TABLE = {
    "gap": "median",
    "insertion": "mean",
    "deletion": "mean",
    "infidelity": "median",
    "randomisation": "median",
    "sensitivity": "median",
    "max_sensitivity": "median",
    "seconds": "mean",
}

#: Figures on masks, each a column `FIGURE:KIND` with the mean over the images that have such a mask.
ON_MASKS = tuple(item.name for item in fields(OnMask))
LIFT = "lift"


def top_classes(sources: Sources, card: ModelCard, image_ids: Sequence[str], progress: Progress = nobody) -> list[int]:
    """The model's own top class for each image, found in the store or computed with one forward pass."""
    key = key_of(what="top classes", model=card.digest, images=list(image_ids))
    images, record = sources.images, sources.store.get(key)
    if record is None:
        classes: list[int] = []
        with sources.model_store.borrow(card) as model, torch.no_grad():
            for start in range(0, len(image_ids), model.batch):
                progress(start, len(image_ids))
                part = [images.image(images.index(one)) for one in image_ids[start : start + model.batch]]
                logits = model.logits(model.normalise(np.stack([card.preprocessing.crop(one) for one in part])))
                classes += logits.argmax(1).tolist()
        record = {"classes": np.array(classes, dtype=np.int64)}
        sources.store.put(key, **record)
    return record["classes"].tolist()


def requests_for(
    images: ImageSet, card: ModelCard, method: Explainer, image_ids: Sequence[str], targets: Sequence[int]
) -> list[AttributionRequest]:
    """The maps of one row of the table: the method at its default settings."""
    pairs = zip(image_ids, targets, strict=True)
    return [request_for(card, image_id, method, target=target, data=images.digest) for image_id, target in pairs]


def evaluate(
    sources: Sources,
    cards: Sequence[ModelCard],
    methods: Sequence[Explainer],
    image_ids: Sequence[str] | None = None,
    which: Sequence[str] = USUAL,
    n_slow: int = 16,
    progress: Progress = nobody,
    failures: dict[str, str] | None = None,
    show: Callable[[pd.DataFrame], None] = lambda rows: None,
) -> pd.DataFrame:
    """Measure every method on every model and image that the store lacks, and give the table: a row per method × model.

    Each model's own top class is explained. `SLOW` figures are taken on the first `n_slow` images only. Images go
    through `BLOCK` by `BLOCK`; the figures of each are kept at once, so that a run that was cut short goes on where it
    stopped. Maps are not kept. What cannot be explained puts its reason into `failures` under "method model"; the rest
    goes on. `progress` counts maps and may raise to stop; `show` gets the complete rows each time there is one more.

    Columns: `images`: how many were measured; each figure over the images that have it, as `IN_TABLE` says (mean or
    median); `checked`: how many were explained again for the slow ones; for each kind of mask that the set has,
    `pointing:KIND`, `mass:KIND` and `area:KIND` over the images with such a mask, and `lift:KIND`: how many times more
    relevance the masks hold than a map that says the same everywhere would lay on them; `reason`: why the method does
    not apply, or what failed.
    """
    for name in which:
        check_known(name, FIGURES, "a figure of trust")
    store, images = sources.store, sources.images
    ids = list(images.ids if image_ids is None else image_ids)
    failures = {} if failures is None else failures
    pairs = [(method, card) for method in methods for card in cards]
    total = sum(method.applies(card) is None for method, card in pairs) * len(ids)
    done, waiting_for = 0, part_of(progress, 0, 0, total)
    targets = {card.digest: top_classes(sources, card, ids, waiting_for) for card in cards}
    quick = [name for name in which if name not in SLOW]
    rows = []
    for method, card in pairs:
        reason = method.applies(card)
        requests = [] if reason else requests_for(images, card, method, ids, targets[card.digest])
        for start in range(0, len(requests), BLOCK):
            sources.turn()
            progress(done, total)
            block = requests[start : start + BLOCK]
            waiting: dict[frozenset[str], list[AttributionRequest]] = {}
            for at, request in enumerate(block, start):
                lacking = lacking_figures(store, images, request, which if at < n_slow else quick)
                waiting.setdefault(lacking, []).append(request)
            for lacking, group in waiting.items():
                if lacking:
                    _work_through(sources, group, lacking, part_of(progress, done, 0, total), failures)
            done += len(block)
        rows.append(_row(store, images, card, method, requests, reason or failures.get(f"{method.name} {card.digest}")))
        show(pd.DataFrame(rows))
    progress(total, total)
    return pd.DataFrame(rows)


def _work_through(
    sources: Sources,
    requests: Sequence[AttributionRequest],
    lacking: frozenset[str],
    progress: Progress,
    failures: dict[str, str],
) -> None:
    """Measure maps of one method and model together; where that fails, in halves, so that one cannot harm the rest."""
    try:
        with sources.model_store.borrow(requests[0].card) as model:
            work = Measuring(model, sources, requests, progress)
            work.measure(work.explain(), lacking)
    except (ValueError, RuntimeError) as error:  # a method's own algebra may fail as well as its input
        if len(requests) == 1:
            out = isinstance(error, RuntimeError) and out_of_memory(error)
            why = "Not enough memory, even for one image at a time." if out else first_line(error)
            failures.setdefault(f"{requests[0].method.name} {requests[0].card.digest}", why)
            return
        middle = len(requests) // 2
        for half in (requests[:middle], requests[middle:]):
            _work_through(sources, half, lacking, progress, failures)


def _row(
    store: ResultStore,
    images: ImageSet,
    card: ModelCard,
    method: Explainer,
    requests: Sequence[AttributionRequest],
    reason: str | None,
) -> dict[str, Any]:
    summaries = IN_TABLE | {f"{name}:{kind}": "mean" for kind in images.mask_kinds for name in ON_MASKS}
    measured = [_columns(found(store, images, request)) for request in requests]
    figures = pd.DataFrame(measured, columns=list(summaries), dtype=float)
    line: dict[str, Any] = {
        "method": method.name,
        "model": card.name,
        "images": int(figures.notna().any(axis=1).sum()),
        "checked": int(figures[sorted(SLOW)].notna().any(axis=1).sum()),
    }
    line |= {name: float(figures[name].agg(how)) for name, how in summaries.items()}
    for kind in images.mask_kinds:
        both = figures[[f"mass:{kind}", f"area:{kind}"]].dropna().mean()
        line[f"{LIFT}:{kind}"] = float(both[f"mass:{kind}"] / both[f"area:{kind}"])
    line["reason"] = reason
    return line


def _columns(figures: Figures) -> dict[str, float | None]:
    """One map's figures by the columns of the table."""
    on_masks = {f"{name}:{kind}": value for kind, one in figures.masks.items() for name, value in asdict(one).items()}
    return {name: getattr(figures, name) for name in IN_TABLE} | on_masks


def exposed(figures: pd.DataFrame) -> dict[str, dict[str, list[str]]]:
    """By kind of mask and model, of a table: the methods that show the model to lean on what the masks mark.

    That is a lift above `EXPOSING`. Kinds of masks so large that no map can reach it are left out.
    """
    kinds = [column.removeprefix(f"{LIFT}:") for column in figures if column.startswith(f"{LIFT}:")]
    return {
        kind: {
            str(model): rows.loc[rows[f"{LIFT}:{kind}"] > EXPOSING, "method"].tolist()
            for model, rows in figures.groupby("model", sort=False)
            if rows[f"{LIFT}:{kind}"].notna().any()
        }
        for kind in kinds
        if figures[f"area:{kind}"].mean() * EXPOSING < 1
    }
