"""From a person's choice to the requests, panels and files of the reason page."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from explainers.methods.multi_layer_cam import BY_EVIDENCE, MEAN, NEGLIGIBLE, spatial_layers
from explainers.multi_layer import MultiLayerMaps, MultiLayerRequest
from explainers.output import UNIT, Output
from figures.maps import grey, map_over, map_scale, over, to_png
from figures.panel_grid import Panel
from figures.reason import TARGET_COLOURS, TargetRow, regions
from figures.sheet import sheet
from models.card import ModelCard
from pages.shared import cache, session, session_jobs
from pages.shared.page_state import PageState
from pages.shared.panels import ViewOptions
from pages.shared.widgets import to_npz
from suggestion import targets

#: This session's job.
JOB = "reason"

#: Longer side of an image, in pixels: enough to zoom into a painting; and of the maps on it, which are smooth.
SIDE_PX, _MAP_PX = 1024, 512

#: Targets that a person can name without knowing the image.
ROLES = {targets.TOP: "its answer", targets.RUNNER_UP: "its runner-up", targets.TRUE: "the true class"}


#: A unit of a layer: the layer's name, the unit's number, and (row, column) for one neuron of it.
Unit = tuple[str, int, tuple[int, int] | None]


@dataclass(frozen=True)
class LayerMaps:
    """Which maps to make.

    `wanted` are roles (see `ROLES`), classes by the model's own numbers, and units by layer, number and place.
    """

    card: ModelCard
    wanted: tuple[str | int | Unit, ...]
    layers: tuple[str, ...]
    guided: bool = False


@dataclass(frozen=True)
class LayerOptions(ViewOptions):
    """How ready maps are put together and drawn."""

    how: str = MEAN
    weigh: str = BY_EVIDENCE
    smoothing: float = 0.0
    threshold: float = 0.5

    def together(self, found: MultiLayerMaps) -> np.ndarray:
        """(h, w) float32: the layers' maps as one."""
        return found.aggregate(self.how, self.weigh, self.smoothing)


@dataclass(frozen=True)
class Target:
    """A class or unit to explain, its colour, and how it came here."""

    request: MultiLayerRequest
    name: str
    colour: str
    facts: str


def targets_of(maps: LayerMaps, page_state: PageState) -> tuple[list[Target], list[str]]:
    """The targets for the image on show, each class once; and the reasons why others have none."""
    card, image_id = maps.card, page_state.image_id
    roles: dict[int | Unit, list[str]] = {}
    reasons = []
    for wanted in maps.wanted:
        found = wanted
        if isinstance(wanted, str):
            found = targets.target_of(page_state.table, page_state.row, card, wanted)
        if isinstance(found, str):
            reasons.append(found)
        else:
            roles.setdefault(found, []).extend([ROLES[wanted]] if isinstance(wanted, str) else [])
    found_targets = []
    for (target, facts), colour in zip(roles.items(), TARGET_COLOURS, strict=False):
        if isinstance(target, int):
            request = MultiLayerRequest(card, image_id, maps.layers, target, maps.guided)
            value = page_state.probability(card, target)
            facts = facts if value is None else [*facts, f"probability {value:.2f}"]
        else:
            layer, unit, place = target
            layers, facts = _up_to(card, layer, maps.layers), ["by the layers up to its own"]
            request = MultiLayerRequest(card, image_id, layers, unit, maps.guided, Output(UNIT, layer, place))
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


def submit(maps: LayerMaps, page_state: PageState) -> None:
    """Compute what the store lacks, the image on show first; a job for an older choice is stopped."""
    picks = session.state().picks_ahead
    wanted = [target.request for pick in picks for target in targets_of(maps, page_state.showing(pick))[0]]
    session_jobs.submit(JOB, f"Layers of {maps.card.name}", page_state.images, wanted)


def build(maps: LayerMaps, page_state: PageState, options: LayerOptions) -> tuple[Panel, list[TargetRow]]:
    """The panel of all regions, and each target's row, with whatever maps are ready."""
    pale = page_state.address(SIDE_PX, in_grey=True)
    chosen = targets_of(maps, page_state)[0]
    found = [(target, target.request.load(cache.store())) for target in chosen]
    ready = [(target, one) for target, one in found if one is not None]
    shared = None
    if options.shared:  # the value of full colour for all layers of all targets
        layers = [one.density(name) for _, one in ready for name in one.layers]
        shared = map_scale(layers + [options.together(one) for _, one in ready])
    rows = []
    for target, one in found:
        if one is not None:
            facts = " · ".join(part for part in (target.facts, f"score {one.score:.2f}") if part)
            panels = tuple(_panels(target.request, one, options, shared, page_state))
            rows.append(TargetRow(target.name, target.colour, facts, panels))
            continue
        words = session_jobs.words(JOB, target.request, "waiting for the map …")
        failure = words if target.request.key in session.state().failures else ""
        names = [*_in_order(maps.card, target.request.layers), "aggregate"]
        panels = tuple(Panel(pale, words=" " if failure else words, caption=f"{name}\n ") for name in names)
        rows.append(TargetRow(target.name, target.colour, target.facts, panels, failure))
    return _marked(ready, options, page_state), rows


