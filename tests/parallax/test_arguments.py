import pytest

from common.errors import InputError
from explainers.methods.cam import GradCAM
from explainers.methods.occlusion import Occlusion
from explainers.output import Output
from parallax.arguments import output_of, params_of
from parallax.sources import ids_of, open_images, open_models


def test_texts_become_settings_of_the_right_kind():
    assert params_of(GradCAM.Params, "Grad-CAM", ["layer=8"]) == GradCAM.Params(layer="8")
    assert params_of(Occlusion.Params, "Occlusion", ["window=0.5", "seed=3"]) == Occlusion.Params(window=0.5, seed=3)
    with pytest.raises(InputError, match="whole number"):
        params_of(Occlusion.Params, "Occlusion", ["seed=three"])
    with pytest.raises(InputError, match="name=value"):
        params_of(Occlusion.Params, "Occlusion", ["seed"])


def test_a_layer_alone_makes_the_target_a_unit():
    assert output_of(None, None, None) == Output("logit")
    assert output_of(None, "features.3", "3,5") == Output("unit", "features.3", (3, 5))
    with pytest.raises(InputError, match="a layer exactly where a unit is explained"):
        output_of("probability", "features.3", None)


def test_models_and_images_that_are_named_twice_are_there_once(model_store, paintings):
    assert len(open_models(model_store, "demo/vgg", "demo", "demo/vgg")) == 4
    both = open_images(str(paintings / "portrait"), str(paintings))
    assert len(both) == 3


def test_files_that_are_left_out_are_told(run, paintings, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no image")
    (tmp_path / "whole.png").write_bytes((paintings / "landscape" / "0.png").read_bytes())
    ran = run("score", "--models", "demo/vgg", "--images", tmp_path, "--out", tmp_path / "table.parquet")
    assert ran.status == 0
    assert "broken.png is left out" in ran.err


def test_images_are_called_with_or_without_their_folders(paintings):
    images = open_images(str(paintings))
    (image_id,) = ids_of(images, ["landscape/0.png"], None)
    assert ids_of(images, ["0.png"], 1) == [image_id]
    assert images.names[images.index(image_id)].endswith("/0.png")
    with pytest.raises(InputError, match="an image of"):
        ids_of(images, ["0.pgn"], None)
