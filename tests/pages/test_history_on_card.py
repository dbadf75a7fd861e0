"""A model's training history on the Upload page: given as a file, drawn on the card, found again, taken away."""

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from pages.shared import cache
from pages.upload import history
from playground.history import History
from tests.pages.apps import figures

CSV = b"epoch,loss,val_loss,lr\n0,2.0,1.9,0.1\n1,1.0,1.2,0.1\n2,0.5,1.3,0.01\n"


def dialog():
    """What the dialog and a card show, on a page of their own."""
    import streamlit as st

    from pages.shared import cache
    from pages.upload import history

    history.form(cache.demo_cards()[0])
    with st.container():
        history.on_card(cache.demo_cards()[0])


@pytest.fixture
def page(data_folder):
    st.cache_resource.clear()
    return AppTest.from_function(dialog, default_timeout=60).run()


def give(page, name, content):
    page.file_uploader[0].set_value([(name, content, "text/csv")])
    page.run()
    assert not page.exception, page.exception
    return page


def lines(figure):
    return [trace["name"] for trace in figure["data"] if "lines" in trace["mode"]]


def test_a_history_is_shown_before_it_is_kept_and_then_on_the_card(page):
    give(page, "log.csv", CSV)
    assert [lines(figure) for figure in figures(page)] == [["log.csv: training loss", "log.csv: validation loss"]]
    assert any("counted from 0" in caption.value for caption in page.caption)
    digest = cache.demo_cards()[0].digest
    assert history.kept().get(digest) is None
    page.button(key=f"upload_history_keep_{digest}").click().run()
    assert history.kept().get(digest).epochs.tolist() == [0, 1, 2]
    assert lines(figures(page)[-1]) == ["log.csv: training loss", "log.csv: validation loss"]


def test_other_columns_can_be_drawn_too(page):
    give(page, "log.csv", CSV)
    page.selectbox[0].set_value("lr").run()
    assert lines(figures(page)[0]) == ["log.csv: lr"]


def test_what_is_no_history_gets_one_line_and_is_not_kept(page):
    give(page, "notes.txt", b"dear diary")
    (error,) = page.error
    assert "Expected a training history" in error.value
    assert not [button for button in page.button if "keep" in str(button.key)]


def test_a_kept_history_can_be_taken_away_and_a_damaged_one_is_told(page):
    digest = cache.demo_cards()[0].digest
    history.kept().put(digest, History("log", np.array([1]), {"validation accuracy": np.array([0.5])}))
    page.run()
    assert len(figures(page)) == 1
    history.kept().path(digest).write_text("{")
    page.run()
    assert "which is damaged" in page.error[0].value
    page.button(key=f"upload_history_remove_{digest}").click().run()
    assert not history.kept().path(digest).exists()
    assert not figures(page)
    assert not page.error
