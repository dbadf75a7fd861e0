"""The comparisons below the maps, after the paper's figures: each folded, and worked out when somebody asks for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st

from common.errors import InputError
from explainers.attribution import AttributionRequest, request_for
from explainers.output import LOGIT, PROBABILITY, Output
from explainers.prediction_difference.params import CONDITIONAL, MARGINAL
from explainers.registry import METHODS
from explainers.scores import ScoresRequest
from figures.maps import has_evidence
from figures.panel_grid import Band, Panel, Tile
from figures.prediction_difference import difference_figure, spotlight, strongest
from pages.prediction_difference import view as view
from pages.prediction_difference.controls import start
from pages.prediction_difference.hidden_maps import N_UNITS, hidden
from pages.prediction_difference.jobs import MORE, JobSpec
from pages.prediction_difference.page_state import Comparison, Scene, one_model
from pages.prediction_difference.view import MapSpec
from pages.shared import cache, pick_navigation, session, session_jobs
from pages.shared.job_progress import resumable_progress
from suggestion.targets import ONE_CLASS, target_of

READING = "Scroll over a panel to zoom, drag to pan: all panels move in step."

#: Window sides of the paper's Figure 3; those above this share of a model's input tell nothing of places.
SIDES, _LARGEST_SHARE = (1, 2, 5, 10, 15, 20), 1 / 4

#: What masks keep.
_SHARE = 0.05


@dataclass(frozen=True)
class Section:
    """A comparison with its title and a line on how to read it; `compare` draws its own choosers."""

    name: str
    title: str
    reading: str
    compare: Callable[[Scene], Comparison]


def sections(scene: Scene) -> None:
    """All of them, folded."""
    for section in SECTIONS:
        box = st.expander(section.title, key=f"difference_{section.name}_box", on_change="rerun")
        if not box.open:
            continue
        with box:
            st.caption(section.reading)
            try:
                _section(section, scene)
            except InputError as error:
                st.error(str(error), icon=":material/error:")


def _section(section: Section, scene: Scene) -> None:
    comparison = section.compare(scene)
    spec = comparison.job
    label = "Computed" if spec.finished else "Resume" if spec.begun else "Compute these"
    start(MORE, f"difference_{section.name}_start", spec, scene.images, label)
    busy = session_jobs.running(MORE, spec.key) is not None
    st.fragment(_show, run_every=0.6 if busy else None)(section, comparison, scene, busy)


def _show(section: Section, comparison: Comparison, scene: Scene, polled: bool) -> None:
    """The maps; while they are being worked out they are drawn anew as they get sharper."""
    chart, size = f"difference_{section.name}_chart", view.size_of(*scene.place)
    resumable_progress(MORE, [comparison.job.key], f"difference_{section.name}", polled, READING)
    bands = comparison.bands()
    if not bands:
        return
    strength = scene.look.strength if comparison.signed else 1.0
    figure = difference_figure(bands, size, strength, legend=comparison.signed)
    pick_navigation.panels(figure, chart, f"{section.title}: maps of {scene.image_id}", scene.image_id)
    enlarge(bands, size, strength)


def enlarge(bands: Sequence[Band], size: tuple[int, int], strength: float) -> None:
    """After a click on a panel's corner: the panel at full width."""
    state = session.state()
    if state.expanded is not None:
        (row, column), state.expanded = state.expanded, None
        tile = bands[row].tiles[column]
        title = " · ".join(part for part in (bands[row].title, tile.title, tile.facts) if part)
        pick_navigation.full_width(title, tile.panel, size, strength)


