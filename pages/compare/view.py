"""The grid of maps as rows and columns of panels, and as files."""

from typing import Any

import numpy as np

from explainers.attribution import AttributionRequest
from explainers.base import Attribution
from explainers.registry import METHODS
from figures.compare import Column, Row
from figures.maps import colour_map, has_evidence, map_over, map_scale, to_png, to_webp
from figures.panel_grid import Panel
from figures.sheet import sheet
from models.card import ModelCard
from pages.compare import metrics
from pages.compare.controls import MapSpec
from pages.compare.jobs import MAPS, Requests, requests_of
from pages.server import content
from pages.shared import cache, session, session_jobs
from pages.shared.page_state import PageState
from pages.shared.panels import IMAGE, OVERLAY, ViewOptions
from pages.shared.widgets import distinct_names, to_npz

#: Longer side of a panel's image, in pixels.
SIDE_PX = 448


def map_grid(
    spec: MapSpec, page_state: PageState, options: ViewOptions
) -> tuple[tuple[int, int], list[Column], list[Row]]:
    """The image's (height, width), a column for each model, and a row for each method with the maps that are ready."""
    base, size = page_state.address(SIDE_PX, in_grey=options.view != IMAGE), page_state.size(SIDE_PX)
    requests = requests_of(spec, page_state)
    rows = []
    for name in spec.methods:
        method = METHODS[name]
        maps, shared = _maps(requests, name, size, options)
        panels = []
        for card in page_state.cards:
            request = requests[name, card.digest]
            if isinstance(request, str):
                panels.append(Panel(base, words=request))
            elif request.key in session.state().failures:
                panels.append(Panel(base, words=session_jobs.words(MAPS, request), caption=explained(request)))
            elif (so_far := session_jobs.unfinished(request)) is not None:
                panels.append(_unfinished(page_state, request, so_far, options))
            elif card.digest in maps:
                panels.append(_panel(page_state, request, maps[card.digest], shared, options))
            else:
                panels.append(Panel(base, words=session_jobs.words(MAPS, request), caption=explained(request)))
        question = f"{method.question} ⚠ {method.warning}" if method.warning else method.question
        rows.append(Row(method.title, question, method.signed, tuple(panels)))
    return size, [_column(page_state, card) for card in page_state.cards], rows


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
    return maps, map_scale(list(maps.values())) if options.shared else None


def _panel(
    page_state: PageState,
    request: AttributionRequest,
    attribution: np.ndarray,
    shared: float | None,
    options: ViewOptions,
) -> Panel:
    """A stored map, or why there is nothing to see."""
    signed = request.method.signed
    if not has_evidence(attribution):
        about = explained(request)
        words = "The map is zero everywhere." if signed else f"No positive evidence{f' for {about}' if about else ''}."
        return Panel(page_state.address(SIDE_PX, in_grey=options.view != IMAGE), words=words, caption=about)
    scale = shared or map_scale([attribution])
    key = f"{request.version(cache.store())} {attribution.shape}"
    overlay = options.in_front(key, lambda: attribution, signed, scale)
    return Panel(options.behind(page_state, SIDE_PX), overlay, caption=_caption(page_state, request, scale))


def _unfinished(page_state: PageState, request: AttributionRequest, so_far: Attribution, options: ViewOptions) -> Panel:
    """A map that a job is still refining."""
    behind = options.behind(page_state, SIDE_PX)
    caption = "\n".join(filter(None, [explained(request), "estimate, being refined …"]))
    if options.view == IMAGE:
        return Panel(behind, caption=caption)
    placed = request.card.preprocessing.to_image(so_far.maps[0], *page_state.size(SIDE_PX))
    colours = colour_map(placed, request.method.signed, map_scale([placed]), overlay=options.view == OVERLAY)
    return Panel(behind, content.put(to_webp(colours), "webp"), caption=caption)


def _caption(page_state: PageState, request: AttributionRequest, scale: float) -> str:
    """What is explained; layer, scale and time; the metrics that were measured; notes."""
    facts = [f"{'±' if request.method.signed else '0 to '}{scale:.2g}"]
    if hasattr(request.params, "layer"):
        facts.insert(0, str(request.params.layer or request.card.default_layer))
    found = request.load(cache.store())
    if found is None:
        return "\n".join(filter(None, [explained(request), " · ".join(facts)]))
    facts.append(f"{found.seconds:.2f} s" if request.finished(cache.store()) else "stopped before it was finished")
    on_map, on_masks = metrics.words(page_state.images, request)
    on_map = on_map or (f"gap {found.gaps[0]:.1%}" if found.gaps else "")
    return "\n".join(line for line in (explained(request), " · ".join(facts), on_map, on_masks, *found.notes) if line)


def explained(request: AttributionRequest) -> str:
    """The class or unit that a map is about; "" for a method that explains none."""
    return request.output.title(request.card, request.target) if request.method.uses_target else ""


def _column(page_state: PageState, card: ModelCard) -> Column:
    colour, table, row = session.state().colour(card.digest), page_state.table, page_state.row
    if not card.classifies:
        return Column(f"{card.name} (one number, no classes)", colour, ())
    model = table.models.index(card.digest)
    ranked = zip(table.top[row, model], table.probability[row, model], strict=True)
    answers = tuple((str(table.class_name(c)), float(p), c == table.true[row]) for c, p in ranked if c >= 0)
    return Column(card.name, colour, answers)


def to_npz_file(spec: MapSpec, page_state: PageState) -> bytes:
    """The raw maps that are ready, as `METHOD/MODEL`, over each model's input at the method's resolution.

    What each explains stands beside it, as `METHOD/MODEL/explains`.
    """
    arrays: dict[str, Any] = {}
    names = distinct_names(page_state.cards)
    for (name, _), request in requests_of(spec, page_state).items():
        if isinstance(request, AttributionRequest) and (found := request.load(cache.store())) is not None:
            arrays[f"{name}/{names[request.card.digest]}"] = found.maps[0]
            arrays[f"{name}/{names[request.card.digest]}/explains"] = explained(request)
    return to_npz(arrays)


def to_png_file(spec: MapSpec, page_state: PageState, options: ViewOptions) -> bytes:
    """The grid in one file, with the maps over the image."""
    pixels, requests = page_state.pixels(SIDE_PX), requests_of(spec, page_state)
    lines: list[list[np.ndarray | str]] = []
    for name in spec.methods:
        maps, shared = _maps(requests, name, page_state.size(SIDE_PX), options)
        line: list[np.ndarray | str] = []
        for card in page_state.cards:
            request, placed = requests[name, card.digest], maps.get(card.digest)
            if placed is None:
                line.append(request if isinstance(request, str) else "not ready")
            else:
                scale = shared or map_scale([placed])
                line.append(map_over(pixels, placed, METHODS[name].signed, scale, options.opacity))
        lines.append(line)
    about = {
        request.card.digest: f": {explained(request)}"
        for request in requests.values()
        if isinstance(request, AttributionRequest) and explained(request)
    }
    titles = [f"{card.name}{about.get(card.digest, '')}" for card in page_state.cards]
    return to_png(sheet(titles, [METHODS[name].title for name in spec.methods], lines))
