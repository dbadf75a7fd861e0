"""The comparisons below the maps, after the paper's figures: each folded, and computed when somebody asks for it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st

from common.errors import InputError
from common.escape import markdown
from explainers.attribution import AttributionRequest, request_for
from explainers.methods.multi_layer_cam import default_layers
from explainers.output import LOGIT, PROBABILITY, UNIT, Output
from explainers.prediction_difference.params import CONDITIONAL, MARGINAL
from explainers.registry import METHODS
from explainers.scores import ScoresRequest
from figures.maps import has_evidence
from figures.panel_grid import Band, Panel, Tile
from figures.prediction_difference import difference_figure, spotlight, strongest
from jobs.results import key_of
from models.card import ModelCard
from pages.prediction_difference.controls import start
from pages.prediction_difference.jobs import MORE, JobSpec
from pages.prediction_difference.view import METHOD, SIDE_PX, MapRequests, MapSpec, band, requests_of
from pages.shared import cache, panels, session, session_jobs
from pages.shared.job_progress import error_line, progress_line
from pages.shared.page_state import PageState
from pages.shared.panels import ViewOptions
from pages.shared.widgets import choose_model, several
from suggestion.targets import ONE_CLASS, target_of

READING = "Scroll over a panel to zoom, drag to pan: all panels move in step."

#: Window sides of the paper's Figure 3; those above this share of a model's input tell nothing of places.
SIDES, _LARGEST_SHARE = (1, 2, 5, 10, 15, 20), 1 / 4

#: What masks keep.
_SHARE = 0.05

#: Units shown of each hidden layer, and layers at most.
N_UNITS, _MOST_LAYERS = 4, 4


@dataclass(frozen=True)
class Comparison:
    """What one section computes, and how it draws what is known of it."""

    job: JobSpec
    bands: Callable[[], list[Band[Tile]]]
    signed: bool = True


def sections(maps: MapRequests, options: ViewOptions) -> None:
    """All of them, folded."""
    for name, (title, reading, compare) in SECTIONS.items():
        box = st.expander(title, key=f"difference_{name}_box", on_change="rerun")
        if not box.open:
            continue
        with box:
            st.caption(reading)
            try:
                _section(name, title, compare(maps, options), maps.page_state, options)
            except InputError as error:
                error_line(str(error))


def _section(name: str, title: str, comparison: Comparison, page_state: PageState, options: ViewOptions) -> None:
    spec = comparison.job
    label = "Computed" if spec.finished else "Resume" if spec.begun else "Compute these"
    start(MORE, f"difference_{name}_start", spec, page_state.images, label)
    busy = session_jobs.running(MORE, spec.key) is not None
    strength = options.strength if comparison.signed else 1.0
    st.fragment(_show, run_every=0.6 if busy else None)(name, title, comparison, page_state, strength, busy)


def _show(name: str, title: str, comparison: Comparison, page_state: PageState, strength: float, polled: bool) -> None:
    """The maps; while they are computed they are redrawn as they get sharper."""
    job = session.state().jobs.get(MORE)
    job = job if job is not None and job.key == comparison.job.key else None
    progress_line(job, f"difference_{name}", polled, READING, "resume whenever you like")
    bands, size = comparison.bands(), page_state.size(SIDE_PX)
    if not bands:
        return
    figure = difference_figure(bands, size, strength, legend=comparison.signed)
    alt = f"{title}: maps of {page_state.image_id}"
    clicked = panels.panels(figure, f"difference_{name}_chart", alt, page_state.image_id, page_state.title)
    enlarge(clicked, bands, size, strength)


def enlarge(clicked: Sequence[int] | None, bands: Sequence[Band[Tile]], size: tuple[int, int], strength: float) -> None:
    """The panel whose corner was clicked, if one was, at full width."""
    if clicked is not None:
        row, column = clicked
        tile = bands[row].tiles[column]
        title = " · ".join(part for part in (bands[row].title, tile.title, tile.facts) if part)
        panels.full_width(title, tile.panel, size, strength)


def _one_model(maps: MapRequests, name: str) -> ModelCard:
    """Which model a comparison is about, of those that the method suits."""
    suited = [card for card in maps.page_state.cards if not METHOD.applies(card)]
    if not suited:
        raise InputError("a model that suits prediction difference", "none", "Switch another one on in the sidebar.")
    return choose_model(suited, f"difference_{name}_model", width=240)


def windows(maps: MapRequests, options: ViewOptions) -> Comparison:
    """One model, several windows."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        card = _one_model(maps, "windows")
        most = max(1, int(min(card.input_size) * _LARGEST_SHARE))
        sides = several(
            "Windows, in pixels",
            range(1, min(most * 2, 64) + 1),
            [side for side in SIDES if side <= most],
            f"difference_windows_{card.digest}",
            max_selections=6,
        )
    specs = [
        MapSpec(f"{side} × {side} px", card.name, maps.of_target(card, window=side, stride=None))
        for side in sorted(sides)
    ]
    largest_first = requests_of(specs)[::-1]
    job = JobSpec.of(f"Windows of {card.name}", largest_first)
    return Comparison(job, lambda: [band("", specs, maps.page_state, options)] if specs else [])


