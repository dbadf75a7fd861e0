"""What every test gets: a data folder of its own, and on request a bank with a tiny model in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bank import settings as settings_module
from bank.bank import Bank
from tests.makers import tiny_loaded


@pytest.fixture(autouse=True)
def data_folder(tmp_path, monkeypatch) -> Path:
    """Nothing that a test stores leaves its own folder, and nobody's parallax.toml changes a test."""
    folder = tmp_path / "data"
    monkeypatch.setenv("PARALLAX_DATA", str(folder))
    monkeypatch.setattr(settings_module, "FILE", tmp_path / "parallax.toml")
    settings_module.settings.cache_clear()
    yield folder
    settings_module.settings.cache_clear()


@pytest.fixture
def bank(tmp_path):
    return Bank(tmp_path / "bank", device="cpu")


@pytest.fixture
def tiny_card(bank):
    return bank.add(tiny_loaded())
