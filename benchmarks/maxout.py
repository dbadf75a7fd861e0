"""MaxOut: how fast it climbs beside PyPI's torch-lucent, what a batch saves, and whether it gets above every image.

`python -m benchmarks.maxout`; what is compared runs in turn, so that a machine that slows down slows down both.

- `steps_ratio_lucent`: steps per second for one unit of ResNet18's layer3 (random weights), a Fourier picture of 128 px
  with decorrelated colours, moved at random and shown to the net at 224 px, over those of torch-lucent at its own
  defaults, which are these; `steps_ratio_lucent_frozen` when it is also told that weights need no gradients. It
  brings thirty packages, so it is none of our requirements: without a folder with it (`--lucent FOLDER`) the ratio is
  null. To have it: pip install --target FOLDER torch-lucent==0.1.8, or without what the pins hold already:
  pip install --no-deps --target FOLDER torch-lucent==0.1.8 kornia==0.4.1 decorator ipython traitlets \
      pexpect prompt_toolkit stack_data matplotlib-inline jedi parso pure_eval executing asttokens wcwidth ptyprocess
- `batch16_speedup`: 16 units of the default layer of each demo net in one batch, against one after another; the lowest
  of the four nets; `batch16_speedups` has each, and beside it the same for the net's bare passes.
- `peak_memory_mb`: MiB above what was held before, for one unit of ResNet18's layer3 at 224 px.
- `classes_above_images`, `classes_recognised`: for every class of the demo's nets and each parametrisation without
  moves, how often the picture's logit, as the PNG file has it, is above that of every demo image, and how often the net
  takes it for that class.
- `units_above_images`: the same for 20 random units of every layer, by their mean over space, without those that answer
  to no image and get no gradient from any start (ReLUs that died in training), whose share is `units_dead`;
  `--check-layers N` looks at every N-th layer only, `--net NET` at one net only, `--check-only` at nothing else.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.explainers import peak_memory, timed
from benchmarks.peers import quiet
from explainers.maxout.ascent import Ascent
from explainers.maxout.method import MaxOutParams
from explainers.maxout.objective import Objective
from explainers.maxout.parametrisation import FOURIER, PIXEL
from explainers.maxout.request import MaxOutRequest
from explainers.maxout.state import State, Status
from explainers.output import UNIT, Output
from explainers.results import Sources, compute, compute_missing
from images.image_set import ImageSet
from jobs.results import ResultStore
from models.card import ModelCard
from models.store import ModelHandle, ModelStore
from parallax.sources import open_images, open_models
from suggestion import activations

#: torch-lucent's defaults in our words: jitter by 8 and 4 of 152 px, scale 0.9 to 1.1, rotation up to 10 degrees.
LIKE_LUCENT = MaxOutParams(side=128, jitter=0.05, scale=0.1, rotate=10.0)

#: Without moves longer steps do no harm, and those of 0.05 are too short for the fine grain in full contrast that units
#: of first layers answer to most: in 256 of them 14 of 20 units of act1 of the demo's resnet get above every image.
_HONEST: dict[str, Any] = {"jitter": 0.0, "scale": 0.0, "rotate": 0.0}
HONEST = {
    PIXEL: MaxOutParams(parametrisation=PIXEL, decorrelated=False, **_HONEST),
    FOURIER: MaxOutParams(learning_rate=0.15, **_HONEST),
}

#: Of units, those that are not above every image by then get as many steps again.
UNIT_STEPS = 512

_UNITS_PER_LAYER, _BATCH = 20, 16

#: Steps after which units that are above every image leave the climb.
_LOOKS = (8, 24, 64, 128, 256)


def climb(model: ModelHandle, output: Output, targets: list[int], params: MaxOutParams, n_steps: int) -> None:
    """So many steps from the beginning."""
    ascent = Ascent(model, output, targets, params)
    for _ in ascent.climb(ascent.new(), n_steps):
        pass


def against_lucent(model: ModelHandle, folder: str | None, n_steps: int, n_rounds: int) -> dict[str, Any]:
    """Steps per second on `layer3`, ours and torch-lucent's, and how much memory ours takes."""
    output = Output(UNIT, "layer3")
    climb(model, output, [7], LIKE_LUCENT, 2)
    found: dict[str, Any] = {
        "peak_memory_mb": round(peak_memory(lambda: climb(model, output, [7], LIKE_LUCENT, 4)), 1),
        "peak_memory_batch16_mb": round(
            peak_memory(lambda: climb(model, output, list(range(_BATCH)), LIKE_LUCENT, 2)), 1
        ),
        "steps_ratio_lucent": None,
    }
    runs: dict[str, Callable[[], object]] = {"ours": lambda: climb(model, output, [7], LIKE_LUCENT, n_steps)}
    if folder is not None:
        theirs = _lucent(folder, model.module, n_steps)
        runs |= {"lucent": lambda: theirs(True), "lucent_frozen": lambda: theirs(False)}
    for run in runs.values():
        run()
    rounds = [{name: timed(run) for name, run in runs.items()} for _ in range(n_rounds)]
    found["steps_per_s"] = {name: round(n_steps / statistics.median(row[name] for row in rounds), 2) for name in runs}
    for name in list(runs)[1:]:
        ratio = statistics.median(row[name] / row["ours"] for row in rounds)
        found["steps_ratio_" + name] = round(ratio, 2)
    return found


