"""Inside the layers without a browser.

`python -m explainers.layers --model demo/vgg --image picture.jpg --layer features.5 --out DIR` writes every unit's map
as one mosaic (PNG) and raw (npz), and prints the strongest units; `--tree` prints the layers of a model.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from common.errors import InputError
from common.files import safe_file_name
from explainers.layers.maps import (
    DIFFER,
    ORDERS,
    STRONGEST,
    check_layer,
    comparable,
    difference,
    order,
    peak,
    strength,
    unit_maps,
)
from explainers.output import UNIT, Output
from figures.layers import SHEET_PX, columns_for, mosaic
from images.image_set import ImageSet
from models.card import ModelCard
from models.store import ModelStore
from parallax.sources import open_images, open_models


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    chosen = _parser().parse_args(arguments)
    try:
        model_store = ModelStore()
        cards = [card for text in chosen.model for card in open_models(model_store, text)]
        return _tree(cards) if chosen.tree else _maps(chosen, model_store, cards)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m explainers.layers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", "--models", nargs="+", required=True, metavar="MODEL", help="as in -m suggestion")
    parser.add_argument("--tree", action="store_true", help="print the layers with their shapes and parameters")
    parser.add_argument("--image", "--images", nargs="+", metavar="PATH", help="pictures, folders, zips or demo")
    parser.add_argument("--layer", help="see --tree; the model's last layer with spatial extent by default")
    parser.add_argument("--unit", type=int, metavar="N", help="this unit alone; all of them by default")
    parser.add_argument(
        "--order", choices=(*ORDERS, DIFFER), default=STRONGEST, help="differ: where two models are farthest apart"
    )
    parser.add_argument("--top", type=int, default=10, metavar="N", help="units in the printed table")
    parser.add_argument("--out", type=Path, help="folder for the mosaic and the raw maps")
    return parser


def _tree(cards: list[ModelCard]) -> int:
    for card in cards:
        print(f"{card.name} · {card.architecture} · {card.n_parameters:,} parameters")
        width = max(len(layer.name) for layer in card.layers)
        for layer in card.layers:
            shape = "×".join(map(str, layer.shape))
            print(f"  {layer.name:{width}}  {layer.kind:20}  {shape:>12}  {layer.n_parameters:>12,}")
    return 0


def _maps(chosen: argparse.Namespace, model_store: ModelStore, cards: list[ModelCard]) -> int:
    """Write `PICTURE-MODEL-LAYER.png` and `.npz` for each picture and model, and print the table."""
    for name in ("image", "out"):
        if getattr(chosen, name) is None:
            raise InputError(f"--{name}", "none", "See python -m explainers.layers --help.")
    if chosen.top < 1:
        raise InputError("--top of at least 1", str(chosen.top), "Leave it out for ten.")
    layers = [check_layer(card, chosen.layer) for card in cards]
    if chosen.unit is not None:
        for card, layer in zip(cards, layers, strict=True):
            Output(UNIT, layer.name).check(card, chosen.unit)
    if chosen.order == DIFFER:
        _need_two_alike(cards, layers[0].name)
    chosen.out.mkdir(parents=True, exist_ok=True)
    for images in [open_images(text) for text in chosen.image]:
        for row in range(len(images)):
            found = [
                _look(model_store, card, images, row, layer.name, chosen.unit)
                for card, layer in zip(cards, layers, strict=True)
            ]
            for position, card in enumerate(cards):
                other = found[1 - position] if chosen.order == DIFFER else None
                stem = "-".join(map(safe_file_name, (Path(images.names[row]).stem, card.name, layers[position].name)))
                _write(chosen, found[position], other, f"{images.names[row]} · {card.name}", chosen.out / stem)
    return 0


def _need_two_alike(cards: list[ModelCard], layer: str) -> None:
    expected, cure = "two models whose layers match", "Order the units by strength instead."
    if len(cards) != 2:
        raise InputError(expected, f"{len(cards)} models", cure)
    if reason := comparable(cards[0], cards[1], layer):
        raise InputError(expected, f"these: {reason}", cure)


def _look(
    model_store: ModelStore, card: ModelCard, images: ImageSet, row: int, layer: str, unit: int | None
) -> np.ndarray:
    with model_store.borrow(card) as model:
        crop = card.preprocessing.crop(images.image(row))
        (values,) = unit_maps(model, model.normalise(crop[None]), [layer])
    return values if unit is None else values[unit : unit + 1]


def _write(chosen: argparse.Namespace, values: np.ndarray, other: np.ndarray | None, title: str, path: Path) -> None:
    """Mosaic, raw maps and table of one picture and model; neurons without a grid have no mosaic."""
    first = chosen.unit or 0
    differs = None if other is None else difference(values, other)
    units = order(values, chosen.order) if differs is None else np.argsort(-differs, kind="stable")
    np.savez(path.with_name(path.name + ".npz"), allow_pickle=False, maps=values, units=np.arange(len(values)) + first)
    written = f"{path}.npz"
    if values.ndim == 3:
        picture = mosaic(values, units, columns_for(len(values), SHEET_PX))
        path.with_name(path.name + ".png").write_bytes(picture.to_png())
        written += ", .png"
    grid = "×".join(map(str, values.shape[1:])) or "no grid"
    print(f"{title} · {len(values)} units · {grid} -> {written}")
    print(f"{'unit':>6} {'mean':>10} {'peak':>10}" + ("" if differs is None else f" {'difference':>10}"))
    means, peaks = strength(values), peak(values)
    for unit in units[: chosen.top]:
        line = f"{unit + first:>6} {means[unit]:>10.4g} {peaks[unit]:>10.4g}"
        print(line + ("" if differs is None else f" {differs[unit]:>10.4g}"))


if __name__ == "__main__":
    sys.exit(main())
