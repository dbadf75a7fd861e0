"""A disk that is full or can only be read, and a data folder that is gone: a line on the page, no loop, and then on."""

import contextlib
import errno
import os
import shutil

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from common import files, sealed
from jobs.queue import State
from models import loaders
from pages.shared import cache
from tests.pages.apps import APP, words

#: Pages that begin by themselves, or write.
PAGES = ("layers", "maxout", "playground", "upload")


class Disk:
    """What the server's disk is like: whole, full, or such that it can only be read."""

    def __init__(self, patch) -> None:
        self.errno = 0
        write, utime = files.atomic_write, os.utime

        @contextlib.contextmanager
        def atomic_write(path):
            self.ask(path)
            with write(path) as partial:
                yield partial

        def touch(path, *args, **kwargs):
            if self.errno == errno.EROFS:
                self.ask(path)
            return utime(path, *args, **kwargs)

        for module in (files, sealed, loaders):
            patch.setattr(module, "atomic_write", atomic_write)
        patch.setattr(os, "utime", touch)

    def ask(self, path) -> None:
        if self.errno:
            raise OSError(self.errno, os.strerror(self.errno), str(path))


@pytest.fixture
def disk(monkeypatch):
    return Disk(monkeypatch)


def run(page) -> None:
    """Run the page and wait for its jobs, again and again."""
    for _ in range(2):
        page.run()
        for job in list(cache.queue()._jobs):
            assert job.wait(120), job.title
    page.run()
    assert not page.exception, page.exception


def lines(page) -> str:
    return " ".join(element.value for element in (*page.error, *page.warning)).replace("\\", "")


def n_jobs() -> int:
    return len(cache.queue()._jobs)


def test_maps_wait_for_a_button_while_the_disk_refuses_and_come_once_it_is_mended(app, disk, data_folder):
    state = app.session_state["session"]
    state.pick(list(cache.demo_images().ids[:2]))
    disk.errno = errno.EROFS
    app.switch_page("../compare/page.py")
    run(app)
    said = lines(app)
    assert "one that cannot be written" in said
    assert str(data_folder) not in said
    begun = n_jobs()
    run(app)
    assert n_jobs() == begun, "no job is begun again by itself"
    disk.errno = 0
    app.button(key="compare_resume").click().run()
    run(app)
    assert "disk" not in lines(app)
    assert state.jobs["compare"].state is State.DONE


def test_no_page_shows_a_trace_or_begins_jobs_without_end(app, disk):
    state = app.session_state["session"]
    state.pick(list(cache.demo_images().ids[:2]))
    disk.errno = errno.ENOSPC
    for name in PAGES:
        app.switch_page(f"../{name}/page.py")
        run(app)
        begun = n_jobs()
        run(app)
        assert n_jobs() == begun, name


def test_scoring_says_that_the_disk_is_full_and_goes_on_with_a_button(app, disk, data_folder):
    shutil.rmtree(data_folder / "predictions")
    st.cache_resource.clear()
    disk.errno = errno.ENOSPC
    app.switch_page("../suggestion/page.py").run()
    app.button(key="suggestion_score").click()
    run(app)
    assert "one that is full" in lines(app)
    assert n_jobs() == 1
    disk.errno = 0
    next(button for button in app.button if button.label == "Resume").click().run()
    run(app)
    assert not app.error
    assert "images" in words(app)


def test_a_server_that_starts_on_a_full_disk_says_so_and_starts_once_it_is_mended(new_app, disk, data_folder):
    disk.errno = errno.ENOSPC
    new_app.run()
    assert not new_app.exception, new_app.exception
    assert "disk" in lines(new_app)
    disk.errno = 0
    new_app.run()
    assert not new_app.error
    assert "Add models and images" in words(new_app)


def test_a_data_folder_that_is_removed_is_made_again(app, data_folder):
    shutil.rmtree(data_folder)
    for page in ("upload", "suggestion", "playground"):
        app.switch_page(f"../{page}/page.py")
        run(app)
        assert not app.error, lines(app)
    assert data_folder.exists()
    again = AppTest.from_file(APP, default_timeout=120).run()  # another visitor
    assert not again.exception, again.exception
