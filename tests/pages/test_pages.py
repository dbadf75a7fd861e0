"""The pages without a browser: what is on them, and that a mistake never costs what was there before."""

import threading
from pathlib import Path

from common.settings import settings
from images import intake
from jobs.queue import Job, State
from pages.shared import cache
from pages.shared.site_map import SECTIONS
from tests.images.test_intake import write
from tests.makers import tiny_loaded
from tests.pages.apps import finish, words

PAGES = [name for section in SECTIONS.values() for name in section]


def switch_off(app, *numbers: int) -> None:
    """Uncheck models in the sidebar, by default all of them."""
    for number in numbers or range(len(app.sidebar.checkbox)):
        app.sidebar.checkbox[number].uncheck()
    app.run()


def test_the_app_opens_with_the_demo_in_place(new_app):
    app = new_app.run()
    assert not app.exception
    assert app.title[0].value == "Add models and images"
    for name in ("vgg", "resnet", "vit", "shortcut", "paintings"):
        assert name in words(app)
    assert not app.button(key="upload_score").disabled


def test_switching_every_model_off_leaves_no_dead_end_and_the_jobs_in_the_sidebar(app):
    switch_off(app)
    assert app.button(key="upload_score").disabled
    over = threading.Event()
    cache.jobs().submit(Job("Long work", lambda job: over.wait(60)), "background")
    try:
        for name in PAGES[1:]:
            if name in ("contrast", "playground"):
                continue  # it has no generator for these images, and says so first; the other needs no model
            app.switch_page(f"../{name}/page.py").run()
            assert not app.exception
            expected = "No classifier is" if name == "suggestion" else "No model is"
            assert f"{expected} switched on" in app.info[0].value, name
            assert "Jobs" in " ".join(element.value for element in app.sidebar.markdown)
    finally:
        over.set()


def test_images_are_scored_on_the_suggestion_page_which_then_shows_its_charts(new_app):
    app = new_app.run()
    app.switch_page("../suggestion/page.py").run()
    app.button(key="suggestion_score").click().run()
    finish(app)
    assert "points are jittered" in words(app)
    assert "Share of images with the same predicted class" in words(app)
    app.toggle(key="suggestion_split").set_value(True).run()
    assert not app.exception


def test_compare_offers_images_when_none_are_picked_and_explains_what_is_chosen(app):
    app.switch_page("../compare/page.py").run()
    app.button(key="compare_six").click().run()
    assert not app.exception
    assert "1 / 6" in words(app)
    assert "What it cannot tell" in words(app)
    app.session_state["session"].picks = app.session_state["session"].picks[:2]
    app.multiselect(key="compare_methods").set_value(["grad-cam", "guided-backprop"]).run()
    app.selectbox(key="compare_target").set_value("class").run()
    assert app.selectbox(key="compare_class").options[0] == "portrait"
    app.button(key="compare_on").click().run()
    assert "2 / 2" in words(app)
    app.segmented_control(key="compare_value").set_value("probability").run()
    assert not app.exception
    app.selectbox(key="compare_target").set_value("unit").run()
    vgg = app.session_state["session"].models[0]
    app.text_input(key=f"compare_place_{vgg}").set_value("1, 2").run()
    app.number_input(key=f"compare_unit_{vgg}").set_value(5000).run()
    finish(app)
    assert not app.error
    assert [job for job in cache.jobs().jobs if job.unit == "maps"]
    app.text_input(key=f"compare_place_{vgg}").set_value("here").run()
    assert "row, column" in app.error[0].value


def test_images_that_have_gone_are_named_and_the_others_stay_on_every_page(app, tmp_path, data_folder):
    state, demo = app.session_state["session"], cache.demo_images()
    table = "file,label\n" + "".join(f"{Path(demo.names[row]).stem},{demo.labels[row]},\n" for row in range(8))
    entries = {Path(demo.names[row]).name: demo.paths[row].read_bytes() for row in range(9)}
    images = intake.from_folder(write(tmp_path / "**set**", {**entries, "labels.csv": table}), data_folder)
    state.use_images(images.digest)
    state.switched_off.update(state.models[1:])
    lost = images.paths[0], images.paths[3]
    lost[0].unlink()
    app.switch_page("../upload/page.py").run()
    assert not app.exception
    assert "labels.csv: 8 of 8 rows used" in words(app)
    app.switch_page("../suggestion/page.py").run()
    app.button(key="suggestion_score").click().run()
    finish(app)
    assert "1 of 9 images could not be read" in app.warning[0].value
    assert lost[0].name in app.warning[0].value.replace("\\", "")
    lost[1].write_bytes(demo.paths[40].read_bytes())
    state.pick([images.ids[0], images.ids[3], images.ids[5]])
    for name in ("suggestion", "compare", "reason", "prediction_difference", "layers"):
        state.position = 0
        app.switch_page(f"../{name}/page.py").run()
        assert not app.exception, name
        if name != "suggestion":
            assert "got nothing at" in app.error[0].value, name
    app.switch_page("../compare/page.py").run()
    app.button(key="compare_on").click().run()
    assert "another image at" in app.error[0].value
    app.button(key="compare_on").click().run()
    assert "3 / 3" in words(app)
    assert not app.error


def test_a_regression_model_is_explained_but_takes_no_part_in_the_vote(app):
    state = app.session_state["session"]
    state.add_model(cache.model_store().add(tiny_loaded(n_classes=1, head="regression")).digest)
    state.switched_off.update(state.models[1:4])
    app.switch_page("../suggestion/page.py").run()
    assert "Left: the model is sure of the true class" in words(app), "one classifier is left"
    app.switch_page("../compare/page.py").run()
    finish(app)
    app.button(key="compare_six").click().run()
    state.picks = state.picks[:1]
    finish(app)
    assert not state.failures


def test_one_model_gets_the_histogram_of_its_error_or_of_a_layer_or_unit(app):
    switch_off(app, 1, 2, 3)
    app.switch_page("../suggestion/page.py").run()
    assert "Left: the model is sure of the true class" in words(app)
    app.segmented_control(key="one_model_what").set_value("Activation of a layer").run()
    assert "Right: highest activation" in words(app)
    card = cache.card(app.session_state["session"].models[0])
    app.selectbox(key=f"one_model_layer_{card.digest}").set_value("features.5").run()
    finish(app)
    app.number_input(key="one_model_unit").set_value(3).run()
    assert not app.exception
    assert "Right: highest activation" in words(app)


def test_a_folder_that_is_not_there_gets_one_line_and_nothing_is_lost(new_app):
    app = new_app.run()
    state = app.session_state["session"]
    before, folder = state.images, Path("/nowhere/at/all")
    read = Job("Reading", lambda job: intake.from_folder(folder, settings().data_folder, job.report))
    state.jobs["images"] = cache.jobs().submit(read, "interactive")
    finish(app, failing=True)
    assert "Expected a folder on the server" in app.error[0].value
    assert state.images == before


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
    app.switch_page("../trust/page.py").run()
    assert "Nothing is measured yet" in app.info[0].value
    app.multiselect(key="trust_methods").set_value(["saliency", "lime", "legrad"]).run()
    app.multiselect(key="trust_methods").set_value(["saliency", "guided-backprop"]).run()
    app.number_input(key="trust_count").set_value(2).run()
    app.button(key="trust_measure").click().run()
    finish(app)
    rows = app.dataframe[0].value
    assert len(rows) == 7  # the transformer has no ReLU
    assert rows["deletion"].between(0, 1).all()
    assert "needs ReLU" in words(app)
    app.button(key="trust_randomise").click().run()
    finish(app)
    assert "ρ = " in words(app)
