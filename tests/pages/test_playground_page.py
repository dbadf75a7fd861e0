"""The Playground without a browser: build, train, pause, resume, look inside, send to the comparison."""

import re
import time

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from common.settings import settings
from images.image_set import ImageSet
from models.stack import Convolution, MaxPool, ReLU, to_json
from pages.playground import inside
from pages.shared import cache
from playground import runs
from playground.kept_histories import KeptHistories
from playground.runs import TrainingRequest
from tests.pages.apps import APP, drawn, figures, finish, words
from tests.playground.test_training import bars

SMALL = to_json((Convolution(4), ReLU(), MaxPool()))


@pytest.fixture
def images(data_folder) -> ImageSet:
    runs._held.clear()
    found = bars(data_folder / "bars", 60)
    found.save(data_folder / "image-sets")
    return found


@pytest.fixture
def page(new_app, images):
    """The page for a visitor who works on the bars, with a small network and few epochs."""
    new_app.query_params["images"] = images.digest
    new_app.run()
    new_app.session_state["session"].stack = SMALL
    new_app.switch_page("../playground/page.py").run()
    new_app.selectbox(key="playground_images").set_value("in use").run()
    setting(new_app, images, "side", 8)
    return setting(new_app, images, "epochs", 3)


def setting(page, images, name, value):
    return page.number_input(key=f"playground_{images.digest}_training_{name}").set_value(value).run()


def trained(page):
    page.button(key="playground_train").click().run()
    finish(page)
    return page


def begun(page, epochs=2) -> TrainingRequest:
    """Press Train, and wait for some epochs."""
    page.button(key="playground_train").click().run()
    request = request_of(page)
    while (run := request.load(cache.store())) is None or run.epoch < epochs:
        time.sleep(0.01)
    return request


def request_of(page) -> TrainingRequest:
    return TrainingRequest.of(page.session_state["session"].runs[-1])


def test_before_training_the_network_is_drawn_without_pictures(page):
    assert "Press **Train**" in words(page)
    assert drawn(page).startswith("<b>Input</b>")
    assert not page.button(key="playground_train").disabled


def test_a_network_is_trained_and_seen_from_all_sides(page, images):
    trained(page)
    run = request_of(page).load(cache.store())
    assert run.epoch == 3
    curves, tree = figures(page)[:2]
    assert next(trace["x"] for trace in curves["data"] if len(trace.get("x", ())) > 1)[-1] == 3
    assert "Prediction" in str(tree["layout"]["annotations"])
    looks = page.segmented_control(key="playground_look")
    for name in (inside.CONFUSION, inside.KERNELS, inside.RUNS, inside.CODE):
        looks.set_value(name).run()
        assert not page.exception, name
        if name == inside.CONFUSION:
            assert re.search(r"Test accuracy \d+\.\d%", words(page))
        elif name == inside.RUNS:
            assert page.dataframe[0].value["Epochs"].tolist() == [3]
        elif name == inside.CODE:
            assert "nn.Conv2d(1, 4, kernel_size=3" in page.code[0].value
            assert page.get("download_button")[0].proto.label == "Network after epoch 3 (safetensors)"
    assert page.select_slider(key="playground_epoch").value == 3
    page.select_slider(key="playground_epoch").set_value(1).run()
    assert not page.exception


def test_a_clicked_cell_shows_its_images_and_one_of_them_is_looked_at(page):
    trained(page)
    page.segmented_control(key="playground_look").set_value(inside.CONFUSION).run()
    data = runs.data_for(cache.image_set(request_of(page).data), 8)
    found = np.array(figures(page)[1]["data"][0]["customdata"]).reshape(-1, 2)
    assert {tuple(cell) for cell in found.tolist()} == {(a, b) for a in range(3) for b in range(3)}
    page.session_state["playground_cell"] = (0, 0)
    page.run()
    shown = [button for button in page.button if button.key and button.key.startswith("playground_cell_")]
    assert f"{len(shown)} images of **across** predicted as **across**" in words(page)
    position = int(shown[-1].key.rpartition("_")[2])
    shown[-1].click().run()
    assert page.segmented_control(key="playground_look").value == inside.WAY
    assert f"Test image {position + 1} of {len(data.test)}  \nTrue class across" in words(page)


@pytest.mark.parametrize(("node", "component"), [((1, 2), "convolution"), ((3, 1), "max_pool")])
def test_a_clicked_feature_map_is_seen_cell_by_cell(page, node, component):
    trained(page)
    page.session_state["playground_node"] = node
    page.run()
    assert not page.exception
    assert f'"mode": "{component}"' in "".join(one.proto.json for one in page.get("bidi_component"))


def test_a_stack_that_breaks_cannot_be_trained_and_says_where(page):
    page.session_state["session"].stack = to_json((MaxPool(4, 4), MaxPool(4, 4)))
    page.run()
    assert page.button(key="playground_train").disabled
    assert "Nothing is left" in "".join(one.proto.json for one in page.get("bidi_component"))


