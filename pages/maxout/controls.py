"""Widgets of the MaxOut page: which classes or units of which models, and the settings."""

import re
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import streamlit as st

from common.errors import InputError
from explainers.maxout.method import PAPER, MaxOut, MaxOutParams
from explainers.maxout.parametrisation import PIXEL
from explainers.maxout.request import MaxOutRequest
from explainers.output import LOGIT, PROBABILITY, UNIT, Output
from models.card import ModelCard
from pages.maxout.jobs import Row, TargetGrid
from pages.shared import layer_chooser, session
from pages.shared.page_state import end_page
from pages.shared.pick_navigation import turn_buttons
from pages.shared.session import kept
from pages.shared.target_picker import choose_place
from pages.shared.widgets import segments, settings_of, several

CLASSES, UNITS = "classes", "units of a layer"
ROBUST, BARE = "robust", "bare gradient"

#: Units on show at once, of each model; and classes that are chosen without being asked to.
_UNITS_AT_ONCE, _MOST_CLASSES, _FEW_CLASSES = 12, 8, 4

_BARE: dict[str, Any] = {"parametrisation": PIXEL, "decorrelated": False, "jitter": 0.0, "scale": 0.0, "rotate": 0.0}


def take_target(cards: Sequence[ModelCard]) -> None:
    """Show the unit that another page asked for, in that model; its other settings stay."""
    state = session.state()
    wanted, state.maxout_target = state.maxout_target, None
    if wanted is None or wanted[0] not in [card.digest for card in cards]:
        return
    digest, layer, unit = wanted
    card = next(card for card in cards if card.digest == digest)
    st.session_state["maxout_what"] = UNITS
    st.session_state["maxout_models"] = [digest]
    st.session_state[f"maxout_units_{digest}"] = str(unit)
    layer_chooser.choose_layer(card, "maxout", layer)


def choose(cards: Sequence[ModelCard]) -> TargetGrid:
    """Models and targets on top, the paper's settings below them, the modern ones folded.

    Raises `InputError` for units or a position that are none.
    """
    by_digest = {card.digest: card for card in cards}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        what = segments("Maximise", [CLASSES, UNITS], "maxout_what")
        names = {digest: card.name for digest, card in by_digest.items()}
        models = several("Models", names, list(names), "maxout_models")
        words = (
            "Robust: forms that survive small moves, over frequencies; people see something in them. Bare gradient: "
            "pixels without moves; the strongest answer, mostly noise to people, and just as true."
        )
        how = segments("How", [ROBUST, BARE], "maxout_how", help=words)
    chosen = tuple(by_digest[digest] for digest in models)
    if not chosen:
        st.info("Choose at least one model.")
        end_page()
    targets = _classes(chosen) if what == CLASSES else _units(chosen)
    params = _settings(how == BARE)
    if not targets:
        st.info("Choose at least one class.")
        end_page()
    rows = [
        Row(title, tuple(cell if isinstance(cell, str) else MaxOutRequest(*cell, params) for cell in cells))
        for title, cells in targets
    ]
    return TargetGrid(chosen, tuple(rows))


_Targets = list[tuple[str, list[tuple[ModelCard, int, Output] | str]]]


def _classes(cards: Sequence[ModelCard]) -> _Targets:
    """Classes of any of the models; a regression model has one output, its only name."""
    known = list(dict.fromkeys(name for card in cards for name in card.class_names))
    shown = [name for name in known if name in session.images().classes] or known
    default = known if len(known) <= _MOST_CLASSES else shown[:_FEW_CLASSES]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        names = several("Class #", known, default, "maxout_classes", help="Classes whose ideal image you want to see.")
        words = "Logit: what speaks for the class itself. Probability: also what speaks against its rivals."
        value = segments("By its", [LOGIT, PROBABILITY], "maxout_value", help=words)
    rows: _Targets = []
    for name in names:
        cells: list[tuple[ModelCard, int, Output] | str] = []
        for card in cards:
            number, output = card.class_index(name), Output(value if card.classifies else LOGIT)
            cells.append(f"{card.name} does not know this class." if number is None else (card, number, output))
        rows.append((name, cells))
    return rows


