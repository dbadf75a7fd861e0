"""`parallax layers`: the map of every unit of a layer."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer

from common.arrays import write_arrays
from common.errors import InputError
from common.files import write_bytes
from parallax import options
from parallax.progress import say


def layers(
    *,
    models: options.Models,
    images: options.Images,
    layer: options.Layer = None,
    target: Annotated[list[int], options.several("UNIT...", "Units of the layer; all by default.")],
    order: Annotated[
        Literal["strongest", "peak", "number", "differ"],
        typer.Option(help="Order of the units; differ: where two models are farthest apart first."),
    ] = "strongest",
    top: Annotated[int, typer.Option(min=1, metavar="N", help="Units in the printed table.")] = 10,
    only: options.Only,
    first: options.First = None,
    out: options.OutFolder,
) -> bool:
    """Show the map of every unit of a layer.

    Writes them as one mosaic (PNG) and raw (npz), and prints the first of them. Without --layer: the model's last layer
    with spatial extent.

    \b
    Example:
      python -m parallax layers --models demo/vgg --images demo --first 1 --layer features.5 --out maps
    """
    from explainers.layers.maps import DIFFER, UnitMapsRequest, check_layer, comparable
    from explainers.output import UNIT, Output
    from explainers.results import compute
    from parallax.results import Paths, compute_and_write
    from parallax.sources import ids_of, open_sources

    cards, sources = open_sources(models, images)
    names = [check_layer(card, layer).name for card in cards]
    for card, name in zip(cards, names, strict=True):
        for unit in target:
            Output(UNIT, name).check(card, unit)
    if order == DIFFER:
        expected, cure = "two models whose layers match", "Order the units by strength instead."
        if len(cards) != 2:
            raise InputError(expected, f"{len(cards)} models", cure)
        if reason := comparable(cards[0], cards[1], names[0]):
            raise InputError(expected, f"these: {reason}", cure)
    ids, paths = ids_of(sources.images, only, first), Paths(out)
    requests = [
        UnitMapsRequest(card, image_id, name) for image_id in ids for card, name in zip(cards, names, strict=True)
    ]

    def title(request: UnitMapsRequest) -> str:
        return f"{sources.images.names[sources.images.index(request.image_id)]} · {request.card.name}"

    def write(request: UnitMapsRequest, values: np.ndarray, other: np.ndarray | None = None) -> None:
        stem = Path(sources.images.names[sources.images.index(request.image_id)]).stem
        path = paths.of((stem, request.card.name, request.layer), request.image_id, request.card.digest)
        units = np.array(target or range(len(values)))
        other = None if other is None else other[units]
        say(f"{title(request)} · {_write(path, values[units], other, units, order, top)}")

    def write_both(request: UnitMapsRequest, values: np.ndarray) -> None:
        second = replace(request, card=cards[1])
        others = compute(sources, second)
        write(request, values, others)
        write(second, others, values)

    if order == DIFFER:
        return compute_and_write(sources, [one for one in requests if one.card == cards[0]], title, write_both)
    return compute_and_write(sources, requests, title, write)


def _write(path: str, values: np.ndarray, other: np.ndarray | None, units: np.ndarray, order: str, top: int) -> str:
    """Write `values` (units, h, w) or (units,) float32 raw, and as a mosaic where they have a grid.

    Gives the line that says so, and a table of the first `top` units: mean, peak, and how far they are from `other`.
    """
    from explainers.layers.maps import difference, peak, strength
    from explainers.layers.maps import order as ordered
    from figures.layers import SHEET_PX, columns_for, mosaic

    columns = {"mean": strength(values), "peak": peak(values)}
    if other is None:
        ranked = ordered(values, order)
    else:
        columns["difference"] = difference(values, other)
        ranked = np.argsort(-columns["difference"], kind="stable")
    write_arrays(Path(f"{path}.npz"), maps=values, units=units)
    written = f"{path}.npz"
    if values.ndim == 3:
        write_bytes(Path(f"{path}.png"), mosaic(values, ranked, columns_for(len(values), SHEET_PX)).to_png())
        written += ", .png"
    grid = "×".join(map(str, values.shape[1:])) or "no grid"
    lines = [f"{len(values)} units · {grid} -> {written}", f"{'unit':>6}" + "".join(f" {name:>10}" for name in columns)]
    for row in ranked[:top]:
        lines.append(f"{units[row]:>6}" + "".join(f" {column[row]:>10.4g}" for column in columns.values()))
    return "\n".join(lines)
