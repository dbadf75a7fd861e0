"""The contrast page without a browser: why this and not that, beside other methods, and the generator it takes."""

import io

import numpy as np
import pytest
import streamlit as st
import torch
from PIL import Image
from streamlit.testing.v1 import AppTest
from torch import nn

from common import settings as settings_module
from explainers.contrastive import generators, request, training
from explainers.contrastive.generators import ready_made
from explainers.contrastive.method import GeneratorParams
from explainers.results import Sources, compute
from images import mnist
from images.digits import digits_image_set
from jobs.queue import Cancelled, State
from models.card import Recipe
from models.loaders.base import Loaded
from models.preprocessing import Preprocessing
from pages.contrast import view
from pages.contrast.jobs import ContrastRequests, ContrastSpec
from pages.shared import cache
from pages.shared.page_state import PageState
from tests.pages.apps import APP, drawn, figures, finish, words

PAGE = "../contrast/page.py"

#: Settings of the search, near enough for what the page says of it.
SHORT = {"restarts": 1, "inversion_steps": 40, "tolerance": 0.05}


@pytest.fixture
def start(digits_scored, monkeypatch):
    """Opens the page with the first `n` digits, which have no generator, or all of them; the searches are short."""
    folder, models = digits_scored
    monkeypatch.setenv("PARALLAX_DATA", str(folder))  # what one test found, the next need not find again
    settings_module.settings.cache_clear()
    st.cache_resource.clear()
    st.cache_data.clear()

    def open_page(n: int | None = None) -> AppTest:
        app = AppTest.from_file(APP, default_timeout=120)
        images = digits_image_set(folder)
        if n is not None:
            images = images.take(range(n), f"{n} digits")
            images.save(folder / "image-sets")
        app.query_params["models"] = ",".join(models)
        app.query_params["images"] = images.digest
        for name, value in SHORT.items():
            app.session_state[f"contrast_setting_contrast_{name}"] = value
        app.run()
        app.switch_page(PAGE).run()
        assert not app.exception, app.exception
        return app

    return open_page


@pytest.fixture
def page(start):
    """The page with two digits picked that two of the nets take for different ones, and all contrasts found."""
    app = start()
    app.session_state["session"].pick([cache.image_set(app.session_state["session"].images).ids[n] for n in (129, 3)])
    finish(app.run())
    return app


def curves(page) -> list[dict]:
    return [t for t in figures(page)[1]["data"] if t.get("name")]


def requests_of(page) -> ContrastRequests:
    state = page.session_state["session"]
    cards, images = [cache.card(digest) for digest in state.active], cache.image_set(state.images)
    page_state = PageState(cards, images, cache.predictions(cards, images), state.picks[0])
    return ContrastRequests(page_state, ContrastSpec(settings=SHORT), ready_made(images.digest))


def test_each_model_tells_why_its_answer_and_not_its_strongest_rival(page):
    said = drawn(page)
    for part in ("lenet", "residual", "square", "input", "rebuilt", "rebuilt well", "to add", "to take away"):
        assert part in said
    assert said.count("why ") == said.count("and not ") == said.count("✓ constraints hold") == 3
    assert "waiting" not in said
    assert "1 / 2" in words(page)
    assert "comes with the app" in words(page)
    page.button(key="contrast_on").click().run()
    assert drawn(page).count("✓ constraints hold") == 3, "all picks are worked out ahead"


def test_the_way_is_walked_by_a_slider_without_working_anything_out_again(page):
    n_jobs = len(cache.jobs().jobs)
    assert len(curves(page)) == 9
    assert all(len(curve["x"]) == 9 if isinstance(curve["x"], list) else True for curve in curves(page))
    there = drawn(page, 1)
    page.slider(key="contrast_share").set_value(0).run()
    assert drawn(page, 1) != there
    page.segmented_control(key="contrast_along").set_value("the search").run()
    page.segmented_control(key="contrast_scale").set_value("shared").run()
    page.segmented_control(key="contrast_view").set_value("map").run()
    assert not page.exception
    assert len(cache.jobs().jobs) == n_jobs


def test_the_probe_may_be_what_another_model_answered_and_never_the_class_itself(page):
    lenet, _, square = page.session_state["session"].active
    del page.session_state["session"].picks[1:]
    page.selectbox(key="contrast_probe").set_value(square).run()
    finish(page)
    said = drawn(page)
    assert said.count("✓ constraints hold") == 2, "lenet and residual say 8, square says 1"
    assert "square is asked about 1 itself" in said
    page.selectbox(key="contrast_explain").set_value("true").run()
    page.selectbox(key="contrast_probe").set_value("true").run()
    assert drawn(page).count("Expected two different classes") == 3
    page.selectbox(key="contrast_explain").set_value("class").run()
    page.selectbox(key="contrast_explain_class").set_value("9").run()
    finish(page)
    assert "likelier: this is the way to the boundary" in words(page)
    page.selectbox(key="contrast_probe").set_value(lenet).run()
    page.sidebar.checkbox[0].uncheck().run()
    finish(page)
    assert page.selectbox(key="contrast_probe").value == "runner-up", "the model was switched off"


