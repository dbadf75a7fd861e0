"""From a person's choice to the requests, panels and files of the reason page."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from explainers.methods.multi_layer_cam import BY_EVIDENCE, MEAN, NEGLIGIBLE, spatial_layers
from explainers.multi_layer import MultiLayerMaps, MultiLayerRequest
from explainers.output import UNIT, Output
from figures.maps import colour_map, grey, map_scale, over, to_png
from figures.panel_grid import Panel
from figures.reason import TARGET_COLOURS, TargetRow, regions
from figures.sheet import sheet
from images.image_set import ImageSet
from models.card import ModelCard
from pages.shared import cache, session, session_jobs
from suggestion import targets
from suggestion.table import Predictions

#: Longer side of a picture, in pixels: enough to zoom into a painting; and of the maps on it, which are smooth.
_SIDE_PX, _MAP_PX = 1024, 512

#: Targets that a person can name without knowing the picture.
ROLES = {targets.TOP: "its answer", targets.RUNNER_UP: "its runner-up", targets.TRUE: "the true class"}


#: A unit of a layer: the layer's name, the unit's number, and (row, column) for one neuron of it.
Unit = tuple[str, int, tuple[int, int] | None]


@dataclass(frozen=True)
class Choice:
    """What the maps are made of.

    `wanted` are roles (see `ROLES`), classes by the model's own numbers, and units by layer, number and place.
    """

    card: ModelCard
    wanted: tuple[str | int | Unit, ...]
    layers: tuple[str, ...]
    guided: bool = False


@dataclass(frozen=True)
class Look:
    """How ready maps are put together and drawn."""

    how: str = MEAN
    weigh: str = BY_EVIDENCE
    smoothing: float = 0.0
    threshold: float = 0.5
    shared: bool = False
    view: str = "overlay"


@dataclass(frozen=True)
class Target:
    """A class to explain: its number in the model, its colour, and how it came here."""

    request: MultiLayerRequest
    name: str
    colour: str
    facts: str


@dataclass(frozen=True)
class Shown:
    """What the figure draws."""

    picture: str
    marked: Panel
    size: tuple[int, int]
    rows: tuple[TargetRow, ...]


def targets_of(choice: Choice, images: ImageSet, image_id: str, table: Predictions) -> tuple[list[Target], list[str]]:
    """The targets for one picture, each class once; and the reasons why others have none."""
    row, card = images.index(image_id), choice.card
    roles: dict[int | Unit, list[str]] = {}
    reasons = []
    for wanted in choice.wanted:
        found = targets.target_of(table, row, card, wanted) if isinstance(wanted, str) else wanted
        if isinstance(found, str):
            reasons.append(found)
        else:
            roles.setdefault(found, []).extend([ROLES[wanted]] if isinstance(wanted, str) else [])
    found_targets = []
    for (target, names), colour in zip(roles.items(), TARGET_COLOURS, strict=False):
        if isinstance(target, int):
            request = MultiLayerRequest(card, image_id, choice.layers, target, choice.guided)
            facts = [*names, *_probability(card, table, row, target)]
        else:
            layer, unit, place = target
            layers, facts = _up_to(card, layer, choice.layers), ["by the layers up to its own"]
            request = MultiLayerRequest(card, image_id, layers, unit, choice.guided, Output(UNIT, layer, place))
        found_targets.append(Target(request, title_of(card, target), colour, " · ".join(facts)))
    return found_targets, reasons


def title_of(card: ModelCard, target: int | Unit) -> str:
    """A class's name, or a unit in words."""
    if isinstance(target, int):
        return card.class_names[target]
    layer, unit, place = target
    return Output(UNIT, layer, place).title(card, unit)


def _up_to(card: ModelCard, last: str, layers: tuple[str, ...]) -> tuple[str, ...]:
    """Those of `layers` that a unit of `last` depends on; where there are none, `last` itself or the one before it."""
    order = card.layer(last).order
    before = tuple(name for name in layers if card.layer(name).order <= order)
    nearest = [layer.name for layer in spatial_layers(card) if layer.order <= order]
    return before or tuple(nearest[-1:]) or layers


