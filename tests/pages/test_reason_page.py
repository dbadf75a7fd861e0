"""The reason page without a browser: what it offers, and that one failing target costs no other."""

import io

import numpy as np
import pytest
from PIL import Image

import tests.pages.test_pages as shared
from explainers import multi_layer
from explainers.methods.multi_layer_cam import default_layers
from figures.reason import TARGET_COLOURS
from jobs.queue import State
from pages.reason import view
from pages.reason.view import Choice, Look
from pages.shared import cache
from suggestion import targets
from tests.pages.charts import figures

app = shared.app  # a fixture


@pytest.fixture
def page(app):
    """The page with six pictures picked and all maps worked out."""
    app.run()
    app.switch_page("../reason/page.py").run()
    shared.wait_for_table(app)
    app.button(key="reason_six").click().run()
    shared.wait_for_table(app)
    assert not app.exception
    return app


def figure_of(page) -> str:
    """All words of the figure."""
    (figure,) = figures(page)
    return " ".join(words["text"] for words in figure["layout"]["annotations"])


def test_the_models_answer_and_its_runner_up_are_explained_layer_by_layer(page):
    assert "1 / 6" in shared.words(page)
    drawn = figure_of(page)
    for words in ("its answer", "its runner-up", "features.5", "features.26", "mean of 4 layers", "64×64", "found"):
        assert words in drawn
    assert all(colour in drawn for colour in TARGET_COLOURS[:2])
    assert "waiting" not in drawn
    page.button(key="reason_on").click().run()
    assert "2 / 6" in shared.words(page)
    assert "waiting" not in figure_of(page), "all picks are worked out ahead"


def test_what_is_put_together_differently_is_not_worked_out_again(page):
    n_jobs = len(cache.jobs().jobs)
    page.segmented_control(key="reason_how").set_value("max").run()
    assert "max of 4 layers" in figure_of(page)
    page.segmented_control(key="reason_weigh").set_value("alike").run()
    page.slider(key="reason_threshold").set_value(80).run()
    page.segmented_control(key="reason_scale").set_value("shared").run()
    assert "above 80%" in figure_of(page)
    assert not page.exception
    assert len(cache.jobs().jobs) == n_jobs


def test_targets_may_be_classes_and_layers_any(page):
    vgg = page.session_state["session"].models[0]
    page.multiselect(key=f"reason_targets_{vgg}").set_value([targets.TRUE, 3, 5]).run()
    page.multiselect(key=f"reason_layers_{vgg}").set_value(["features.26"]).run()
    shared.wait_for_table(page)
    drawn = figure_of(page)
    assert "still life" in drawn
    assert "this layer" in drawn
    assert "features.5<" not in drawn
    page.multiselect(key=f"reason_layers_{vgg}").set_value([]).run()
    assert "at least one target and one layer" in page.info[0].value
    assert not page.exception


def test_guided_backprop_is_offered_where_it_suits_and_refused_with_the_reason(page):
    page.toggle(key="reason_guided").set_value(True).run()
    shared.wait_for_table(page)
    assert figure_of(page).count("guided · 0") == 3, "two layers of two targets, but for one that found nothing"
    vit = page.session_state["session"].models[2]
    page.selectbox(key="reason_model").set_value(vit).run()
    shared.wait_for_table(page)
    assert not page.exception
    assert page.toggle(key="reason_guided").disabled
    assert "vit uses GELU" in shared.words(page)
    assert "blocks.3.norm1" in figure_of(page)
    assert "guided" not in figure_of(page)


def test_a_target_that_fails_gets_its_reason_and_the_others_stay(app, monkeypatch):
    reason = multi_layer.reason

    def fail(model, inputs, targets, *rest):
        if targets.tolist() == [2]:
            raise RuntimeError("the third class is out of order")
        return reason(model, inputs, targets, *rest)

    monkeypatch.setattr(multi_layer, "reason", fail)
    app.run()
    vgg = app.session_state["session"].models[0]
    app.session_state[f"reason_targets_{vgg}"] = [0, 2]
    app.switch_page("../reason/page.py").run()
    shared.wait_for_table(app)
    app.button(key="reason_six").click().run()
    shared.wait_for_table(app)
    assert not app.exception
    drawn = figure_of(app)
    assert "the third class is out of order" in drawn
    assert "mean of 4 layers" in drawn
    assert cache.jobs().jobs[-1].state is State.DONE


def test_without_a_model_there_is_no_dead_end(app):
    app.run()
    for box in app.sidebar.checkbox:
        box.uncheck()
    app.run()
    app.switch_page("../reason/page.py").run()
    assert "No model is switched on" in app.info[0].value
    assert not app.exception


def test_maps_can_be_taken_away_raw_and_as_one_picture(page):
    state = page.session_state["session"]
    cards, images = [cache.card(digest) for digest in state.models], cache.image_set(state.images)
    table = cache.predictions(cards, images)
    choice = Choice(cards[0], (targets.TOP, targets.RUNNER_UP), default_layers(cards[0]))
    parts = choice, Look(), images, state.picks[0], table
    names = [target.name for target in view.targets_of(choice, images, state.picks[0], table)[0]]
    with np.load(io.BytesIO(view.to_npz_file(*parts))) as stored:
        assert set(stored.files) == {f"{n}/{part}" for n in names for part in (*choice.layers, "aggregate")}
        assert stored[f"{names[0]}/features.26"].shape == (8, 8)
        cells = stored[f"{names[0]}/features.12"]
        assert cells.max() < 1, "raw: shares of the score, not scaled to anything"
    with Image.open(io.BytesIO(view.to_png_file(*parts, opacity=0.8))) as picture:
        assert picture.width > picture.height > 600
