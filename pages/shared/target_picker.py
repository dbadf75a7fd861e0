"""Choosing the target of an explanation: a class, by one of several rules, or a unit of a layer."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import streamlit as st

from common.errors import InputError
from explainers.output import LOGIT, PROBABILITY, UNIT, Output
from models.card import ModelCard
from pages.shared.session import kept
from pages.shared.widgets import known_classes, layer_chooser, segments, select
from suggestion import targets
from suggestion.table import Predictions

TARGETS = {
    targets.TOP: "each model's predicted class",
    targets.ONE_CLASS: "one class for all models",
    targets.TRUE: "the true class",
    targets.RUNNER_UP: "the runner-up class",
    UNIT: "a unit of a layer",
}


@dataclass(frozen=True)
class Unit:
    """A channel or neuron of `layer` (`None`: the model's default), averaged over its grid or at one (row, column)."""

    layer: str | None = None
    number: int = 0
    place: tuple[int, int] | None = None


@dataclass(frozen=True)
class TargetSpec:
    """What to explain: one of `TARGETS`; `units` by model digest."""

    kind: str = targets.TOP
    one_class: str | None = None
    value: str = LOGIT
    units: dict[str, Unit] = field(default_factory=dict, hash=False)

    def output_for(self, card: ModelCard, table: Predictions, row: int) -> tuple[Output, int] | str:
        """The model's output and its column to explain for the image in `row`, or the reason why there is none."""
        if self.kind != UNIT:
            found = targets.target_of(table, row, card, self.kind, self.one_class)
            return found if isinstance(found, str) else (Output(self.value), found)
        unit = self.units.get(card.digest, Unit())
        try:
            output = Output(UNIT, card.layer(unit.layer).name, unit.place)
            output.check(card, unit.number)
        except InputError as error:
            return str(error)
        return output, unit.number


def choose_class_target(cards: Sequence[ModelCard], key: str, kinds: Sequence[str]) -> TargetSpec:
    """One of these `kinds`, and the class if it is one for all, into the row of the caller."""
    kind = select("Explain", {kind: TARGETS[kind] for kind in kinds}, f"{key}_target")
    one_class = select("Class", known_classes(cards), f"{key}_class") if kind == targets.ONE_CLASS else None
    return TargetSpec(kind, one_class)


def choose_target(cards: Sequence[ModelCard], key: str) -> TargetSpec:
    """The widgets of one row; units are chosen by `choose_units`, which needs more room."""
    spec = choose_class_target(cards, key, list(TARGETS))
    if spec.kind == UNIT:
        return spec
    words = "Logit: evidence for the class itself. Probability: also evidence against the other classes."
    return replace(spec, value=segments("Output", [LOGIT, PROBABILITY], f"{key}_value", help=words))


def choose_units(cards: Sequence[ModelCard], key: str) -> dict[str, Unit]:
    """Layer, unit and position for each model; raises `InputError` unless a position is two whole numbers."""
    units = {}
    with st.grid(len(cards), min_column_width=150, gap="small"):
        for card in cards:
            with st.container():
                layer = layer_chooser(card, f"{key}_unit_layer", spatial=False)
                n_units = card.layer(layer).n_units
                label = f"Unit (0 to {n_units - 1})"
                number = st.number_input(label, 0, None, 0, **kept(f"{key}_unit_{card.digest}"))
                units[card.digest] = Unit(layer, int(number), choose_place(card, key))
    return units


def choose_place(card: ModelCard, key: str) -> tuple[int, int] | None:
    """A position in a layer's grid, `None` for the mean over it; raises `InputError` for anything else."""
    key = f"{key}_place_{card.digest}"
    return parse_place(st.text_input("Position (row, column)", placeholder="mean over the grid", **kept(key)))


def parse_place(written: str) -> tuple[int, int] | None:
    """`3, 5` -> (3, 5), an empty text -> None; raises `InputError` for anything else."""
    if not written.strip():
        return None
    found = re.fullmatch(r"\s*\(?\s*(\d+)[\s,;]+(\d+)\s*\)?\s*", written)
    if found is None:
        raise InputError("a position as row, column", repr(written), "Write two whole numbers, such as 3, 5.")
    return int(found[1]), int(found[2])
