"""The comparisons below the maps, after the paper's figures: each folded, and worked out when somebody asks for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st

from common.errors import InputError
from explainers.attribution import AttributionRequest, request_for
from explainers.output import LOGIT, PROBABILITY, Output
from explainers.prediction_difference.keeping import Asked
from explainers.prediction_difference.method import CONDITIONAL, MARGINAL
from explainers.registry import METHODS
from figures.compare import Panel
from figures.maps import has_evidence
from figures.prediction_difference import Band, Tile, difference_figure, spotlight, strongest
from jobs.results import ResultStore
from models.store import ModelStore
from pages.prediction_difference import jobs as working
from pages.prediction_difference import view as view
from pages.prediction_difference.controls import progress, start
from pages.prediction_difference.hidden_maps import N_UNITS, hidden
from pages.prediction_difference.jobs import MORE, Plan
from pages.prediction_difference.page_state import Comparison, Scene, one_model
from pages.prediction_difference.view import Shot
from pages.shared import cache, chart_events, pick_navigation, session
from pages.shared.theme import ink
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
    plan = comparison.plan
    started = any(working.known(asked) is not None for asked in plan.all_asked())
    label = "Worked out" if plan.finished else "Go on" if started else "Work these out"
    start(MORE, f"difference_{section.name}_start", plan, label)
    busy = working.running(MORE, plan.key) is not None
    st.fragment(_show, run_every=0.6 if busy else None)(section, comparison, scene, busy)


def _show(section: Section, comparison: Comparison, scene: Scene, polled: bool) -> None:
    """The maps; while they are being worked out they are drawn anew as they get sharper."""
    chart, size = f"difference_{section.name}_chart", view.size_of(*scene.place)
    progress(MORE, [comparison.plan.key], f"difference_{section.name}", polled, READING)
    bands = comparison.bands()
    if not bands:
        return
    strength = scene.look.strength if comparison.signed else 1.0
    zoom = chart_events.on_zoom(chart, f"{chart}_zoom_{scene.image_id}_{session.state().n_unzoomed}")
    with st.container(key=chart):
        pick_navigation.panels(
            difference_figure(bands, size, strength, ink(), zoom, legend=comparison.signed),
            f"{section.title}: maps of {scene.image_id}",
        )
    chart_events.on_click(chart, f"{chart}_clicks", pick_navigation.expand)
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
    asked = {
        side: view.asked_of(scene.choice, card, *scene.place, scene.table, window=side, stride=view.half(side))
        for side in sorted(sides)
    }
    shots = [Shot(f"{side} × {side} px", card.name, one) for side, one in asked.items()]
    largest_first = view.only_asked(shots)[::-1]
    plan = working.plan_of(f"Windows of {card.name}", largest_first)
    return Comparison(plan, lambda: [view.band("", shots, scene.look, *scene.place)] if shots else [])


def samplings(scene: Scene) -> Comparison:
    """Every model, both ways to draw what may have been in a window."""
    rows = {
        sampling: view.per_model(scene.choice, scene.cards, *scene.place, scene.table, sampling=sampling)
        for sampling in (CONDITIONAL, MARGINAL)
    }
    titles = {CONDITIONAL: "Conditional: what fits the window's rim", MARGINAL: "Marginal: what other pictures show"}
    plan = working.plan_of("Two samplings", [asked for shots in rows.values() for asked in view.only_asked(shots)])
    return Comparison(
        plan, lambda: [view.band(titles[name], shots, scene.look, *scene.place) for name, shots in rows.items()]
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
    outputs = (Output(PROBABILITY), Output(LOGIT))
    asked = view.ask(scene.choice, card, *scene.place, columns, outputs)
    all_asked = [] if isinstance(asked, str) else [asked]

    def first(model_store: ModelStore, store: ResultStore) -> None:
        for output in outputs:
            working.note_scores(model_store, store, scene.images, card, scene.image_id, output)

    def bands() -> list[Band]:
        titles = ("Output layer: weight of evidence, in bits", "Penultimate layer: activation difference, in logits")
        drawn = []
        for number, (output, title) in enumerate(zip(outputs, titles, strict=True)):
            values = working.scores(card, scene.image_id, output)
            shots = [
                Shot(
                    card.class_names[column],
                    "" if values is None else f"{output.kind} {values[column]:.2f}",
                    asked,
                    number * len(columns) + place,
                )
                for place, column in enumerate(columns)
            ]
            drawn.append(view.band(title, shots, scene.look, *scene.place))
        return drawn

    title = f"Three classes of {card.name}"
    plan = Plan(working.plan_key(all_asked), title, lambda: all_asked, first, startable=bool(all_asked))
    return Comparison(plan, bands)


def masks(scene: Scene) -> Comparison:
    """Every model's strongest pixels, by prediction difference and by the gradient."""
    shots = view.per_model(scene.choice, scene.cards, *scene.place, scene.table)
    method = METHODS["saliency"]
    cells: list[AttributionRequest | str] = []
    for shot in shots:
        asked = shot.asked
        if isinstance(asked, str):
            cells.append(asked)
            continue
        output, target = asked.outputs[shot.row], asked.targets[shot.row]
        cell = request_for(asked.card, scene.image_id, method, None, target, output, scene.images.digest)
        cells.append(method.applies(asked.card) or cell)
    plan = working.plan_of("Strongest pixels", view.only_asked(shots))
    wanted = tuple(cell for cell in cells if isinstance(cell, AttributionRequest))
    key = working.plan_key(plan.all_asked(), masks=[cell.key for cell in wanted])
    plan = Plan(key, plan.title, plan.all_asked, cells=wanted, startable=plan.startable)

    def bands() -> list[Band]:
        ours = [_ours(scene, shot) for shot in shots]
        theirs = [_theirs(scene, cell) for cell in cells]
        titles = ("Prediction difference", "Sensitivity map: the gradient")
        return [
            Band(
                title,
                tuple(Tile(shot.title, shot.facts, panel, shot.colour) for shot, panel in zip(shots, row, strict=True)),
            )
            for title, row in zip(titles, (ours, theirs), strict=True)
        ]

    return Comparison(plan, bands, signed=False)


