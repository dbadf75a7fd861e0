"""The pages without a browser: what is on them, and that a mistake never costs what was there before."""

import threading
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from common.settings import settings
from jobs.queue import Job, State
from pages.shared import cache

APP = str(Path(__file__).parents[2] / "pages/shared/navigation.py")


@pytest.fixture
def app():
    st.cache_resource.clear()
    st.cache_data.clear()
    return AppTest.from_file(APP, default_timeout=120)


def words(app) -> str:
    return " ".join(element.value for element in [*app.markdown, *app.caption, *app.title, *app.subheader])


def test_the_app_opens_with_the_demo_in_place(app):
    app.run()
    assert not app.exception
    assert app.title[0].value == "Add models and images"
    for name in ("vgg", "resnet", "vit", "shortcut", "paintings"):
        assert name in words(app)
    assert not app.button(key="upload_score").disabled


def test_switching_every_model_off_leaves_no_dead_end(app):
    app.run()
    for box in app.sidebar.checkbox:
        box.uncheck()
    app.run()
    assert not app.exception
    assert app.button(key="upload_score").disabled
    app.switch_page("../suggestion/page.py").run()
    assert "No classifier is switched on" in app.info[0].value
    app.switch_page("../compare/page.py").run()
    assert "No model is switched on" in app.info[0].value


def test_a_page_that_ends_early_keeps_the_jobs_in_the_sidebar(app):
    app.run()
    for box in app.sidebar.checkbox:
        box.uncheck()
    app.run()
    over = threading.Event()
    cache.jobs().submit(Job("Long work", lambda job: over.wait(60)), "background")
    try:
        app.switch_page("../compare/page.py").run()
        assert not app.exception
        assert "No model is switched on" in app.info[0].value
        assert "Jobs" in " ".join(element.value for element in app.sidebar.markdown)
    finally:
        over.set()


def test_the_suggestion_page_offers_to_score_and_then_shows_its_charts(app):
    app.run()
    app.switch_page("../suggestion/page.py").run()
    app.button(key="suggestion_score").click().run()
    wait_for_table(app)
    assert not app.exception
    assert "points are jittered" in words(app)
    assert "Share of images with the same predicted class" in words(app)
    app.toggle(key="suggestion_split").set_value(True).run()
    assert not app.exception


def test_compare_offers_pictures_when_none_are_picked_and_shows_reasons(app):
    app.run()
    app.switch_page("../compare/page.py").run()
    wait_for_table(app)
    app.button(key="compare_six").click().run()
    assert not app.exception
    assert "1 / 6" in words(app)
    app.multiselect(key="compare_methods").set_value(["grad-cam", "guided-backprop"]).run()
    app.selectbox(key="compare_target").set_value("class").run()
    assert not app.exception
    assert app.selectbox(key="compare_class").options[0] == "portrait"
    app.button(key="compare_on").click().run()
    assert "2 / 6" in words(app)


def test_compare_explains_probabilities_and_units_and_tells_what_each_method_is(app):
    app.run()
    app.switch_page("../compare/page.py").run()
    wait_for_table(app)
    app.button(key="compare_six").click().run()
    assert "What it cannot tell" in words(app)
    app.segmented_control(key="compare_value").set_value("probability").run()
    assert not app.exception
    app.selectbox(key="compare_target").set_value("unit").run()
    vgg = app.session_state["session"].models[0]
    app.text_input(key=f"compare_place_{vgg}").set_value("1, 2").run()
    app.number_input(key=f"compare_unit_{vgg}").set_value(5000).run()
    assert not app.exception
    wait_for_table(app)
    assert not app.error
    cells = [job for job in cache.jobs().jobs if job.unit == "maps"]
    assert cells
    app.text_input(key=f"compare_place_{vgg}").set_value("here").run()
    assert "row, column" in app.error[0].value


def test_a_regression_model_is_explained_but_takes_no_part_in_the_vote(app):
    from models.loaders import zoo

    app.run()
    state = app.session_state["session"]
    loaded = zoo.load("timm/resnet10t", pretrained=False, create={"num_classes": 1})
    state.add_model(cache.model_store().add(loaded).digest)
    for digest in state.models[1:4]:
        state.switched_off.add(digest)
    app.switch_page("../suggestion/page.py").run()
    app.button(key="suggestion_score").click().run()
    wait_for_table(app)
    assert not app.exception
    assert "Left: the model is sure of the true class" in words(app)  # one classifier is left
    app.switch_page("../compare/page.py").run()
    app.button(key="compare_six").click().run()
    wait_for_table(app)
    assert not app.exception
    assert not app.session_state["session"].failures


def test_one_model_gets_its_histogram_without_a_scatter(app):
    app.run()
    for box in app.sidebar.checkbox[1:]:
        box.uncheck()
    app.switch_page("../suggestion/page.py").run()
    app.button(key="suggestion_score").click().run()
    wait_for_table(app)
    assert not app.exception
    assert "Left: the model is sure of the true class" in words(app)


def test_a_folder_that_is_not_there_gets_one_line_and_nothing_is_lost(app):
    app.run()
    app.session_state["upload_folder"] = "/nowhere/at/all"
    from pages.shared import cache

    before = app.session_state["session"].images
    job = cache.jobs().submit(_job_that_reads("/nowhere/at/all"), "interactive")
    app.session_state["session"].jobs["images"] = job
    job.wait(10)
    app.run()
    assert not app.exception
    assert "Expected a folder on the server" in app.error[0].value
    assert app.session_state["session"].images == before


def _job_that_reads(folder: str):
    from images import intake
    from jobs.queue import Job

    return Job("Reading", lambda job: intake.from_folder(Path(folder), settings().data_folder, job.report))


def wait_for_table(app) -> None:
    from pages.shared import cache

    for job in cache.jobs().jobs:
        assert job.wait(120), job.title
        assert not job.error, job.error
    app.run()


def test_one_visitors_many_maps_keep_nobody_else_waiting():
    jobs, may_end = cache.jobs(), threading.Event()
    long = jobs.submit(Job("many maps", lambda job: may_end.wait(30), key="many maps"), "interactive")
    short = jobs.submit(Job("one map", lambda job: None, key="one map"), "interactive")
    try:
        assert short.wait(20)
        assert short.state is State.DONE
        assert long.active
    finally:
        may_end.set()


def test_trust_measures_methods_and_shows_maps_under_randomised_weights(app):
    app.run()
    app.switch_page("../trust/page.py").run()
    wait_for_table(app)
    assert "Nothing is measured yet" in app.info[0].value
    app.multiselect(key="trust_methods").set_value(["saliency", "lime", "legrad"]).run()
    app.multiselect(key="trust_methods").set_value(["saliency", "guided-backprop"]).run()
    app.number_input(key="trust_count").set_value(2).run()
    app.button(key="trust_measure").click().run()
    wait_for_table(app)
    assert not app.exception
    rows = app.dataframe[0].value
    assert len(rows) == 7  # the transformer has no ReLU
    assert rows["deletion"].between(0, 1).all()
    assert "needs ReLU" in words(app)
    app.button(key="trust_randomise").click().run()
    wait_for_table(app)
    assert not app.exception
    assert "ρ = " in words(app)
