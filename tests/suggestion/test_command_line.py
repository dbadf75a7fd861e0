import pandas as pd

from suggestion.__main__ import main


def test_the_command_line_writes_one_row_per_image_and_model(tmp_path, capsys):
    out = tmp_path / "predictions.parquet"
    assert main(["--models", "demo/vgg", "demo/shortcut", "--images", "demo", "--out", str(out)]) == 0
    frame = pd.read_parquet(out)
    assert len(frame) == 2 * frame["image"].nunique()
    assert {"image", "file", "model", "label", "class_1", "probability_1", "true_probability"} <= set(frame)
    assert set(frame["model"]) == {"vgg", "shortcut"}
    assert "right on" in capsys.readouterr().out


def test_an_unknown_model_gets_one_line(tmp_path, capsys):
    assert main(["--models", "demo/vgb", "--images", "demo", "--out", str(tmp_path / "x.parquet")]) == 2
    assert "Did you mean vgg" in capsys.readouterr().err
