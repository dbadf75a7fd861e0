"""`parallax contrast`: why this class and not that one."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from common.files import safe_file_name
from parallax.arguments import images_of, params_of, rows_of, store_of_settings, target_of
from parallax.command_line import DONE, SOME_FAILED
from parallax.options import TOP, First, Images, Models, Only, OutFolder, Settings, Target
from parallax.progress import ProgressBar, complain

if TYPE_CHECKING:
    from explainers.contrastive.request import Contrast, ContrastRequest
    from images.image_set import ImageSet
    from models.card import ModelCard
    from models.store import ModelStore


def contrast(
    *,
    models: Models,
    images: Images,
    target: Target = TOP,
    probe: Annotated[
        str | None, typer.Option(metavar="CLASS", help="The class that it is not; the model's runner-up by default.")
    ] = None,
    held_out: Annotated[
        bool, typer.Option("--held-out", help="Only digits that models and generator never saw.")
    ] = False,
    only: Only,
    first: First = None,
    settings: Settings,
    out: OutFolder,
) -> int:
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
    from explainers.results import Sources, compute_missing
    from images import digits
    from models.store import ModelStore
    from parallax.sources import open_models

    params = params_of(Contrastive(), settings)
    assert isinstance(params, ContrastParams)
    model_store, store, failures = ModelStore(), store_of_settings(), dict[str, str]()
    cards, image_set = open_models(model_store, *models), images_of(images)
    rows = rows_of(image_set, only, first, digits.held_out(image_set) if held_out else None)
    trained = generators.find(store, image_set.digest)
    requests = [
        ContrastRequest(card, image_set.ids[row], true, other, trained, params)
        for card in cards
        for row, (true, other) in zip(rows, _classes(model_store, card, image_set, rows, target, probe), strict=True)
    ]
    out.mkdir(parents=True, exist_ok=True)
    try:
        with ProgressBar("contrasts") as progress:
            compute_missing(Sources(model_store, store, image_set), requests, failures, progress)
    finally:
        facts = []
        for request in requests:
            if (found := request.load(store)) is not None:
                facts.append(_write(out, _name(image_set, request), request, found))
        (out / "facts.json").write_text(json.dumps(facts, indent=1, allow_nan=False), encoding="utf-8")
    for request in requests:
        if request.key in failures:
            complain(f"{_name(image_set, request)}: {failures[request.key]}")
    return SOME_FAILED if failures else DONE


def _classes(
    model_store: ModelStore, card: ModelCard, images: ImageSet, rows: list[int], target: str, probe: str | None
) -> list[tuple[int, int]]:
    """The class to be explained and the one that it is not, for each image; the model's own first two by default."""
    from explainers.output import Output

    true = None if target == TOP else target_of(card, Output(), target)
    other = None if probe is None else target_of(card, Output(), probe)
    pairs = []
    with model_store.borrow(card) as model:
        for row in rows:
            logits = model.logits(model.normalise(card.preprocessing.crop(images.image(row))[None]))[0]
            ranked = logits.argsort(descending=True).tolist()
            one = ranked[0] if true is None else true
            runner_up = next((column for column in ranked if column != one), one)
            pairs.append((one, runner_up if other is None else other))
    return pairs


def _name(images: ImageSet, request: ContrastRequest) -> str:
    return f"{images.names[images.index(request.image_id)]} · {request.card.name} · {request.title}"


def _write(folder: Path, name: str, request: ContrastRequest, contrast: Contrast) -> dict[str, Any]:
    """The contrast's PNG file, and what there is to know of it."""
    from figures.maps import to_png

    path = folder / f"{safe_file_name(name)}.png"
    path.write_bytes(to_png(image_of(contrast)))
    print(f"{name}: {contrast.status(request)}, distance {contrast.distance:.2f}, residual {contrast.error:.3f}")
    for line in contrast.notes(request):
        print(f"  {line}")
    names, third = request.card.class_names, contrast.third(request)
    return {
        "file": path.name,
        "model": request.card.name,
        "digest": request.card.digest,
        "image": request.image_id,
        "true": names[request.true],
        "probe": names[request.probe],
        "params": asdict(request.params),
        "feasible": contrast.feasible,
        "violation": contrast.violation if np.isfinite(contrast.violation) else None,
        "distance": contrast.distance,
        "residual": contrast.error,
        "iterations": contrast.iterations,
        "third": None if third is None else names[third],
        "third_wins": contrast.third_wins(request),
        "notes": list(contrast.notes(request)),
    }


def image_of(contrast: Contrast) -> np.ndarray:
    """Input, rebuilt, the difference over the input in grey, changed; below them the morph: (H, W, 3) uint8."""
    from figures.maps import colour_map, grey, map_scale, over

    rgb = [_rgb(values) for values in (contrast.picture, contrast.rebuilt, contrast.changed)]
    scale = map_scale([contrast.difference])
    coloured = over(grey(rgb[0]), colour_map(contrast.difference, True, scale, overlay=True), 1.0)
    above = np.concatenate([rgb[0], rgb[1], coloured, rgb[2]], 1)
    below = np.concatenate([_rgb(step.astype(np.float32) / 255) for step in contrast.strip], 1)
    sheet = np.full((above.shape[0] * 2, max(above.shape[1], below.shape[1]), 3), 255, np.uint8)
    sheet[: above.shape[0], : above.shape[1]] = above
    sheet[above.shape[0] :, : below.shape[1]] = below
    return sheet.repeat(4, 0).repeat(4, 1)


def _rgb(values: np.ndarray) -> np.ndarray:
    """(H, W, 1 or 3) float32 in [0, 1] -> (H, W, 3) uint8."""
    return np.broadcast_to((values * 255).round().astype(np.uint8), (*values.shape[:2], 3))
