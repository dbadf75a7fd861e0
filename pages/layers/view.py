"""From a person's choice to the tiles, bars, images and words of the layers page, for one model."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from explainers.layers.maps import DIFFER, STRONGEST, UnitMapsRequest, comparable, difference, order, peak, strength
from figures.layers import SHEET_PX, bars_figure, columns_for, mosaic, mosaic_figure
from figures.maps import colour_map, map_over, map_scale, scale_bar
from models.card import Layer, ModelCard
from pages.server import content
from pages.shared import cache, session, session_jobs
from pages.shared.page_state import PageState
from pages.shared.panels import IMAGE, OVERLAY
from pages.shared.widgets import to_npz

#: This session's job: the unit maps on show.
NOW = "layers"

#: Longer side of the large map, in pixels, and the width that the models' columns share.
_SIDE_PX, _PAGE_PX = 640, 990

#: Below this share of the layer's highest value, a unit says nothing.
_SILENT = 1e-6


@dataclass(frozen=True)
class ViewOptions:
    """How ready maps are ordered and drawn; `against` is the digest of the model that others are compared with."""

    order: str = STRONGEST
    shared: bool = False
    view: str = OVERLAY
    against: str = ""


@dataclass(frozen=True)
class Units:
    """One model's units of one layer for the image on show: their values in their order, and what is to be said."""

    request: UnitMapsRequest
    layer: Layer
    values: np.ndarray
    order: np.ndarray
    by: str
    remark: str = ""

    @property
    def chosen(self) -> int:
        """The unit that was clicked, else the first in the order."""
        layer, unit = session.state().units.get(self.request.card.digest, ("", 0))
        return unit if layer == self.layer.name and unit < len(self.values) else int(self.order[0])

    def name(self, unit: int) -> str:
        """`unit 12`, or the class for the model's answer."""
        card = self.request.card
        is_answer = self.layer.order == card.layers[-1].order and self.layer.n_units == card.n_classes
        return card.class_names[unit] if is_answer and card.classifies else f"unit {unit}"

    def title(self, unit: int) -> str:
        """The same as a heading; a class stays as it is spelt."""
        name = self.name(unit)
        return name.capitalize() if name == f"unit {unit}" else name


def units_of(card: ModelCard, page_state: PageState, layers: dict[str, str], options: ViewOptions) -> Units | str:
    """The model's units for one image, with whatever is ready; or the words that stand in their place."""
    request = UnitMapsRequest(card, page_state.image_id, layers[card.digest])
    values = request.load(cache.store())
    if values is None:
        return session_jobs.words(NOW, request, "waiting for the maps …")
    layer = card.layer(request.layer)
    if options.order != DIFFER:
        return Units(request, layer, values, order(values, options.order), options.order)
    other = _other(card, page_state.cards, layers, options)
    if isinstance(other, str):
        return Units(request, layer, values, order(values), STRONGEST, f"{other} Ordered by strength.")
    against = UnitMapsRequest(other, page_state.image_id, request.layer)
    compared = against.load(cache.store())
    if compared is None:
        return session_jobs.words(NOW, against, "waiting for the maps …")
    differs = difference(values, compared)
    first = int(differs.argmax())
    remark = f"Against {other.name}: most apart in unit {first}, by {differs[first]:.3g} on average."
    return Units(request, layer, values, np.argsort(-differs, kind="stable"), f"{DIFFER} {other.digest}", remark)


def _other(
    card: ModelCard, cards: Sequence[ModelCard], layers: dict[str, str], options: ViewOptions
) -> ModelCard | str:
    """The model to compare with: the toolbar's, which itself takes the first that suits it; or why there is none."""
    others = [one for one in cards if (one.digest == options.against) != (card.digest == options.against)]
    reasons = []
    for other in others:
        if layers[other.digest] != layers[card.digest]:
            reasons.append(f"{other.name} shows {layers[other.digest]}: choose the same layer.")
        elif reason := comparable(card, other, layers[card.digest]):
            reasons.append(reason)
        else:
            return other
    return reasons[0] if reasons else "There is no other model."


def title(page_state: PageState, card: ModelCard) -> str:
    """What the model takes the image on show for, and its name."""
    table, row, name = page_state.table, page_state.row, page_state.images.names[page_state.row]
    model = table.models.index(card.digest)
    said = f"{table.class_name(int(table.predicted[row, model]))} {table.confidence[row, model]:.2f}"
    return f"{said} · {name}" if card.classifies else name


