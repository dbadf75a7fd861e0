"""`parallax layers`: the map of every unit of a layer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import typer

from common.errors import InputError
from parallax.arguments import images_of, rows_of, stem_for
from parallax.command_line import DONE, SOME_FAILED
from parallax.options import First, Images, Layer, Models, Only, OutFolder, several
from parallax.progress import ProgressBar, complain, say

if TYPE_CHECKING:
    from models.card import ModelCard


def layers(
    *,
    models: Models,
    images: Images,
    layer: Layer = None,
    target: Annotated[list[int], several("UNIT...", "Units of the layer; all by default.")],
    order: Annotated[
        Literal["strongest", "peak", "number", "differ"],
        typer.Option(help="Order of the units; differ: where two models are farthest apart first."),
    ] = "strongest",
    top: Annotated[int, typer.Option(min=1, metavar="N", help="Units in the printed table.")] = 10,
    only: Only,
    first: First = None,
    out: OutFolder,
) -> int:
    """Show the map of every unit of a layer.

    Writes them as one mosaic (PNG) and raw (npz), and prints the first of them. Without --layer: the model's last layer
    with spatial extent.

    \b
    Example:
      python -m parallax layers --models demo/vgg --images demo --first 1 --layer features.5 --out maps
    """
    from explainers.layers.maps import DIFFER, check_layer, unit_maps
    from explainers.output import UNIT, Output
    from models.store import ModelStore
    from parallax.sources import open_models

    model_store = ModelStore()
    cards = open_models(model_store, *models)
    names = [check_layer(card, layer).name for card in cards]
    for card, name in zip(cards, names, strict=True):
        for unit in target:
            Output(UNIT, name).check(card, unit)
    if order == DIFFER:
        _need_two_alike(cards, names[0])
    image_set = images_of(images)
    rows, taken, failed = rows_of(image_set, only, first), set[str](), False
    out.mkdir(parents=True, exist_ok=True)
    with ProgressBar("images") as progress:
        progress(0, len(rows))
        for done, row in enumerate(rows, 1):
            found = []
            try:
                for card, name in zip(cards, names, strict=True):
                    with model_store.borrow(card) as model:
                        crop = card.preprocessing.crop(image_set.image(row))
                        (values,) = unit_maps(model, model.normalise(crop[None]), [name])
                    found.append(values[target] if target else values)
            except InputError as error:
                failed = True
                complain(f"{image_set.names[row]}: {error}")
                continue
            for position, (card, name) in enumerate(zip(cards, names, strict=True)):
                words = (Path(image_set.names[row]).stem, card.name, name)
                stem = stem_for(taken, words, image_set.ids[row], card.digest)
                units = np.array(target or range(len(found[position])))
                other = found[1 - position] if order == DIFFER else None
                line = _write(out / stem, found[position], units, _ranked(found[position], other, order))
                say(f"{image_set.names[row]} · {card.name} · {line}")
                say(_table(found[position], other, units, top, order))
            progress(done, len(rows))
    return SOME_FAILED if failed else DONE


def _need_two_alike(cards: list[ModelCard], layer: str) -> None:
    from explainers.layers.maps import comparable

    expected, cure = "two models whose layers match", "Order the units by strength instead."
    if len(cards) != 2:
        raise InputError(expected, f"{len(cards)} models", cure)
    if reason := comparable(cards[0], cards[1], layer):
        raise InputError(expected, f"these: {reason}", cure)


def _ranked(values: np.ndarray, other: np.ndarray | None, order: str) -> np.ndarray:
    """Rows of `values` (units, h, w) float32 in the order in which they are shown."""
    from explainers.layers.maps import difference
    from explainers.layers.maps import order as ordered

    return ordered(values, order) if other is None else np.argsort(-difference(values, other), kind="stable")


def _write(path: Path, values: np.ndarray, units: np.ndarray, ranked: np.ndarray) -> str:
    """Raw maps and their mosaic, which neurons without a grid lack; gives the line that says what was written."""
    from figures.layers import SHEET_PX, columns_for, mosaic

    np.savez(path.with_name(path.name + ".npz"), allow_pickle=False, maps=values, units=units)
    written = f"{path}.npz"
    if values.ndim == 3:
        sheet = mosaic(values, ranked, columns_for(len(values), SHEET_PX))
        path.with_name(path.name + ".png").write_bytes(sheet.to_png())
        written += ", .png"
    return f"{len(values)} units · {'×'.join(map(str, values.shape[1:])) or 'no grid'} -> {written}"


def _table(values: np.ndarray, other: np.ndarray | None, units: np.ndarray, top: int, order: str) -> str:
    """The first `top` units: mean, peak, and how far the other model's unit is, where there is one."""
    from explainers.layers.maps import difference, peak, strength

    columns = {"mean": strength(values), "peak": peak(values)}
    if other is not None:
        columns["difference"] = difference(values, other)
    lines = [f"{'unit':>6}" + "".join(f" {name:>10}" for name in columns)]
    for row in _ranked(values, other, order)[:top]:
        lines.append(f"{units[row]:>6}" + "".join(f" {column[row]:>10.4g}" for column in columns.values()))
    return "\n".join(lines)
