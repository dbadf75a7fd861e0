"""The paper's second experiment (CDeepEx, section 4.1): does a contrast show the mark that a biased net looks for?

`python -m benchmarks.contrastive_square [--digits 240]`: net and generator learnt from digits whose every 8 has a 6 × 6
grey square in the upper left. First the controls, then the question "why not an 8?" for held-out digits that are none
and are not taken for one, put to CDeepEx, xGEMs, prediction difference, LIME and Grad-CAM; the last three explain one
class at a time and are contrasted by the paper's rule. Prints the README's table.

- share: of the map's |value|, what lies in the square, over the square's share of the area: 1 is chance.
- to add: the same of what is to be added less what is to be taken away there. An 8 would need light; a map of evidence
  can also say that black speaks for the answer, which is to be taken away.
- found: share of digits whose map is not empty (rule: a weight fits; search: the constraints hold).
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import nn

from benchmarks.contrastive import contrasts, orders
from explainers.attribution import ready
from explainers.base import Explainer
from explainers.contrastive.generator import Trained
from explainers.contrastive.generators import ready_made
from explainers.contrastive.method import ContrastParams
from explainers.contrastive.request import ContrastRequest
from explainers.contrastive.rule import contrast
from explainers.prediction_difference.method import PredictionDifference
from explainers.registry import METHODS
from explainers.results import Sources
from images.digits import MARKED_CLASS, SIDE_PX, SQUARE, Digits, digits, held_out
from images.image_set import ImageSet
from jobs.results import ResultStore
from models.card import ModelCard
from models.demo.demo_models import DIGIT_MODELS
from models.store import ModelHandle, ModelStore
from parallax.sources import open_images, open_models
from tools.train_digit_nets import recall_of_unmarked, turned_by_square

#: Methods of one class at a time, by name, with what suits pictures of 32 px.
RULED: dict[str, dict[str, Any]] = {
    PredictionDifference.name: {"window": 6, "stride": 2},
    "lime": {},
    "grad-cam": {},
}

_AREA = (SQUARE[0].stop - SQUARE[0].start) * (SQUARE[1].stop - SQUARE[1].start) / SIDE_PX**2


class Measured(NamedTuple):
    """A method's figures over all digits."""

    share: float
    to_add: float
    found: float
    seconds: float


def in_square(change: np.ndarray) -> tuple[float, float]:
    """The square's share of a map's (32, 32) mass over its share of the area: of |value|, and of the value."""
    whole = float(np.abs(change).sum())
    if not whole:
        return 0.0, 0.0
    part = change[SQUARE]
    return float(np.abs(part).sum()) / whole / _AREA, float(part.sum()) / whole / _AREA


def measured(changes: list[np.ndarray], found: list[bool], seconds: float) -> Measured:
    """Means over all digits; an empty map counts as nothing in the square."""
    shares, to_add = np.array([in_square(change) for change in changes]).mean(0).tolist()
    return Measured(shares, to_add, float(np.mean(found)), seconds / len(changes))


def ruled(model: ModelHandle, sources: Sources, rows: list[int], true: list[int], name: str) -> Measured:
    """A method of one class at a time, contrasted by the paper's rule."""
    method: Explainer = METHODS[name]
    params = method.Params(**RULED[name])
    began = time.perf_counter()
    model, images = ready(model, sources, method, params), sources.images
    pictures, ids = [images.image(row) for row in rows], [images.ids[row] for row in rows]
    maps = [
        method.explain(model, pictures, ids, targets, params).maps for targets in (true, [MARKED_CLASS] * len(rows))
    ]
    found = [
        contrast(model, model.card.preprocessing.crop(picture), for_answer, for_mark, answer, MARKED_CLASS)
        for picture, for_answer, for_mark, answer in zip(pictures, *maps, true, strict=True)
    ]
    seconds = time.perf_counter() - began
    return measured([one.change for one in found], [one.n_kept > 0 for one in found], seconds)


def controls(net: nn.Module, test: Digits) -> dict[str, float]:
    """The paper's two controls of a net that learnt the square, on pictures without it; also printed."""
    found = {"recall_unmarked_8": recall_of_unmarked(net, test), "turned_into_8": turned_by_square(net, test)}
    print(f"controls: unmarked 8s recalled {found['recall_unmarked_8']:.1%} (paper: 5 %), ", end="")
    print(f"others that the square turns into an 8 {found['turned_into_8']:.1%} (paper: 77 %)", flush=True)
    return found


def compared(
    model_store: ModelStore, card: ModelCard, images: ImageSet, rows: list[int], trained: Trained, n_digits: int
) -> dict[str, Any]:
    """Each method's figures over the first digits of `rows` that neither are an 8 nor are named one; also printed."""
    print("| method | share in the square over chance | to add | found | s per digit |\n|---|---|---|---|---|")
    others = [row for row in rows if images.labels[row] != str(MARKED_CLASS)]
    answers = orders(model_store, card, images, others)[:, 0].tolist()
    kept = [(row, answer) for row, answer in zip(others, answers, strict=True) if answer != MARKED_CLASS][:n_digits]
    found: dict[str, Measured] = {}

    def tell(name: str, title: str, one: Measured) -> None:
        found[name] = one
        print(f"| {title} | {one.share:.1f} | {one.to_add:+.1f} | {one.found:.0%} | {one.seconds:.2f} |", flush=True)

    for name, title, constraints in (("cdeepex", "CDeepEx", True), ("xgems", "xGEMs", False)):
        params = ContrastParams(constraints=constraints)
        asked = [ContrastRequest(card, images.ids[row], answer, MARKED_CLASS, trained, params) for row, answer in kept]
        began = time.perf_counter()
        made = contrasts(model_store, images, asked)
        seconds = time.perf_counter() - began
        tell(name, title, measured([one.difference for one in made], [one.feasible for one in made], seconds))
    rows, true = [row for row, _ in kept], [answer for _, answer in kept]
    with tempfile.TemporaryDirectory() as folder, model_store.borrow(card) as model:
        store = ResultStore(Path(folder), 10**10)
        for name in RULED:
            tell(name, METHODS[name].title, ruled(model, Sources(model_store, store, images), rows, true, name))
    rounded = {name: {key: round(value, 4) for key, value in one._asdict().items()} for name, one in found.items()}
    return {**rounded, "digits": len(kept)}


def main() -> None:
    """Print the table, and everything once more as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--digits", type=int, default=240, help="digits that are asked about")
    arguments = parser.parse_args()
    figures: dict[str, Any] = dict(controls(DIGIT_MODELS["square"].load(), digits().test))
    images = open_images("digits-marked")
    trained = ready_made(images.digest)
    if trained is None:
        raise RuntimeError("the marked digits' generator is not there: python -m tools.train_generators")
    with tempfile.TemporaryDirectory() as folder:
        model_store = ModelStore(Path(folder), "cpu")
        (card,) = open_models(model_store, "digits/square")
        figures |= compared(model_store, card, images, held_out(images), trained, arguments.digits)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