def test_paused_it_stays_so_until_somebody_resumes_it(page, images):
    setting(page, images, "epochs", 400)
    request = begun(page)
    page.run()
    page.button(key=f"playground_pause_{request.key}").click().run()
    (job,) = [job for job in cache.jobs().jobs if job.title.startswith("Training")]
    assert job.wait(60)
    page.run()
    stopped = request.load(cache.store()).epoch
    assert stopped < 400
    assert f"paused after epoch {stopped}" in words(page)
    setting(page, images, "epochs", stopped + 2)
    page.button(key="playground_train").click().run()
    finish(page)
    assert request.load(cache.store()).epoch == stopped + 2


def test_stopped_it_is_through_where_it_was_and_more_epochs_go_on(page, images):
    setting(page, images, "epochs", 400)
    request = begun(page)
    page.run()
    page.button(key=f"playground_stop_{request.key}").click().run()
    end_trainings()
    page.run()
    assert "paused" not in words(page)
    reached = request.load(cache.store()).epoch
    assert 2 <= reached < 400
    assert TrainingRequest.of(page.session_state["session"].runs[0]).finished(cache.store())
    setting(page, images, "epochs", reached + 2)
    trained(page)
    assert request.load(cache.store()).epoch == reached + 2


def test_what_a_dead_server_was_at_goes_on_for_who_opens_the_page_again(page, images):
    setting(page, images, "epochs", 400)
    request, (view,) = begun(page), [page.query_params["view"]]
    end_trainings()  # the server dies: nobody pressed Pause
    before = request.load(cache.store())
    st.cache_resource.clear()
    again = AppTest.from_file(APP, default_timeout=120)
    again.query_params["images"], again.query_params["view"] = images.digest, "".join(view)
    again.run().switch_page("../playground/page.py").run()
    while request.load(cache.store()).epoch < before.epoch + 2:
        time.sleep(0.01)
    end_trainings()
    after = request.load(cache.store())
    assert np.array_equal(after.history[: len(before.history)], before.history, equal_nan=True)


def end_trainings():
    for job in cache.jobs().jobs:
        job.cancel()
        assert job.wait(60)


def test_two_runs_are_told_apart_overlaid_and_forgotten(page, images):
    trained(page)
    setting(page, images, "seed", 1)
    trained(page)
    names = [one["name"] for one in page.session_state["session"].runs]
    assert names == ["Convolution-ReLU-MaxPool", "seed 1 · Convolution-ReLU-MaxPool"]
    page.segmented_control(key="playground_look").set_value(inside.RUNS).run()
    assert page.dataframe[0].value["Run"].tolist() == names
    page.session_state["session"].stack = to_json((ReLU(),))
    page.session_state["playground_runs"] = {"selection": {"rows": [0], "columns": [], "cells": []}}
    page.run()
    page.button(key="playground_show").click().run()
    assert not page.exception
    assert page.session_state["session"].run == TrainingRequest.of(page.session_state["session"].runs[0]).key
    assert page.session_state["session"].stack == SMALL
    assert page.segmented_control(key="playground_look").value == inside.WAY


def test_pressed_twice_it_says_that_the_training_is_through(page):
    trained(page)
    page.button(key="playground_train").click().run()
    assert "through" in page.toast[0].value
    assert len(page.session_state["session"].runs) == 1


def test_a_diverging_training_says_so_and_still_shows_its_last_good_weights(page, images):
    page.number_input(key=f"playground_{images.digest}_training_learning_rate").set_value(100.0).run()
    setting(page, images, "epochs", 30)
    trained(page)
    assert "grew beyond all bounds" in page.warning[0].value
    assert not page.exception


def test_a_run_is_sent_to_the_comparison_which_has_images_selected(page, images):
    trained(page)
    page.button(key="playground_send").click().run()
    state = page.session_state["session"]
    assert [cache.card(digest).name for digest in state.active] == ["Epoch 3 · Convolution-ReLU-MaxPool"]
    kept = KeptHistories(settings().data_folder / "histories").get(state.active[0])
    assert kept.epochs.tolist() == [0, 1, 2, 3]  # its card shows the curves
    page.select_slider(key="playground_epoch").set_value(1).run()
    page.button(key="playground_send").click().run()
    assert len(state.active) == 2
    page.switch_page("../compare/page.py").run()
    finish(page)
    assert len(page.session_state["session"].picks) == 6
    assert not page.exception


def test_a_planted_shortcut_comes_with_marked_test_images(page, images):
    page.toggle(key="playground_planted").set_value(True).run()
    page.selectbox(key="playground_shortcut").set_value("down").run()
    trained(page)
    assert request_of(page).shortcut == "down"
    page.button(key="playground_send").click().run()
    page.button(key="playground_marked").click().run()
    marked = cache.image_set(page.session_state["session"].images)
    assert marked.name == "bars, all marked"
    assert marked.mask_kinds == ("mark",)
    card = cache.card(page.session_state["session"].active[0])
    assert "Every training image of down had a white square" in card.notes[0]


def test_images_without_labels_get_one_line(new_app, images, data_folder):
    table = images.table.assign(label=None)
    bare = ImageSet("no labels", table)
    bare.save(data_folder / "image-sets")
    new_app.query_params["images"] = bare.digest
    new_app.run().switch_page("../playground/page.py").run()
    new_app.selectbox(key="playground_images").set_value("in use").run()
    assert "which has no labels" in new_app.error[0].value
    assert not new_app.exception
