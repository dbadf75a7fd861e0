"""`python -m explainers`, as a person types it."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from common.errors import InputError
from explainers.__main__ import applies_table, main
from explainers.methods.cam import GradCAM
from explainers.methods.guided import GuidedBackprop
from explainers.methods.occlusion import Occlusion
from explainers.registry import METHODS
from parallax.arguments import params_of
from tests.explainers.nets import NETS, add, seeded
from tools.painter.paintings import demo_painting


@pytest.fixture
def painting(tmp_path):
    path = tmp_path / "painting.png"
    Image.fromarray(demo_painting(0).image).save(path)
    return path


def refused(capsys, *arguments) -> str:
    """The one line that bad input gets, with exit status 2."""
    assert main([str(argument) for argument in arguments]) == 2
    printed = capsys.readouterr().err.strip()
    assert "\n" not in printed
    assert printed.startswith("Expected ")
    return printed


def test_a_painting_is_explained_by_a_demo_net(painting, tmp_path, capsys):
    out = tmp_path / "maps"
    texts = ["--model", "demo/vgg", "--image", painting, "--method", "grad-cam", "occlusion", "--out", out]
    assert main([str(text) for text in texts]) == 0
    endings = (".npz", ".png")
    assert {path.name for path in out.iterdir()} == {
        f"painting-vgg-{name}{ending}" for name in ("grad-cam", "occlusion") for ending in endings
    }
    assert capsys.readouterr().out.count("painting.png") == 2
    for path in out.glob("*.npz"):
        with np.load(path) as stored:
            facts, laid = json.loads(str(stored["facts"])), stored["map"]
        assert laid.ndim == 2
        assert laid.max() > 0
        assert facts["method"] in path.name
        assert len(facts["targets"]) == len(facts["image_ids"]) == 1
    for path in out.glob("*.png"):
        with Image.open(path) as picture:
            assert picture.size == (224, 224)
            assert np.ptp(np.asarray(picture), axis=2).max() > 50  # a grey picture with colours over it


def facts_of(tmp_path, painting, *arguments) -> dict:
    out = tmp_path / "one"
    texts = ["--model", "demo/vgg", "--image", painting, "--method", "occlusion", "--out", out, *arguments]
    assert main([str(text) for text in texts]) == 0
    (path,) = out.glob("*.npz")
    with np.load(path) as stored:
        return json.loads(str(stored["facts"]))


@pytest.mark.parametrize("text", ["seascape", "2"])
def test_a_class_is_named_or_numbered(tmp_path, painting, text):
    assert facts_of(tmp_path, painting, "--target", text)["targets"] == [2]


def test_settings_and_output_reach_the_method(tmp_path, painting):
    facts = facts_of(
        tmp_path, painting, "--set", "window=0.5", "fill=black", "--output", "unit", "--layer", "features.3",
        "--place", "3,5", "--target", "7",
    )  # fmt: skip
    assert facts["params"]["window"] == 0.5
    assert facts["params"]["fill"] == "black"
    assert facts["output"] == {"kind": "unit", "layer": "features.3", "place": [3, 5]}
    assert facts["targets"] == [7]


def test_bad_input_gets_one_line_and_status_2(tmp_path, painting, capsys):
    start = ["--model", "demo/vgg", "--image", painting, "--out", tmp_path / "x"]
    assert "Did you mean" in refused(capsys, *start, "--method", "grad-cma")
    assert "--image" in refused(capsys, "--model", "demo/vgg", "--method", "grad-cam", "--out", tmp_path / "x")
    assert "--out" in refused(capsys, "--model", "demo/vgg", "--image", painting, "--method", "grad-cam")
    assert "Did you mean vgg" in refused(capsys, "--model", "demo/vgb", *start[2:], "--method", "grad-cam")
    assert "seascape" in refused(capsys, *start, "--method", "grad-cam", "--target", "seascap")
    assert "class" in refused(capsys, *start, "--method", "grad-cam", "--target", "6")
    assert "Did you mean window" in refused(capsys, *start, "--method", "occlusion", "--set", "windw=0.5")
    assert "between" in refused(capsys, *start, "--method", "occlusion", "--set", "window=7")
    assert "number" in refused(capsys, *start, "--method", "occlusion", "--set", "window=wide")
    assert "unit" in refused(capsys, *start, "--method", "occlusion", "--output", "unit", "--layer", "features.3")
    assert "place" in refused(capsys, *start, "--method", "occlusion", "--place", "3x5")
    assert "layer" in refused(capsys, *start, "--method", "grad-cam", "--output", "unit")
    assert "ReLU" in refused(capsys, "--model", "demo/vit", *start[2:], "--method", "guided-backprop")
    assert "at least 1" in refused(capsys, *start, "--method", "grad-cam", "--first", "0")
    assert not list(tmp_path.glob("x/*"))


def test_the_methods_are_listed(capsys):
    assert main(["--list"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in METHODS)


def test_what_applies_to_what_is_a_markdown_table_with_reasons(model_store, capsys):
    cards = [add(model_store, seeded(NETS[net]), net) for net in ("plain", "vit")]
    lines = applies_table(cards, [GradCAM(), GuidedBackprop()]).splitlines()
    assert lines[:4] == [
        "| method | plain | vit |",
        "|---|---|---|",
        "| Grad-CAM | ✓ | ✓ |",
        "| Guided backprop | ✓ | [1] |",
    ]
    assert lines[5] == "1. The method needs ReLU activations; the model uses GELU."
    assert main(["--applies", "demo/vgg"]) == 0
    assert capsys.readouterr().out.count("\n| ") >= len(METHODS)


def test_texts_become_settings_of_the_right_kind():
    assert params_of(GradCAM(), ["layer=8"]) == GradCAM.Params(layer="8")
    assert params_of(Occlusion(), ["window=0.5", "seed=3"]) == Occlusion.Params(window=0.5, seed=3)
    with pytest.raises(InputError, match="whole number"):
        params_of(Occlusion(), ["seed=three"])
    with pytest.raises(InputError, match="name=value"):
        params_of(Occlusion(), ["seed"])


def test_the_table_of_trust_is_written_and_printed(painting, tmp_path, capsys):
    out = tmp_path / "tables" / "trust.csv"
    texts = ["--trust", "--models", "demo/vgg", "demo/vit", "--images", painting, "--first", "1", "--out", out]
    assert main([str(text) for text in [*texts, "--method", "grad-cam", "guided-backprop"]]) == 0
    rows = pd.read_csv(out)
    assert rows[["method", "images"]].to_numpy().tolist() == [
        ["grad-cam", 1], ["grad-cam", 1], ["guided-backprop", 1], ["guided-backprop", 0],
    ]  # fmt: skip
    assert "ReLU" in rows["reason"][3]
    printed = capsys.readouterr()
    assert "insertion" in printed.out
    assert "3 of 3 maps" in printed.err
