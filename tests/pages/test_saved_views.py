"""What a visitor chose is there again after a reload, for who gets the link, and after a restart of the server."""

import re

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from pages.server.address import TOO_LONG, UNKNOWN_WORKSPACE
from pages.shared import cache, saved_views
from tests.makers import tiny_loaded
from tests.pages.apps import APP, finish, words


def opened(address, restarted: bool = False) -> AppTest:
    """Another session at an address, as after a reload; on a server that was `restarted`, if it was."""
    if restarted:
        st.cache_resource.clear()
        st.cache_data.clear()
    app = AppTest.from_file(APP, default_timeout=120)
    for name, value in address.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception, app.exception
    return app


def address(app) -> dict[str, str]:
    return {name: value[0] if isinstance(value, list) else value for name, value in app.query_params.items()}


def test_picks_position_models_filters_and_settings_are_kept_over_a_restart(app):
    state = app.session_state["session"]
    colours = [state.colour(digest) for digest in state.models]
    app.sidebar.checkbox[1].uncheck().run()
    app.switch_page("../suggestion/page.py").run()
    app.selectbox(key="suggestion_true").set_value("portrait").run()
    app.toggle(key="suggestion_split").set_value(True).run()
    state.pick(list(cache.image_set(state.images).ids[:3]))
    app.run()
    app.switch_page("../reason/page.py").run()
    app.button(key="reason_on").click().run()
    app.slider(key="reason_smoothing").set_value(7).run()
    app.selectbox(key="reason_model").set_value(state.models[2]).run()
    finish(app)
    app.switch_page("../compare/page.py").run()
    app.slider(key="compare_opacity").set_value(35).run()
    app.multiselect(key="compare_methods").set_value(["saliency"]).run()
    app.session_state["session"].halted["compare"] = {"goal": "stopped"}
    app.run()
    again = opened(address(app), restarted=True)
    found = again.session_state["session"]
    assert (found.models, found.switched_off, found.images) == (state.models, state.switched_off, state.images)
    assert (found.picks, found.position) == (state.picks, 1)
    assert [found.colour(digest) for digest in found.models] == colours
    again.switch_page("../suggestion/page.py").run()
    assert again.selectbox(key="suggestion_true").value == "portrait"
    assert again.toggle(key="suggestion_split").value is True
    again.switch_page("../reason/page.py").run()
    assert again.slider(key="reason_smoothing").value == 7
    assert again.selectbox(key="reason_model").value == state.models[2]
    assert "2 / 3" in words(again)
    again.switch_page("../compare/page.py").run()
    assert again.slider(key="compare_opacity").value == 35, "set in a part of the page that runs alone"
    assert again.multiselect(key="compare_methods").value == ["saliency"]
    assert found.halted["compare"] == {"goal": "stopped"}
    assert not again.warning
    assert not again.exception


def test_two_sessions_at_one_address_do_not_write_into_each_others(app):
    first, second = opened(address(app)), opened(address(app))
    views = {address(one)["view"] for one in (app, first, second)}
    assert len(views) == 3
    second.sidebar.checkbox[0].uncheck().run()
    assert not opened(address(first)).session_state["session"].switched_off
    assert len(opened(address(second)).session_state["session"].switched_off) == 1


def test_an_address_with_models_alone_opens_these_models(app):
    models = app.session_state["session"].models
    assert opened({"models": ",".join(models[1:3])}).session_state["session"].models == models[1:3]
    assert opened({"models": "vit, vgg"}).session_state["session"].models == [models[2], models[0]]
    assert opened({**address(app), "models": models[1]}).session_state["session"].models == [models[1]], (
        "before the file's"
    )
    assert opened({"models": models[3]}, restarted=True).session_state["session"].models == [models[3]]


def test_what_an_address_names_and_nobody_knows_is_named(app):
    digest = cache.model_store().add(tiny_loaded(name="tiny")).digest
    again = opened({"models": f"{digest},nobody_knows", "images": "0" * 16, "view": "0" * 16})
    assert again.session_state["session"].models == [digest]
    said = " ".join(warning.value for warning in again.warning)
    assert r"nobody\_knows" in said
    assert "0" * 16 in said
    assert "paintings" in words(again)


HOSTILE = {
    "nothing": ("", " ", ",", ",, ,"),
    "long": ("a" * 300, "a" * 99_000, ",".join(map(str, range(5_000)))),
    "paths": ("../../etc/passwd", "/etc/passwd", "..", ".", "folder-0123456789abcdef", "~root", "a/b", "%2e%2e%2f"),
    "signs": ("\0", "a\0b", "\n\r\t", "\u202e\u200b", "\ud7ff\ufffe", "😀", "1\u0662", "-", "%00"),
    "markup": ("![x](http://x.org/a.png)", "<img src=x onerror=alert(1)>", "**b** $x$ :red[x]", "`c` [a](b)"),
    "digests": ("0" * 16, "0123456789abcdeF", "0123456789abcdef0", "０" * 16),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_an_address_of_any_content_opens_the_start_page_with_a_short_line(app, kind):
    state = app.session_state["session"]
    for text in HOSTILE[kind]:
        found = opened({"models": text, "images": text, "view": text, "workspace": text, text[:9]: text})
        now = found.session_state["session"]
        assert (now.models, now.images) == (state.models, state.images), text[:30]
        assert len(now.warnings) >= (3 if text.strip(" ,\n\r\t") else 0), text[:30]
        assert all(len(line) < 200 and line.isprintable() for line in now.warnings)
        said = [warning.value for warning in found.warning]
        assert not [line for line in said if re.search(r"(?<!\\)[*<`$\[]", line)], text[:30]


def test_an_address_that_was_too_long_is_told(app):
    assert opened({TOO_LONG: "1"}).warning[0].value == "The address is too long to be read."
    assert "a workspace that this server does not know" in opened({UNKNOWN_WORKSPACE: "1"}).warning[0].value


def test_files_that_are_none_and_a_full_disk_stop_nothing(app, data_folder, monkeypatch):
    (data_folder / "views").mkdir(exist_ok=True)
    for content in ("", "{'models': [", "__import__('os')", "[1]", "{'picks': ['no image'], 'position': 9}"):
        (data_folder / "views" / ("a" * 16 + ".txt")).write_text(content)
        state = opened({"view": "a" * 16}).session_state["session"]
        assert (len(state.models), state.picks, state.position) == (4, [], 0)
    assert saved_views.read("../../etc/passwd") == {}

    def fail(name, chosen):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(saved_views, "write", fail)
    app.sidebar.checkbox[0].uncheck().run()
    app.run()
    assert "No space left on device" in app.warning[0].value
    assert not app.exception


def test_old_files_make_room(data_folder, monkeypatch):
    monkeypatch.setattr(saved_views, "_N_KEPT", 3)
    for number in range(5):
        saved_views.write(f"{number:016x}", repr({"position": number}))
    assert len(list((data_folder / "views").glob("*.txt"))) == 3
    assert saved_views.read(f"{4:016x}") == {"position": 4}
    assert saved_views.read(f"{0:016x}") == {}