def samplings(maps: MapRequests, options: ViewOptions) -> Comparison:
    """Every model, both ways to draw what may have been in a window."""
    rows = {
        "Conditional: what fits the window's rim": maps.per_model(sampling=CONDITIONAL),
        "Marginal: what other images show": maps.per_model(sampling=MARGINAL),
    }
    job = JobSpec.of("Two samplings", [request for specs in rows.values() for request in requests_of(specs)])
    return Comparison(job, lambda: [band(title, specs, maps.page_state, options) for title, specs in rows.items()])


def classes(maps: MapRequests, options: ViewOptions) -> Comparison:
    """One model's three first answers, in the output layer and in the one before it."""
    card, page_state = _one_model(maps, "classes"), maps.page_state
    table, row = page_state.table, page_state.row
    names = [table.class_name(int(number)) for number in table.top[row, table.models.index(card.digest), :3]]
    found = [target_of(table, row, card, ONE_CLASS, name) for name in names if name is not None]
    columns = [column for column in found if isinstance(column, int)]
    if not card.classifies or not columns:
        raise InputError("a model that chooses among classes", card.name, "Take another model.")
    titles = {
        Output(PROBABILITY): "Output layer: weight of evidence, in bits",
        Output(LOGIT): "Penultimate layer: activation difference, in logits",
    }
    scores = {output: ScoresRequest(card, page_state.image_id, output) for output in titles}

    def specs(output: Output) -> list[MapSpec]:
        values = scores[output].load(cache.store())
        facts = {column: "" if values is None else f"{output.kind} {values[column]:.2f}" for column in columns}
        return [MapSpec(card.class_names[c], facts[c], maps.of_output(card, c, output)) for c in columns]

    requests = [request for output in titles for request in requests_of(specs(output))]
    job = JobSpec.of(f"Three classes of {card.name}", requests, *scores.values())
    return Comparison(job, lambda: [band(title, specs(o), page_state, options) for o, title in titles.items()])


def masks(maps: MapRequests, _options: ViewOptions) -> Comparison:
    """Every model's strongest pixels, by prediction difference and by the gradient."""
    specs, method, page_state = maps.per_model(), METHODS["saliency"], maps.page_state
    theirs: list[AttributionRequest | str] = []
    for ours in (spec.request for spec in specs):
        if isinstance(ours, str):
            theirs.append(ours)
            continue
        data = page_state.images.digest
        saliency = request_for(ours.card, ours.image_id, method, None, ours.target, ours.output, data)
        theirs.append(method.applies(ours.card) or saliency)
    quick = [one for one in theirs if isinstance(one, AttributionRequest)]

    def row(title: str, requests: Sequence[AttributionRequest | str]) -> Band[Tile]:
        found = [_mask_panel(maps, request) for request in requests]
        return Band(
            title,
            tuple(Tile(spec.title, spec.facts, panel, spec.colour) for spec, panel in zip(specs, found, strict=True)),
        )

    def bands() -> list[Band[Tile]]:
        ours = row("Prediction difference", [spec.request for spec in specs])
        return [ours, row("Sensitivity map: the gradient", theirs)]

    return Comparison(JobSpec.of("Strongest pixels", [*quick, *requests_of(specs)]), bands, signed=False)


