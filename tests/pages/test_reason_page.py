"""The reason page without a browser: what it offers, and that one failing target costs no other."""

import io

import numpy as np
import pytest
from PIL import Image

from explainers import multi_layer
from explainers.methods.multi_layer_cam import default_layers
from figures.reason import TARGET_COLOURS
from jobs.queue import State
from pages.reason import view
from pages.reason.view import LayerMaps, LayerOptions
from pages.shared import cache
from pages.shared.page_state import PageState
from suggestion import targets
from tests.pages.apps import drawn, finish, words


@pytest.fixture
def page(app):
    """The page with six images picked and all maps computed."""
    app.switch_page("../reason/page.py").run()
    app.button(key="reason_six").click().run()
    finish(app)
    return app


def test_the_models_answer_and_its_runner_up_are_explained_layer_by_layer(page):
    assert "1 / 6" in words(page)
    said = drawn(page)
    for part in ("its answer", "its runner-up", "features.5", "features.26", "mean of 4 layers", "64×64", "found"):
        assert part in said
    assert all(colour in said for colour in TARGET_COLOURS[:2])
    assert "waiting" not in said
    page.button(key="reason_on").click().run()
    assert "2 / 6" in words(page)
    assert "waiting" not in drawn(page), "all picks are worked out ahead"


def test_what_is_put_together_differently_is_not_worked_out_again(page):
    n_jobs = len(cache.jobs().jobs)
    page.segmented_control(key="reason_how").set_value("max").run()
    assert "max of 4 layers" in drawn(page)
    page.segmented_control(key="reason_weigh").set_value("alike").run()
    page.slider(key="reason_threshold").set_value(80).run()
    page.segmented_control(key="reason_scale").set_value("shared").run()
    assert "above 80%" in drawn(page)
    assert not page.exception
    assert len(cache.jobs().jobs) == n_jobs


def test_targets_may_be_classes_and_layers_any(page):
    vgg = page.session_state["session"].models[0]
    page.multiselect(key=f"reason_targets_{vgg}").set_value([targets.TRUE, 3, 5]).run()
    page.multiselect(key=f"reason_layers_{vgg}").set_value(["features.26"]).run()
    finish(page)
    said = drawn(page)
    assert "still life" in said
    assert "this layer" in said
    assert "features.5<" not in said
    page.multiselect(key=f"reason_layers_{vgg}").set_value([]).run()
    assert "at least one target and one layer" in page.info[0].value
    assert not page.exception


def test_guided_backprop_is_offered_where_it_suits_and_refused_with_the_reason(page):
    page.toggle(key="reason_guided").set_value(True).run()
    finish(page)
    assert drawn(page).count("guided · 0") == 3, "two layers of two targets, but for one that found nothing"
    vit = page.session_state["session"].models[2]
    page.selectbox(key="reason_model").set_value(vit).run()
    finish(page)
    assert not page.exception
    assert page.toggle(key="reason_guided").disabled
    assert "vit uses GELU" in words(page)
    assert "blocks.3.norm1" in drawn(page)
    assert "guided" not in drawn(page)


def test_a_target_that_fails_gets_its_reason_and_the_others_stay(app, monkeypatch):
    reason = multi_layer.reason

    def fail(model, inputs, targets, *rest):
        if targets.tolist() == [2]:
            raise RuntimeError("the third class is out of order")
        return reason(model, inputs, targets, *rest)

    monkeypatch.setattr(multi_layer, "reason", fail)
    vgg = app.session_state["session"].models[0]
    app.session_state[f"reason_targets_{vgg}"] = [0, 2]
    app.switch_page("../reason/page.py").run()
    app.button(key="reason_six").click().run()
    finish(app)
    assert "the third class is out of order" in drawn(app)
    assert "mean of 4 layers" in drawn(app)
    assert cache.jobs().jobs[-1].state is State.DONE


def test_maps_can_be_taken_away_raw_and_as_one_picture(page):
    state = page.session_state["session"]
    cards, images = [cache.card(digest) for digest in state.models], cache.image_set(state.images)
    page_state = PageState(cards, images, cache.predictions(cards, images), state.picks[0])
    chosen = LayerMaps(cards[0], (targets.TOP, targets.RUNNER_UP), default_layers(cards[0]))
    parts = chosen, page_state, LayerOptions()
    names = [target.name for target in view.targets_of(chosen, page_state)[0]]
    with np.load(io.BytesIO(view.to_npz_file(*parts))) as stored:
        assert set(stored.files) == {f"{n}/{part}" for n in names for part in (*chosen.layers, "aggregate")}
        assert stored[f"{names[0]}/features.26"].shape == (8, 8)
        cells = stored[f"{names[0]}/features.12"]
        assert cells.max() < 1, "raw: shares of the score, not scaled to anything"
    with Image.open(io.BytesIO(view.to_png_file(*parts))) as picture:
        assert picture.width > picture.height > 600
