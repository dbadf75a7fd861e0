from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image

from common.settings import settings
from parallax.__main__ import main
from tools.painter.paintings import demo_painting


class Ran(NamedTuple):
    """What one run of the command line said."""

    status: int
    out: str
    err: str


@pytest.fixture
def run(capsys) -> Callable[..., Ran]:
    """Run `python -m parallax` in this process."""

    def run_here(*arguments: object) -> Ran:
        capsys.readouterr()
        return Ran(main([str(argument) for argument in arguments]), *capsys.readouterr())

    return run_here


@pytest.fixture(scope="module")
def paintings(tmp_path_factory) -> Path:
    """A folder of three paintings of two classes."""
    folder = tmp_path_factory.mktemp("paintings")
    for number in range(3):
        path = folder / ("portrait" if number else "landscape") / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(demo_painting(number).image).save(path)
    return folder


@pytest.fixture(scope="module")
def data_of_module(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def one_data_folder(data_folder, data_of_module, monkeypatch) -> Path:
    """One data folder for the tests of a file: writing the digits takes a second."""
    monkeypatch.setenv("PARALLAX_DATA", str(data_of_module))
    settings.cache_clear()
    return data_of_module