def _mask_panel(maps: MapRequests, request: AttributionRequest | str) -> Panel:
    """The image through the mask of a map's strongest pixels, or the words that stand for it."""
    image = maps.page_state.address(SIDE_PX)
    if isinstance(request, str):
        return Panel(image, words=request)
    if failure := session.state().failures.get(request.key):
        return Panel(image, words=failure)
    found = session_jobs.known(request)
    if found is None or np.isnan(found.maps).all():
        return Panel(image, words="not computed yet")
    values = found.maps[0]
    if not has_evidence(values):
        return Panel(image, words="The map is zero everywhere.")
    size = maps.page_state.size(SIDE_PX)

    def draw() -> np.ndarray:
        return spotlight(strongest(request.card.preprocessing.to_image(values, *size), _SHARE))

    key = f"difference mask {request.key} {getattr(found, 'amount', 0)} {found.params}"
    return Panel(image, cache.drawn(key, draw), caption=f"strongest {_SHARE:.0%} of the pixels")


def hidden(maps: MapRequests, options: ViewOptions) -> Comparison:
    """One model's most active units of an early, a middle and a late layer, or any by number."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        card = _one_model(maps, "hidden")
        offered = {layer.name: f"{layer.name} · {layer.kind}" for layer in card.layers if layer.n_units}
        spread = default_layers(card)
        default = list(dict.fromkeys((spread[0], spread[(len(spread) - 1) // 2], spread[-1])))
        key = f"difference_layers_{card.digest}"
        chosen = several("Layers", offered, default, key, max_selections=_MOST_LAYERS)
    outputs = [Output(UNIT, name) for name in sorted(chosen, key=lambda name: card.layer(name).order)]
    numbers = _units_by_number(card, outputs)
    scores = {output: ScoresRequest(card, maps.page_state.image_id, output) for output in outputs}

    def rows() -> dict[str, list[MapSpec]]:
        specs = {}
        for output in outputs:
            layer, values = card.layer(output.layer), scores[output].load(cache.store())
            if values is not None:
                specs[f"{layer.name} · {layer.kind} {'×'.join(map(str, layer.shape))}"] = [
                    MapSpec(f"unit {unit}", f"activation {values[unit]:.2g}", maps.of_output(card, unit, output))
                    for unit in numbers[output] or np.argsort(-values)[:N_UNITS].tolist()
                ]
        return specs

    wanted = [(output.layer, some) for output, some in numbers.items()]
    job = JobSpec(
        "hidden units "
        + key_of(card=card.digest, image=maps.page_state.image_id, settings=maps.settings, units=wanted),
        f"Units of {card.name}",
        lambda: [request for specs in rows().values() for request in requests_of(specs)],
        tuple(scores.values()),
        bool(outputs),
    )
    return Comparison(job, lambda: [band(title, specs, maps.page_state, options) for title, specs in rows().items()])


def _units_by_number(card: ModelCard, outputs: Sequence[Output]) -> dict[Output, list[int]]:
    """A chooser of units for each layer; what is left empty stands for the most active ones."""
    chosen = {}
    for output, column in zip(outputs, st.columns(_MOST_LAYERS) if outputs else (), strict=False):
        layer = card.layer(output.layer)
        with column:
            units = several(
                f"Units of {markdown(layer.name)}",
                range(layer.n_units),
                (),
                f"difference_units_{card.digest}_{layer.name}",
                placeholder=f"the {min(N_UNITS, layer.n_units)} most active",
                max_selections=N_UNITS,
                help=f"By number, 0 to {layer.n_units - 1:,}: type it.",
            )
            chosen[output] = sorted(units)
    return chosen


#: By name: the title, how to read it, and the comparison, which draws its own choosers.
SECTIONS: dict[str, tuple[str, str, Callable[[MapRequests, ViewOptions], Comparison]]] = {
    "windows": (
        "Window sizes",
        "Large windows tell which parts count; small ones draw outlines, and their signs mean little.",
        windows,
    ),
    "samplings": (
        "Conditional or marginal",
        "Conditional sampling keeps what the rim gives away; marginal sampling makes windows that no image has.",
        samplings,
    ),
    "classes": (
        "Three classes, before and after the softmax",
        "Before the softmax each class speaks for itself; behind it, what speaks for a rival speaks against the class.",
        classes,
    ),
    "masks": (
        "Strongest 5 %, beside the sensitivity map's",
        "Bright: the 5 % of the pixels where the map is largest, for or against. The sensitivity map asks what a small "
        "change would do, prediction difference what not knowing would.",
        masks,
    ),
    "hidden": (
        "Hidden layers",
        f"What speaks for (red) and against (blue) the activation of the {N_UNITS} most active units of each layer, or "
        "of those that you number. Of a feature map, its mean.",
        hidden,
    ),
}