def _in_order(card: ModelCard, layers: tuple[str, ...]) -> list[str]:
    return sorted(layers, key=lambda name: card.layer(name).order)


def _panels(
    request: MultiLayerRequest,
    found: MultiLayerMaps,
    options: LayerOptions,
    shared: float | None,
    page_state: PageState,
) -> Iterator[Panel]:
    """A panel for each layer, and one for all together."""
    pale, behind = page_state.address(SIDE_PX, in_grey=True), options.behind(page_state, SIDE_PX)
    size = page_state.size(SIDE_PX)
    small = [max(1, round(side * min(1.0, _MAP_PX / max(size)))) for side in size]

    def overlay(what: str, values: np.ndarray, scale: float) -> str:
        place = request.card.preprocessing.to_image
        return options.in_front(f"{request.key} {what} {small}", lambda: place(values, *small), False, scale)

    strongest = max(found.evidence())
    for name, values, evidence in zip(found.layers, found.maps, found.evidence(), strict=True):
        facts = f"{name}\n{values.shape[0]}×{values.shape[1]} · found {_number(evidence)}"
        if evidence <= NEGLIGIBLE * strongest:
            yield Panel(pale, words="found next to nothing" if evidence else "found nothing", caption=facts)
            continue
        density = found.density(name)
        scale = shared or map_scale([density])
        kind = "guided · " if name in found.guided else ""
        yield Panel(behind, overlay(name, density, scale), caption=f"{facts}\n{kind}0–{_number(scale)}")
    together = options.together(found)
    title = f"{options.how} of {len(found.layers)} layers" if len(found.layers) > 1 else "this layer"
    if not together.any():
        yield Panel(
            pale,
            words=f"no positive evidence for {request.output.title(request.card, request.target)}",
            caption=f"{title}\n ",
        )
        return
    scale = shared or map_scale([together])
    drawn = overlay(f"all {options.how} {options.weigh} {options.smoothing}", together, scale)
    yield Panel(behind, drawn, caption=f"{title}\nmean {_number(float(together.mean()))}\n0–{_number(scale)}")


def _number(value: float) -> str:
    """Three digits at most, without an exponent where people can do without."""
    return f"{value:.2g}" if value < 10 else f"{value:.0f}"


def _marked(ready: list[tuple[Target, MultiLayerMaps]], options: LayerOptions, page_state: PageState) -> Panel:
    """The image with each target's region in its colour."""
    pale, size = page_state.address(SIDE_PX, in_grey=True), page_state.size(SIDE_PX)
    if not ready:
        return Panel(pale)

    def draw() -> np.ndarray:
        masks = [_region(target, found, options, size) for target, found in ready]
        return regions(masks, [target.colour for target, _ in ready])

    keys = [(target.request.key, target.colour) for target, _ in ready]
    made = f"{options.how} {options.weigh} {options.smoothing} {options.threshold}"
    return Panel(pale, cache.drawn(f"regions {keys} {made}", draw))


def _region(target: Target, found: MultiLayerMaps, options: LayerOptions, size: tuple[int, int]) -> np.ndarray:
    """(height, width) bool: where the aggregate exceeds the threshold; nowhere when nothing was found."""
    placed = target.request.card.preprocessing.to_image(options.together(found), *size)
    return placed > options.threshold * float(np.nanmax(placed, initial=0.0))


def to_npz_file(maps: LayerMaps, page_state: PageState, options: LayerOptions) -> bytes:
    """The raw maps that are ready, as `TARGET/LAYER`, guided ones and the aggregate beside them."""
    arrays: dict[str, Any] = {}
    for target in targets_of(maps, page_state)[0]:
        if (found := target.request.load(cache.store())) is not None:
            arrays |= {f"{target.name}/{name}": raw for name, raw in zip(found.layers, found.maps, strict=True)}
            arrays |= {f"{target.name}/{name}/guided": fine for name, fine in found.guided.items()}
            arrays[f"{target.name}/aggregate"] = options.together(found)
    return to_npz(arrays)


def to_png_file(maps: LayerMaps, page_state: PageState, options: LayerOptions) -> bytes:
    """The figure in one file: the regions, each layer's map and the aggregate, laid over the image."""
    pixels = page_state.pixels(SIDE_PX)
    size = page_state.size(SIDE_PX)
    lines: list[list[np.ndarray | str]] = []
    chosen = targets_of(maps, page_state)[0]
    for target in chosen:
        found = target.request.load(cache.store())
        if found is None:
            lines.append([session.state().failures.get(target.request.key, "not ready")])
            continue
        mask = regions([_region(target, found, options, size)], [target.colour])
        line: list[np.ndarray | str] = [over(grey(pixels), mask, 1.0)]
        for values in [*(found.density(name) for name in found.layers), options.together(found)]:
            placed = maps.card.preprocessing.to_image(values, *size)
            drawn = map_over(pixels, placed, False, map_scale([values]), options.opacity)
            line.append(drawn if values.any() else "found nothing")
        lines.append(line)
    columns = [f"{maps.card.name}: regions", *_in_order(maps.card, maps.layers), f"{options.how} of the layers"]
    return to_png(sheet(columns, [f"{target.name} · {target.facts}" for target in chosen], lines))
