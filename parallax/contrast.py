"""`parallax contrast`: why this class and not that one."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from common.files import write_bytes
from parallax import options
from parallax.progress import say

if TYPE_CHECKING:
    from explainers.contrastive.request import Contrast, ContrastRequest
    from explainers.results import Sources
    from images.image_set import ImageSet
    from models.card import ModelCard
    from parallax.results import Paths


def contrast(
    *,
    models: options.Models,
    images: options.Images,
    target: options.Target = options.TOP,
    probe: Annotated[
        str | None, typer.Option(metavar="CLASS", help="The class that it is not; the model's runner-up by default.")
    ] = None,
    held_out: Annotated[
        bool, typer.Option("--held-out", help="Only digits that models and generator never saw.")
    ] = False,
    only: options.Only,
    first: options.First = None,
    settings: options.Settings,
    out: options.OutFolder,
) -> bool:
    """Explain why this class and not that one.

    Writes PNG files and their facts.json. The digits have a generator; other image sets need train-generator first.

    \b
    Example:
      python -m parallax contrast --models digits --images digits --held-out --first 12 --out contrasts
      python -m parallax contrast --models digits/lenet --images digits --only held-out-0003.bmp --probe 9 --out c
      python -m parallax contrast --models digits/lenet --images digits --first 12 --out xgems \\
        --settings constraints=false
    """
    from explainers.contrastive import generators
    from explainers.contrastive.method import Contrastive, ContrastParams
    from explainers.contrastive.request import ContrastRequest
    from images import digits
    from parallax.arguments import params_of
    from parallax.results import Paths, compute_and_write
    from parallax.sources import ids_of, open_sources

    params = params_of(ContrastParams, Contrastive.title, settings)
    cards, sources = open_sources(models, images)
    ids = ids_of(sources.images, only, first, digits.held_out(sources.images) if held_out else None)
    generator = generators.find(sources.store, sources.images.digest)
    requests = [
        ContrastRequest(card, image_id, true, other, generator, params)
        for card in cards
        for image_id, (true, other) in zip(ids, _classes(sources, card, ids, target, probe), strict=True)
    ]
    title, write = partial(_title, sources.images), partial(_write, Paths(out), sources.images)
    return compute_and_write(sources, requests, title, write, out / "facts.json")


def _classes(
    sources: Sources, card: ModelCard, ids: list[str], target: str, probe: str | None
) -> list[tuple[int, int]]:
    """The class to be explained and the one that it is not, for each image; the model's own first two by default."""
    from explainers.output import Output
    from parallax.arguments import target_of

    true = None if target == options.TOP else target_of(card, Output(), target)
    other = None if probe is None else target_of(card, Output(), probe)
    pairs = []
    with sources.model_store.borrow(card) as model:
        for image_id in ids:
            image = sources.images.image(sources.images.index(image_id))
            logits = model.logits(model.normalise(card.preprocessing.crop(image)[None]))[0]
            ranked = logits.argsort(descending=True).tolist()
            one = ranked[0] if true is None else true
            runner_up = next((column for column in ranked if column != one), one)
            pairs.append((one, runner_up if other is None else other))
    return pairs


def _title(images: ImageSet, request: ContrastRequest) -> str:
    return f"{images.names[images.index(request.image_id)]} · {request.card.name} · {request.title}"


def _write(paths: Paths, images: ImageSet, request: ContrastRequest, found: Contrast) -> dict[str, Any]:
    """The contrast's PNG file, and what there is to know of it."""
    from figures.maps import to_png

    card, third = request.card, found.third(request)
    stem = Path(images.names[images.index(request.image_id)]).stem
    path = Path(f"{paths.of((stem, card.name, request.title), request.image_id, card.digest)}.png")
    write_bytes(path, to_png(image_of(found)))
    line = f"{found.status(request)}, distance {found.distance:.2f}, residual {found.error:.3f}"
    say("\n  ".join([f"{_title(images, request)}: {line}", *found.notes(request)]))
    return {
        "file": path.name,
        "model": card.name,
        "digest": card.digest,
        "image": request.image_id,
        "true": card.class_names[request.true],
        "probe": card.class_names[request.probe],
        "params": asdict(request.params),
        "feasible": found.feasible,
        "violation": found.violation if np.isfinite(found.violation) else None,
        "distance": found.distance,
        "residual": found.error,
        "iterations": found.iterations,
        "third": None if third is None else card.class_names[third],
        "third_wins": found.third_wins(request),
        "notes": list(found.notes(request)),
    }


def image_of(contrast: Contrast) -> np.ndarray:
    """Input, rebuilt, the difference over the input in grey, changed; below them the morph: (H, W, 3) uint8."""
    from figures.maps import changed_over

    image, rebuilt, changed = (_rgb(values) for values in (contrast.picture, contrast.rebuilt, contrast.changed))
    above = np.concatenate([image, rebuilt, changed_over(image, contrast.difference), changed], 1)
    below = np.concatenate([_rgb(step.astype(np.float32) / 255) for step in contrast.strip], 1)
    width = max(above.shape[1], below.shape[1])
    lines = [np.pad(one, ((0, 0), (0, width - one.shape[1]), (0, 0)), constant_values=255) for one in (above, below)]
    return np.concatenate(lines).repeat(4, 0).repeat(4, 1)


def _rgb(values: np.ndarray) -> np.ndarray:
    """(H, W, 1 or 3) float32 in [0, 1] -> (H, W, 3) uint8."""
    return np.broadcast_to((values * 255).round().astype(np.uint8), (*values.shape[:2], 3))
