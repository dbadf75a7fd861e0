"""`parallax maxout`: the images that classes or units of a model respond to most."""

from __future__ import annotations

import math
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from common.files import write_bytes
from parallax import options
from parallax.progress import say

if TYPE_CHECKING:
    from explainers.maxout.request import MaxOutImages, MaxOutRequest
    from parallax.results import Paths


def maxout(
    *,
    models: options.Models,
    target: Annotated[
        list[str], options.several("TARGET...", "Class names or numbers, or units of --layer; all by default.")
    ],
    output: options.OutputKind = None,
    layer: options.Layer = None,
    place: options.Place = None,
    settings: options.Settings,
    out: options.OutFolder,
) -> bool:
    """Make the images that classes or units respond to.

    Writes PNG files and their facts.json; more iterations go on from fewer.

    \b
    Example:
      python -m parallax maxout --models demo/shortcut --target portrait --out maxout
      python -m parallax maxout --models demo/vgg --layer features.5 --target 0 3 7 --out maxout
      python -m parallax maxout --models demo/vgg --target portrait --out maxout \\
        --settings parametrisation=pixel decorrelated=false jitter=0 scale=0 rotate=0
    """
    from explainers.maxout.method import MaxOut, MaxOutParams
    from explainers.maxout.request import MaxOutRequest
    from explainers.output import UNIT
    from parallax.arguments import output_of, params_of, target_of
    from parallax.results import Paths, compute_and_write
    from parallax.sources import open_sources

    params = params_of(MaxOutParams, MaxOut.title, settings)
    shown = output_of(output, layer, place)
    cards, sources = open_sources(models)
    requests = []
    for card in cards:
        n_columns = card.layer(layer).n_units if shown.kind == UNIT else card.n_classes
        columns = [target_of(card, shown, text) for text in target or map(str, range(n_columns))]
        requests += [MaxOutRequest(card, column, shown, params) for column in columns]
    return compute_and_write(sources, requests, _title, partial(_write, Paths(out)), out / "facts.json")


def _title(request: MaxOutRequest) -> str:
    return f"{request.card.name} · {request.title}"


def _write(paths: Paths, request: MaxOutRequest, made: MaxOutImages) -> dict[str, Any]:
    """The target's PNG files, and what there is to know of them."""
    from figures.maps import to_png

    path, card = Path(paths.of((request.card.name, request.title), request.card.digest)), request.card
    n = len(made.pictures)
    names = [f"{path.name}.png"] if n == 1 else [f"{path.name}-{number}.png" for number in range(n)]
    for name, picture in zip(names, made.pictures, strict=True):
        write_bytes(path.with_name(name), to_png(picture))
    reached = ", ".join(f"{value:.3g}" for value in made.values)
    say("\n  ".join([f"{_title(request)}: {reached} after {made.step} steps -> {', '.join(names)}", *made.notes]))
    answers = made.answers.tolist()
    return {
        "files": names,
        "model": card.name,
        "digest": card.digest,
        "target": request.target,
        "title": request.title,
        "output": asdict(request.output),
        "params": asdict(request.params),
        "steps": made.step,
        "values": [value if math.isfinite(value) else None for value in made.values.tolist()],
        "taken_for": [card.class_names[answer] if answer >= 0 else None for answer in answers],
        "probability": [
            share if answer >= 0 else None for share, answer in zip(made.probability.tolist(), answers, strict=True)
        ],
        "notes": list(made.notes),
    }
