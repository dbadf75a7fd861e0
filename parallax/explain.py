"""`parallax explain`: maps of methods, models and images."""

from __future__ import annotations

import json
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np

from common.arrays import write_arrays
from common.files import write_bytes
from parallax import options
from parallax.progress import complain, say

if TYPE_CHECKING:
    from explainers.attribution import AttributionRequest
    from explainers.base import Attribution
    from images.image_set import ImageSet
    from parallax.results import Paths


def explain(
    *,
    models: options.Models,
    images: options.Images,
    methods: options.Methods,
    target: options.Target = options.TOP,
    output: options.OutputKind = None,
    layer: options.Layer = None,
    place: options.Place = None,
    settings: options.Settings,
    fit_on: Annotated[
        list[str], options.several("IMAGES...", "What methods that learn from images learn from; --images by default.")
    ],
    only: options.Only,
    first: options.First = None,
    out: options.OutFolder,
) -> bool:
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
    from parallax.arguments import output_of, params_of, target_of
    from parallax.results import Paths, compute_and_write
    from parallax.sources import ids_of, open_sources

    chosen = [(known, params_of(known.Params, known.title, settings)) for known in map(method, methods)]
    explained = output_of(output, layer, place)
    cards, sources = open_sources(models, images, fit_on)
    ids, data = ids_of(sources.images, only, first), (sources.fit_on or sources.images).digest
    requests, failed = [], False
    for card in cards:
        if target == options.TOP and explained.kind != UNIT:
            targets = top_classes(sources, card, ids)
        else:
            targets = [target_of(card, explained, target)] * len(ids)
        for known, params in chosen:
            if reason := known.applies(card):
                complain(f"{card.name} · {known.title}: {reason}")
                failed = True
                continue
            requests += [
                request_for(card, image_id, known, params, column, explained, data)
                for image_id, column in zip(ids, targets, strict=True)
            ]
    title, write = partial(_title, sources.images), partial(_write, Paths(out), sources.images)
    return compute_and_write(sources, requests, title, write) or failed


def _title(images: ImageSet, request: AttributionRequest) -> str:
    """A map in words: image, model, method, and the target where the method has one."""
    words = [images.names[images.index(request.image_id)], request.card.name, request.method.title]
    if request.method.uses_target:
        words.append(request.output.title(request.card, request.target))
    return " · ".join(words)


def _write(paths: Paths, images: ImageSet, request: AttributionRequest, found: Attribution) -> None:
    """The raw map with its facts, and the image in grey with the map over it."""
    from explainers.base import Attribution
    from figures.maps import colour_map, grey, map_scale, over, to_png

    row, card, method = images.index(request.image_id), request.card, request.method
    image = images.image(row)
    path = paths.of((Path(images.names[row]).stem, card.name, method.name), request.image_id, card.digest)
    names = [item.name for item in fields(Attribution) if item.name not in ("maps", "error")]
    facts = {name: getattr(found, name) for name in names} | {"model_name": card.name, "signed": method.signed}
    error = {} if found.error is None else {"error": found.error[0]}
    write_arrays(Path(f"{path}.npz"), map=found.maps[0], facts=np.array(json.dumps(facts)), **error)
    laid = card.preprocessing.to_image(found.maps[0], *image.shape[:2])
    colours = colour_map(laid, method.signed, map_scale([laid]), overlay=True)
    write_bytes(Path(f"{path}.png"), to_png(over(grey(image), colours, 0.9)))
    say("\n  ".join([f"{_title(images, request)} -> {path}.npz, .png", *found.notes]))