def _probability(card: ModelCard, table: Predictions, row: int, column: int) -> Iterator[str]:
    """What the model gives the class, where the table knows: it keeps the top answers."""
    position, numbers = table.models.index(card.digest), table.top[row, table.models.index(card.digest)]
    names = [table.class_name(int(number)) for number in numbers]
    if card.classifies and card.class_names[column] in names:
        rank = names.index(card.class_names[column])
        yield f"probability {table.probability[row, position, rank]:.2f}"


def submit(choice: Choice, images: ImageSet, table: Predictions) -> None:
    """Compute what the store lacks, the picture on show first; a job for an older choice is stopped."""
    state = session.state()
    picks = state.picks[state.position :] + state.picks[: state.position]
    wanted = [target.request for pick in picks for target in targets_of(choice, images, pick, table)[0]]
    session_jobs.submit("reason", f"Layers of {choice.card.name}", images, wanted)


def pace() -> float | None:
    """Seconds between two looks at the store: while the job runs, and never after."""
    return 0.4 if session_jobs.active("reason") is not None else None


def build(choice: Choice, look: Look, images: ImageSet, image_id: str, table: Predictions) -> Shown:
    """The figure's rows for one picture, with whatever maps are ready."""
    picture = cache.picture(images.digest, image_id, _SIDE_PX)
    size = picture.shape[0], picture.shape[1]
    uri = cache.picture_uri(images.digest, image_id, _SIDE_PX)
    pale = cache.picture_uri(images.digest, image_id, _SIDE_PX, in_grey=True)
    chosen = targets_of(choice, images, image_id, table)[0]
    found = {target.request.key: target.request.load(cache.store()) for target in chosen}
    ready = {key: reason for key, reason in found.items() if reason is not None}
    shared = _shared_scale(list(ready.values()), look) if look.shared else None
    beneath = {"overlay": pale, "map": "", "picture": uri}[look.view]
    rows = []
    for target in chosen:
        reason = ready.get(target.request.key)
        if reason is not None:
            facts = " · ".join(part for part in (target.facts, f"score {reason.score:.2f}") if part)
            panels = tuple(_panels(target.request, reason, look, shared, size, beneath, pale))
            rows.append(TargetRow(target.name, target.colour, facts, panels))
            continue
        failure = session.state().failures.get(target.request.key, "")
        empty = Panel(pale, words=" " if failure else "waiting for the map …")
        names = [*_in_order(choice.card, target.request.layers), "aggregate"]
        panels = tuple(Panel(empty.picture, words=empty.words, caption=f"{name}\n ") for name in names)
        rows.append(TargetRow(target.name, target.colour, target.facts, panels, failure))
    marked = _marked(chosen, ready, look, size, pale)
    return Shown(uri, marked, size, tuple(rows))


def _in_order(card: ModelCard, layers: tuple[str, ...]) -> list[str]:
    return sorted(layers, key=lambda name: card.layer(name).order)


def _shared_scale(reasons: list[MultiLayerMaps], look: Look) -> float:
    """The value of full colour for all layers of all targets."""
    layers = [found.density(name) for found in reasons for name in found.layers]
    return map_scale(layers + [found.aggregate(look.how, look.weigh, look.smoothing) for found in reasons])


def _panels(
    request: MultiLayerRequest,
    found: MultiLayerMaps,
    look: Look,
    shared: float | None,
    size: tuple[int, int],
    beneath: str,
    pale: str,
) -> Iterator[Panel]:
    """A panel for each layer, and one for all together."""
    strongest = max(found.evidence())
    for name, evidence in zip(found.layers, found.evidence(), strict=True):
        height, width = found.maps[found.layers.index(name)].shape
        grid = f"{height}×{width}"
        if evidence <= NEGLIGIBLE * strongest:
            words = "found next to nothing" if evidence else "found nothing"
            yield Panel(pale, words=words, caption=f"{name}\n{grid} · found {_number(evidence)}")
            continue
        values = found.density(name)
        scale = shared or map_scale([values])
        kind = "guided · " if name in found.guided else ""
        overlay = _overlay(request, name, values, scale, look.view, size)
        yield Panel(beneath, overlay, caption=f"{name}\n{grid} · found {_number(evidence)}\n{kind}0–{_number(scale)}")
    together = found.aggregate(look.how, look.weigh, look.smoothing)
    title = f"{look.how} of {len(found.layers)} layers" if len(found.layers) > 1 else "this layer"
    if not together.any():
        yield Panel(pale, words="no positive evidence for this class", caption=f"{title}\n ")
        return
    scale = shared or map_scale([together])
    what = f"all {look.how} {look.weigh} {look.smoothing}"
    overlay = _overlay(request, what, together, scale, look.view, size)
    yield Panel(beneath, overlay, caption=f"{title}\nmean {_number(float(together.mean()))}\n0–{_number(scale)}")


