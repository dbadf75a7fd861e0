"""What an upload leaves in memory."""

import gc
import io
import weakref

import numpy as np
import pytest
import streamlit as st
from PIL import Image
from streamlit.proto.Common_pb2 import FileURLs
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.uploaded_file_manager import UploadedFile, UploadedFileRec
from streamlit.testing.v1 import AppTest, local_script_runner

from jobs.queue import State
from pages.shared import cache
from pages.upload import controls
from pages.upload.checkpoints import Plan, _job

N_UPLOADS = 60


def uploaded(name, content):
    return UploadedFile(UploadedFileRec(name, name, "", content), FileURLs())


def picture(number):
    buffer = io.BytesIO()
    Image.fromarray(np.full((4, 4, 3), number, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def in_memory(watched):
    gc.collect()
    return sum(ref() is not None for ref in watched)


@pytest.mark.parametrize("content", [picture, lambda number: b"no picture"], ids=["read", "refused"])
def test_ended_jobs_keep_no_uploaded_image(monkeypatch, new_app, content):
    watched = []
    with monkeypatch.context() as patch:
        patch.setattr(st, "button", lambda *_, **__: True)
        for number in range(N_UPLOADS):
            file = uploaded(f"{number}.png", content(number))
            watched.append(weakref.ref(file))
            patch.setattr(st, "file_uploader", lambda *_, made=[file], **__: made)
            assert controls.uploaded_images().wait(30)
            del file
    assert {job.state for job in cache.jobs().jobs} == {State.DONE if content is picture else State.FAILED}
    assert in_memory(watched) == 0


def test_ended_jobs_keep_no_uploaded_model(data_folder):
    st.cache_resource.clear()
    watched = []
    for number in range(N_UPLOADS):
        file = uploaded(f"{number}.pt", b"no weights")
        watched.append(weakref.ref(file))
        assert cache.jobs().submit(_job([Plan(file, "cifar/resnet20", {})], {}, {}), "interactive").wait(30)
        del file
    assert {job.state for job in cache.jobs().jobs} == {State.FAILED}
    assert in_memory(watched) == 0


def test_a_job_that_is_cancelled_before_it_begins_keeps_nothing(data_folder):
    st.cache_resource.clear()
    file = uploaded("a.pt", b"no weights")
    job = _job([Plan(file, "cifar/resnet20", {})], {}, {})
    watched = [weakref.ref(file)]
    del file
    assert in_memory(watched) == 1
    job.stop()
    assert in_memory(watched) == 0


def forms():
    """A page whose form is empty again after each upload, beside one that stays."""
    import streamlit as st

    from pages.shared import uploads

    number = st.session_state.setdefault("number", 0)
    st.file_uploader("Stays", accept_multiple_files=True, key="stays")
    if st.session_state.get("on_page", True):
        st.file_uploader("Once", accept_multiple_files=True, key=f"once_{number}")
    uploads.let_go()


def test_files_go_with_their_form_and_no_other(monkeypatch):
    manager = MemoryUploadedFileManager("/upload")
    monkeypatch.setattr(local_script_runner, "MemoryUploadedFileManager", lambda endpoint: manager)

    def names():
        return sorted(file.name for files in manager.file_storage.values() for file in files.values())

    page = AppTest.from_function(forms).run()
    page.file_uploader(key="stays").set_value(("kept.txt", b"kept", "text/plain")).run()
    for number in range(3):
        page.file_uploader(key=f"once_{number}").set_value((f"{number}.txt", b"once", "text/plain")).run()
        assert names() == [f"{number}.txt", "kept.txt"]
        page.session_state["number"] = number + 1  # as after a job that took them in
        page.run()
        assert names() == ["kept.txt"]
    page.file_uploader(key="once_3").set_value(("left.txt", b"left", "text/plain")).run()
    page.session_state["on_page"] = False  # as on another page
    page.run()
    assert names() == ["kept.txt"]
    assert not page.exception
