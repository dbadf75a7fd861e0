"""The grid of maps as rows and columns of panels, and as files."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np

from explainers.attribution import AttributionRequest
from explainers.base import Attribution
from explainers.registry import METHODS
from figures.compare import Column, Row
from figures.maps import colour_map, grey, has_evidence, map_scale, over, to_png, to_webp
from figures.panel_grid import Panel
from figures.sheet import sheet
from models.card import ModelCard
from pages.compare import metrics
from pages.compare.controls import IMAGE, OVERLAY, MapSpec, ViewOptions
from pages.compare.jobs import Requests, requests_of
from pages.shared import cache, content, session, session_jobs
from pages.shared.page_state import PageState
from suggestion.table import Predictions

#: Longer side of a panel's image, in pixels.
_SIDE_PX = 448


@dataclass(frozen=True)
class MapGrid:
    """The image's address and (height, width); a column for each model, a row for each method."""

    picture: str
    size: tuple[int, int]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


def map_grid(spec: MapSpec, page_state: PageState, image_id: str, options: ViewOptions) -> MapGrid:
    """The grid for one image, with the maps that are ready."""
    images = page_state.images
    height, width = cache.picture(images.digest, image_id, _SIDE_PX).shape[:2]
    address = cache.picture_uri(images.digest, image_id, _SIDE_PX)
    base = address if options.view == IMAGE else cache.picture_uri(images.digest, image_id, _SIDE_PX, in_grey=True)
    requests = requests_of(spec, page_state, image_id)
    rows = []
    for name in spec.methods:
        method = METHODS[name]
        maps, shared = _maps(requests, name, (height, width), options)
        panels = []
        for card in page_state.cards:
            request = requests[name, card.digest]
            if isinstance(request, str):
                panels.append(Panel(base, words=request))
            elif failure := session.state().failures.get(request.key):
                panels.append(Panel(base, words=failure))
            elif (so_far := session_jobs.unfinished(request)) is not None:
                panels.append(_unfinished(request, so_far, (height, width), options.view, base))
            elif card.digest in maps:
                panels.append(_panel(page_state, request, maps[card.digest], shared, options.view, base))
            else:
                panels.append(Panel(base, words="computing …"))
        question = f"{method.question} ⚠ {method.warning}" if method.warning else method.question
        rows.append(Row(method.title, question, method.signed, tuple(panels)))
    columns = tuple(_column(page_state.table, images.index(image_id), card) for card in page_state.cards)
    return MapGrid(address, (height, width), columns, tuple(rows))


def _maps(
    requests: Requests, method: str, size: tuple[int, int], options: ViewOptions
) -> tuple[dict[str, np.ndarray], float | None]:
    """The maps of one method that are ready, by model, in the image's pixels; and their scale, if they share one."""
    placed = {
        digest: cache.placed_map(request.version(cache.store()), size, request)
        for (name, digest), request in requests.items()
        if name == method and isinstance(request, AttributionRequest) and request.key in cache.store()
    }
    maps = {digest: one for digest, one in placed.items() if one is not None}
    return maps, map_scale(list(maps.values())) if options.shared_scale else None


def _panel(
    page_state: PageState,
    request: AttributionRequest,
    attribution: np.ndarray,
    shared: float | None,
    view: str,
    base: str,
) -> Panel:
    """A stored map, or why there is nothing to see."""
    signed = request.method.signed
    if not has_evidence(attribution):
        return Panel(base, words="The map is zero everywhere." if signed else "No positive evidence for this class.")
    scale = shared or map_scale([attribution])
    caption = _caption(page_state, request, scale)
    if view == IMAGE:
        return Panel(base, caption=caption)

    def draw() -> np.ndarray:
        return colour_map(attribution, signed, scale, overlay=view == OVERLAY)

    overlay = cache.drawn(f"{request.version(cache.store())} {attribution.shape} {scale} {view}", draw)
    return Panel(base if view == OVERLAY else "", overlay, caption=caption)


def _unfinished(request: AttributionRequest, so_far: Attribution, size: tuple[int, int], view: str, base: str) -> Panel:
    """A map that a job is still refining."""
    caption = "estimate, being refined …"
    if view == IMAGE:
        return Panel(base, caption=caption)
    placed = request.card.preprocessing.to_image(so_far.maps[0], *size)
    colours = colour_map(placed, request.method.signed, map_scale([placed]), overlay=view == OVERLAY)
    return Panel(base if view == OVERLAY else "", content.STORE.put(to_webp(colours), "webp"), caption=caption)


def _caption(page_state: PageState, request: AttributionRequest, scale: float) -> str:
    """Layer, scale and time; the metrics that were measured; notes."""
    facts = [f"{'±' if request.method.signed else '0 to '}{scale:.2g}"]
    if hasattr(request.params, "layer"):
        facts.insert(0, str(request.params.layer or request.card.default_layer))
    found = request.load(cache.store())
    if found is None:
        return " · ".join(facts)
    facts.append(f"{found.seconds:.2f} s" if request.finished(cache.store()) else "stopped before it was finished")
    on_map, on_masks = metrics.words(page_state.images, request)
    on_map = on_map or (f"gap {found.gaps[0]:.1%}" if found.gaps else "")
    return "\n".join(line for line in (" · ".join(facts), on_map, on_masks, *found.notes) if line)


def _column(table: Predictions, row: int, card: ModelCard) -> Column:
    colour = session.state().colour(card.digest)
    if not card.classifies:
        return Column(f"{card.name} (one number, no classes)", colour, ())
    model = table.models.index(card.digest)
    ranked = zip(table.top[row, model], table.probability[row, model], strict=True)
    answers = tuple((str(table.class_name(c)), float(p), c == table.true[row]) for c, p in ranked if c >= 0)
    return Column(card.name, colour, answers)


def to_npz_file(spec: MapSpec, page_state: PageState, image_id: str) -> bytes:
    """The raw maps that are ready, as `METHOD/MODEL`, over each model's input at the method's resolution."""
    arrays = {}
    for (name, _), request in requests_of(spec, page_state, image_id).items():
        if isinstance(request, AttributionRequest) and (found := request.load(cache.store())) is not None:
            arrays[f"{name}/{request.card.name}"] = found.maps[0]
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def to_png_file(spec: MapSpec, page_state: PageState, image_id: str, options: ViewOptions) -> bytes:
    """The grid as one picture, with the maps over the image."""
    images, cards = page_state.images, page_state.cards
    picture = cache.picture(images.digest, image_id, _SIDE_PX)
    requests = requests_of(spec, page_state, image_id)
    lines: list[list[np.ndarray | str]] = []
    for name in spec.methods:
        maps, shared = _maps(requests, name, picture.shape[:2], options)
        line: list[np.ndarray | str] = []
        for card in cards:
            request = requests[name, card.digest]
            if card.digest in maps:
                scale = shared or map_scale([maps[card.digest]])
                colours = colour_map(maps[card.digest], METHODS[name].signed, scale, overlay=True)
                line.append(over(grey(picture), colours, options.opacity))
            else:
                line.append(request if isinstance(request, str) else "not ready")
        lines.append(line)
    titles = []
    for card in cards:
        column = _column(page_state.table, images.index(image_id), card)
        titles.append(": ".join([column.name, *(f"{name} {value:.2f}" for name, value, _ in column.answers[:1])]))
    return to_png(sheet(titles, [METHODS[name].title for name in spec.methods], lines))
