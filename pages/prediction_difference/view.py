"""From a person's choice to the requests, tiles and files of the prediction difference page."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from common.errors import InputError
from common.escape import markdown
from explainers import attribution
from explainers.output import LOGIT, PROBABILITY, UNIT, Output
from explainers.prediction_difference.method import PredictionDifference
from explainers.prediction_difference.params import CONDITIONAL, PredictionDifferenceParams
from explainers.prediction_difference.request import EstimatedAttribution, PredictionDifferenceRequest
from explainers.registry import METHODS
from figures.maps import has_evidence, map_over, map_scale, to_png
from figures.panel_grid import Band, Panel, Tile
from figures.sheet import sheet
from images.image_set import ImageSet
from models.card import ModelCard
from pages.prediction_difference.jobs import known
from pages.shared import cache, session
from pages.shared.job_progress import duration
from pages.shared.page_state import PageState
from pages.shared.panels import ViewOptions
from pages.shared.target_picker import TargetSpec
from pages.shared.widgets import distinct_names, to_npz

METHOD = METHODS[PredictionDifference.name]

#: What the values are in, by the kind of output.
IN_WORDS = {PROBABILITY: "bits", LOGIT: "logits", UNIT: "activation"}

#: Longer side of an image on the screen, in pixels.
SIDE_PX = 448

#: Where incremental inference saves less than this, it is said that nothing is saved.
_WORTH_SAYING = 1.25


@dataclass(frozen=True)
class MapSpec:
    """One map to show, or the reason why there is none."""

    title: str
    facts: str
    request: PredictionDifferenceRequest | str
    colour: str = ""


@dataclass(frozen=True)
class MapRequests:
    """Asks for maps of the image on show, as the toolbar says: `settings` are fields of the method's parameters."""

    page_state: PageState
    target: TargetSpec
    settings: dict[str, Any] = field(default_factory=dict, hash=False)

    def of_target(self, card: ModelCard, **changes: Any) -> PredictionDifferenceRequest | str:
        """The chosen target of one model, with some settings changed; or the reason why it cannot be explained."""
        if reason := METHOD.applies(card):
            return reason
        found = self.target.output_for(card, self.page_state.table, self.page_state.row)
        if isinstance(found, str):
            return found
        output, target = found if card.classifies else (Output(LOGIT), found[1])
        return self.of_output(card, target, output, **changes)

    def of_output(
        self, card: ModelCard, target: int, output: Output, **changes: Any
    ) -> PredictionDifferenceRequest | str:
        """A column of an output, or what is wrong with the settings."""
        image_id, data = self.page_state.image_id, self.page_state.images.digest
        try:
            params = PredictionDifferenceParams(**{**self.settings, **changes})
            request = attribution.request_for(card, image_id, METHOD, params, target, output, data)
            assert isinstance(request, PredictionDifferenceRequest)
            _ = request.grid
        except InputError as error:
            return str(error)
        return request

    def per_model(self, **changes: Any) -> list[MapSpec]:
        """The chosen target of every model, under the model's name and colour; beside it stands what the target is."""
        specs = []
        for card in self.page_state.cards:
            request, facts = self.of_target(card, **changes), ""
            if not isinstance(request, str):
                value = self.page_state.probability(card, request.target)
                facts = card.class_names[request.target] + ("" if value is None else f" {value:.2f}")
            specs.append(MapSpec(card.name, facts, request, session.state().colour(card.digest)))
        return specs


def requests_of(specs: Sequence[MapSpec]) -> list[PredictionDifferenceRequest]:
    """What of it can be computed."""
    return [spec.request for spec in specs if not isinstance(spec.request, str)]


def image_tile(page_state: PageState) -> Tile:
    """The image itself."""
    return Tile("image", page_state.images.labels[page_state.row] or "", Panel(page_state.address(SIDE_PX)))


def band(title: str, specs: Sequence[MapSpec], page_state: PageState, options: ViewOptions) -> Band[Tile]:
    """Maps side by side, with whatever is known of them."""
    shared = _shared_scale(specs, options)
    return Band(
        title,
        tuple(Tile(spec.title, spec.facts, _panel(spec, shared, page_state, options), spec.colour) for spec in specs),
    )


def _shared_scale(specs: Sequence[MapSpec], options: ViewOptions) -> float | None:
    found = [known(spec.request) for spec in specs]
    return map_scale([one.maps[0] for one in found if one is not None]) if options.shared else None


