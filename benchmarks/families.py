"""One model of each family in timm: its card, its default layer, and whether every method does what its card promises.

`python -m benchmarks.families` takes the smallest model of each of timm's module files that builds without network in
under 60 s and 2 GB, with random weights and images as small as the model takes. For each it makes the card, runs every
method at tiny cost, and counts:

- disagreements: methods that a card offers and that fail, or give a map that is not finite or of another shape;
- wrong cells: layers (the default one, those of multi-layer Grad-CAM, that of attention) that answer to a bright spot
  elsewhere than at the cell that `as_maps` puts there, by spots and an image that the card's own probe did not use.

The last line is one JSON object with `models`, `disagreements` and `wrong_cells`. The whole takes over two hours on a
busy core (90 s a model) and 12 GB; `--models` takes names of timm's models or of its module files instead,
`--keep FILE` adds to the rows of earlier calls, and `--table` writes docs/families.md from all rows.
"""

from __future__ import annotations

import argparse
import json
import resource
import signal
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch

from common.errors import InputError, first_line
from explainers.base import Explainer, Fitted
from explainers.engines.attention_weights import attended
from explainers.methods.multi_layer_cam import default_layers
from explainers.prediction_difference.params import PredictionDifferenceParams
from explainers.registry import METHODS
from models.card import Layer, ModelCard
from models.layers import as_maps, capture
from models.loaders import zoo
from models.loaders.base import Loaded
from models.store import ModelHandle, ModelStore

TABLE = Path(__file__).parent.parent / "docs" / "families.md"
MOST_SECONDS, MOST_GIGABYTES = 60, 2

#: A few passes only: whether a method runs does not depend on how long.
TINY: dict[str, dict[str, Any]] = {
    "smoothgrad": {"samples": 2},
    "smoothgrad-squared": {"samples": 2},
    "vargrad": {"samples": 2},
    "gradient-shap": {"samples": 2},
    "deeplift-shap": {"draws": 1},
    "integrated-gradients": {"steps": 2},
    "occlusion": {"window": 0.5, "stride": 1.0},
    "score-cam": {"channels": 2},
    "rise": {"masks": 100},
    "lime": {"segments": 4, "samples": 60},
    "kernel-shap": {"segments": 4, "samples": 60},
    "shapley-sampling": {"segments": 4, "permutations": 4},
}

#: Sizes of the image that are tried, the smallest first; the model's own comes last.
SIZES = ((96, 128), (128, 128))

#: Spots in other places than the card's own probe has them.
SPOTS = ((0.2, 0.75), (0.7, 0.3), (0.75, 0.9), (0.45, 0.1), (0.1, 0.2))
HALF_SIDE = 1 / 16

_SMALL = ("femto", "atto", "pico", "nano", "xxtiny", "xtiny", "tiny", "xxs", "xs", "small", "mini", "18", "128", "_s")


def smallest(module: str) -> list[str]:
    """Names of a module file's models, those first whose names or numbers of weights say that they are small."""

    def rank(name: str) -> tuple[int, int, str]:
        size = next((place for place, word in enumerate(_SMALL) if word in name), len(_SMALL))
        return size, len(name), name

    names = sorted((name for name in timm.list_models(module=module) if not name.startswith("test_")), key=rank)
    counted = []
    for name in names[:4]:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                counted.append((sum(p.numel() for p in timm.create_model(name).parameters()), name))
            except Exception as error:  # some count on values while they are built
                print(f"  {name} does not build without content: {first_line(error)}", flush=True)
                counted.append((10**9, name))
    return [name for _, name in sorted(counted)]