def _number(value: float) -> str:
    """Three digits at most, without an exponent where people can do without."""
    return f"{value:.2g}" if value < 10 else f"{value:.0f}"


def _overlay(
    request: MultiLayerRequest, what: str, values: np.ndarray, scale: float, view: str, size: tuple[int, int]
) -> str:
    """A map (h, w) over the model's input as a picture to lay over one of `size`."""
    if view == "picture":
        return ""
    height, width = (max(1, round(side * min(1.0, _MAP_PX / max(size)))) for side in size)

    def draw() -> np.ndarray:
        placed = request.card.preprocessing.to_image(values, height, width)
        return colour_map(placed, signed=False, scale=scale, overlay=view == "overlay")

    return cache.drawn(f"{request.key} {what} {scale} {view} {height} {width}", draw)


def _marked(
    chosen: list[Target], ready: dict[str, MultiLayerMaps], look: Look, size: tuple[int, int], pale: str
) -> Panel:
    """The picture with each target's region in its colour."""
    keys = [(target.request.key, target.colour) for target in chosen if target.request.key in ready]
    if not keys:
        return Panel(pale)
    by_key = {target.request.key: target.request for target in chosen}

    def draw() -> np.ndarray:
        masks = [_region(by_key[key], ready[key], look, size) for key, _ in keys]
        return regions(masks, [colour for _, colour in keys])

    return Panel(pale, cache.drawn(f"regions {keys} {look.how} {look.weigh} {look.smoothing} {look.threshold}", draw))


def _region(request: MultiLayerRequest, found: MultiLayerMaps, look: Look, size: tuple[int, int]) -> np.ndarray:
    """(height, width) bool: where the aggregate exceeds the threshold; nowhere when nothing was found."""
    placed = request.card.preprocessing.to_image(found.aggregate(look.how, look.weigh, look.smoothing), *size)
    peak = float(np.nanmax(placed, initial=0.0))
    return placed > look.threshold * peak


def to_npz_file(choice: Choice, look: Look, images: ImageSet, image_id: str, table: Predictions) -> bytes:
    """The raw maps that are ready, as `TARGET/LAYER`, guided ones and the aggregate beside them."""
    arrays: dict[str, Any] = {}
    for target in targets_of(choice, images, image_id, table)[0]:
        found = target.request.load(cache.store())
        if found is None:
            continue
        arrays |= {f"{target.name}/{name}": raw for name, raw in zip(found.layers, found.maps, strict=True)}
        arrays |= {f"{target.name}/{name}/guided": fine for name, fine in found.guided.items()}
        arrays[f"{target.name}/aggregate"] = found.aggregate(look.how, look.weigh, look.smoothing)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def to_png_file(
    choice: Choice, look: Look, images: ImageSet, image_id: str, table: Predictions, opacity: float
) -> bytes:
    """The figure as one picture: the regions, each layer's map and the aggregate, laid over the photograph."""
    picture = cache.picture(images.digest, image_id, _SIDE_PX)
    size, pale = (picture.shape[0], picture.shape[1]), grey(picture)
    lines: list[list[np.ndarray | str]] = []
    titles = []
    place = choice.card.preprocessing.to_image
    for target in targets_of(choice, images, image_id, table)[0]:
        titles.append(f"{target.name} · {target.facts}")
        found = target.request.load(cache.store())
        if found is None:
            lines.append([session.state().failures.get(target.request.key, "not ready")])
            continue
        mask = regions([_region(target.request, found, look, size)], [target.colour])
        line: list[np.ndarray | str] = [over(pale, mask, 1.0)]
        together = found.aggregate(look.how, look.weigh, look.smoothing)
        for values in [*(found.density(name) for name in found.layers), together]:
            colours = colour_map(place(values, *size), signed=False, scale=map_scale([values]), overlay=True)
            line.append(over(pale, colours, opacity) if values.any() else "found nothing")
        lines.append(line)
    columns = ["regions", *_in_order(choice.card, choice.layers), f"{look.how} of the layers"]
    return to_png(sheet(columns, titles, lines))
