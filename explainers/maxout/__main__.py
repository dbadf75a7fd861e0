"""MaxOut without a browser: the pictures that classes or units answer to most, as PNG files, and their facts.

    python -m explainers.maxout --model demo/shortcut --class portrait --out maxout
    python -m explainers.maxout --model demo/vgg demo/resnet --out maxout                        # every class
    python -m explainers.maxout --model demo/vgg --layer features.5 --units 0 3 7 --out maxout
    python -m explainers.maxout --model demo/vgg --class portrait --out maxout \\
        --set parametrisation=pixel decorrelated=false jitter=0 scale=0 rotate=0                 # the bare gradient

Pictures are kept: stopped by Ctrl-C, the same command goes on; more iterations go on from fewer.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from common.errors import InputError, did_you_mean
from common.files import safe_file_name
from explainers.maxout.keeping import Asked, Made, find, work_out
from explainers.maxout.method import MaxOut, MaxOutParams
from explainers.output import LOGIT, PROBABILITY, UNIT, Output
from figures.maps import to_png
from models.card import ModelCard
from models.store import ModelStore
from parallax.arguments import ProgressLine, params_of, place_of, store_of_settings
from parallax.sources import open_models


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, 1 where a picture could not be made, 2 for a mistake."""
    chosen = _parser().parse_args(arguments)
    try:
        return _make(chosen)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m explainers.maxout", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", "--models", nargs="+", required=True, metavar="MODEL", help="as in -m suggestion")
    parser.add_argument("--class", dest="classes", nargs="+", metavar="CLASS", help="names or numbers; all by default")
    parser.add_argument("--output", choices=[LOGIT, PROBABILITY], default=LOGIT, help="which value of a class")
    parser.add_argument("--layer", help="maximise units of this layer instead of classes")
    parser.add_argument("--units", nargs="+", type=int, metavar="N", help="units of the layer; all by default")
    parser.add_argument("--place", metavar="ROW,COLUMN", help="one neuron of each unit, on its layer's grid")
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", help="settings, see explainers/maxout")
    parser.add_argument("--out", type=Path, required=True, help="folder for the pictures and facts.json")
    return parser


def _make(chosen: argparse.Namespace) -> int:
    params = params_of(MaxOut(), chosen.set)
    assert isinstance(params, MaxOutParams)
    model_store, store, failures = ModelStore(), store_of_settings(), dict[str, str]()
    cards = [card for text in chosen.model for card in open_models(model_store, text)]
    all_asked = [Asked(card, target, output, params) for card in cards for output, target in _targets(card, chosen)]
    chosen.out.mkdir(parents=True, exist_ok=True)
    stopped = False
    try:
        work_out(model_store, store, all_asked, failures, ProgressLine("steps"))
    except KeyboardInterrupt:
        stopped = True
    facts = []
    for asked in all_asked:
        made = find(store, asked)
        if made is None:
            print(f"{asked.card.name} · {asked.title}: {failures.get(asked.key, 'stopped before it began')}")
            continue
        facts.append(_write(chosen.out, asked, made))
        print(f"{asked.card.name} · {asked.title}: {_words(made)} -> {', '.join(facts[-1]['files'])}")
        for line in made.notes:
            print(f"  {line}")
    (chosen.out / "facts.json").write_text(json.dumps(facts, indent=1, allow_nan=False), encoding="utf-8")
    if stopped:
        print("Stopped; the same command goes on.", file=sys.stderr)
    return 1 if failures or stopped else 0


def _targets(card: ModelCard, chosen: argparse.Namespace) -> list[tuple[Output, int]]:
    """Output and column of everything that one model shall be asked for."""
    if chosen.layer is None:
        if chosen.units is not None or chosen.place is not None:
            raise InputError("--layer with --units or --place", "none", "Name the layer of the units.")
        output = Output(chosen.output)
        numbers = range(card.n_classes) if chosen.classes is None else [_class(card, text) for text in chosen.classes]
    else:
        if chosen.classes is not None:
            raise InputError("--class or --layer", "both", "Ask one after the other.")
        output = Output(UNIT, card.layer(chosen.layer).name, place_of(chosen.place))
        numbers = range(card.layer(chosen.layer).n_units) if chosen.units is None else chosen.units
    for number in numbers:
        output.check(card, number)
    return [(output, number) for number in numbers]


def _class(card: ModelCard, text: str) -> int:
    number = card.class_index(text)
    if number is None and text.isdecimal():
        number = int(text)
    if number is None:
        cure = did_you_mean(text, card.class_names) or f"Known: {', '.join(card.class_names[:8])}."
        raise InputError(f"a class of {card.name} or its number", repr(text), cure)
    return number


def _words(made: Made) -> str:
    return f"{', '.join(f'{value:.3g}' for value in made.values)} after {made.step} steps"


def _write(folder: Path, asked: Asked, made: Made) -> dict[str, Any]:
    """The target's PNG files, and what there is to know of them."""
    stem = safe_file_name(f"{asked.card.name}-{asked.title}")
    names = [f"{stem}.png" if len(made.pictures) == 1 else f"{stem}-{n}.png" for n in range(len(made.pictures))]
    for name, picture in zip(names, made.pictures, strict=True):
        (folder / name).write_bytes(to_png(picture))
    known: Sequence[int] = made.answers.tolist()
    return {
        "files": names,
        "model": asked.card.name,
        "digest": asked.card.digest,
        "target": asked.target,
        "title": asked.title,
        "output": asdict(asked.output),
        "params": asdict(asked.params),
        "steps": made.step,
        "values": [value if math.isfinite(value) else None for value in made.values.tolist()],
        "taken_for": [asked.card.class_names[answer] if answer >= 0 else None for answer in known],
        "probability": [p if answer >= 0 else None for p, answer in zip(made.probability.tolist(), known, strict=True)],
        "notes": list(made.notes),
    }


if __name__ == "__main__":
    sys.exit(main())
