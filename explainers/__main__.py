"""Explanations without a browser.

`python -m explainers --model demo/vgg --image picture.jpg --method grad-cam --out maps` writes raw maps and pictures;
`--list` names the methods, `--applies` says which of them suit which models, `--trust` measures how far to believe
them, as a table.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd

from common.errors import InputError, did_you_mean
from common.files import safe_file_name
from explainers.base import Attribution, Explainer
from explainers.evaluation.table import EXPOSING, evaluate, exposed, top_classes
from explainers.output import KINDS, LOGIT, UNIT, Output
from explainers.prediction_difference.keeping import Asked, attribution, go_on
from explainers.prediction_difference.method import PredictionDifferenceParams
from explainers.registry import METHODS, method
from explainers.results import ready
from figures.maps import colour_map, grey, map_scale, over, to_png
from images.image_set import ImageSet
from jobs.results import ResultStore
from models.card import ModelCard
from models.store import ModelStore
from parallax.arguments import ProgressLine, params_of, place_of, store_of_settings
from parallax.sources import open_images, open_models

TOP = "top"

#: Pictures in memory at once.
_AT_ONCE = 32


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    chosen = _parser().parse_args(arguments)
    try:
        if chosen.first is not None and chosen.first < 1:
            raise InputError("--first of at least 1", str(chosen.first), "Leave it out for all images.")
        if chosen.list:
            return _list()
        if chosen.applies is not None:
            return _applies(chosen.applies)
        return _trust(chosen) if chosen.trust else _explain(chosen)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m explainers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--list", action="store_true", help="list the methods")
    parser.add_argument("--applies", nargs="+", metavar="MODEL", help="Markdown table: which methods suit which models")
    parser.add_argument("--trust", action="store_true", help="measure methods on models and images")
    parser.add_argument("--model", "--models", nargs="+", metavar="MODEL", help="as in python -m suggestion")
    parser.add_argument("--image", "--images", nargs="+", metavar="PATH", help="pictures, folders, zips or demo")
    parser.add_argument("--method", "--methods", nargs="+", metavar="NAME", help="see --list; all of them for --trust")
    parser.add_argument("--first", type=int, metavar="N", help="only the first N images")
    parser.add_argument("--target", default=TOP, help="class name, its number, or top: each model's own answer")
    parser.add_argument("--output", choices=KINDS, default=LOGIT, help="what is explained")
    parser.add_argument("--layer", help="the layer of a unit; a method's own layer is --set layer=NAME")
    parser.add_argument("--place", metavar="ROW,COLUMN", help="one neuron of the unit, on its layer's grid")
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", help="settings of the method")
    parser.add_argument("--fit-on", metavar="PATH", help="images to fit patterns on; the given ones by default")
    parser.add_argument("--slow-on", type=int, default=16, metavar="N", help="--trust: images explained again")
    parser.add_argument("--out", type=Path, help="folder for maps, file for the table (.csv)")
    return parser


def _list() -> int:
    width = max(map(len, METHODS))
    for name, known in METHODS.items():
        print(f"{name:{width}}  {known.family}: {known.question}")
    return 0


def _applies(texts: Sequence[str]) -> int:
    print(applies_table(_cards(ModelStore(), texts), list(METHODS.values())))
    return 0


def applies_table(cards: Sequence[ModelCard], methods: Sequence[Explainer]) -> str:
    """A Markdown table, ✓ where a method suits a model, with numbered reasons below where it does not."""
    reasons: dict[str, int] = {}
    names = [card.name.removesuffix(" (random)") for card in cards]
    lines = ["| method | " + " | ".join(names) + " |", "|---" * (len(cards) + 1) + "|"]
    for known in methods:
        marks = []
        for card in cards:
            reason = known.applies(card)
            if reason is not None:
                number = reasons.setdefault(_in_general(reason, known, card), len(reasons) + 1)
            marks.append("✓" if reason is None else f"[{number}]")
        lines.append(f"| {known.title} | " + " | ".join(marks) + " |")
    return "\n".join([*lines, "", *(f"{number}. {reason}" for reason, number in reasons.items())]).rstrip()


def _in_general(reason: str, known: Explainer, card: ModelCard) -> str:
    """A reason without the names of the method and the model, so that many share a line."""
    for name, instead in ((known.title, "the method"), (card.name, "the model")):
        reason = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", instead, reason)
    return reason[:1].upper() + reason[1:]


def _explain(chosen: argparse.Namespace) -> int:
    """Write `PICTURE-MODEL-METHOD.npz` and `.png` for each picture, model and method."""
    _need(chosen, "model", "image", "method", "out")
    methods = [method(name) for name in chosen.method]
    params = [params_of(known, chosen.set) for known in methods]
    output = Output(chosen.output, chosen.layer, place_of(chosen.place))
    images, model_store = _images(chosen.image, chosen.first), ModelStore()
    fit_on = open_images(chosen.fit_on) if chosen.fit_on else images
    store = store_of_settings()
    cards = _cards(model_store, chosen.model)
    chosen.out.mkdir(parents=True, exist_ok=True)
    written: set[str] = set()
    for card in cards:
        targets = _targets(model_store, store, card, images, output, chosen.target)
        for known, setting in zip(methods, params, strict=True):
            for start in range(0, len(images), _AT_ONCE):
                rows = range(start, min(start + _AT_ONCE, len(images)))
                pictures = [images.image(row) for row in rows]
                part = slice(rows.start, rows.stop)
                if isinstance(setting, PredictionDifferenceParams):
                    asked = [
                        Asked(card, images.ids[row], setting, (targets[row],), (output,), fit_on.digest) for row in rows
                    ]
                    found = _surveyed(model_store, store, images, asked, fit_on)
                else:
                    with model_store.borrow(card) as model:
                        model = ready(model, store, fit_on, known, setting)
                        found = known.explain(model, pictures, images.ids[part], targets[part], setting, output=output)
                for at, row in enumerate(rows):
                    stem = f"{Path(images.names[row]).stem}-{safe_file_name(card.name)}-{known.name}"
                    if stem in written:  # pictures or models of one name
                        stem += f"-{images.ids[row]}-{card.digest}"
                    written.add(stem)
                    _write(chosen.out / stem, found, at, pictures[at], card, known.signed)
                    what = f" · {output.title(card, targets[row])}" if known.uses_target else ""
                    print(f"{images.names[row]} · {card.name} · {known.title}{what} -> {chosen.out / stem}.npz, .png")
    return 0


def _surveyed(
    model_store: ModelStore, store: ResultStore, images: ImageSet, all_asked: Sequence[Asked], data: ImageSet
) -> Attribution:
    """Prediction difference, which may take hours: it tells how far it is, and goes on where it was stopped."""
    began = time.perf_counter()
    surveys = [go_on(model_store, store, images, asked, ProgressLine("windows"), data=data) for asked in all_asked]
    return attribution(all_asked, surveys, time.perf_counter() - began)


def _write(path: Path, found: Attribution, row: int, picture: np.ndarray, card: ModelCard, signed: bool) -> None:
    """The raw map with its facts, and the picture in grey with the map over it."""
    names = [item.name for item in fields(found) if item.name not in ("maps", "error")]
    facts = {name: getattr(found, name) for name in names}
    facts |= {
        "image_ids": [found.image_ids[row]],
        "targets": [found.targets[row]],
        "gaps": list(found.gaps[row : row + 1]),
    }
    facts |= {"model_name": card.name, "signed": signed, "seconds": found.seconds / len(found.maps)}
    arrays = {"map": found.maps[row], "facts": np.array(json.dumps(facts))}
    if found.error is not None:
        arrays["error"] = found.error[row]
    np.savez(path.with_name(path.name + ".npz"), allow_pickle=False, **arrays)
    laid = card.preprocessing.to_image(found.maps[row], *picture.shape[:2])
    colours = colour_map(laid, signed, map_scale([laid]), overlay=True)
    path.with_name(path.name + ".png").write_bytes(to_png(over(grey(picture), colours, 0.9)))


def _targets(
    model_store: ModelStore, store: ResultStore, card: ModelCard, images: ImageSet, output: Output, text: str
) -> list[int]:
    """The column to explain for each image."""
    if text == TOP and output.kind != UNIT:
        return top_classes(model_store, store, images, card, images.ids)
    number = card.class_index(text) if output.kind != UNIT else None
    if number is None and text.isdecimal():
        number = int(text)
    if number is None:
        unit = output.kind == UNIT
        expected = "the number of a unit" if unit else f"top, a class of {card.name} or its number"
        cure = "Write --target 12." if unit else did_you_mean(text, card.class_names)
        raise InputError(expected, repr(text), cure or f"Known: {', '.join(card.class_names[:8])}.")
    output.check(card, number)
    return [number] * len(images)


def _trust(chosen: argparse.Namespace) -> int:
    _need(chosen, "model", "image")
    methods = [method(name) for name in chosen.method] if chosen.method else list(METHODS.values())
    images, model_store = _images(chosen.image, None), ModelStore()
    ids = images.ids[: chosen.first]
    figures = evaluate(
        model_store,
        store_of_settings(),
        images,
        _cards(model_store, chosen.model),
        methods,
        ids,
        n_slow=chosen.slow_on,
        report=ProgressLine(),
    )
    if chosen.out is not None:
        chosen.out.parent.mkdir(parents=True, exist_ok=True)
        figures.to_csv(chosen.out, index=False)
    with pd.option_context("display.max_rows", None, "display.max_columns", None, "display.width", 220):
        print(figures.to_string(index=False, na_rep="", float_format=lambda value: f"{value:.3g}", max_colwidth=60))
    for model, by in exposed(figures).items():
        print(
            f"{model}: the painter's mark holds over {EXPOSING:g} × an even share in {len(by)} methods {', '.join(by)}"
        )
    return 0


def _need(chosen: argparse.Namespace, *names: str) -> None:
    for name in names:
        if getattr(chosen, name) is None:
            raise InputError(f"--{name}", "none", "See python -m explainers --help.")


def _cards(model_store: ModelStore, texts: Sequence[str]) -> list[ModelCard]:
    return [card for text in texts for card in open_models(model_store, text)]


def _images(texts: Sequence[str], first: int | None) -> ImageSet:
    sets = [open_images(text) for text in texts]
    if len(sets) == 1 and first is None:
        return sets[0]
    table = pd.concat([one.table for one in sets]).drop_duplicates("id").reset_index(drop=True)
    return ImageSet(sets[0].name, table.iloc[:first])


if __name__ == "__main__":
    sys.exit(main())
