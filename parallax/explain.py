"""`parallax explain`: maps of methods, models and images."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np

from parallax.arguments import images_of, output_of, params_of, rows_of, stem_for, store_of_settings, target_of
from parallax.command_line import DONE, SOME_FAILED
from parallax.options import (
    TOP,
    First,
    Images,
    Layer,
    Methods,
    Models,
    Only,
    OutFolder,
    OutputKind,
    Place,
    Settings,
    Target,
    several,
)
from parallax.progress import ProgressBar, complain, say

if TYPE_CHECKING:
    from explainers.attribution import AttributionRequest
    from explainers.base import Attribution


def explain(
    *,
    models: Models,
    images: Images,
    methods: Methods,
    target: Target = TOP,
    output: OutputKind = None,
    layer: Layer = None,
    place: Place = None,
    settings: Settings,
    fit_on: Annotated[
        list[str], several("IMAGES...", "What methods that learn from images learn from; --images by default.")
    ],
    only: Only,
    first: First = None,
    out: OutFolder,
) -> int:
    """Explain what models see in images.

    Each map is written raw (npz) and over its image (PNG).

    \b
    Example:
      python -m parallax explain --models demo/vgg --images demo --first 2 --methods grad-cam lrp-epsilon --out maps
      python -m parallax explain --models demo/vgg --images demo --first 1 --methods prediction-difference \\
        --settings window=4 stride=1 samples=20 converged=0 --out maps
    """
    from explainers.attribution import request_for
    from explainers.evaluation.table import top_classes
    from explainers.output import UNIT
    from explainers.registry import method
    from explainers.results import Sources, compute_missing, unit_of
    from models.store import ModelStore
    from parallax.sources import open_models

    chosen = [(known, params_of(known, settings)) for known in map(method, methods)]
    asked_output = output_of(output, layer, place)
    model_store, store, failures = ModelStore(), store_of_settings(), dict[str, str]()
    cards, image_set = open_models(model_store, *models), images_of(images)
    learn_from = images_of(fit_on) if fit_on else image_set
    sources = Sources(model_store, store, image_set, learn_from)
    ids = [image_set.ids[row] for row in rows_of(image_set, only, first)]
    requests, failed = [], False
    for card in cards:
        if target == TOP and asked_output.kind != UNIT:
            targets = top_classes(sources, card, ids)
        else:
            targets = [target_of(card, asked_output, target)] * len(ids)
        for known, params in chosen:
            if reason := known.applies(card):
                complain(f"{card.name} · {known.title}: {reason}")
                failed = True
                continue
            requests += [
                request_for(card, image_id, known, params, column, asked_output, learn_from.digest)
                for image_id, column in zip(ids, targets, strict=True)
            ]
    out.mkdir(parents=True, exist_ok=True)
    taken, written = set[str](), set[str]()

    def write(request: AttributionRequest, _unfinished: object = None) -> None:
        """The files of a map as soon as it is finished."""
        found = request.load(store) if request.finished(store) and request.key not in written else None
        if found is None:
            return
        row = image_set.index(request.image_id)
        words = (Path(image_set.names[row]).stem, request.card.name, request.method.name)
        path = out / stem_for(taken, words, request.image_id, request.card.digest)
        _write(path, request, found, image_set.image(row))
        say(f"{_title(image_set.names[row], request)} -> {path}.npz, .png")
        written.add(request.key)

    for request in requests:
        write(request)
    with ProgressBar(unit_of(requests)) as progress:
        compute_missing(replace(sources, say=progress.describe), requests, failures, progress, write)
    for request in requests:
        if request.key in failures:
            name = image_set.names[image_set.index(request.image_id)]
            complain(f"{_title(name, request)}: {failures[request.key]}")
    return SOME_FAILED if failed or failures else DONE


def _title(name: str, request: AttributionRequest) -> str:
    """A map in words: image, model, method, and the target where the method has one."""
    words = [name, request.card.name, request.method.title]
    if request.method.uses_target:
        words.append(request.output.title(request.card, request.target))
    return " · ".join(words)


def _write(path: Path, request: AttributionRequest, found: Attribution, image: np.ndarray) -> None:
    """The raw map with its facts, and the image (H, W, 3) uint8 in grey with the map over it."""
    from explainers.base import Attribution
    from figures.maps import colour_map, grey, map_scale, over, to_png

    names = [item.name for item in fields(Attribution) if item.name not in ("maps", "error")]
    facts = {name: getattr(found, name) for name in names}
    facts |= {"model_name": request.card.name, "signed": request.method.signed}
    arrays = {"map": found.maps[0], "facts": np.array(json.dumps(facts))}
    if found.error is not None:
        arrays["error"] = found.error[0]
    np.savez(path.with_name(path.name + ".npz"), allow_pickle=False, **arrays)
    laid = request.card.preprocessing.to_image(found.maps[0], *image.shape[:2])
    colours = colour_map(laid, request.method.signed, map_scale([laid]), overlay=True)
    path.with_name(path.name + ".png").write_bytes(to_png(over(grey(image), colours, 0.9)))
