"""The prediction difference page without a browser: maps that sharpen, stop, go on, and the comparisons below them."""

import io
import shutil
import threading
from dataclasses import replace

import numpy as np
import pytest
import streamlit as st
from PIL import Image

from explainers import attribution
from explainers.output import Output
from explainers.prediction_difference import method
from explainers.prediction_difference import request as request_module
from explainers.prediction_difference.params import PredictionDifferenceParams
from explainers.registry import METHODS
from explainers.results import Request, Sources
from jobs.queue import State
from jobs.results import ResultStore
from models.store import ModelStore
from pages.prediction_difference import jobs, view
from pages.prediction_difference.jobs import JobSpec
from pages.prediction_difference.view import MapRequests
from pages.shared import cache
from pages.shared.page_state import PageState
from pages.shared.panels import ViewOptions
from pages.shared.target_picker import TargetSpec
from parallax.sources import open_models
from tests.pages.apps import drawn, figures, finish, words

MAPS = "prediction_difference_start"
EXACT = "prediction_difference_exact"
SETTING = "prediction_difference_setting_prediction-difference"


@pytest.fixture(scope="module")
def demo_scored(demo, demo_scored, tmp_path_factory):
    """The same with a Gaussian of the patches that windows of eight pixels need: two models share it."""
    folder = shutil.copytree(demo_scored, tmp_path_factory.mktemp("fitted"), dirs_exist_ok=True)
    model_store = ModelStore(folder)
    sources = Sources(model_store, ResultStore(folder / "results", 10**9), demo)
    (card,) = open_models(model_store, "demo/vgg")
    with model_store.borrow(card) as model:
        attribution.ready(model, sources, METHODS["prediction-difference"], PredictionDifferenceParams(8))
    return folder


@pytest.fixture
def page(app):
    """The page with six images picked, two models and adjoining windows of eight pixels."""
    state = app.session_state["session"]
    state.switched_off |= set(state.models[1:3])
    app.switch_page("../prediction_difference/page.py").run()
    app.button(key="prediction_difference_six").click().run()
    app.number_input(key=f"{SETTING}_window").set_value(8).run()
    app.number_input(key=f"{SETTING}_stride").set_value(8).run()
    app.number_input(key=f"{SETTING}_samples").set_value(4).run()
    assert not app.exception
    return app


def n_maps(page) -> list[int]:
    """How many maps each figure shows: each has a mark to enlarge it."""
    return [sum("customdata" in trace for trace in spec["data"]) for spec in figures(page)]


def press(page, key):
    page.button(key=key).click().run()
    finish(page)
    assert not page.error


def open_box(page, name):
    page.session_state[f"difference_{name}_box"] = True
    page.run()
    assert not page.exception


def test_nothing_is_worked_out_before_somebody_asks(page):
    assert "not computed yet" in drawn(page)
    assert "paintings" in words(page)
    assert not [job for job in cache.jobs().jobs if job.unit == "windows"]
    assert page.button(key=MAPS).label == "Explain this image"


def test_each_model_gets_a_map_that_says_how_far_it_is_and_is_found_again_and_refined(page):
    press(page, MAPS)
    assert n_maps(page) == [2]
    said = drawn(page)
    for part in ("vgg", "shortcut", "window 8 px of 64", "stride 8", "error ±", "bits", "against", "for"):
        assert part in said
    assert "→" not in said, "it is as far as was asked for"
    assert page.button(key=MAPS).disabled
    assert not page.button(key=EXACT).disabled
    check_files(page)
    st.cache_resource.clear()  # a restart
    page.run()
    assert n_maps(page) == [2]
    assert page.button(key=MAPS).disabled
    page.number_input(key=f"{SETTING}_stride").set_value(4).run()
    assert "stride 8 of 8 → 4" in drawn(page)
    assert page.button(key=MAPS).label == "Resume"
    press(page, MAPS)
    assert "→" not in drawn(page)


