"""Contrastive explanations: seconds per digit, how often the constraints can be met, and whether a third class wins.

`python -m benchmarks.contrastive [--digits 240]`, on digits that neither net nor generator ever saw, each asked why its
answer is not the runner-up; the model is the paper's LeNet.

- `inversion_s`: seconds per image to rebuild it (by batch 1, 16, 64); `residual` the root mean square of what is left.
- `search_s`: seconds per image for the constrained search after that (by batch); `search_xgems_s` without constraints.
- `feasible`: share of digits for which a point was found where the constraints hold; `violation_where_not` how far, in
  logits, the others are off.
- `third_class_wins`: share of those at which a class beside the two is likelier than one of them, with constraints
  (`cdeepex`) and without (`xgems`, of those where both classes are equally likely); `third_class_wins_any_probe` asks
  each of the first digits about every other class, not about the runner-up alone.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from explainers.contrastive.generators import ready_made
from explainers.contrastive.method import ContrastParams
from explainers.contrastive.request import Contrast, ContrastRequest
from explainers.results import Sources, compute_missing
from images.digits import held_out
from images.image_set import ImageSet
from jobs.results import ResultStore
from models.card import ModelCard
from models.store import ModelStore
from parallax.sources import open_images, open_models

BATCHES = (1, 16, 64)

CDEEPEX, XGEMS = ContrastParams(), ContrastParams(constraints=False)


def orders(model_store: ModelStore, card: ModelCard, images: ImageSet, rows: Sequence[int]) -> np.ndarray:
    """The model's classes of pictures, the likeliest first: (N, classes) int64."""
    with model_store.borrow(card) as model:
        crops = np.stack([card.preprocessing.crop(images.image(row)) for row in rows])
        return model.logits(model.normalise(crops)).argsort(dim=1, descending=True).cpu().numpy()


def contrasts(
    model_store: ModelStore, images: ImageSet, requests: Sequence[ContrastRequest], at_once: int = 64
) -> list[Contrast]:
    """All answers, found anew in batches of `at_once`; raises `RuntimeError` where one cannot be given."""
    failures: dict[str, str] = {}
    before, ContrastRequest.together = ContrastRequest.together, at_once
    try:
        with tempfile.TemporaryDirectory() as folder:
            sources = Sources(model_store, ResultStore(Path(folder), 10**10), images)
            compute_missing(sources, requests, failures)
            found = [request.load(sources.store) for request in requests]
    finally:
        ContrastRequest.together = before
    known = [contrast for contrast in found if contrast is not None]
    if len(known) < len(requests):
        raise RuntimeError(f"{len(requests) - len(known)} were not answered: {next(iter(failures.values()))}")
    return known


def third_wins(requests: Sequence[ContrastRequest], found: Sequence[Contrast]) -> float:
    """Share of the feasible ones at which a third class is likelier than one of the two."""
    wins = [
        contrast.third_wins(request) for request, contrast in zip(requests, found, strict=True) if contrast.feasible
    ]
    return round(float(np.mean(wins)), 4) if wins else float("nan")


def measure(n_digits: int, n_any: int, name: str) -> dict[str, Any]:
    """All figures of one model."""
    with tempfile.TemporaryDirectory() as folder:
        model_store = ModelStore(Path(folder), "cpu")
        (card,) = open_models(model_store, name)
        images = open_images("digits")
        trained = ready_made(images.digest)
        if trained is None:
            raise RuntimeError("the digits' generator is not there: python -m tools.train_generators")
        rows = held_out(images)[:n_digits]
        order = orders(model_store, card, images, rows)

        def ask(params: ContrastParams, place: int, n: int = n_digits) -> list[ContrastRequest]:
            return [
                ContrastRequest(card, images.ids[row], int(classes[0]), int(classes[place]), trained, params)
                for row, classes in zip(rows[:n], order[:n], strict=True)
            ]

        figures: dict[str, Any] = {"model": name, "digits": len(rows), "inversion_s": {}, "search_s": {}}
        for batch in BATCHES:
            found = contrasts(model_store, images, ask(CDEEPEX, 1)[: max(8, batch)], batch)
            figures["inversion_s"][batch] = round(float(np.mean([c.inversion_s for c in found])), 4)
            figures["search_s"][batch] = round(float(np.mean([c.search_s for c in found])), 4)
            print(json.dumps(figures), flush=True)
        wins = {}
        for method, params in (("cdeepex", CDEEPEX), ("xgems", XGEMS)):
            asked = ask(params, 1)
            found = contrasts(model_store, images, asked)
            wins[method] = third_wins(asked, found)
            if method == "cdeepex":
                figures["feasible"] = round(float(np.mean([c.feasible for c in found])), 4)
                missed = [c.violation for c in found if not c.feasible]
                figures["violation_where_not"] = [round(value, 3) for value in sorted(missed)]
                figures["residual"] = round(float(np.median([c.error for c in found])), 4)
                figures["residual_highest"] = round(float(max(c.error for c in found)), 4)
                figures["iterations"] = round(float(np.mean([c.iterations for c in found])), 1)
            else:
                figures["feasible_xgems"] = round(float(np.mean([c.feasible for c in found])), 4)
                figures["search_xgems_s"] = round(float(np.mean([c.search_s for c in found])), 4)
        figures["third_class_wins"] = wins
        print(json.dumps(figures), flush=True)
        if not n_any:
            return figures
        any_wins, any_feasible = {}, {}
        for method, params in (("cdeepex", CDEEPEX), ("xgems", XGEMS)):
            asked = [question for place in range(1, card.n_classes) for question in ask(params, place, n_any)]
            found = contrasts(model_store, images, asked)
            any_wins[method] = third_wins(asked, found)
            any_feasible[method] = round(float(np.mean([c.feasible for c in found])), 4)
        return figures | {"third_class_wins_any_probe": any_wins, "feasible_any_probe": any_feasible}


def main() -> None:
    """Measure, print as it comes, and once more as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--digits", type=int, default=240, help="digits that are asked about")
    parser.add_argument(
        "--any-probe", type=int, default=24, metavar="N", help="digits that are asked about all classes"
    )
    parser.add_argument("--model", default="digits/lenet", help="the model, as in python -m parallax")
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.digits, arguments.any_probe, arguments.model)))


if __name__ == "__main__":
    main()
