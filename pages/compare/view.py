"""From a person's choice to the requests, panels and files of the compare page."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from explainers.attribution import AttributionRequest, request_for
from explainers.output import CLASS_SCORE
from explainers.registry import METHODS
from figures.compare import Column, Panel, Row
from figures.maps import colour_map, grey, has_evidence, map_scale, over, to_png, to_webp
from figures.sheet import sheet
from images.image_set import ImageSet
from models.card import ModelCard
from pages.compare import trust_figures
from pages.shared import cache, content, session, session_jobs
from pages.shared.param_widgets import params_for
from pages.shared.target_picker import TargetSpec
from suggestion.table import Predictions

#: What the page waits for: maps first, then their figures of trust.
JOBS = ("compare", "trust")

#: Longer side of a panel's picture, in pixels.
_SIDE_PX = 448


@dataclass(frozen=True)
class Choice:
    """What the toolbar says; `layers` by model digest, `settings` by method name."""

    methods: tuple[str, ...]
    target: TargetSpec
    shared_scale: bool
    layers: dict[str, str | None] = field(hash=False)
    settings: dict[str, dict[str, Any]] = field(hash=False)


@dataclass(frozen=True)
class Shown:
    """What the figure draws."""

    picture: str
    size: tuple[int, int]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


def requests_of(
    choice: Choice, cards: list[ModelCard], images: ImageSet, image_id: str, table: Predictions
) -> dict[tuple[str, str], AttributionRequest | str]:
    """By (method, model digest): the request to explain, or the reason why there is none."""
    row = images.index(image_id)
    requests: dict[tuple[str, str], AttributionRequest | str] = {}
    for name in choice.methods:
        method = METHODS[name]
        for card in cards:
            found = choice.target.output_for(card, table, row) if method.uses_target else (CLASS_SCORE, 0)
            reason = method.applies(card)
            if reason or isinstance(found, str):
                requests[name, card.digest] = reason or str(found)
                continue
            params = params_for(method, choice.settings[name], choice.layers[card.digest])
            output, target = found
            requests[name, card.digest] = request_for(card, image_id, method, params, target, output, images.digest)
    return requests


def submit(choice: Choice, cards: list[ModelCard], images: ImageSet, table: Predictions) -> None:
    """Compute what the store lacks, the picture on show first; a job for an older choice is stopped."""
    state = session.state()
    picks = state.picks[state.position :] + state.picks[: state.position]
    asked = [one for pick in picks for one in requests_of(choice, cards, images, pick, table).values()]
    wanted = [one for one in asked if isinstance(one, AttributionRequest)]
    session_jobs.submit("compare", f"Explaining {len(picks)} pictures", images, wanted)


def pace() -> float | None:
    """Seconds between two looks at the store: while a job runs, and never after."""
    return 0.6 if session_jobs.active(*JOBS) is not None else None


def measure(choice: Choice, cards: list[ModelCard], images: ImageSet, image_id: str, table: Predictions) -> None:
    """Compute how far the maps on show may be believed."""
    requests = requests_of(choice, cards, images, image_id, table).values()
    failures = session.state().failures
    trust_figures.submit(
        [request for request in requests if isinstance(request, AttributionRequest) and request.key not in failures],
        images,
    )


def build(
    choice: Choice, cards: list[ModelCard], images: ImageSet, image_id: str, table: Predictions, view: str
) -> Shown:
    """The figure's columns and rows for one picture, with whatever maps are ready."""
    picture = cache.picture(images.digest, image_id, _SIDE_PX)
    uri = cache.picture_uri(images.digest, image_id, _SIDE_PX)
    beneath = uri if view == "picture" else cache.picture_uri(images.digest, image_id, _SIDE_PX, in_grey=True)
    size = picture.shape[0], picture.shape[1]
    requests = requests_of(choice, cards, images, image_id, table)
    rows = []
    for name in choice.methods:
        method = METHODS[name]
        maps = _maps({card.digest: requests[name, card.digest] for card in cards}, size)
        shared = map_scale(list(maps.values())) if choice.shared_scale else None
        panels = tuple(
            _panel(images, requests[name, card.digest], maps.get(card.digest), shared, view, beneath, size)
            for card in cards
        )
        question = f"{method.question} ⚠ {method.warning}" if method.warning else method.question
        rows.append(Row(method.title, question, method.signed, panels))
    columns = tuple(_column(table, images.index(image_id), card) for card in cards)
    return Shown(uri, size, columns, tuple(rows))


def _maps(requests: dict[str, AttributionRequest | str], size: tuple[int, int]) -> dict[str, np.ndarray]:
    """The maps of one method that are ready, by model, in the picture's pixels."""
    ready = {
        digest: request
        for digest, request in requests.items()
        if isinstance(request, AttributionRequest) and request.key in cache.store()
    }
    placed = {
        digest: cache.placed_map(request.version(cache.store()), size, request) for digest, request in ready.items()
    }
    return {digest: m for digest, m in placed.items() if m is not None}


