"""Where nothing can be written, one line says so before any work."""

import errno
import os
import tempfile
from pathlib import Path

import pytest

from common.files import check_writable, read_text
from common.settings import settings
from tests.makers import one_line


@pytest.fixture
def full_disk(monkeypatch):
    def refuse(*_args, **_options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)


def in_a_file(tmp_path: Path) -> Path:
    (tmp_path / "file").write_text("no folder")
    return tmp_path / "file" / "deeper"


def test_a_folder_that_can_be_written_is_left_as_it_was(tmp_path):
    check_writable(tmp_path / "new" / "deeper", "a folder", "Choose another.")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_below_a_file_is_none(tmp_path):
    with one_line("a folder, got", "deeper (Not a directory). Choose another."):
        check_writable(in_a_file(tmp_path), "a folder", "Choose another.")


@pytest.mark.usefixtures("full_disk")
def test_a_full_data_folder_is_told_with_the_way_to_another(data_folder):
    with one_line("a data folder that can be written", f"{data_folder} (No space left", "PARALLAX_DATA"):
        settings().data_folder  # noqa: B018


def test_a_data_folder_that_cannot_be_made_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("PARALLAX_DATA", str(in_a_file(tmp_path)))
    settings.cache_clear()
    with one_line("a data folder that can be written", "Not a directory"):
        settings().data_folder  # noqa: B018


def test_a_text_that_is_none_or_not_there_is_told(tmp_path):
    (tmp_path / "names.txt").write_bytes(b"\xff\xfe\x00k")
    with one_line("class names", "names.txt (which is not text in UTF-8)"):
        read_text(tmp_path / "names.txt", "class names")
    with one_line("class names", "none.txt (No such file"):
        read_text(tmp_path / "none.txt", "class names")