def _lucent(folder: str, module: nn.Module, n_steps: int) -> Callable[[bool], object]:
    """torch-lucent's `render_vis` on unit 7 of layer3, with gradients for the weights (as it comes) or without."""
    sys.path.append(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lucent.optvis import render

    def run(weights: bool) -> object:
        module.requires_grad_(weights)
        options = {"thresholds": (n_steps,), "progress": False, "show_image": False}
        quiet()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = render.render_vis(module, "layer3:7", **options)
        module.requires_grad_(False).zero_grad(set_to_none=True)
        for child in module.modules():  # it leaves its hooks behind
            child._forward_hooks.clear()
        return made

    return run


def batch_speedup(model: ModelHandle, n_steps: int) -> tuple[float, float]:
    """Seconds of 16 units of the default layer one after another, over those of all in one batch, in one round.

    Beside it the same of the net's bare forward and backward passes.
    """
    output, params = Output(UNIT, model.card.layer().name), MaxOutParams()
    units = list(range(_BATCH))

    def one_by_one() -> None:
        for unit in units:
            climb(model, output, [unit], params, n_steps)

    def together() -> None:
        climb(model, output, units, params, n_steps)

    objective = Objective(model, output)
    inputs = model.normalise(np.zeros((_BATCH, *model.card.input_size, model.card.preprocessing.channels), np.uint8))
    targets = torch.tensor(units)

    def bare(n: int) -> None:
        for start in range(0, _BATCH * n_steps, n):
            part = slice(start % _BATCH, start % _BATCH + n)
            seen = inputs[part].requires_grad_()
            torch.autograd.grad(objective(seen, targets[part])[0].sum(), seen)

    one, batch, bare_one, bare_batch = (
        timed(run) for run in (one_by_one, together, lambda: bare(1), lambda: bare(_BATCH))
    )
    return one / batch, bare_one / bare_batch


def above_images(
    model_store: ModelStore, store: ResultStore, images: ImageSet, requests: list[MaxOutRequest]
) -> Iterator[tuple[bool, bool]]:
    """Of each target: whether its picture is above every image, and whether the model takes it for that class."""
    sources = Sources(model_store, store, images)
    compute_missing(sources, requests, {})
    for request in requests:
        made = compute(sources, request)
        values = activations.measured(request.card, images, request.output.layer, store)
        if values is None:
            activations.measure(model_store, request.card, images, request.output.layer, store)
            values = activations.measured(request.card, images, request.output.layer, store)
        highest = float(np.max(values[:, request.target])) if values is not None else np.inf
        yield bool(made.values[0] > highest), bool(made.answers[0] == request.target)


def check_classes(
    model_store: ModelStore, store: ResultStore, images: ImageSet, cards: list[ModelCard]
) -> dict[str, float]:
    """Shares over all classes of all models and both honest parametrisations."""
    requests = [
        MaxOutRequest(card, target, Output(), params)
        for card in cards
        for params in HONEST.values()
        for target in range(card.n_classes)
    ]
    found = np.array(list(above_images(model_store, store, images, requests)))
    print("classes", found.mean(0), flush=True)
    return {"classes_above_images": float(found[:, 0].mean()), "classes_recognised": float(found[:, 1].mean())}


def units_above(
    model: ModelHandle, output: Output, units: Sequence[int], highest: np.ndarray, params: MaxOutParams
) -> tuple[np.ndarray, np.ndarray]:
    """Whether each unit's picture, as a PNG file has it, gets above its `highest` (n,) of the images: (n,) bool.

    Beside it (n,) bool: to which units no gradient came from any start. All climb in one batch; those that are above
    leave it, so that few take all the steps.
    """
    above, unreached = np.zeros((2, len(units)), dtype=bool)
    left, state = np.arange(len(units)), None
    for until in (*(n for n in _LOOKS if n < params.iterations), params.iterations):
        ascent = Ascent(model, output, [units[number] for number in left.tolist()], params)
        state = ascent.new() if state is None else state
        *_, state = state, *ascent.climb(state, until)
        pictures = ascent.pictures(ascent.judged(state)).mul(255).round() / 255
        up = ascent.values(pictures).cpu().numpy() > highest[left]
        above[left[up]] = True
        if up.all():
            break
        state = State.joined([state.rows(row, row + 1) for row in np.flatnonzero(~up).tolist()])
        left = left[~up]
        unreached[left] = (state.status == Status.DEAD).numpy()
    return above, unreached


def check_units(
    model_store: ModelStore, store: ResultStore, images: ImageSet, cards: list[ModelCard], every: int
) -> dict[str, Any]:
    """The share over 20 random units of every layer: in all, in each net, and in the worst layer."""
    found: dict[tuple[str, str], tuple[int, int, int]] = {}
    random, params = np.random.default_rng(0), replace(HONEST[FOURIER], iterations=UNIT_STEPS)
    for card in cards:
        for layer in card.layers[::every]:
            units = random.permutation(layer.n_units)[:_UNITS_PER_LAYER].tolist()
            if not units:
                continue
            activations.measure(model_store, card, images, layer.name, store)
            values = activations.measured(card, images, layer.name, store)
            assert values is not None
            with model_store.borrow(card) as model:
                output, highest = Output(UNIT, layer.name), values[:, units].max(0)
                above, unreached = units_above(model, output, units, highest, params)
            dead = int((~values[:, units].any(0) & unreached).sum())
            found[card.name, layer.name] = int(above.sum()), len(units) - dead, dead
            print(card.name, layer.name, f"{above.sum()} of {len(units)}, {dead} dead", flush=True)

    def share(name: str | None = None) -> dict[str, Any]:
        rows = np.array([row for (card, _), row in found.items() if name in (None, card)])
        n_above, n_alive, n_dead = rows.sum(0).tolist()
        return {
            "above": round(n_above / n_alive, 4),
            "dead": round(n_dead / (n_alive + n_dead), 4),
            "layers": len(rows),
        }

    alive = {place: above / n for place, (above, n, _) in found.items() if n}
    worst = min(alive, key=lambda place: alive[place])
    return {
        "units_above_images": share()["above"],
        "units_dead": share()["dead"],
        "units_above_images_by_net": {card.name: share(card.name) for card in cards},
        "units_above_images_worst_layer": {" ".join(worst): round(alive[worst], 4)},
    }


def measure_speed(
    model_store: ModelStore, cards: list[ModelCard], lucent: str | None, n_steps: int, n_rounds: int
) -> dict[str, Any]:
    """All figures of time and memory."""
    (card,) = open_models(model_store, "torchvision/resnet18?random")
    with model_store.borrow(card) as model:
        figures = against_lucent(model, lucent, n_steps, n_rounds)
    print(json.dumps(figures), flush=True)
    rounds: dict[str, list[tuple[float, float]]] = {card.name: [] for card in cards}
    for _ in range(1 + n_rounds):  # the first warms up; nets take turns, so that a bad minute is not one net's alone
        for card in cards:
            with model_store.borrow(card) as model:
                rounds[card.name].append(batch_speedup(model, n_steps))
    speedups = {
        name: [round(statistics.median(of), 2) for of in zip(*row[1:], strict=True)] for name, row in rounds.items()
    }
    figures |= {"batch16_speedup": min(ratio for ratio, _ in speedups.values()), "batch16_speedups": speedups}
    print(json.dumps(figures), flush=True)
    return figures


def main() -> None:
    """Measure everything, print it as it comes, and once more as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lucent", metavar="FOLDER", help="where torch-lucent is installed")
    parser.add_argument("--rounds", type=int, default=5, help="rounds in which both ways take turns")
    parser.add_argument("--steps", type=int, default=20, help="steps of a round")
    parser.add_argument("--check-layers", type=int, default=1, metavar="N", help="look at every N-th layer; 0 for none")
    parser.add_argument(
        "--net", nargs="+", default=[""], metavar="NET", help="these of the demo's nets; all by default"
    )
    parser.add_argument("--check-only", action="store_true", help="leave out speed and memory, and the classes")
    arguments = parser.parse_args()
    figures: dict[str, Any] = {}
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        model_store, store = (
            ModelStore(Path(folder) / "model_store", "cpu"),
            ResultStore(Path(folder) / "results", 10**10),
        )
        cards = [card for net in arguments.net for card in open_models(model_store, f"demo/{net}".rstrip("/"))]
        if not arguments.check_only:
            figures |= measure_speed(model_store, cards, arguments.lucent, arguments.steps, arguments.rounds)
        if arguments.check_layers:
            images = open_images("demo")
            if not arguments.check_only:
                figures |= check_classes(model_store, store, images, cards)
            figures |= check_units(model_store, store, images, cards, arguments.check_layers)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