@contextmanager
def limited(seconds: int) -> Iterator[None]:
    """Raise `TimeoutError` when the block takes longer."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"over {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def build(name: str) -> Loaded:
    """The model with the smallest image that it takes; the last error where it takes none."""
    config = timm.get_pretrained_cfg(name)
    own = (224, 224) if config is None else config.input_size[1:]
    failure: Exception | None = None
    for size in (*(size for size in SIZES if size[0] * size[1] < own[0] * own[1]), own):
        for create in ({"img_size": size}, {}):
            if size == own and create:
                continue
            try:
                torch.manual_seed(0)
                loaded = zoo.load(f"timm/{name}", pretrained=False, create=create)
                loaded = replace(loaded, preprocessing=loaded.preprocessing.changed({"input_size": size}))
                with torch.no_grad():
                    loaded.module.eval()(torch.zeros(1, loaded.preprocessing.channels, *size))
                return loaded
            except (InputError, RuntimeError, AssertionError, ValueError, TypeError, IndexError) as error:
                failure = error
    assert failure is not None
    raise failure


def disagreement(method: Explainer, model: ModelHandle) -> str | None:
    """What a method does that its card does not say; `None` where both agree."""
    if method.applies(model.card) is not None:
        return None
    height, width = model.card.input_size
    image = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    params = method.Params(**TINY.get(method.name, {}))
    if method.name == "prediction-difference":
        side = min(24, min(height, width) // 2)
        params = PredictionDifferenceParams(window=side, stride=side, samples=2, padding=1)
    try:
        if isinstance(method, Fitted):
            batches = [model.normalise(np.stack([model.card.preprocessing.crop(image)] * 4))]
            model = replace(model, fitted=method.fit(model, batches, params))
        maps = method.explain(model, [image], ["a"], [1], params).maps
    except Exception as error:  # that is what is looked for
        return f"{method.name}: {type(error).__name__} {first_line(error)}"
    grids = {(height, width), *(layer.spatial for layer in model.card.layers)}
    return None if maps.shape[1:] in grids else f"{method.name}: a map of shape {maps.shape[1:]}"


def wrong_cells(model: ModelHandle, layer: Layer) -> str | None:
    """Where a layer answers to bright spots, if that is not where they are; `None` where it is."""
    assert layer.spatial is not None
    (height, width), (rows, columns) = model.card.input_size, layer.spatial
    base = torch.randn(1, model.card.preprocessing.channels, height, width, generator=torch.Generator().manual_seed(7))
    images = (0.5 * base).repeat(1 + len(SPOTS), 1, 1, 1)
    for image, (y, x) in zip(images[1:], SPOTS, strict=True):
        part = [slice(int((z - HALF_SIDE) * n), int((z + HALF_SIDE) * n) + 1) for z, n in ((y, height), (x, width))]
        image[:, max(0, part[0].start) : part[0].stop, max(0, part[1].start) : part[1].stop] = 2.0
    module = model.module.get_submodule(layer.name)
    with torch.no_grad(), capture(module) as outputs:
        model.module(images)
    cells = as_maps(outputs[module], layer)
    missed = []
    for change, (y, x) in zip((cells[1:] - cells[:1]).square().sum(1).sqrt(), SPOTS, strict=True):
        row, column = divmod(int(change.argmax()), columns)
        off = max(
            abs((row + 0.5) / rows - y) - HALF_SIDE - 1 / rows,
            abs((column + 0.5) / columns - x) - HALF_SIDE - 1 / columns,
        )
        here = float(change[min(rows - 1, int(y * rows)), min(columns - 1, int(x * columns))])
        if off > 1 and here < 0.5 * float(change.max()):
            missed.append(f"({y}, {x}) at ({row}, {column})")
    return f"{layer.name}: {', '.join(missed)} of {rows} × {columns}" if len(missed) > 1 else None


def looked_at(card: ModelCard) -> list[Layer]:
    """The layers whose grids methods draw unless told otherwise."""
    if card.default_layer is None:
        return []
    names = {card.layer().name, *default_layers(card)}
    joined = attended(card)
    return [layer for layer in card.layers if layer.name in names or layer is joined]


def examine(name: str) -> dict[str, Any] | None:
    """All that is found out about one model; `None` when it does not build within the limits."""
    started = time.perf_counter()
    try:
        with limited(MOST_SECONDS):
            loaded = build(name)
    except Exception as error:  # the next one of the family may build
        print(f"  {name} is left out: {type(error).__name__} {first_line(error)}", flush=True)
        return None
    n_bytes = sum(value.numel() * value.element_size() for value in loaded.module.state_dict().values())
    if n_bytes > MOST_GIGABYTES * 1e9:
        print(f"  {name} is left out: {n_bytes / 1e9:.1f} GB of weights", flush=True)
        return None
    built_s = time.perf_counter() - started
    with tempfile.TemporaryDirectory() as folder:
        model_store = ModelStore(Path(folder), "cpu")
        started = time.perf_counter()
        card = model_store.add(loaded)
        card_s = time.perf_counter() - started
        with model_store.borrow(card) as model:
            model = replace(model, batch=8)
            disagreements = [found for method in METHODS.values() if (found := disagreement(method, model))]
            cells = [found for layer in looked_at(card) if (found := wrong_cells(model, layer))]
    layer = card.layer() if card.default_layer else None
    return {
        "model": name,
        "module": loaded.module.__class__.__module__.rpartition(".")[2],
        "input": list(card.input_size),
        "layer": layer.name if layer else None,
        "grid": list(layer.spatial or ()) if layer else [],
        "offered": sum(method.applies(card) is None for method in METHODS.values()),
        "refusals": card.refusals,
        "disagreements": disagreements,
        "wrong_cells": cells,
        "built_s": round(built_s, 1),
        "card_s": round(card_s, 1),
        "total_s": round(time.perf_counter() - started + built_s, 1),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """docs/families.md."""
    reasons: dict[str, int] = {}
    lines = []
    for row in sorted(rows, key=lambda row: str(row["module"])):
        notes = []
        for method, reason in row["refusals"].items():
            words = f"{METHODS[method].title} {reason}".replace(row["model"], "the model").replace(" (random)", "")
            notes.append(f"[{reasons.setdefault(words, len(reasons) + 1)}]")
        size, grid = ("×".join(map(str, row[key])) for key in ("input", "grid"))
        layer = f"`{row['layer']}` {grid}" if row["layer"] else "none"
        faults = len(row["disagreements"]) + len(row["wrong_cells"])
        lines.append(
            f"| {row['module']} | {row['model']} | {size} | {layer} | {row['offered']} | {' '.join(notes)} | {faults} |"
        )
    head = f"""# Families