def width_for(n_models: int) -> int:
    """Pixels that a model's column is wide, more or less."""
    return _PAGE_PX // max(1, n_models) - 16


def height_for(n_models: int) -> int:
    """Pixels that a model's units get to scroll in: as high as wide, so that a few hundred show at once."""
    return max(280, min(560, round(width_for(n_models) * 1.15)))


def figure(units: Units, options: ViewOptions, n_models: int) -> go.Figure:
    """The mosaic of a layer with a grid, bars for one without."""
    values, card = units.values, units.request.card
    if values.ndim == 1:
        names = [units.name(unit) for unit in range(len(values))]
        return bars_figure(values, units.order, names, session.state().colour(card.digest), units.chosen)
    width_px = width_for(n_models)
    key = units.request.key if not units.by.startswith(DIFFER) else f"{units.request.key} {units.order.tobytes().hex()}"
    columns = columns_for(len(values), width_px)
    tiles = cache.mosaic(key, units.by, columns, options.shared, values, units.order)
    source = content.find(f"mosaic {key} {units.by} {columns} {options.shared}", tiles.to_png, "png")
    means, peaks = strength(values), peak(values)
    words = [f"unit {unit}<br>mean {means[unit]:.3g} · peak {peaks[unit]:.3g}" for unit in units.order.tolist()]
    return mosaic_figure(source, tiles, words, width_px, units.chosen)


def about(units: Units) -> str:
    """What is on show, in one line: units, kind, grid, and how many say nothing."""
    layer, values = units.layer, units.values
    grid = f"{layer.spatial[0]}×{layer.spatial[1]}" if layer.spatial else "no grid: bars in place of maps"
    largest = np.abs(values).reshape(len(values), -1).max(axis=1)
    n_silent = int((largest <= _SILENT * max(float(largest.max()), 1e-30)).sum())
    silent = f" · {n_silent} silent" if n_silent else ""
    return f"{len(values)} units of {layer.kind} · {grid} · {layer.n_parameters:,} parameters{silent}"


def legend(units: Units, options: ViewOptions) -> str:
    """What the colours of the tiles mean, as HTML: a strip with its ends in words."""
    signed = bool(units.values.min() < 0)
    high = "own maximum"
    if options.shared:
        high = f"{map_scale([units.values.reshape(len(units.values), -1)]):.3g}"
    low = "−" if signed else "0"
    strip = f"<img src='{scale_bar(signed)}' style='width:110px;height:10px;border-radius:2px' alt='colours'>"
    style, pale = "display:flex;gap:8px;align-items:center;font-size:0.8rem", "opacity:0.75"  # colours stay as they are
    words = [f"<span style='{pale}'>{word}</span>" for word in (low, f"{'+ ' if signed else ''}{high}")]
    return f"<div style='{style}'>{words[0]} {strip} {words[1]}</div>"


def about_unit(units: Units) -> str:
    """The chosen unit's values, in one line."""
    values, unit = units.values[units.chosen], units.chosen
    if values.ndim == 0:
        return f"value {float(values):.3g}"
    largest = float(np.abs(values).max())
    if largest == 0:
        return f"unit {unit} says nothing to this image: zero everywhere"
    span = f"{'±' if units.values.min() < 0 else '0 to '}{largest:.3g}"
    return f"mean {values.mean():.3g} · peak {values.max():.3g} · colours {span}"


def large_map(units: Units, page_state: PageState, options: ViewOptions) -> bytes:
    """The chosen unit's map over the image, as a file."""
    values, signed = units.values[units.chosen], bool(units.values.min() < 0)

    def draw() -> np.ndarray:
        pixels, scale = page_state.pixels(_SIDE_PX), float(np.abs(values).max())
        if options.view == IMAGE:
            return pixels
        placed = units.request.card.preprocessing.to_image(values, *pixels.shape[:2])
        overlay = options.view == OVERLAY
        return map_over(pixels, placed, signed, scale, 0.85) if overlay else colour_map(placed, signed, scale, False)

    return cache.image_file(f"unit {units.request.key} {units.chosen} {options.view} {page_state.images.digest}", draw)


def to_png_file(units: Units, options: ViewOptions) -> bytes:
    """The mosaic as a file."""
    values = units.values.reshape(len(units.values), 1, 1) if units.values.ndim == 1 else units.values
    return mosaic(values, units.order, columns_for(len(values), SHEET_PX), options.shared).to_png()


def to_npz_file(units: Units) -> bytes:
    """The raw maps, unit by unit."""
    return to_npz({"maps": units.values})