def _panel(
    images: ImageSet,
    request: AttributionRequest | str,
    attribution: np.ndarray | None,
    shared: float | None,
    view: str,
    picture: str,
    size: tuple[int, int],
) -> Panel:
    if isinstance(request, str):
        return Panel(picture, words=request)
    state, signed = session.state(), request.method.signed
    if request.key in state.failures:
        return Panel(picture, words=state.failures[request.key])
    beneath = picture if view in ("overlay", "picture") else ""
    so_far = session_jobs.unfinished(request)
    if so_far is None and attribution is None:
        return Panel(picture, words="waiting for the map …")
    if so_far is not None:
        placed = request.card.preprocessing.to_image(so_far.maps[0], *size)
        colours = colour_map(placed, signed, map_scale([placed]), overlay=view == "overlay")
        address = "" if view == "picture" else content.STORE.put(to_webp(colours), "webp")
        return Panel(beneath, address, caption="so far; getting sharper …")
    assert attribution is not None
    if not has_evidence(attribution):
        words = "No evidence found: the map is zero everywhere." if signed else "No positive evidence for this class."
        return Panel(picture, words=words)
    scale = shared or map_scale([attribution])
    caption = _caption(images, request, scale)
    if view == "picture":
        return Panel(picture, caption=caption)

    def draw() -> np.ndarray:
        return colour_map(attribution, signed, scale, overlay=view == "overlay")

    return Panel(beneath, cache.drawn(f"{request.version(cache.store())} {size} {scale} {view}", draw), caption=caption)


def _caption(images: ImageSet, request: AttributionRequest, scale: float) -> str:
    """Beneath a map: layer, scale and time; then how complete it is, and what else is worth a note."""
    facts = [f"{'±' if request.method.signed else '0 to '}{scale:.2g}"]
    if hasattr(request.params, "layer"):
        facts.insert(0, str(request.params.layer or request.card.default_layer))
    found = request.load(cache.store())
    if found is None:
        return " · ".join(facts)
    facts.append(f"{found.seconds:.2f} s" if request.finished(cache.store()) else "stopped on the way")
    on_map, on_masks = trust_figures.words(images, request)
    on_map = on_map or (f"gap {found.gaps[0]:.1%}" if found.gaps else "")
    return "\n".join(line for line in (" · ".join(facts), on_map, on_masks, *found.notes) if line)


def _column(table: Predictions, row: int, card: ModelCard) -> Column:
    if not card.classifies:
        return Column(f"{card.name} (one number, no classes)", session.state().colour(card.digest), ())
    position = table.models.index(card.digest)
    ranked = zip(table.top[row, position], table.probability[row, position], strict=True)
    answers = tuple((str(table.class_name(c)), float(p), c == table.true[row]) for c, p in ranked if c >= 0)
    return Column(card.name, session.state().colour(card.digest), answers)


def to_npz_file(choice: Choice, cards: list[ModelCard], images: ImageSet, image_id: str, table: Predictions) -> bytes:
    """The raw maps that are ready, as `METHOD/MODEL`, over each model's input at the method's resolution."""
    arrays = {}
    for (name, _), request in requests_of(choice, cards, images, image_id, table).items():
        if isinstance(request, AttributionRequest) and (found := request.load(cache.store())) is not None:
            arrays[f"{name}/{request.card.name}"] = found.maps[0]
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def to_png_file(
    choice: Choice, cards: list[ModelCard], images: ImageSet, image_id: str, table: Predictions, opacity: float
) -> bytes:
    """The grid as one picture, maps laid over the photograph."""
    picture = cache.picture(images.digest, image_id, _SIDE_PX)
    size = picture.shape[0], picture.shape[1]
    requests, row = requests_of(choice, cards, images, image_id, table), images.index(image_id)
    lines: list[list[np.ndarray | str]] = []
    for name in choice.methods:
        maps = _maps({card.digest: requests[name, card.digest] for card in cards}, size)
        shared = map_scale(list(maps.values())) if choice.shared_scale else None
        line: list[np.ndarray | str] = []
        for card in cards:
            request = requests[name, card.digest]
            if card.digest in maps:
                attribution = maps[card.digest]
                colours = colour_map(
                    attribution, METHODS[name].signed, shared or map_scale([attribution]), overlay=True
                )
                line.append(over(grey(picture), colours, opacity))
            else:
                line.append(request if isinstance(request, str) else "not ready")
        lines.append(line)
    titles = []
    for card in cards:
        column = _column(table, row, card)
        titles.append(": ".join([column.name, *(f"{name} {value:.2f}" for name, value, _ in column.answers[:1])]))
    return to_png(sheet(titles, [METHODS[name].title for name in choice.methods], lines))
