"""Contrasts and generators from the command line, on digits and on pictures in a folder."""

import json

import numpy as np
import pytest
from PIL import Image

from common.settings import settings
from explainers.contrastive import generators
from explainers.contrastive.__main__ import main
from explainers.contrastive.generator import Shape
from explainers.contrastive.ready_made import READY_MADE, WEIGHTS, ready_made, sheet
from images.digits import digits_image_set
from parallax.arguments import store_of_settings


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(autouse=True)
def data_of_all(data_folder, shared, monkeypatch):
    """One data folder for the tests of this file: writing the digits takes a second."""
    monkeypatch.setenv("PARALLAX_DATA", str(shared))
    settings.cache_clear()


QUICK = ["inversion_steps=20", "restarts=1", "rounds=6", "iterations=10"]


def test_digits_are_explained_by_the_generator_that_comes_with_the_app(tmp_path, capsys):
    command = ["--model", "digits/lenet", "digits/square", "--images", "digits", "--held-out", "--first", "2"]
    assert main([*command, "--set", *QUICK, "--out", str(tmp_path)]) == 0
    facts = json.loads((tmp_path / "facts.json").read_text())
    assert len(facts) == 4
    for fact in facts:
        assert np.asarray(Image.open(tmp_path / fact["file"])).shape[2] == 3
        assert fact["true"] != fact["probe"]
        assert fact["residual"] < 0.2
    assert "and not" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "digits/lenet", "--probe", "ten"], "a class of lenet"),
        (["--model", "digits/lenet", "--image", "held-out-0004.bmp"], "a picture of digits"),
        (["--model", "digits/lenet", "--first", "1", "--set", "margins=1"], "Did you mean margin"),
        (["--model", "digits/lenet", "--first", "1", "--set", "rounds=0"], "rounds between 1 and 100"),
        ([], "--model"),
        (["--train", "--set", "side=40"], "32 or 64"),
    ],
)
def test_mistakes_get_one_line(tmp_path, capsys, arguments, words):
    assert main([*arguments, "--images", "digits", "--out", str(tmp_path)]) == 2
    line = capsys.readouterr().err.strip()
    assert words in line
    assert "\n" not in line


def test_same_classes_and_sets_without_a_generator_are_told(tmp_path, capsys):
    both = ["--model", "digits/lenet", "--first", "1", "--true", "3", "--probe", "3"]
    assert main([*both, "--images", "digits", "--out", str(tmp_path)]) == 1
    assert "two different classes, got 3 twice" in capsys.readouterr().out
    Image.new("L", (32, 32)).save(tmp_path / "one.png")
    assert main(["--model", "digits/lenet", "--images", str(tmp_path / "one.png"), "--out", str(tmp_path)]) == 1
    assert "Train one" in capsys.readouterr().out


def test_a_generator_is_trained_and_then_used(tmp_path, shared):
    chosen = ["steps=2", "width=4", "latent=8", "batch=8", "critic_steps=1"]
    command = ["--train", "--images", "digits-marked", "--out", str(tmp_path), "--set", *chosen]
    assert main(command) == 0
    assert np.asarray(Image.open(tmp_path / "samples.png")).shape == (256, 256, 3)
    assert generators.find(store_of_settings(), digits_image_set(shared, marked=True).digest).shape == Shape(
        32, 1, 8, 4
    )


def test_ready_made_generators_are_small_and_belong_to_their_sets(shared):
    assert ready_made("another set") is None
    for name, marked in READY_MADE.items():
        path = WEIGHTS / f"{name}.safetensors"
        assert path.stat().st_size < 4_000_000
        found = ready_made(digits_image_set(shared, marked).digest)
        assert found is not None, "the digits have changed: train their generators anew"
        assert found.shape.channels == 1
        assert not any(parameter.requires_grad for parameter in found.generator.parameters())


def test_samples_lie_on_a_sheet_row_by_row():
    samples = np.arange(4, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 1), np.uint8)
    assert sheet(samples, 2)[..., 0].tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]