def test_models_with_two_classes_and_of_another_size_get_their_contrast_as_well(page):
    state = page.session_state["session"]
    del state.picks[1:]
    for name, size, channels, classes in (("pair", 32, 1, "01"), ("colour", 48, 3, "0123456789")):
        torch.manual_seed(3)
        net = nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(channels * (size // 4) ** 2, len(classes)))
        preprocessing = Preprocessing((size, size), (0.5,) * channels, (0.5,) * channels, (size, size), mode="squash")
        loaded = Loaded(name, "test", name, name, net.eval(), preprocessing, tuple(classes), Recipe("test"))
        state.models.append(cache.model_store().add(loaded).digest)
    page.run()  # the models' answers
    finish(page)
    finish(page)
    said = drawn(page)
    assert "pair" in said
    assert "colour" in said
    assert said.count("✓ constraints hold") == 4
    assert said.count("✓ equally likely") == 1, "of two classes, no third one can win"


def test_xgems_and_other_methods_stand_beside_it_on_demand(page):
    del page.session_state["session"].picks[1:]
    page.pills(key="contrast_beside").set_value(["xGEMs", "other methods"]).run()
    finish(page)
    said = drawn(page)
    for part in ("xGEMs", "✓ equally likely", "Grad-CAM", "LIME", "Prediction difference", "of 400 weights kept"):
        assert part in said
    assert "waiting" not in said
    assert said.count("residual</b>") == 5


def test_a_model_that_fails_gets_its_reason_and_the_others_stay(page, monkeypatch):
    contrasts = request._contrasts

    def fail(model, *rest):
        if model.card.name == "square":
            raise RuntimeError("square is out of order")
        return contrasts(model, *rest)

    monkeypatch.setattr(request, "_contrasts", fail)
    page.number_input(key="contrast_setting_contrast_rounds").set_value(1).run()
    finish(page)
    said = drawn(page)
    assert "square is out of order" in said
    assert said.count("there: ") == 2
    assert "✗ no point found" in said, "one round does not do"
    assert "off by" in words(page)
    assert cache.jobs().jobs[-1].state is State.DONE


def test_all_of_it_can_be_taken_away_raw_and_as_one_picture(page):
    contrasts = requests_of(page)
    with np.load(io.BytesIO(view.to_npz_file(contrasts))) as stored:
        assert stored["lenet/cdeepex/difference"].shape == (32, 32)
        made = stored["lenet/cdeepex/changed"] - stored["lenet/cdeepex/rebuilt"]
        np.testing.assert_allclose(stored["lenet/cdeepex/difference"], made.mean(2), atol=1e-6)
    with Image.open(io.BytesIO(view.to_png_file(contrasts))) as picture:
        assert picture.width > picture.height > 300


def test_few_pictures_without_a_generator_lead_to_the_digits_in_one_click(start):
    page = start(40)
    assert "has none yet" in words(page)
    assert "300 images or more" in page.info[0].value
    page.session_state["contrast_setting_contrast_rounds"] = 1
    page.session_state["contrast_setting_contrast_iterations"] = 5
    page.button(key="contrast_digits").click().run()
    finish(page)
    finish(page)
    state = page.session_state["session"]
    assert cache.image_set(state.images).name == "digits"
    assert len(state.picks) == 6
    assert drawn(page).count("why ") == 3


def test_a_generator_is_trained_goes_on_and_is_used_at_once(start, monkeypatch):
    page = start(310)
    images = cache.image_set(page.session_state["session"].images)
    for name, value in (("steps", 2), ("width", 4), ("batch", 8), ("critic_steps", 1)):
        page.number_input(key=f"contrast_{images.digest}_generator_{name}").set_value(value)
    page.run()
    page.button(key="contrast_train").click().run()
    finish(page)
    own = generators.last_trained(cache.store(), images.digest)
    assert own.load(cache.store()).step == 2
    finish(page)  # the models' answers
    assert page.button(key="contrast_train").label == "Resume training", "also before anything is picked"
    page.session_state["session"].pick([images.ids[3]])
    page.session_state["contrast_setting_contrast_rounds"] = 2
    finish(page.run())
    assert "Trained here, for 310 digits: 2 steps" in words(page)
    assert "off the data's manifold" in drawn(page)
    assert "could not rebuild the image" in words(page)
    for name, value in (("_LOOK_EVERY", 1), ("_FIRST_LOOK", 1), ("_SPREAD", 100.0)):
        monkeypatch.setattr(training, name, value)
    page.button(key="contrast_train").click().run()
    finish(page)
    assert "became all alike (collapse)" in page.warning[0].value
    assert page.button(key="contrast_train").disabled


def test_the_digits_are_chosen_on_the_upload_page_and_a_missing_network_gets_one_line(start, monkeypatch):
    monkeypatch.setattr(mnist, "answers", lambda url: False)
    page = start(40)
    page.switch_page("../upload/page.py").run()
    page.selectbox(key="upload_set").set_value("digits-marked").run()
    page.button(key="upload_set_use").click().run()
    finish(page)
    assert cache.image_set(page.session_state["session"].images).name == "digits, every 8 marked"
    page.selectbox(key="upload_set").set_value("mnist").run()
    page.button(key="upload_set_use").click().run()
    finish(page, failing=True)
    assert "does not answer" in page.error[0].value
    assert cache.image_set(page.session_state["session"].images).name == "digits, every 8 marked"


def test_a_training_that_was_stopped_does_not_take_the_ready_made_ones_place_by_itself(page):
    images, params = cache.image_set(page.session_state["session"].images), GeneratorParams(steps=9, width=4, batch=8)

    def stop(done: int, _total: int) -> None:
        if done >= 1:
            raise Cancelled

    sources = Sources(cache.model_store(), cache.store(), images)
    with pytest.raises(Cancelled):
        compute(sources, generators.GeneratorRequest(images.digest, params), stop)
    page.run()
    assert "comes with the app" in words(page)
    page.session_state["contrast_setting_contrast_iterations"] = 5
    page.number_input(key="contrast_setting_contrast_rounds").set_value(1).run()
    page.segmented_control(key=f"contrast_which_{images.digest}").set_value("trained here").run()
    finish(page)
    assert "Trained here, for digits: 1 steps" in words(page)
    assert "off the data's manifold" in drawn(page)
