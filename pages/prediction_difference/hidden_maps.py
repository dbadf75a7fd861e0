"""Prediction difference of hidden units: those that the picture excites most, or any by number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import streamlit as st

from explainers.methods.multi_layer_cam import default_layers
from explainers.output import UNIT, Output
from explainers.prediction_difference.keeping import Asked
from figures.prediction_difference import Band
from jobs.results import ResultStore
from models.card import ModelCard
from models.store import ModelStore
from pages.prediction_difference import jobs as working
from pages.prediction_difference import view as view
from pages.prediction_difference.jobs import Plan
from pages.prediction_difference.page_state import Comparison, Scene, one_model
from pages.prediction_difference.view import Shot

#: Units shown of each layer, and layers at most.
N_UNITS, _MOST_LAYERS = 4, 4


def hidden(scene: Scene) -> Comparison:
    """One model's strongest units of an early, a middle and a late layer."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        card = one_model(scene, "hidden")
        offered = {layer.name: f"{layer.name} · {layer.kind}" for layer in card.layers if layer.n_units}
        spread = default_layers(card)
        chosen = st.multiselect(
            "Layers",
            list(offered),
            default=list(dict.fromkeys((spread[0], spread[(len(spread) - 1) // 2], spread[-1]))),
            format_func=lambda name: offered[name],
            max_selections=_MOST_LAYERS,
            key=f"difference_layers_{card.digest}",
            persist_state="session",
        )
    outputs = [Output(UNIT, name) for name in sorted(chosen, key=lambda name: card.layer(name).order)]
    numbers = _units_by_number(card, outputs)

    def units(output: Output) -> list[int]:
        values = working.scores(card, scene.image_id, output)
        if values is None:
            return []
        return numbers[output] or np.argsort(-values)[:N_UNITS].tolist()

    def ask(output: Output) -> Asked | str:
        return view.ask(scene.choice, card, *scene.place, units(output), (output,))

    def first(model_store: ModelStore, store: ResultStore) -> None:
        for output in outputs:
            working.note_scores(model_store, store, scene.images, card, scene.image_id, output)

    def all_asked() -> list[Asked]:
        return [one for output in outputs if units(output) and not isinstance(one := ask(output), str)]

    def bands() -> list[Band]:
        drawn = []
        for output in outputs:
            layer, values = card.layer(output.layer), working.scores(card, scene.image_id, output)
            title = f"{layer.name} · {layer.kind} {'×'.join(map(str, layer.shape))}"
            asked = ask(output)
            if values is None:
                continue
            shots = [
                Shot(f"unit {unit}", f"activation {values[unit]:.2g}", asked, place)
                for place, unit in enumerate(units(output))
            ]
            drawn.append(view.band(title, shots, scene.look, *scene.place))
        return drawn

    params = view.params_of(scene.choice, card)
    units_of = [(output.layer, some) for output, some in numbers.items()]
    key = working.plan_key([], card=card.digest, image=scene.image_id, params=asdict(params), units=units_of)
    plan = Plan(key, f"Units of {card.name}", all_asked, first, startable=bool(outputs))
    return Comparison(plan, bands)


def _units_by_number(card: ModelCard, outputs: Sequence[Output]) -> dict[Output, list[int]]:
    """A chooser of units for each layer; what is left empty stands for the ones that the picture excites most."""
    chosen: dict[Output, list[int]] = {}
    if not outputs:
        return chosen
    for output, column in zip(outputs, st.columns(_MOST_LAYERS), strict=False):
        layer = card.layer(output.layer)
        with column:
            chosen[output] = sorted(
                st.multiselect(
                    f"Units of {layer.name}",
                    range(layer.n_units),
                    placeholder=f"the {min(N_UNITS, layer.n_units)} most excited",
                    max_selections=N_UNITS,
                    key=f"difference_units_{card.digest}_{layer.name}",
                    help=f"By number, 0 to {layer.n_units - 1:,}: type it.",
                    persist_state="session",
                )
            )
    return chosen
