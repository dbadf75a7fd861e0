"""The stack builder's Python side: which edit is taken, and when. What the browser does is in tests/browser."""

from types import SimpleNamespace

import pytest
from streamlit.testing.v1 import AppTest

from pages.playground.builder import component

RELU = {"kind": "relu"}


def page():
    import streamlit as st

    from pages.playground.builder.component import stack_builder

    def keep(stack):
        st.session_state.stack = stack

    stack = st.session_state.setdefault("stack", [])
    rows = [{"title": "", "shape": "", "parameters": 0, "error": ""}] * (len(stack) + 2)
    stack_builder(stack, rows, {"relu": {"title": "ReLU", "fields": []}}, key="builder", on_change=keep)


@pytest.fixture
def browser(monkeypatch):
    """Stands for the browser: `state` is what it has sent, `shown` what it was given."""
    sides = SimpleNamespace(state=SimpleNamespace(edit=None, explain=None), shown=[], calls=None)

    def mounted(*, data, **calls):
        sides.shown.append((data["number"], data["stack"]))
        sides.calls = calls
        return sides.state

    monkeypatch.setattr(component, "_component", mounted)
    return sides


def test_an_edit_that_no_callback_took_is_taken_once_and_shown_at_once(browser):
    app = AppTest.from_function(page).run()
    browser.state.edit = {"number": 7, "stack": [RELU]}
    app.run()
    assert browser.shown == [(0, []), (0, []), (7, [RELU])]
    app.session_state.stack = []
    app.run()
    assert browser.shown[3:] == [(7, [])]
    assert not app.exception


def test_a_stack_without_a_row_for_each_layer_is_refused():
    with pytest.raises(ValueError, match="Expected 3 rows, with input and classifier; got 2"):
        component.stack_builder([RELU], [{}, {}], {}, key="builder", on_change=print)