def _ours(scene: Scene, shot: Shot) -> Panel:
    known = None if isinstance(shot.asked, str) else working.known(shot.asked)
    if known is None:
        return _mask_panel(scene, shot.asked)
    return _mask_panel(scene, shot.asked, known.maps[shot.row], known.amount)


def _theirs(scene: Scene, cell: AttributionRequest | str) -> Panel:
    found = cell.load(cache.store()) if isinstance(cell, AttributionRequest) else None
    return _mask_panel(scene, cell, None if found is None else found.maps[0])


def _mask_panel(
    scene: Scene, asked: Asked | AttributionRequest | str, values: np.ndarray | None = None, version: int = 0
) -> Panel:
    """The picture through the mask of a map's strongest pixels, or the words that stand for it.

    `version` tells apart the maps of one question that grow.
    """
    picture = cache.picture_uri(scene.images.digest, scene.image_id, view.SIDE_PX)
    if isinstance(asked, str):
        return Panel(picture, words=asked)
    if failure := session.state().failures.get(asked.key):
        return Panel(picture, words=failure)
    if values is None or np.isnan(values).all():
        return Panel(picture, words="not asked yet")
    if not has_evidence(values):
        return Panel(picture, words="The map is zero everywhere.")
    size = view.size_of(*scene.place)

    def draw() -> np.ndarray:
        return spotlight(strongest(asked.card.preprocessing.to_image(values, *size), _SHARE))

    return Panel(
        picture,
        cache.drawn(f"difference mask {asked.key} {version}", draw),
        caption=f"strongest {_SHARE:.0%} of the pixels",
    )


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
