"""Each subcommand once for real, and the mistakes that it refuses."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from explainers.contrastive import generators
from explainers.contrastive.generator import Shape
from explainers.methods.cam import GradCAM
from explainers.methods.guided import GuidedBackprop
from explainers.registry import METHODS
from images.digits import digits_image_set
from parallax.applies import applies_table
from parallax.sources import open_sources
from tests.explainers.nets import NETS, add, seeded


def test_scores_become_one_row_per_image_and_model(run, paintings, tmp_path):
    out = tmp_path / "tables" / "predictions.parquet"
    ran = run("score", "--models", "demo/vgg", "demo/shortcut", "--images", paintings, "--out", out)
    assert ran.status == 0
    frame = pd.read_parquet(out)
    assert len(frame) == 2 * 3
    assert {"image", "file", "model", "label", "class_1", "probability_1", "true_probability"} <= set(frame)
    assert set(frame["model"]) == {"vgg", "shortcut"}
    assert "of 3 labelled images" in ran.out


def maps_of(folder) -> dict[str, dict]:
    """Facts and map of every npz file, by stem."""
    found = {}
    for path in folder.glob("*.npz"):
        with np.load(path) as stored:
            found[path.stem] = json.loads(str(stored["facts"])) | {"map": stored["map"]}
    return found


def test_maps_are_written_raw_and_as_images(run, paintings, tmp_path):
    image, out = paintings / "landscape" / "0.png", tmp_path / "maps"
    texts = ("explain", "--models", "demo/vgg", "--images", image, "--out", out, "--target", "seascape", "--methods")
    for method in (("grad-cam",), ("prediction-difference", "--settings", "window=16", "stride=16", "samples=2")):
        ran = run(*texts, *method)
        assert (ran.status, ran.out.count("0.png")) == (0, 1)
    maps = maps_of(out)
    assert maps.keys() == {"0-vgg-grad-cam", "0-vgg-prediction-difference"}
    for stem, facts in maps.items():
        assert facts["method"] in stem
        assert facts["targets"] == [2]
        assert facts["map"].ndim == 2
        with Image.open(out / f"{stem}.png") as drawn, Image.open(image) as original:
            assert drawn.size == original.size
            assert np.ptp(np.asarray(drawn), axis=2).max() > 50  # a grey image with colours over it


def test_settings_output_and_images_to_learn_from_reach_the_method(run, paintings, tmp_path):
    start = ("explain", "--models", "demo/vgg", "--images", paintings / "landscape", "--out", tmp_path)
    unit = ("--layer", "features.3", "--place", "3,5", "--target", "7")
    assert run(*start, "--methods", "occlusion", "--settings", "window=0.5", "fill=black", *unit).status == 0
    (facts,) = maps_of(tmp_path).values()
    assert (facts["params"]["window"], facts["params"]["fill"]) == (0.5, "black")
    assert facts["output"] == {"kind": "unit", "layer": "features.3", "place": [3, 5]}
    assert facts["targets"] == [7]
    assert run(*start, "--methods", "pattern-net").status == 0
    alone = maps_of(tmp_path)["0-vgg-pattern-net"]["map"]
    assert run(*start, "--methods", "pattern-net", "--fit-on", paintings).status == 0
    assert not np.array_equal(maps_of(tmp_path)["0-vgg-pattern-net"]["map"], alone)


def test_images_and_models_of_one_name_do_not_overwrite_each_other(run, tmp_path, paintings):
    for folder, painting in (("a", 1), ("b", 2)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same.png").write_bytes((paintings / "portrait" / f"{painting}.png").read_bytes())
    out = tmp_path / "maps"
    texts = ("--models", "demo/vgg", "--images", tmp_path / "a", tmp_path / "b", "--out", out)
    assert run("explain", *texts, "--methods", "saliency").status == 0
    assert run("layers", *texts, "--layer", "features.5").status == 0
    assert len(list(out.glob("*.npz"))) == 4


def test_the_table_of_trust_is_written_and_printed(run, paintings, tmp_path):
    out = tmp_path / "tables" / "trust.csv"
    texts = ("--models", "demo/vgg", "demo/vit", "--images", paintings, "--first", "1", "--out", out)
    ran = run("trust", *texts, "--methods", "grad-cam", "guided-backprop")
    assert ran.status == 0
    rows = pd.read_csv(out)
    assert rows[["method", "images"]].to_numpy().tolist() == [
        ["grad-cam", 1], ["grad-cam", 1], ["guided-backprop", 1], ["guided-backprop", 0],
    ]  # fmt: skip
    assert "ReLU" in rows["reason"][3]
    assert "insertion" in ran.out
    assert "3/3" in ran.err


def test_images_that_classes_or_units_respond_to_are_written_with_their_facts(run, tmp_path):
    start = ("maxout", "--out", tmp_path, "--settings", "iterations=2", "pictures=2")
    assert run(*start, "--models", "demo/shortcut", "--target", "portrait", "1").status == 0
    facts = json.loads((tmp_path / "facts.json").read_text())
    assert [fact["title"] for fact in facts] == ["portrait", "landscape"]
    assert [(fact["steps"], len(fact["files"])) for fact in facts] == [(2, 2), (2, 2)]
    with Image.open(tmp_path / facts[0]["files"][0]) as made:
        assert made.size == (64, 64)
    assert run(*start, "--models", "demo/vgg", "--layer", "features.5", "--target", "0", "7").status == 0
    facts = json.loads((tmp_path / "facts.json").read_text())
    assert [fact["taken_for"] for fact in facts] == [[None, None], [None, None]]


def test_unit_maps_are_a_mosaic_raw_maps_and_a_table_of_the_strongest(run, paintings, tmp_path):
    start = ("layers", "--models", "demo/vgg", "--images", paintings, "--only", "landscape/0.png", "--out", tmp_path)
    ran = run(*start, "--layer", "features.5", "--top", "3")
    assert ran.status == 0
    with np.load(tmp_path / "0-vgg-features.5.npz") as stored:
        maps = stored["maps"]
    assert maps.shape == (16, 64, 64)
    lines = ran.out.splitlines()
    assert "16 units · 64×64" in lines[0]
    means = maps.mean((1, 2))
    assert [int(line.split()[0]) for line in lines[2:]] == np.argsort(-means)[:3].tolist()
    assert float(lines[2].split()[1]) == pytest.approx(means.max(), rel=1e-3)
    with Image.open(tmp_path / "0-vgg-features.5.png") as mosaic:
        assert mosaic.width == mosaic.height > 200
    assert run(*start, "--layer", "features.5", "--target", "9", "3").status == 0
    with np.load(tmp_path / "0-vgg-features.5.npz") as stored:
        assert stored["units"].tolist() == [9, 3]
        assert np.array_equal(stored["maps"], maps[[9, 3]])
    assert "6 units · no grid" in run(*start, "--layer", "classifier.4").out
    assert not (tmp_path / "0-vgg-classifier.4.png").exists()


def test_units_of_two_models_can_be_ordered_by_how_far_they_are_apart(run, paintings, tmp_path):
    models = ("--models", "demo/vgg", "demo/shortcut", "--images", paintings / "landscape", "--out", tmp_path)
    ran = run("layers", *models, "--layer", "features.26", "--order", "differ", "--top", "1")
    assert ran.status == 0
    first, second = (np.load(tmp_path / f"0-{name}-features.26.npz")["maps"] for name in ("vgg", "shortcut"))
    apart = np.abs(first - second).mean((1, 2))
    lines = ran.out.splitlines()
    assert int(lines[2].split()[0]) == int(lines[5].split()[0]) == apart.argmax()


@pytest.mark.usefixtures("one_data_folder")
def test_contrasts_are_written_with_their_facts(run, tmp_path):
    quick = ("--settings", "inversion_steps=20", "restarts=1", "rounds=6", "iterations=10")
    models = ("--models", "digits/lenet", "digits/square", "--images", "digits", "--held-out", "--first", "1")
    ran = run("contrast", *models, *quick, "--out", tmp_path)
    assert ran.status == 0
    facts = json.loads((tmp_path / "facts.json").read_text())
    assert len(facts) == 2
    for fact in facts:
        assert np.asarray(Image.open(tmp_path / fact["file"])).shape[2] == 3
        assert fact["true"] != fact["probe"]
        assert fact["residual"] < 0.2
    assert "and not" in ran.out


@pytest.mark.usefixtures("one_data_folder")
def test_contrasts_without_an_answer_fail_one_by_one(run, paintings, tmp_path):
    same = ("--models", "digits/lenet", "--first", "1", "--target", "3", "--probe", "3", "--out", tmp_path)
    ran = run("contrast", *same, "--images", "digits")
    assert ran.status == 1
    assert "two different classes, got 3 twice" in ran.err
    ran = run("contrast", "--models", "digits/lenet", "--images", paintings / "landscape", "--out", tmp_path)
    assert ran.status == 1
    assert "Train one" in ran.err


def test_a_generator_is_trained_and_found_again(run, tmp_path, one_data_folder):
    quick = ("--settings", "steps=2", "width=4", "latent=8", "batch=8", "critic_steps=1")
    assert run("train-generator", "--images", "digits-marked", "--out", tmp_path, *quick).status == 0
    assert np.asarray(Image.open(tmp_path / "samples.png")).shape == (256, 256, 3)
    trained = generators.find(open_sources()[1].store, digits_image_set(one_data_folder, marked=True).digest)
    assert trained.shape == Shape(32, 1, 8, 4)


def test_what_options_can_be_is_listed(run):
    listed = run("list", "methods").out
    assert all(name in listed for name in METHODS)
    assert "demo/NAME: vgg" in run("list", "models").out
    assert "fashion-mnist" in run("list", "images").out
    assert "timm/resnet18\n" in run("list", "architectures").out
    assert "window=" in run("list", "settings", "--methods", "occlusion", "maxout").out
    classes = run("list", "classes", "--models", "demo/vgg").out.splitlines()
    assert classes[1].split() == ["0", "portrait"]
    layers = run("list", "layers", "--models", "demo/vgg").out.splitlines()
    line = next(line for line in layers if line.startswith("  features.0 "))
    assert line.split() == ["features.0", "Conv2d", "16×64×64", "432"]


def test_what_applies_to_what_is_a_markdown_table_with_reasons(run, model_store):
    cards = [add(model_store, seeded(NETS[net]), net) for net in ("plain", "vit")]
    lines = applies_table(cards, [GradCAM(), GuidedBackprop()]).splitlines()
    assert lines[:4] == [
        "| method | plain | vit |",
        "|---|---|---|",
        "| Grad-CAM | ✓ | ✓ |",
        "| Guided backprop | ✓ | [1] |",
    ]
    assert lines[5] == "1. The method needs ReLU activations; the model uses GELU."
    assert run("applies", "--models", "demo/vgg").out.count("\n| ") >= len(METHODS)


@pytest.mark.usefixtures("one_data_folder")
@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ("explain --models demo/vgb --methods grad-cam", "Did you mean vgg"),
        ("explain --models demo/vgg --methods grad-cma", "Did you mean grad-cam"),
        ("explain --models demo/vgg --methods grad-cam --images demmo", "Did you mean demo"),
        ("explain --models demo/vgg --methods grad-cam --only 7.png", "an image of"),
        ("explain --models demo/vgg --methods grad-cam --target seascap", "Did you mean seascape"),
        ("explain --models demo/vgg --methods grad-cam --target 6", "0 to 5"),
        ("explain --models demo/vgg --methods occlusion --settings windw=0.5", "Did you mean window"),
        ("explain --models demo/vgg --methods occlusion --settings window=7", "between"),
        ("explain --models demo/vgg --methods occlusion --settings window=wide", "as a number"),
        ("explain --models demo/vgg --methods occlusion --layer features.3", "the number of a unit"),
        ("explain --models demo/vgg --methods occlusion --place 3x5", "ROW,COLUMN"),
        ("explain --models demo/vgg --methods grad-cam --output unit", "a layer"),
        ("layers --models demo/vgg --layer featurs.5", "Did you mean features.5"),
        ("layers --models demo/vgg --target 400", "a unit of features.26 in vgg (0 to 95), got 400"),
        ("layers --models demo/vgg --order differ", "two models whose layers match, got 1 models"),
        ("layers --models demo/vgg demo/resnet --order differ", "resnet has no layer called features.26"),
        ("maxout --models demo/vgg --target portrat", "Did you mean portrait"),
        ("maxout --models demo/vgg --target 17", "0 to 5"),
        ("maxout --models demo/vgg --layer features.5 --target 99", "0 to 15"),
        ("maxout --models demo/vgg --layer features.5 --target portrait", "the number of a unit"),
        ("maxout --models demo/vgg --settings iteration=3", "Did you mean iterations"),
        ("maxout --models demo/vgg --settings tv_weight=101", "between 0.0 and 100.0"),
        ("contrast --models digits/lenet --images digits --probe ten", "a class of lenet"),
        ("contrast --models digits/lenet --images digits --only held-out-0004.bmp", "an image of digits"),
        ("contrast --models digits/lenet --images digits --settings margins=1", "Did you mean margin"),
        ("train-generator --images digits --settings side=40", "32 or 64"),
        ("trust --models demo/vgg --methods occlusoin", "Did you mean occlusion"),
        ("score --models timm/resnet181?random", "Did you mean timm/resnet18"),
        ("list layers", "--models"),
        ("list settings --methods maxot", "Did you mean maxout"),
    ],
)
def test_a_mistake_is_one_line_on_stderr(run, paintings, tmp_path, texts, words):
    command, *rest = texts.split()
    if command not in ("list",):
        rest += ["--out", str(tmp_path / "out")]
    if command not in ("list", "maxout") and "--images" not in rest:
        rest += ["--images", str(paintings)]
    ran = run(command, *rest)
    assert words in ran.err
    assert (ran.status, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert not list((tmp_path / "out").glob("*"))
