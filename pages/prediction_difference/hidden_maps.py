"""Prediction difference of hidden units: those that the picture excites most, or any by number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st

from explainers.methods.multi_layer_cam import default_layers
from explainers.output import UNIT, Output
from explainers.prediction_difference.request import PredictionDifferenceRequest
from explainers.scores import ScoresRequest
from figures.panel_grid import Band, Tile
from jobs.results import key_of
from models.card import ModelCard
from pages.prediction_difference import view as view
from pages.prediction_difference.jobs import JobSpec
from pages.prediction_difference.page_state import Comparison, Scene, one_model
from pages.prediction_difference.view import MapSpec
from pages.shared import cache

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

    scores = {output: ScoresRequest(card, scene.image_id, output) for output in outputs}

    def units(output: Output) -> list[int]:
        values = scores[output].load(cache.store())
        if values is None:
            return []
        return numbers[output] or np.argsort(-values)[:N_UNITS].tolist()

    def requests() -> list[PredictionDifferenceRequest]:
        found = [
            view.request_for(scene.choice, card, *scene.place, unit, output)
            for output in outputs
            for unit in units(output)
        ]
        return [one for one in found if not isinstance(one, str)]

    def bands() -> list[Band[Tile]]:
        drawn = []
        for output in outputs:
            layer, values = card.layer(output.layer), scores[output].load(cache.store())
            title = f"{layer.name} · {layer.kind} {'×'.join(map(str, layer.shape))}"
            if values is None:
                continue
            specs = [
                MapSpec(
                    f"unit {unit}",
                    f"activation {values[unit]:.2g}",
                    view.request_for(scene.choice, card, *scene.place, unit, output),
                )
                for unit in units(output)
            ]
            drawn.append(view.band(title, specs, scene.look, *scene.place))
        return drawn

    facts = [scene.choice.window, scene.choice.stride, scene.choice.settings]
    wanted = [(output.layer, some) for output, some in numbers.items()]
    key = "hidden units " + key_of(card=card.digest, image=scene.image_id, settings=facts, units=wanted)
    spec = JobSpec(key, f"Units of {card.name}", requests, tuple(scores.values()), bool(outputs))
    return Comparison(spec, bands)


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
