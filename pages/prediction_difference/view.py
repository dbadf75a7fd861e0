"""From a person's choice to the questions, tiles and files of the prediction difference page."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from common.errors import InputError
from explainers import attribution
from explainers.output import LOGIT, PROBABILITY, UNIT, Output
from explainers.prediction_difference.method import PredictionDifference
from explainers.prediction_difference.params import CONDITIONAL, PredictionDifferenceParams
from explainers.prediction_difference.request import EstimatedAttribution, PredictionDifferenceRequest
from explainers.registry import METHODS
from figures.maps import colour_map, grey, has_evidence, map_scale, over, to_png
from figures.panel_grid import Band, Panel, Tile
from figures.sheet import sheet
from images.image_set import ImageSet
from models.card import ModelCard
from pages.prediction_difference import jobs as working
from pages.shared import cache, session
from pages.shared.job_progress import duration
from pages.shared.target_picker import TargetSpec
from suggestion.table import Predictions

METHOD = METHODS[PredictionDifference.name]

#: What the values are in, by the kind of output.
IN_WORDS = {PROBABILITY: "bits", LOGIT: "logits", UNIT: "activation"}

#: Longer side of a picture on the screen, in pixels.
SIDE_PX = 448

#: Where incremental inference saves less than this, it is said that nothing is saved.
_WORTH_SAYING = 1.25


@dataclass(frozen=True)
class Choice:
    """What the toolbar says; `window` and `stride` in pixels of each model's input, `None` for what suits it."""

    target: TargetSpec
    window: int | None = None
    stride: int | None = None
    settings: dict[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Look:
    """How maps are drawn."""

    view: str = "overlay"
    shared: bool = False
    opacity: float = 0.8

    @property
    def strength(self) -> float:
        """The opacity of what is laid over the picture."""
        return self.opacity if self.view == "overlay" else 1.0


@dataclass(frozen=True)
class MapSpec:
    """One map to show, or the reason why there is none."""

    title: str
    facts: str
    request: PredictionDifferenceRequest | str
    colour: str = ""


def request_of(
    choice: Choice, card: ModelCard, images: ImageSet, image_id: str, table: Predictions, **changes: Any
) -> PredictionDifferenceRequest | str:
    """The chosen target of one model, with some settings changed; or the reason why it cannot be explained."""
    if reason := METHOD.applies(card):
        return reason
    aimed = choice.target.output_for(card, table, images.index(image_id))
    if isinstance(aimed, str):
        return aimed
    output, target = aimed if card.classifies else (Output(LOGIT), aimed[1])
    return request_for(choice, card, images, image_id, target, output, **changes)


def request_for(
    choice: Choice, card: ModelCard, images: ImageSet, image_id: str, target: int, output: Output, **changes: Any
) -> PredictionDifferenceRequest | str:
    """A column of an output, or what is wrong with the settings."""
    try:
        values = {"window": choice.window, "stride": choice.stride, **choice.settings, **changes}
        params = PredictionDifferenceParams(**values)
        request = attribution.request_for(card, image_id, METHOD, params, target, output, images.digest)
        assert isinstance(request, PredictionDifferenceRequest)
        _ = request.grid
    except InputError as error:
        return str(error)
    return request


def requests_of(specs: Sequence[MapSpec]) -> list[PredictionDifferenceRequest]:
    """What of it can be computed."""
    return [spec.request for spec in specs if not isinstance(spec.request, str)]


def per_model(
    choice: Choice, cards: Sequence[ModelCard], images: ImageSet, image_id: str, table: Predictions, **changes: Any
) -> list[MapSpec]:
    """The chosen target of every model."""
    return [
        spec_of(request_of(choice, card, images, image_id, table, **changes), card, images, image_id, table)
        for card in cards
    ]


def spec_of(
    request: PredictionDifferenceRequest | str, card: ModelCard, images: ImageSet, image_id: str, table: Predictions
) -> MapSpec:
    """A model's map under its name and colour; the target is told beside it."""
    facts = ""
    if not isinstance(request, str):
        name, value = card.class_names[request.target], probability(card, images, image_id, request.target, table)
        facts = name if value is None else f"{name} {value:.2f}"
    return MapSpec(card.name, facts, request, session.state().colour(card.digest))


def probability(card: ModelCard, images: ImageSet, image_id: str, column: int, table: Predictions) -> float | None:
    """What the model gives a class, where the table knows: it keeps the top answers."""
    if not card.classifies:
        return None
    row, position = images.index(image_id), table.models.index(card.digest)
    names = [table.class_name(int(number)) for number in table.top[row, position]]
    name = card.class_names[column]
    return float(table.probability[row, position, names.index(name)]) if name in names else None


def picture_tile(images: ImageSet, image_id: str) -> Tile:
    """The picture itself."""
    label = images.labels[images.index(image_id)]
    return Tile("picture", label or "", Panel(cache.picture_uri(images.digest, image_id, SIDE_PX)))


def size_of(images: ImageSet, image_id: str) -> tuple[int, int]:
    """(height, width) of the picture as it is drawn."""
    picture = cache.picture(images.digest, image_id, SIDE_PX)
    return picture.shape[0], picture.shape[1]


def band(title: str, specs: Sequence[MapSpec], look: Look, images: ImageSet, image_id: str) -> Band:
    """Shots side by side, with whatever is known of them."""
    found = [None if isinstance(spec.request, str) else working.known(spec.request) for spec in specs]
    maps = [one.maps[0] for one in found if one is not None]
    shared = map_scale(maps) if look.shared else None
    pairs = zip(specs, found, strict=True)
    return Band(title, tuple(_tile(spec, one, shared, look, images, image_id) for spec, one in pairs))


def _tile(
    spec: MapSpec, found: EstimatedAttribution | None, shared: float | None, look: Look, images: ImageSet, image_id: str
) -> Tile:
    return Tile(spec.title, spec.facts, _panel(spec, found, shared, look, images, image_id), spec.colour)


def _panel(
    spec: MapSpec, found: EstimatedAttribution | None, shared: float | None, look: Look, images: ImageSet, image_id: str
) -> Panel:
    pale = cache.picture_uri(images.digest, image_id, SIDE_PX, in_grey=True)
    request = spec.request
    if isinstance(request, str):
        return Panel(pale, words=request)
    if failure := session.state().failures.get(request.key):
        return Panel(pale, words=failure)
    values = None if found is None else found.maps[0]
    if found is None or values is None or not np.isfinite(values).any():
        return Panel(pale, words="not computed yet", caption=window_words(request))
    caption = _caption(request, found, shared or map_scale([values]))
    if not has_evidence(values) and found.stride is not None:
        return Panel(pale, words="No evidence found: the map is zero everywhere.", caption=caption)
    picture = cache.picture_uri(images.digest, image_id, SIDE_PX)
    beneath = {"overlay": pale, "map": "", "picture": picture}[look.view]
    scale, size = shared or map_scale([values]), size_of(images, image_id)

    def draw() -> np.ndarray:
        placed = request.card.preprocessing.to_image(values, *size)
        return colour_map(placed, signed=True, scale=scale, overlay=look.view == "overlay")

    key = f"difference {request.key} {found.amount} {found.params['converged']} {scale} {look.view}"
    return Panel(beneath, "" if look.view == "picture" else cache.drawn(key, draw), caption=caption)


def _caption(request: PredictionDifferenceRequest, found: EstimatedAttribution, scale: float) -> str:
    """The window, how far it is, how sure, and the range of the colours: a line each, so that nothing moves."""
    unit, seconds = IN_WORDS[request.output.kind], found.seconds
    took = [f"{seconds:.1f} s" if seconds < 10 else duration(seconds)] if seconds else []
    error = found.error
    known = error[np.isfinite(error)] if error is not None else np.zeros(0)
    sure = f"error ± {number(float(known.mean()))} {unit}" if known.size else "error not known yet"
    far = " · ".join([stride_words(request, found), *took])
    return "\n".join([window_words(request), far, sure, f"range ± {number(scale)} {unit}"])


def number(value: float) -> str:
    """Two digits that say something, without an exponent."""
    if value < 1e-8:
        return "0"
    return f"{value:.0f}" if value >= 10 else f"{value:.{max(0, 1 - math.floor(math.log10(value)))}f}"


def stride_words(request: PredictionDifferenceRequest, found: EstimatedAttribution) -> str:
    """`stride 4 of 8 → 1` on the way, `stride 1` there."""
    strides = replace(request.grid, stride=found.params["stride"]).strides
    reached = found.stride
    if reached is None:
        return f"first round, stride {strides[0]}"
    if reached > strides[-1]:
        return f"stride {reached} of {max(strides[0], reached)} → {strides[-1]}"
    return f"stride {reached}"


def window_words(request: PredictionDifferenceRequest) -> str:
    """`window 10 px of 224`."""
    return f"window {request.settings.window} px of {min(request.card.input_size)}"


def drawn_from(images: ImageSet, sampling: str) -> str:
    """Which data set the windows' contents come from, and how."""
    whose = "the demo's" if images.digest == cache.demo_images().digest else "your"
    pictures = f"{whose} **{images.name}** ({len(images):,} pictures)"
    if sampling != CONDITIONAL:
        return f"What may have been in a window is taken from other pictures of {pictures}, at the same place."
    words = f"What may have been in a window is drawn to fit its rim, by a Gaussian of the patches of {pictures}"
    return f"{words}, fitted at the first run and kept."


def found_on_the_way(requests: Sequence[PredictionDifferenceRequest]) -> list[str]:
    """Lines on what only the work brought out: a Gaussian of too few patches, models that ran in full, and why."""
    found = [(request.card, one) for request in requests if (one := working.known(request)) is not None]
    shrunk = list(dict.fromkeys(note for _, one in found for note in one.notes))
    in_full = [
        f"{card.name}: every window runs the whole model ({_why_in_full(card)})."
        for card, one in found
        if one.saving < _WORTH_SAYING
    ]
    return shrunk[:1] + list(dict.fromkeys(in_full))


def _why_in_full(card: ModelCard) -> str:
    """What joins the picture: a layer of a kind that does, else layers that patches do not go through."""
    kinds = {layer.kind for layer in card.layers}
    if any("Attention" in kind for kind in kinds):
        return "attention joins the picture"
    if any("SqueezeExcite" in kind for kind in kinds):
        return "squeeze-and-excitation joins the picture"
    return "incremental inference cannot follow its first layers"


def to_npz_file(specs: Sequence[MapSpec]) -> bytes:
    """The raw maps that are known, as `MODEL`, and their Monte Carlo errors, as `MODEL/error`."""
    arrays: dict[str, Any] = {}
    for spec in specs:
        found = None if isinstance(spec.request, str) else working.known(spec.request)
        if found is not None:
            arrays[spec.title] = found.maps[0]
            if found.error is not None:
                arrays[f"{spec.title}/error"] = found.error[0]
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def to_png_file(specs: Sequence[MapSpec], look: Look, images: ImageSet, image_id: str) -> bytes:
    """Picture and maps as one picture, the maps laid over the photograph."""
    picture = cache.picture(images.digest, image_id, SIDE_PX)
    found = [None if isinstance(spec.request, str) else working.known(spec.request) for spec in specs]
    maps = [one.maps[0] for one in found if one is not None]
    shared = map_scale(maps) if look.shared else None
    line: list[np.ndarray | str] = [picture]
    for spec, one in zip(specs, found, strict=True):
        if isinstance(spec.request, str) or one is None:
            line.append(spec.request if isinstance(spec.request, str) else "not ready")
            continue
        values = one.maps[0]
        placed = spec.request.card.preprocessing.to_image(values, *picture.shape[:2])
        colours = colour_map(placed, signed=True, scale=shared or map_scale([values]), overlay=True)
        line.append(over(grey(picture), colours, look.opacity))
    titles = ["picture", *(f"{spec.title}: {spec.facts}" for spec in specs)]
    return to_png(sheet(titles, ["Prediction difference"], [line]))