def check_files(page):
    """The maps on show can be taken away, raw and as one image."""
    state = page.session_state["session"]
    cards, images = [cache.card(digest) for digest in state.active], cache.image_set(state.images)
    page_state = PageState(cards, images, cache.predictions(cards, images), state.picks[0])
    specs = MapRequests(page_state, TargetSpec(value="probability"), {"window": 8, "samples": 4}).per_model()
    with np.load(io.BytesIO(view.to_npz_file(specs))) as stored:
        parts = ("", "/error", "/explains")
        assert set(stored.files) == {name + part for name in ("vgg", "shortcut") for part in parts}
        assert stored["vgg"].shape == (64, 64)
        assert stored["vgg"].min() < 0 < stored["vgg"].max()
    with Image.open(io.BytesIO(view.to_png_file(specs, page_state, ViewOptions()))) as picture:
        assert picture.width > picture.height > 300


def test_exact_asks_about_every_window_with_all_samples(page):
    page.session_state["session"].switched_off.add(page.session_state["session"].models[3])
    page.number_input(key=f"{SETTING}_window").set_value(58).run()
    page.selectbox(key=f"{SETTING}_sampling").set_value("marginal").run()
    assert page.button(key=EXACT).label == "Explain it exactly"
    press(page, EXACT)
    assert "stride 1 " in drawn(page)
    assert page.button(key=EXACT).label == "Exact"
    assert page.button(key=EXACT).disabled


def test_a_stopped_job_keeps_what_it_knows_and_goes_on(page, monkeypatch):
    advance, may_go_on = request_module.advance, threading.Event()

    def slowly(*args, **options):
        for n, _ in enumerate(advance(*args, **options)):
            yield
            assert n < 1 or may_go_on.wait(30)

    monkeypatch.setattr(request_module, "advance", slowly)
    monkeypatch.setattr(Request, "show_s", 0.0)
    page.button(key=MAPS).click().run()
    job = page.session_state["session"].jobs["prediction_difference"]
    while not job.result:
        assert not job.wait(0.02)
    page.run()
    assert n_maps(page) == [1], "what is known so far is shown while the job runs"
    assert page.button(key=MAPS).disabled
    page.button(key="prediction_difference_stop").click().run()
    may_go_on.set()
    assert job.wait(30)
    assert job.state is State.CANCELLED
    page.run()
    assert n_maps(page) == [1]
    assert "Stopped. What is finished is kept" in words(page)
    assert page.button(key=MAPS).label == "Resume"
    press(page, MAPS)
    assert n_maps(page) == [2]


def test_targets_and_measures_can_be_chosen(page):
    page.selectbox(key="prediction_difference_target").set_value("class").run()
    page.selectbox(key="prediction_difference_class").set_value("still life").run()
    page.segmented_control(key="prediction_difference_value").set_value("logit").run()
    press(page, MAPS)
    assert "still life" in drawn(page)
    assert "logits" in drawn(page)


def test_what_does_not_fit_is_told_in_the_panel_and_the_others_stay(page, monkeypatch):
    vgg = page.session_state["session"].models[0]
    sampler_for = request_module.sampler_for

    def fail(model, *args):
        if model.card.digest == vgg:
            raise RuntimeError("this model is out of order")
        return sampler_for(model, *args)

    monkeypatch.setattr(request_module, "sampler_for", fail)
    press(page, MAPS)
    assert n_maps(page) == [1]
    assert "out of order" in drawn(page)
    assert not page.button(key=MAPS).disabled, "it may be tried again"
    page.number_input(key=f"{SETTING}_stride").set_value(20).run()
    assert "leaves gaps" in drawn(page)
    assert page.button(key=MAPS).disabled
    assert not page.exception