def windows(scene: Scene) -> Comparison:
    """One model, several windows."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        card = one_model(scene, "windows")
        most = max(1, int(min(card.input_size) * _LARGEST_SHARE))
        sides = st.multiselect(
            "Windows, in pixels",
            range(1, min(most * 2, 64) + 1),
            default=[side for side in SIDES if side <= most],
            max_selections=6,
            key=f"difference_windows_{card.digest}",
            persist_state="session",
        )
    requests = {
        side: view.request_of(scene.choice, card, *scene.place, scene.table, window=side, stride=None)
        for side in sorted(sides)
    }
    specs = [MapSpec(f"{side} × {side} px", card.name, one) for side, one in requests.items()]
    largest_first = view.requests_of(specs)[::-1]
    job = JobSpec.of(f"Windows of {card.name}", largest_first)
    return Comparison(job, lambda: [view.band("", specs, scene.look, *scene.place)] if specs else [])


def samplings(scene: Scene) -> Comparison:
    """Every model, both ways to draw what may have been in a window."""
    rows = {
        sampling: view.per_model(scene.choice, scene.cards, *scene.place, scene.table, sampling=sampling)
        for sampling in (CONDITIONAL, MARGINAL)
    }
    titles = {CONDITIONAL: "Conditional: what fits the window's rim", MARGINAL: "Marginal: what other pictures show"}
    job = JobSpec.of("Two samplings", [request for specs in rows.values() for request in view.requests_of(specs)])
    return Comparison(
        job, lambda: [view.band(titles[name], specs, scene.look, *scene.place) for name, specs in rows.items()]
    )


def classes(scene: Scene) -> Comparison:
    """One model's three first answers, in the output layer and in the one before it."""
    card = one_model(scene, "classes")
    row, position = scene.images.index(scene.image_id), scene.table.models.index(card.digest)
    names = [scene.table.class_name(int(number)) for number in scene.table.top[row, position, :3]]
    found = [target_of(scene.table, row, card, ONE_CLASS, name) for name in names if name is not None]
    columns = [column for column in found if isinstance(column, int)]
    if not card.classifies or not columns:
        raise InputError("a model that chooses among classes", card.name, "Take another model.")
    titles = {
        Output(PROBABILITY): "Output layer: weight of evidence, in bits",
        Output(LOGIT): "Penultimate layer: activation difference, in logits",
    }
    requests = {
        (output, column): view.request_for(scene.choice, card, *scene.place, column, output)
        for output in titles
        for column in columns
    }
    first = [ScoresRequest(card, scene.image_id, output) for output in titles]

    def bands() -> list[Band[Tile]]:
        drawn = []
        for (output, title), scores in zip(titles.items(), first, strict=True):
            values = scores.load(cache.store())
            specs = [
                MapSpec(
                    card.class_names[column],
                    "" if values is None else f"{output.kind} {values[column]:.2f}",
                    requests[output, column],
                )
                for column in columns
            ]
            drawn.append(view.band(title, specs, scene.look, *scene.place))
        return drawn

    computable = [one for one in requests.values() if not isinstance(one, str)]
    return Comparison(JobSpec.of(f"Three classes of {card.name}", computable, *first), bands)


def masks(scene: Scene) -> Comparison:
    """Every model's strongest pixels, by prediction difference and by the gradient."""
    specs = view.per_model(scene.choice, scene.cards, *scene.place, scene.table)
    method = METHODS["saliency"]
    theirs: list[AttributionRequest | str] = []
    for spec in specs:
        ours = spec.request
        if isinstance(ours, str):
            theirs.append(ours)
            continue
        saliency = request_for(ours.card, scene.image_id, method, None, ours.target, ours.output, scene.images.digest)
        theirs.append(method.applies(ours.card) or saliency)
    quick = [one for one in theirs if isinstance(one, AttributionRequest)]
    job = JobSpec.of("Strongest pixels", [*quick, *view.requests_of(specs)])

    def bands() -> list[Band[Tile]]:
        rows = {
            "Prediction difference": [_mask_panel(scene, spec.request) for spec in specs],
            "Sensitivity map: the gradient": [_mask_panel(scene, request) for request in theirs],
        }
        return [
            Band(
                title,
                tuple(Tile(spec.title, spec.facts, panel, spec.colour) for spec, panel in zip(specs, row, strict=True)),
            )
            for title, row in rows.items()
        ]

    return Comparison(job, bands, signed=False)


def _mask_panel(scene: Scene, request: AttributionRequest | str) -> Panel:
    """The picture through the mask of a map's strongest pixels, or the words that stand for it."""
    picture = cache.picture_uri(scene.images.digest, scene.image_id, view.SIDE_PX)
    if isinstance(request, str):
        return Panel(picture, words=request)
    if failure := session.state().failures.get(request.key):
        return Panel(picture, words=failure)
    found = session_jobs.known(request)
    if found is None or np.isnan(found.maps).all():
        return Panel(picture, words="not computed yet")
    values = found.maps[0]
    if not has_evidence(values):
        return Panel(picture, words="The map is zero everywhere.")
    size = view.size_of(*scene.place)

    def draw() -> np.ndarray:
        return spotlight(strongest(request.card.preprocessing.to_image(values, *size), _SHARE))

    key = f"difference mask {request.key} {getattr(found, 'amount', 0)} {found.params}"
    return Panel(picture, cache.drawn(key, draw), caption=f"strongest {_SHARE:.0%} of the pixels")


SECTIONS = (
    Section(
        "windows",
        "Window sizes",
        "Large windows tell which parts count; small ones draw outlines, and their signs mean little.",
        windows,
    ),
    Section(
        "samplings",
        "Conditional or marginal",
        "Conditional sampling keeps what the rim gives away; marginal sampling makes windows that no picture has.",
        samplings,
    ),
    Section(
        "classes",
        "Three classes, before and after the softmax",
        "Before the softmax each class speaks for itself; behind it, what speaks for a rival speaks against the class.",
        classes,
    ),
    Section(
        "masks",
        "Strongest 5 %, beside the sensitivity map's",
        "Bright: the 5 % of the pixels where the map is largest, for or against. The sensitivity map asks what a small "
        "change would do, prediction difference what not knowing would.",
        masks,
    ),
    Section(
        "hidden",
        "Hidden layers",
        f"What excites (red) and what calms (blue) the {N_UNITS} units of each layer that the picture excites most, "
        "or those that you number. Of a feature map, its mean.",
        hidden,
    ),
)
