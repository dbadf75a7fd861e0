"""The MaxOut page without a browser: it says what it takes, starts on a press, goes on, and leads to Reason."""

import io
import zipfile

import numpy as np
import pytest

from common.errors import InputError
from explainers.maxout import request
from explainers.maxout.method import MaxOutParams
from explainers.maxout.request import MaxOutRequest
from explainers.output import Output
from jobs.queue import State
from pages.maxout import view
from pages.maxout.controls import parse_units
from pages.maxout.jobs import Row, TargetGrid
from pages.shared import cache
from tests.pages.apps import drawn, figures, finish, words

PAGE, REASON = "../maxout/page.py", "../reason/page.py"


@pytest.fixture
def page(app):
    """The page with two models and few steps, all of them taken."""
    app.session_state["maxout_setting_maxout_iterations"] = 4
    for box in app.sidebar.checkbox[1:3]:
        box.uncheck()
    app.switch_page(PAGE).run()
    finish(app)
    app.button(key="maxout_start").click().run()
    finish(app)
    return app


def test_it_says_what_it_takes_and_starts_nothing_by_itself(app):
    app.switch_page(PAGE).run()
    finish(app)
    app.run()
    assert "MaxOut" not in " ".join(job.title for job in cache.jobs().jobs)
    assert "Takes 6,144 steps: 24 targets × 256." in words(app)
    assert drawn(app).count("not begun yet") == 24
    app.multiselect(key="maxout_classes").set_value(["portrait"]).run()
    app.number_input(key="maxout_setting_maxout_iterations").set_value(3).run()
    assert "Takes 12 steps: 4 targets × 3." in words(app)


def test_it_starts_on_a_press_with_every_class_of_every_model(page):
    said = drawn(page)
    for part in ("portrait", "abstract", "vgg", "shortcut", "logit", "step 4", "images up to", "most", "least"):
        assert part in said
    assert "resnet" not in said
    pictures = figures(page)[0]["layout"]["images"]
    assert len(pictures) == 12 * (1 + 8)
    curves = figures(page)[1]["data"]
    assert len(curves) == 12


def test_go_on_takes_as_many_steps_again_and_another_choice_waits_to_be_started(page):
    n_jobs = len(cache.jobs().jobs)
    page.button(key="maxout_start").click().run()
    finish(page)
    assert "step 8" in drawn(page)
    assert len(cache.jobs().jobs) == n_jobs + 1
    page.number_input(key="maxout_setting_maxout_seed").set_value(3).run()
    assert len(cache.jobs().jobs) == n_jobs + 1
    assert page.button(key="maxout_start").label == "Start"
    assert "step" not in drawn(page)
    page.number_input(key="maxout_setting_maxout_seed").set_value(0).run()
    assert "step 8" in drawn(page), "what was made is there at once"


def test_units_are_chosen_by_layer_and_number_and_mistakes_get_one_line(page):
    vgg, shortcut = page.session_state["session"].active
    page.segmented_control(key="maxout_what").set_value("units of a layer").run()
    assert "1–12 of 96 units" in words(page)
    page.button(key="maxout_on").click().run()
    assert "unit 12" in drawn(page)
    page.text_input(key=f"maxout_units_{vgg}").set_value("3").run()
    page.text_input(key=f"maxout_units_{shortcut}").set_value("5").run()
    page.button(key="maxout_start").click().run()
    finish(page)
    assert "units 3, 5" in drawn(page)
    assert "activation" in drawn(page)
    page.text_input(key=f"maxout_units_{vgg}").set_value("96").run()
    assert "units from 0 to 95" in page.error[0].value
    assert not page.exception


def test_the_bare_gradient_hides_what_it_sets(page):
    keys = {widget.key for widget in page.number_input}
    assert "maxout_setting_maxout_rotate" in keys
    page.segmented_control(key="maxout_how").set_value("bare gradient").run()
    assert "maxout_setting_maxout_rotate" not in {widget.key for widget in page.number_input}
    page.button(key="maxout_start").click().run()
    finish(page)
    assert "step 4" in drawn(page)


def test_a_click_leads_to_reason_with_the_same_model_and_class_and_the_images_that_excite_it(page):
    state = page.session_state["session"]
    state.clicked = (0, 1, "reason")
    page.run()
    assert page.title[0].value == "Grad-CAM layer by layer"
    page.switch_page(REASON).run()
    finish(page)
    shortcut = state.active[1]
    assert page.selectbox(key="reason_model").value == shortcut
    assert page.multiselect(key=f"reason_targets_{shortcut}").value == [0]
    values = cache.unit_activations(cache.card(shortcut), cache.image_set(state.images), None)[:, 0]
    best = [cache.image_set(state.images).ids[row] for row in np.argsort(-values)[:6]]
    assert state.picks == best


def test_a_unit_is_a_target_of_reason_by_the_layers_up_to_its_own(page):
    state = page.session_state["session"]
    vgg = state.active[0]
    state.maxout_target = (vgg, "features.12", 7)
    page.run()
    page.button(key="maxout_start").click().run()
    finish(page)
    assert "unit 7" in drawn(page)
    assert page.multiselect(key="maxout_models").value == [vgg]
    state.clicked = (0, 0, "reason")
    page.run()
    page.switch_page(REASON).run()
    finish(page)
    said = drawn(page)
    assert "unit 7 of features.12" in said
    assert "features.12<" in said
    assert "features.26<" not in said
    assert "waiting" not in said


def test_a_click_on_a_corner_shows_one_picture_at_full_resolution(page):
    page.session_state["session"].clicked = (0, 0, "enlarge")
    page.run()
    assert "64 × 64 px" in words(page)
    assert page.button(key="maxout_reason").label == "See Reason for this target"
    assert not page.exception


def test_a_target_that_fails_gets_its_reason_and_the_others_stay(app, monkeypatch):
    ascent = request.Ascent

    def fail(model, *rest):
        if model.card.name == "vgg":
            raise RuntimeError("vgg is out of order")
        return ascent(model, *rest)

    monkeypatch.setattr(request, "Ascent", fail)
    app.session_state["maxout_setting_maxout_iterations"] = 2
    for box in app.sidebar.checkbox[1:3]:
        box.uncheck()
    app.switch_page(PAGE).run()
    app.button(key="maxout_start").click().run()
    finish(app)
    assert "vgg is out of order" in drawn(app)
    assert "step 2" in drawn(app)
    assert all(job.state is State.DONE for job in cache.jobs().jobs)


def test_all_pictures_can_be_taken_away(page):
    state = page.session_state["session"]
    card = cache.card(state.active[0])
    cells = tuple(MaxOutRequest(card, 0, Output(), MaxOutParams(iterations=4)) for _ in range(1))
    with zipfile.ZipFile(io.BytesIO(view.to_zip_file(TargetGrid((card,), (Row("portrait", cells),))))) as archive:
        assert archive.namelist() == ["vgg-portrait.png"]


def test_units_are_written_as_numbers_and_ranges():
    assert parse_units("", 4) == [0, 1, 2, 3]
    assert parse_units("3, 0-1 3", 4) == [3, 0, 1]
    assert parse_units("1 – 2", 4) == [1, 2]
    for wrong, why in (("a", "numbers and ranges"), ("4", "0 to 3"), ("2-1", "0 to 3")):
        with pytest.raises(InputError, match=why):
            parse_units(wrong, 4)