def test_several_windows_stand_side_by_side(page):
    open_box(page, "windows")
    vgg = page.session_state["session"].models[0]
    page.multiselect(key=f"difference_windows_{vgg}").set_value([8, 10]).run()
    press(page, "difference_windows_start")
    assert n_maps(page) == [1, 2], "the map on top is one of them"
    assert "10 × 10 px" in drawn(page, 1)
    assert page.button(key="difference_windows_start").label == "Computed"


def test_conditional_and_marginal_sampling_stand_below_each_other(page):
    open_box(page, "samplings")
    press(page, "difference_samplings_start")
    assert n_maps(page) == [2, 4]
    assert "Marginal: what other images show" in drawn(page, 1)


def test_three_classes_are_explained_in_both_layers_with_their_values(page):
    open_box(page, "classes")
    press(page, "difference_classes_start")
    assert n_maps(page) == [1, 6], "the map on top is one of them"
    assert "probability 0." in drawn(page, 1)
    assert "logit " in drawn(page, 1)
    page.segmented_control(key="prediction_difference_scale").set_value("shared").run()
    assert not page.exception


def test_masks_of_the_strongest_pixels_stand_beside_those_of_the_gradient(page):
    open_box(page, "masks")
    press(page, "difference_masks_start")
    assert n_maps(page) == [2, 4]
    assert "Sensitivity map" in drawn(page, 1)
    assert "against" not in drawn(page, 1), "a mask has no scale of colours"


def test_hidden_units_of_three_layers_are_those_that_the_picture_excites_most(page):
    open_box(page, "hidden")
    press(page, "difference_hidden_start")
    assert n_maps(page) == [0, 12]
    for part in ("features.5", "features.12", "features.26", "unit ", "activation"):
        assert part in drawn(page, 1)


def test_units_of_any_layer_can_be_chosen_by_number(page):
    vgg = cache.card(page.session_state["session"].models[0])
    last = vgg.layers[-1]
    assert last.spatial is None, "a layer without a grid has units too"
    open_box(page, "hidden")
    page.multiselect(key=f"difference_layers_{vgg.digest}").set_value(["features.5", last.name]).run()
    page.multiselect(key=f"difference_units_{vgg.digest}_features.5").set_value([7, 2]).run()
    press(page, "difference_hidden_start")
    assert n_maps(page) == [0, 2 + 4]
    said = drawn(page, 1)
    assert said.index("unit 2") < said.index("unit 7")
    page.multiselect(key=f"difference_units_{vgg.digest}_features.5").set_value([2, 5, 7]).run()
    assert not page.button(key="difference_hidden_start").disabled, "another unit is another question"


def test_models_that_run_every_window_in_full_are_named_with_the_reason(page):
    state = page.session_state["session"]
    state.switched_off = {state.models[1]}
    page.run()
    finish(page)
    assert "whole model" not in words(page)
    press(page, MAPS)
    assert "vit: every window runs the whole model (attention joins the image)." in words(page)
    for name in ("vgg", "shortcut"):
        assert f"{name}: every window" not in words(page)


def test_learning_patches_shows_how_far_it_is_and_stops_at_once(page, monkeypatch):
    page.session_state["session"].switched_off.add(page.session_state["session"].models[3])
    page.number_input(key=f"{SETTING}_window").set_value(6).run()
    page.number_input(key=f"{SETTING}_stride").set_value(6).run()
    crop, started, may_go_on, seen = type(cache.demo_cards()[0].preprocessing).crop, [], threading.Event(), []

    def slowly(self, picture):
        seen.append(1)
        if len(seen) == 10:
            started.append(1)
            assert may_go_on.wait(30)
        return crop(self, picture)

    monkeypatch.setattr(type(cache.demo_cards()[0].preprocessing), "crop", slowly)
    page.button(key=MAPS).click().run()
    job = page.session_state["session"].jobs["prediction_difference"]
    while not started:
        assert not job.wait(0.02)
    page.run()
    n = len(cache.demo_images())
    said = [bar.proto.text for bar in page.get("progress")]
    assert any(line.startswith(f"Prediction difference learns from paintings: 8 of {n}") for line in said)
    page.button(key="prediction_difference_stop").click().run()
    may_go_on.set()
    assert job.wait(30)
    assert job.state is State.CANCELLED
    assert len(seen) <= 17, "it stops before the next pictures are read"
    monkeypatch.undo()
    page.run()
    assert page.button(key=MAPS).label == "Explain this image", "half a Gaussian is not kept"


