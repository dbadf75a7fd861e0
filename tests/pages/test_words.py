"""What pages say is true: which model predicts what, which class a map explains, which models know a label."""

import io

import numpy as np
import pytest
import streamlit as st

from pages.compare import view as compare_view
from pages.compare.controls import MapSpec
from pages.shared import cache, session
from pages.shared.page_state import PageState
from pages.shared.panels import ViewOptions
from pages.shared.target_picker import TargetSpec
from pages.suggestion.selection import answers
from pages.upload.view import about_labels
from suggestion import targets
from tests.makers import tiny_loaded
from tests.pages.apps import drawn, finish, words
from tests.suggestion.makers import table


@pytest.fixture
def state(monkeypatch):
    """A session without a page."""
    monkeypatch.setattr(st, "session_state", {"session": session.SessionState()})
    return st.session_state["session"]


@pytest.mark.parametrize(
    ("predicted", "expected"),
    [
        ([0, 0, 0], ["■■■ zebra"]),
        ([0, 1, 0], ["■■ zebra", "■ ant"]),
        ([2, 1, 0], ["■ moth", "■ ant", "■ zebra"]),
        ([1, 0, 0], ["■ ant", "■■ zebra"]),
    ],
)
def test_a_picks_caption_names_the_models_in_their_order_by_their_colours(state, predicted, expected):
    found = table([predicted], [[0.5] * 3], [0], classes=("zebra", "ant", "moth"))
    caption = answers(found, 0)
    colours = {state.colour(digest): n for n, digest in enumerate(found.models)}
    lines = caption.split("  \n")
    for line, plain in zip(lines, expected, strict=True):
        assert line.count("■") == plain.count("■")
        assert line.endswith(plain.split()[1])
        shown = [number for colour, number in colours.items() if colour in line]
        assert shown == [n for n, c in enumerate(predicted) if ("zebra", "ant", "moth")[c] == plain.split()[1]]


def test_labels_that_models_know_which_are_switched_off_are_not_called_unknown(state, model_store, monkeypatch):
    lists = [("a", "b"), ("c", "d"), ("x", "y")]
    cards = [model_store.add(tiny_loaded(n_classes=2, seed=n, class_names=names)) for n, names in enumerate(lists)]
    monkeypatch.setattr(cache, "card", {card.digest: card for card in cards}.__getitem__)
    state.models = [card.digest for card in cards]

    class Labels:
        classes = ("a", "c", "d", "q")

    assert "1 label is no class of any model that is switched on (of 4" in about_labels(Labels)[0]
    assert len(about_labels(Labels)) == 1
    state.switched_off = {cards[1].digest}
    several = about_labels(Labels)
    assert "3 labels are" in several[0]
    assert several[1].startswith("2 of them are known to models that are switched off: tiny")
    state.switched_off = {card.digest for card in cards}
    assert about_labels(Labels) == []


def test_the_six_images_are_called_disputed_only_where_models_disagree(app):
    app.switch_page("../reason/page.py").run()
    assert "disagree most" in words(app)
    for number in (1, 2, 3):
        app.sidebar.checkbox[number].uncheck()
    app.run()
    assert "disagree" not in words(app)
    assert "highest confidence" in words(app)


def test_every_panel_of_compare_and_its_files_name_the_class_that_is_explained(app):
    state = app.session_state["session"]
    images = cache.image_set(state.images)
    cards = [cache.card(digest) for digest in state.models[:2]]
    found = cache.predictions(cards, images)
    apart = int(np.flatnonzero(found.predicted[:, 0] != found.predicted[:, 1])[0])
    state.switched_off = set(state.models[2:])
    state.pick([images.ids[apart]])
    app.session_state["compare_methods"] = ["grad-cam", "saliency"]
    app.switch_page("../compare/page.py").run()
    finish(app)
    said = drawn(app)
    classes = [found.class_name(int(number)) for number in found.predicted[apart]]
    assert all(said.count(f"{name} {card.default_layer}") == 1 for name, card in zip(classes, cards, strict=True))
    app.selectbox(key="compare_target").set_value("runner-up").run()
    finish(app)
    second = [found.class_name(int(number)) for number in found.top[apart, :, 1]]
    assert all(f"{name} {card.default_layer}" in drawn(app) for name, card in zip(second, cards, strict=True))
    spec = MapSpec(("saliency",), TargetSpec(targets.RUNNER_UP), dict.fromkeys(state.models), {"saliency": {}})
    app_state = PageState(cards, images, found, images.ids[apart])
    arrays = np.load(io.BytesIO(compare_view.to_npz_file(spec, app_state)))
    assert [str(arrays[f"saliency/{card.name}/explains"]) for card in cards] == second
    titles = []
    real = compare_view.sheet
    compare_view.sheet = lambda columns, *rest: titles.extend(columns) or real(columns, *rest)
    try:
        compare_view.to_png_file(spec, app_state, ViewOptions())
    finally:
        compare_view.sheet = real
    assert titles == [f"{card.name}: {name}" for card, name in zip(cards, second, strict=True)]
