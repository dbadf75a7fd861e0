"""Contrastive explanations without a browser: why this class and not that one, as PNG files, and their facts.

    python -m explainers.contrastive --model digits --images digits --held-out --first 12 --out contrasts
    python -m explainers.contrastive --model digits/lenet --images digits --image held-out-0003.bmp --probe 9 --out c
    python -m explainers.contrastive --model digits/lenet --images digits --first 12 --out contrasts \\
        --set constraints=false                                                                         # xGEMs
    python -m explainers.contrastive --train --images folder --out generator --set side=64 steps=20000

The class that is explained is the model's own answer, or `--true`; the probe is its runner-up, or `--probe`. The digits
have a generator; other image sets need `--train` first, which goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import InputError, did_you_mean
from common.files import safe_file_name
from explainers.contrastive import generators
from explainers.contrastive.generator import Trained
from explainers.contrastive.keeping import Asked, Contrast, find, work_out
from explainers.contrastive.method import Contrastive, ContrastParams, GeneratorParams, GeneratorTraining
from explainers.contrastive.ready_made import sheet
from figures.maps import colour_map, grey, map_scale, over, to_png
from images.digits import held_out
from images.image_set import ImageSet
from models.card import ModelCard
from models.store import ModelStore
from parallax.arguments import ProgressLine, params_of, store_of_settings
from parallax.sources import open_images, open_models


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, 1 where something could not be made, 2 for a mistake."""
    chosen = _parser().parse_args(arguments)
    try:
        return _train(chosen) if chosen.train else _explain(chosen)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m explainers.contrastive",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--train", action="store_true", help="train the images' generator instead of explaining")
    parser.add_argument("--model", "--models", nargs="+", default=[], metavar="MODEL", help="as in -m suggestion")
    parser.add_argument("--images", required=True, help="digits, demo, a folder, or a zip")
    parser.add_argument("--image", nargs="+", default=[], metavar="NAME", help="pictures of the set; all by default")
    parser.add_argument("--held-out", action="store_true", help="only digits that nets and generator never saw")
    parser.add_argument("--first", type=int, metavar="N", help="only so many pictures")
    parser.add_argument("--true", metavar="CLASS", help="the class to be explained; the model's answer by default")
    parser.add_argument("--probe", metavar="CLASS", help="the class that it is not; the runner-up by default")
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="NAME=VALUE", help="see explainers/contrastive/method.py"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the pictures and facts.json")
    return parser


def _train(chosen: argparse.Namespace) -> int:
    params = params_of(GeneratorTraining(), chosen.set)
    assert isinstance(params, GeneratorParams)
    images, store = open_images(chosen.images), store_of_settings()
    chosen.out.mkdir(parents=True, exist_ok=True)
    wanted, status = generators.Wanted(images.digest, params), 0
    try:
        generators.train(store, images, params, ProgressLine("steps"), learn=ProgressLine("pictures"))
    except KeyboardInterrupt:
        print("Stopped; the same command goes on.", file=sys.stderr)
        status = 1
    look = generators.find_look(store, wanted)
    if look is None:
        return 1
    samples = sheet(look.samples)
    (chosen.out / "samples.png").write_bytes(to_png(samples.repeat(3, 2) if samples.shape[2] == 1 else samples))
    print(f"{look.step:,} steps, distance {look.losses[-50:].mean():.2f} -> {chosen.out / 'samples.png'}")
    if look.note:
        print(look.note)
    return 1 if look.note else status


def _explain(chosen: argparse.Namespace) -> int:
    params = params_of(Contrastive(), chosen.set)
    assert isinstance(params, ContrastParams)
    if not chosen.model:
        raise InputError("--model", "none", "Name one, such as digits/lenet.")
    model_store, store, failures = ModelStore(), store_of_settings(), dict[str, str]()
    cards = [card for text in chosen.model for card in open_models(model_store, text)]
    images = open_images(chosen.images)
    trained = generators.find(store, images.digest)
    rows = _rows(chosen, images)
    all_asked = [
        asked for card in cards for asked in _questions(model_store, card, images, rows, chosen, params, trained)
    ]
    stopped = False
    try:
        work_out(model_store, store, images, trained, all_asked, failures, ProgressLine("contrasts"))
    except KeyboardInterrupt:
        stopped = True
        print("Stopped; the same command goes on.", file=sys.stderr)
    chosen.out.mkdir(parents=True, exist_ok=True)
    facts = []
    for asked in all_asked:
        name = f"{images.names[images.index(asked.image_id)]} · {asked.card.name} · {asked.title}"
        contrast = find(store, asked)
        if contrast is None:
            print(f"{name}: {failures.get(asked.key, 'stopped before it was found')}")
            continue
        facts.append(_write(chosen.out, name, asked, contrast))
        print(f"{name}: {contrast.status(asked)}, distance {contrast.distance:.2f}, residual {contrast.error:.3f}")
        for line in contrast.notes(asked):
            print(f"  {line}")
    (chosen.out / "facts.json").write_text(json.dumps(facts, indent=1, allow_nan=False), encoding="utf-8")
    return 1 if failures or stopped else 0