def test_the_page_says_whose_pictures_windows_are_drawn_from(page, monkeypatch):
    assert "Gaussian of the patches of the demo's **paintings**" in words(page)
    images = cache.image_set(page.session_state["session"].images)
    holiday = replace(images, name="holiday", table=images.table[:7])
    assert "your **holiday** (7 images)" in view.drawn_from(holiday, "conditional")
    assert "other images of your **holiday**" in view.drawn_from(holiday, "marginal")


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"window": 64}, "Expected images of at least 68 × 68 pixels, the window and its rim"),
        ({"stride": 9}, "A longer stride leaves gaps between the windows"),
        ({"samples": 5}, "Expected an even number of samples"),
        ({"samples": 20, "sampling": "marginal"}, "take fewer samples or conditional sampling"),
    ],
)
def test_settings_that_cannot_be_get_one_line_in_the_panel(page, monkeypatch, settings, why):
    monkeypatch.setattr(method, "_REFERENCES", 12)
    for name, value in settings.items():
        find = page.selectbox if name == "sampling" else page.number_input
        find(key=f"{SETTING}_{name}").set_value(value).run()
    if not page.button(key=MAPS).disabled:
        press(page, MAPS)
    assert why in drawn(page)
    assert n_maps(page)[0] == 0
    assert not page.error
    for name in ("windows", "samplings", "classes", "masks", "hidden"):
        open_box(page, name)


def test_a_gaussian_of_few_patches_is_said_to_be_shrunk(page, monkeypatch):
    page.session_state["session"].switched_off.add(page.session_state["session"].models[3])
    monkeypatch.setattr(attribution, "FIT_ON", 8)
    page.number_input(key=f"{SETTING}_window").set_value(12).run()
    assert "shrunk" not in words(page)
    press(page, MAPS)
    assert "their Gaussian is shrunk 73% towards its diagonal" in words(page)


@pytest.mark.parametrize(
    ("value", "said"), [(0.0, "0"), (2.84e-05, "0.000028"), (0.12, "0.12"), (1.26, "1.3"), (120.4, "120")]
)
def test_numbers_have_two_digits_and_no_exponent(value, said):
    assert view.number(value) == said


def test_an_exact_request_is_the_same_request(tiny_card):
    params = PredictionDifferenceParams(4, 2)
    request = attribution.request_for(
        tiny_card, "a", METHODS["prediction-difference"], params, 0, Output("logit"), "data"
    )
    exact = jobs.exact(request)
    assert exact.key == request.key
    assert (exact.settings.stride, exact.settings.converged) == (1, 0)
    assert JobSpec.of("", [exact]).key != JobSpec.of("", [request]).key


def test_compare_and_this_page_share_one_map_and_refine_it_for_each_other(page):
    state = page.session_state["session"]
    state.picks = state.picks[:1]
    state.switched_off.add(state.models[3])
    page.number_input(key=f"{SETTING}_window").set_value(None).run()
    page.number_input(key=f"{SETTING}_stride").set_value(None).run()
    page.number_input(key=f"{SETTING}_samples").set_value(8).run()
    page.segmented_control(key="prediction_difference_value").set_value("logit").run()
    press(page, MAPS)
    state.jobs.clear()
    page.session_state["compare_methods"] = ["prediction-difference"]
    page.switch_page("../compare/page.py").run()
    finish(page)
    assert not page.exception
    assert "compare" not in state.jobs, "nothing is left to compute"
    assert "so far" not in figures(page)[0]
