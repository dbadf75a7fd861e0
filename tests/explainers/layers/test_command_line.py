import numpy as np
import pytest
from PIL import Image

from explainers.layers.__main__ import main
from tests.makers import encoded, picture


@pytest.fixture
def paths(tmp_path):
    file = tmp_path / "picture.png"
    file.write_bytes(encoded(picture(90, 70)))
    return file, tmp_path / "out"


def run(paths, *more: str) -> int:
    file, out = paths
    return main(["--image", str(file), "--out", str(out), *more])


def test_mosaic_raw_maps_and_the_strongest_units_are_written(paths, capsys):
    assert run(paths, "--model", "demo/vgg", "--layer", "features.5", "--top", "3") == 0
    with np.load(paths[1] / "picture-vgg-features.5.npz") as stored:
        maps = stored["maps"]
    assert maps.shape == (16, 64, 64)
    lines = capsys.readouterr().out.splitlines()
    assert "16 units · 64×64" in lines[0]
    means = maps.mean((1, 2))
    assert [int(line.split()[0]) for line in lines[2:]] == np.argsort(-means)[:3].tolist()
    assert float(lines[2].split()[1]) == pytest.approx(means.max(), rel=1e-3)
    with Image.open(paths[1] / "picture-vgg-features.5.png") as mosaic:
        assert mosaic.width == mosaic.height > 200


def test_units_of_two_models_can_be_ordered_by_how_far_they_are_apart(paths, capsys):
    models = ("--model", "demo/vgg", "demo/shortcut")
    assert run(paths, *models, "--layer", "features.26", "--order", "differ", "--top", "1") == 0
    first, second = (np.load(paths[1] / f"picture-{name}-features.26.npz")["maps"] for name in ("vgg", "shortcut"))
    apart = np.abs(first - second).mean((1, 2))
    lines = capsys.readouterr().out.splitlines()
    assert int(lines[2].split()[0]) == int(lines[5].split()[0]) == apart.argmax()


def test_neurons_without_a_grid_have_a_table_and_no_mosaic(paths, capsys):
    assert run(paths, "--model", "demo/vgg", "--layer", "classifier.4") == 0
    assert [file.suffix for file in paths[1].iterdir()] == [".npz"]
    assert "6 units · no grid" in capsys.readouterr().out


def test_the_tree_has_every_layers_shape_and_parameters(capsys):
    assert main(["--model", "demo/vgg", "--tree"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("  features.0 "))
    assert line.split() == ["features.0", "Conv2d", "16×64×64", "432"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--model", "demo/vgg", "--layer", "featurs.5"], "Did you mean features.5"),
        (["--model", "demo/vgg", "--unit", "400"], "a unit of features.26 in vgg (0 to 95), got 400"),
        (["--model", "demo/vgg", "--order", "differ"], "two models whose layers match, got 1 models"),
        (["--model", "demo/vgg", "demo/resnet", "--order", "differ"], "resnet has no layer called features.26"),
        (["--model", "demo/vgg", "--top", "0"], "--top of at least 1"),
    ],
)
def test_bad_input_is_one_line_on_stderr(paths, capsys, words, expected):
    assert run(paths, *words) == 2
    said = capsys.readouterr()
    assert expected in said.err
    assert said.err.count("\n") == 1
    assert not said.out
