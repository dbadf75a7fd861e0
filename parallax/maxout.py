"""`parallax maxout`: the images that classes or units of a model respond to most."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from common.files import safe_file_name
from parallax.arguments import output_of, params_of, store_of_settings, target_of
from parallax.command_line import DONE, SOME_FAILED
from parallax.options import Layer, Models, OutFolder, OutputKind, Place, Settings, several
from parallax.progress import ProgressBar, complain

if TYPE_CHECKING:
    from explainers.maxout.request import MaxOutImages, MaxOutRequest


def maxout(
    *,
    models: Models,
    target: Annotated[list[str], several("TARGET...", "Class names or numbers, or units of --layer; all by default.")],
    output: OutputKind = None,
    layer: Layer = None,
    place: Place = None,
    settings: Settings,
    out: OutFolder,
) -> int:
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
    from explainers.results import Sources, compute_missing
    from models.store import ModelStore
    from parallax.sources import open_models

    params = params_of(MaxOut(), settings)
    assert isinstance(params, MaxOutParams)
    asked_output = output_of(output, layer, place)
    model_store, store, failures = ModelStore(), store_of_settings(), dict[str, str]()
    requests = []
    for card in open_models(model_store, *models):
        n_columns = card.layer(layer).n_units if asked_output.kind == UNIT else card.n_classes
        columns = [target_of(card, asked_output, text) for text in target or map(str, range(n_columns))]
        requests += [MaxOutRequest(card, column, asked_output, params) for column in columns]
    out.mkdir(parents=True, exist_ok=True)
    try:
        with ProgressBar("steps") as progress:
            compute_missing(Sources(model_store, store), requests, failures, progress)
    finally:
        facts = [_write(out, request, made) for request in requests if (made := request.load(store)) is not None]
        (out / "facts.json").write_text(json.dumps(facts, indent=1, allow_nan=False), encoding="utf-8")
    for request in requests:
        if request.key in failures:
            complain(f"{request.card.name} · {request.title}: {failures[request.key]}")
    return SOME_FAILED if failures else DONE


def _write(folder: Path, request: MaxOutRequest, made: MaxOutImages) -> dict[str, Any]:
    """The target's PNG files, and what there is to know of them."""
    from figures.maps import to_png

    stem = safe_file_name(f"{request.card.name}-{request.title}")
    names = [f"{stem}.png" if len(made.pictures) == 1 else f"{stem}-{n}.png" for n in range(len(made.pictures))]
    for name, picture in zip(names, made.pictures, strict=True):
        (folder / name).write_bytes(to_png(picture))
    reached = ", ".join(f"{value:.3g}" for value in made.values)
    print(f"{request.card.name} · {request.title}: {reached} after {made.step} steps -> {', '.join(names)}")
    for line in made.notes:
        print(f"  {line}")
    answers = made.answers.tolist()
    return {
        "files": names,
        "model": request.card.name,
        "digest": request.card.digest,
        "target": request.target,
        "title": request.title,
        "output": asdict(request.output),
        "params": asdict(request.params),
        "steps": made.step,
        "values": [value if math.isfinite(value) else None for value in made.values.tolist()],
        "taken_for": [request.card.class_names[answer] if answer >= 0 else None for answer in answers],
        "probability": [
            share if answer >= 0 else None for share, answer in zip(made.probability.tolist(), answers, strict=True)
        ],
        "notes": list(made.notes),
    }