One model of each module file of timm {timm.__version__} that builds without network in under {MOST_SECONDS} s and
{MOST_GIGABYTES} GB, with random weights: its default layer, how many of the {len(METHODS)} methods its card offers,
which kinds failed when they were tried as the card was made (numbers below), and how often something else happened.
Made by `python -m benchmarks.families --table`; {len(rows)} of {len(timm.list_modules())} module files so far.

| module | model | input | default layer | methods | failed when tried | faults |
|---|---|---|---|---|---|---|
"""
    return (
        head + "\n".join(lines) + "\n\n" + "\n".join(f"{number}. {words}" for words, number in reasons.items()) + "\n"
    )


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", default=timm.list_modules(), help="models of timm, or module files")
    parser.add_argument("--keep", type=Path, help="a file of rows (JSON lines): models in it are not tried again")
    parser.add_argument("--table", action="store_true", help=f"write {TABLE.name} from all rows")
    chosen = parser.parse_args()
    rows: list[dict[str, Any]] = []
    if chosen.keep and chosen.keep.exists():
        rows = [json.loads(line) for line in chosen.keep.read_text().splitlines()]
    warnings.simplefilter("ignore")
    modules = set(timm.list_modules())
    for wanted in chosen.models:
        if any(wanted in (row["model"], row["wanted"]) for row in rows):
            continue
        for name in smallest(wanted) if wanted in modules else [wanted]:
            found = examine(name)
            if found is None:
                continue
            row = {"wanted": wanted, **found}
            faults = [*row["disagreements"], *row["wrong_cells"]]
            print(name, row["layer"], row["grid"], f"{row['total_s']} s", *faults, flush=True)
            rows.append(row)
            if chosen.keep:
                with chosen.keep.open("a") as file:
                    file.write(json.dumps(row) + "\n")
            break
    if chosen.table:
        TABLE.write_text(table(rows), encoding="utf-8")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{sum(row['total_s'] for row in rows):.0f} s, {peak:.1f} GB at most")
    counts = {key: sum(len(row[key]) for row in rows) for key in ("disagreements", "wrong_cells")}
    print(json.dumps({"models": len(rows), **counts}))


if __name__ == "__main__":
    main()
