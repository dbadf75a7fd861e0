"""What was stopped, or has failed as a whole, waits for a button on every page, and what its places say meanwhile."""

import threading

import pytest
from streamlit.testing.v1 import AppTest

from jobs.queue import State
from pages.shared import cache, session_jobs
from suggestion import activations, scoring
from tests.pages.apps import APP, figures, finish, words

#: Pages that begin by themselves, with the name of their job, and whether another image is among the job's own.
BEGIN = {"compare": True, "reason": True, "layers": False}


@pytest.fixture
def gate(monkeypatch):
    """Lets nothing be computed before it is set; a report of progress before and after."""
    gate = threading.Event()

    def compute(sources, requests, failures, progress, show):
        progress(0, len(requests))
        assert gate.wait(60)
        progress(0, len(requests))

    monkeypatch.setattr(session_jobs, "compute_missing", compute)
    yield gate
    for job in cache.jobs().jobs:
        job.stop()
    gate.set()
    assert all(job.wait(60) for job in cache.jobs().jobs)


@pytest.fixture
def full_disk(monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(session_jobs, "compute_missing", fail)
    monkeypatch.setattr(activations, "measure", fail)
    monkeypatch.setattr(scoring, "score", fail)


def open_page(app, name: str):
    """The page with two images picked."""
    state = app.session_state["session"]
    state.pick(list(cache.image_set(state.images).ids[:2]))
    app.switch_page(f"../{name}/page.py").run()
    assert not app.exception, app.exception
    return state


def said(app) -> str:
    """All words outside of charts, those of bars and messages among them, and those in the charts."""
    bars = " ".join(bar.proto.text for bar in app.get("progress"))
    charts = " ".join(words["text"] for figure in figures(app) for words in figure["layout"].get("annotations", ()))
    return " ".join([words(app), bars, charts, *(error.value for error in app.error)])


def test_what_was_stopped_stays_so_over_runs_and_images_until_a_button_is_pressed(app, gate):
    for name in BEGIN:
        stays_stopped(app, gate, name)


def stays_stopped(app, gate, name: str) -> None:
    state = open_page(app, name)
    job = state.jobs[name]
    assert job.active
    app.button(key=f"{name}_stop").click().run()
    assert "stopping …" in said(app)
    assert app.button(key=f"{name}_stop").disabled
    gate.set()
    assert job.wait(60)
    assert job.state is State.CANCELLED
    for _ in range(2):
        app.run()
    if BEGIN[name]:
        app.button(key=f"{name}_on").click().run()
        app.button(key=f"{name}_back").click().run()
    assert state.jobs[name] is job
    assert "Stopped. What is finished is kept" in said(app)
    assert "stopped" in said(app)
    assert "computing …" not in said(app)
    assert "waiting for the map" not in said(app)
    gate.clear()
    app.button(key=f"{name}_resume").click().run()
    assert state.jobs[name].active
    state.jobs[name].stop()


def test_a_job_that_fails_as_a_whole_is_not_begun_again_and_its_line_is_shown(app, full_disk):
    for name in BEGIN:
        stays_failed(app, name)


def stays_failed(app, name: str) -> None:
    state = open_page(app, name)
    finish(app, failing=True)
    job = state.jobs[name]
    n_jobs = len(cache.jobs().jobs)
    for _ in range(3):
        app.run()
    assert len(cache.jobs().jobs) == n_jobs
    assert state.jobs[name] is job
    assert "one that is full" in said(app)
    assert "waiting for the map" not in said(app)
    app.button(key=f"{name}_resume").click().run()
    assert state.jobs[name] is not job


def test_a_new_choice_begins_without_what_was_stopped(app, gate):
    state = open_page(app, "compare")
    app.button(key="compare_stop").click().run()
    gate.set()
    assert state.jobs["compare"].wait(60)
    app.run()
    gate.clear()
    app.multiselect(key="compare_methods").set_value(["grad-cam", "occlusion", "saliency"]).run()
    job = state.jobs["compare"]
    assert job.active
    stopped = state.halted["compare"]
    assert len(job.parts - stopped.keys()) == len(job.parts) / 3, "saliency alone"
    assert said(app).count("stopped") >= 8


def test_what_another_visitor_no_longer_needs_is_not_taken_for_stopped(app, gate):
    mine = open_page(app, "compare")
    other = AppTest.from_file(APP, default_timeout=120).run()
    theirs = open_page(other, "compare")
    assert theirs.jobs["compare"] is mine.jobs["compare"], "both wait for the same maps"
    app.multiselect(key="compare_methods").set_value(["grad-cam"]).run()
    shared = theirs.jobs["compare"]
    gate.set()
    assert shared.wait(60)
    gate.clear()
    other.run()
    assert theirs.jobs["compare"] is not shared
    assert theirs.jobs["compare"].active
    assert not theirs.halted["compare"]


def test_a_store_without_room_is_named_once(app, monkeypatch):
    monkeypatch.setattr(session_jobs, "compute_missing", lambda *_: None)
    state = open_page(app, "reason")
    finish(app)
    job = state.jobs["reason"]
    app.run()
    assert state.jobs["reason"] is job
    assert "no room" in said(app)


def test_measuring_the_images_of_a_layer_waits_for_its_button_after_it_was_stopped(app, monkeypatch):
    gate = threading.Event()

    def measure(model_store, card, images, layer, store, report):
        report(0, len(images))
        assert gate.wait(60)
        report(1, len(images))

    monkeypatch.setattr(activations, "measure", measure)
    monkeypatch.setattr(activations, "through", lambda *_: False)
    app.switch_page("../maxout/page.py").run()
    state = app.session_state["session"]
    job = state.jobs["maxout_images"]
    job.stop()
    gate.set()
    assert job.wait(60)
    app.run()
    app.multiselect(key="maxout_models").set_value(state.models[:2]).run()
    assert state.jobs["maxout_images"] is job, "fewer models are not another choice"
    app.button(key="maxout_measure").click().run()
    assert state.jobs["maxout_images"] is not job


def test_scoring_that_was_stopped_waits_also_where_another_model_joins(new_app, monkeypatch):
    gate = threading.Event()

    def score(model_store, cards, images, folder, report):
        report(0, 100)
        assert gate.wait(60)
        report(1, 100)

    monkeypatch.setattr(scoring, "score", score)
    app = new_app.run()
    app.sidebar.checkbox[3].uncheck().run()
    app.switch_page("../compare/page.py").run()
    [job] = cache.jobs().jobs
    job.stop()
    app.run()
    assert "stopping …" in said(app)
    gate.set()
    assert job.wait(60)
    app.run()
    app.sidebar.checkbox[3].check().run()
    app.switch_page("../reason/page.py").run()
    assert cache.jobs().jobs == [job]
    gate.clear()
    app.button(key="reason_again").click().run()
    assert len(cache.jobs().jobs) == 2
    cache.jobs().jobs[1].stop()
    gate.set()


def test_scoring_that_fails_names_the_disk_and_a_model_that_fails_can_be_switched_off(new_app, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(scoring, "score", fail)
    app = new_app.run()
    app.switch_page("../trust/page.py").run()
    finish(app, failing=True)
    app.run()
    assert "one that is full" in said(app)
    assert len(cache.jobs().jobs) == 1
    vit = app.session_state["session"].models[2]
    monkeypatch.setattr(scoring, "score", lambda *_: {vit: "is *out* of order"})
    app.button(key="trust_again").click().run()
    finish(app, failing=True)
    n_jobs = len(cache.jobs().jobs)
    app.run()
    assert len(cache.jobs().jobs) == n_jobs
    assert r"vit failed: is \*out\* of order" in said(app)
    app.button(key="trust_without").click().run()
    assert vit in app.session_state["session"].switched_off


def test_the_sidebar_stops_a_job_for_good_and_says_so(app, gate):
    state = open_page(app, "reason")
    job = state.jobs["reason"]
    app.sidebar.button(key=f"sidebar_cancel_{job.number}").click().run()
    assert app.sidebar.button(key=f"sidebar_cancel_{job.number}").label == "Stopping …"
    gate.set()
    assert job.wait(60)
    app.run()
    assert state.jobs["reason"] is job