def _panel(spec: MapSpec, shared: float | None, page_state: PageState, options: ViewOptions) -> Panel:
    pale, request, found = page_state.address(SIDE_PX, in_grey=True), spec.request, known(spec.request)
    if isinstance(request, str):
        return Panel(pale, words=request)
    if failure := session.state().failures.get(request.key):
        return Panel(pale, words=failure)
    if found is None or not np.isfinite(found.maps[0]).any():
        return Panel(pale, words="not computed yet", caption=window_words(request))
    values, size = found.maps[0], page_state.size(SIDE_PX)
    scale = shared or map_scale([values])
    caption = _caption(request, found, scale)
    if not has_evidence(values) and found.stride is not None:
        return Panel(pale, words="No evidence found: the map is zero everywhere.", caption=caption)
    key = f"difference {request.key} {found.amount} {found.params['converged']} {size}"
    place = request.card.preprocessing.to_image
    overlay = options.in_front(key, lambda: place(values, *size), signed=True, scale=scale)
    return Panel(options.behind(page_state, SIDE_PX), overlay, caption=caption)


def _caption(request: PredictionDifferenceRequest, found: EstimatedAttribution, scale: float) -> str:
    """The window, how far it is, how sure, and the range of the colours: a line each, so that nothing moves."""
    unit, seconds = IN_WORDS[request.output.kind], found.seconds
    took = [f"{seconds:.1f} s" if seconds < 10 else duration(seconds)] if seconds else []
    error = found.error
    finite = error[np.isfinite(error)] if error is not None else np.zeros(0)
    sure = f"error ± {number(float(finite.mean()))} {unit}" if finite.size else "error not known yet"
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
    data = f"{whose} **{markdown(images.name)}** ({len(images):,} images)"
    if sampling != CONDITIONAL:
        return f"What may have been in a window is taken from other images of {data}, at the same place."
    words = f"What may have been in a window is drawn to fit its rim, by a Gaussian of the patches of {data}"
    return f"{words}, fitted at the first run and kept."


def found_on_the_way(requests: Sequence[PredictionDifferenceRequest]) -> list[str]:
    """Lines on what only the work brought out: a Gaussian of too few patches, models that ran in full, and why."""
    found = [(request.card, one) for request in requests if (one := known(request)) is not None]
    shrunk = list(dict.fromkeys(note for _, one in found for note in one.notes))
    in_full = [
        f"{card.name}: every window runs the whole model ({_why_in_full(card)})."
        for card, one in found
        if one.saving < _WORTH_SAYING
    ]
    return shrunk[:1] + list(dict.fromkeys(in_full))


def _why_in_full(card: ModelCard) -> str:
    """What joins the image: a layer of a kind that does, else layers that patches do not go through."""
    kinds = {layer.kind for layer in card.layers}
    if any("Attention" in kind for kind in kinds):
        return "attention joins the image"
    if any("SqueezeExcite" in kind for kind in kinds):
        return "squeeze-and-excitation joins the image"
    return "incremental inference cannot follow its first layers"


def to_npz_file(specs: Sequence[MapSpec]) -> bytes:
    """The raw maps that are known, as `MODEL`, with what they explain and their Monte Carlo errors beside them."""
    arrays: dict[str, Any] = {}
    names = distinct_names([request.card for request in requests_of(specs)])
    for request in requests_of(specs):
        if (found := known(request)) is not None:
            name = names[request.card.digest]
            arrays[name] = found.maps[0]
            arrays[f"{name}/explains"] = request.output.title(request.card, request.target)
            if found.error is not None:
                arrays[f"{name}/error"] = found.error[0]
    return to_npz(arrays)


def to_png_file(specs: Sequence[MapSpec], page_state: PageState, options: ViewOptions) -> bytes:
    """The image, and the maps laid over it, in one file."""
    pixels, shared = page_state.pixels(SIDE_PX), _shared_scale(specs, options)
    line: list[np.ndarray | str] = [pixels]
    for spec in specs:
        found = known(spec.request)
        if isinstance(spec.request, str) or found is None:
            line.append(spec.request if isinstance(spec.request, str) else "not ready")
            continue
        placed = spec.request.card.preprocessing.to_image(found.maps[0], *pixels.shape[:2])
        line.append(map_over(pixels, placed, True, shared or map_scale([found.maps[0]]), options.opacity))
    titles = ["image", *(f"{spec.title}: {spec.facts}" for spec in specs)]
    return to_png(sheet(titles, ["Prediction difference"], [line]))