def _units(cards: Sequence[ModelCard]) -> _Targets:
    """Units by number, a page of them at a time; each model has a layer of its own."""
    wanted: dict[ModelCard, tuple[str, list[int], tuple[int, int] | None]] = {}
    for card, column in zip(cards, st.columns(len(cards), gap="medium"), strict=True):
        with column:
            layer = layer_chooser.choose(card, "maxout", label=f"Layer of {card.name}")
            n_units = card.layer(layer).n_units
            with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
                written = st.text_input(
                    "Filter #",
                    placeholder=f"all of 0–{n_units - 1}",
                    help="Numbers and ranges, such as 0-5, 12; all units by default.",
                    **kept(f"maxout_units_{card.digest}"),
                )
                wanted[card] = layer, parse_units(written, n_units), choose_place(card, "maxout")
    longest = max(len(units) for _, units, _ in wanted.values())
    first = _first_unit(longest)
    rows: _Targets = []
    for position in range(first, min(first + _UNITS_AT_ONCE, longest)):
        cells: list[tuple[ModelCard, int, Output] | str] = []
        numbers = []
        for card, (layer, units, at) in wanted.items():
            if position >= len(units):
                cells.append("No more units.")
                continue
            output = Output(UNIT, layer, at)
            output.check(card, units[position])
            cells.append((card, units[position], output))
            numbers.append(units[position])
        same = len(set(numbers)) == 1
        rows.append((f"unit {numbers[0]}" if same else f"units {', '.join(map(str, numbers))}", cells))
    return rows


def _first_unit(n_units: int) -> int:
    """The first of the units on show, and the way to the others."""
    n_pages = -(-n_units // _UNITS_AT_ONCE)
    at = min(st.session_state.get("maxout_page", 0), n_pages - 1)
    first, end = at * _UNITS_AT_ONCE, min((at + 1) * _UNITS_AT_ONCE, n_units)
    if n_pages > 1:
        with st.container(horizontal=True, vertical_alignment="center"):
            turn_buttons("maxout", at, n_pages, f"**{first + 1}–{end} of {n_units} units**", _turn_to)
    return first


def _turn_to(page: int) -> None:
    st.session_state["maxout_page"] = page


def parse_units(written: str, n_units: int) -> list[int]:
    """`0-3, 7` -> [0, 1, 2, 3, 7]; all units for nothing; raises `InputError` for anything else or beyond the layer."""
    if not written.strip():
        return list(range(n_units))
    units: dict[int, None] = {}
    for part in filter(None, re.split(r"[\s,;]+", re.sub(r"\s*[-–]\s*", "-", written.strip()))):
        found = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
        if found is None:
            raise InputError("units as numbers and ranges", repr(part), "Write them as 0-5, 12.")
        first, last = int(found[1]), int(found[2] or found[1])
        if not first <= last < n_units:
            raise InputError(f"units from 0 to {n_units - 1}", repr(part), "Pick smaller numbers, the lower one first.")
        units.update(dict.fromkeys(range(first, last + 1)))
    return list(units)


def _settings(bare: bool) -> MaxOutParams:
    """The paper's settings, and folded those that came later; of the latter the bare gradient sets most."""
    method, names = MaxOut(), [item.name for item in fields(MaxOutParams)]
    modern = [name for name in names if name not in PAPER]
    with st.grid(4, gap="small", vertical_alignment="bottom"):
        chosen = settings_of(method, "maxout_setting", without=modern)
    with st.expander("Parametrisation, moves, rate, diversity, seed"), st.grid(5, gap="small"):
        chosen |= settings_of(method, "maxout_setting", without=[*PAPER, *(_BARE if bare else ())])
    return MaxOutParams(**chosen, **(_BARE if bare else {}))