def _rows(chosen: argparse.Namespace, images: ImageSet) -> list[int]:
    """Positions of the pictures that are asked about."""
    if chosen.image:
        for name in chosen.image:
            if name not in images.names:
                cure = did_you_mean(name, images.names) or f"The first is {images.names[0]}."
                raise InputError(f"a picture of {images.name}", repr(name), cure)
        return [images.names.index(name) for name in chosen.image]
    return (held_out(images) if chosen.held_out else list(range(len(images))))[: chosen.first]


def _questions(
    model_store: ModelStore,
    card: ModelCard,
    images: ImageSet,
    rows: list[int],
    chosen: argparse.Namespace,
    params: ContrastParams,
    trained: Trained | None,
) -> list[Asked]:
    """What one model is asked about each picture."""
    named = {name: _class(card, getattr(chosen, name)) for name in ("true", "probe") if getattr(chosen, name)}
    answers = []
    with model_store.borrow(card) as model:
        for row in rows:
            logits = model.logits(model.normalise(card.preprocessing.crop(images.image(row))[None]))[0]
            answers.append([int(column) for column in logits.argsort(descending=True)])
    found = []
    for row, order in zip(rows, answers, strict=True):
        true = named.get("true", order[0])
        probe = named.get("probe", next(column for column in order if column != true) if len(order) > 1 else 0)
        found.append(Asked(card, images.ids[row], true, probe, trained.key if trained else "", params))
    return found


def _class(card: ModelCard, text: str) -> int:
    number = card.class_index(text)
    if number is None:
        cure = did_you_mean(text, card.class_names) or f"Known: {', '.join(card.class_names[:8])}."
        raise InputError(f"a class of {card.name}", repr(text), cure)
    return number


def picture_of(contrast: Contrast) -> np.ndarray:
    """Input, rebuilt, and the difference over the input in grey, then the strip below: (H, W, 3) uint8."""
    rgb = [_rgb(values) for values in (contrast.picture, contrast.rebuilt, contrast.changed)]
    scale = map_scale([contrast.difference])
    coloured = over(grey(rgb[0]), colour_map(contrast.difference, True, scale, overlay=True), 1.0)
    strip = [_rgb(step.astype(np.float32) / 255) for step in contrast.strip]
    above = np.concatenate([rgb[0], rgb[1], coloured, rgb[2]], 1)
    below = np.concatenate(strip, 1)
    whole = np.full((above.shape[0] * 2, max(above.shape[1], below.shape[1]), 3), 255, np.uint8)
    whole[: above.shape[0], : above.shape[1]] = above
    whole[above.shape[0] :, : below.shape[1]] = below
    return whole.repeat(4, 0).repeat(4, 1)


def _rgb(values: np.ndarray) -> np.ndarray:
    """(H, W, 1 or 3) float32 in [0, 1] -> (H, W, 3) uint8."""
    return np.broadcast_to((values * 255).round().astype(np.uint8), (*values.shape[:2], 3))


def _write(folder: Path, name: str, asked: Asked, contrast: Contrast) -> dict[str, Any]:
    """The contrast's PNG file, and what there is to know of it."""
    path = folder / f"{safe_file_name(name)}.png"
    path.write_bytes(to_png(picture_of(contrast)))
    names = asked.card.class_names
    third = contrast.third(asked)
    return {
        "file": path.name,
        "model": asked.card.name,
        "digest": asked.card.digest,
        "image": asked.image_id,
        "true": names[asked.true],
        "probe": names[asked.probe],
        "params": asdict(asked.params),
        "feasible": contrast.feasible,
        "violation": contrast.violation if np.isfinite(contrast.violation) else None,
        "distance": contrast.distance,
        "residual": contrast.error,
        "iterations": contrast.iterations,
        "third": None if third is None else names[third],
        "third_wins": contrast.third_wins(asked),
        "notes": list(contrast.notes(asked)),
    }


if __name__ == "__main__":
    sys.exit(main())
