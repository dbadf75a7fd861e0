import numpy as np
import pytest
import timm.data
import torch
from PIL import Image
from torchvision.models import ResNet18_Weights, ViT_B_16_Weights
from torchvision.transforms._presets import ImageClassification

from models.loaders import zoo
from models.preprocessing import Preprocessing
from models.store import normalise
from tests.makers import one_line, picture

HALF = (0.5, 0.5, 0.5)

#: Landscape, portrait, square, odd, smaller than the crop on one or both sides, and far from any model's shape.
SIZES = [(90, 130), (131, 77), (64, 64), (65, 97), (20, 33), (9, 200), (48, 47), (300, 41)]


def timm_pixels(image, preprocessing, crop_pct):
    """What timm's own transform feeds a model, as uint8 (h, w, 3)."""
    transform = timm.data.create_transform(
        input_size=(3, *preprocessing.input_size),
        crop_pct=crop_pct,
        crop_mode=preprocessing.mode,
        interpolation=preprocessing.interpolation,
        mean=preprocessing.mean,
        normalize=False,
    )
    return transform(Image.fromarray(image)).permute(1, 2, 0).numpy()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", ["center", "squash", "border"])
@pytest.mark.parametrize(("crop_pct", "interpolation"), [(0.875, "bilinear"), (0.95, "bicubic"), (1.0, "bilinear")])
def test_pixels_equal_those_of_timm(size, mode, crop_pct, interpolation):
    resize = (int(56 / crop_pct),) * 2
    preprocessing = Preprocessing((56, 56), (0.4, 0.5, 0.6), HALF, resize, mode, interpolation)
    image = picture(*size)
    np.testing.assert_array_equal(preprocessing.crop(image), timm_pixels(image, preprocessing, crop_pct))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", ["center", "squash", "border"])
def test_pixels_of_models_that_see_oblongs_equal_those_of_timm(size, mode):
    preprocessing = Preprocessing((40, 72), HALF, HALF, (int(40 / 0.9), int(72 / 0.9)), mode)
    image = picture(*size)
    np.testing.assert_array_equal(preprocessing.crop(image), timm_pixels(image, preprocessing, 0.9))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("crop", "resize"), [(56, 64), (56, 56), (64, 48), (33, 40)])
def test_normalised_inputs_equal_those_of_torchvisions_presets(size, crop, resize):
    preset = ImageClassification(crop_size=crop, resize_size=resize)
    preprocessing = Preprocessing((crop, crop), tuple(preset.mean), tuple(preset.std), (resize, resize))
    image = picture(*size)
    ours = normalise(preprocessing.crop(image)[None], preprocessing)[0]
    torch.testing.assert_close(ours, preset(Image.fromarray(image)), atol=1e-5, rtol=0)


@pytest.mark.parametrize("weights", [ResNet18_Weights.DEFAULT, ViT_B_16_Weights.IMAGENET1K_V1])
def test_the_zoo_reads_torchvisions_presets_as_they_are(weights):
    name = {"ResNet18_Weights": "resnet18", "ViT_B_16_Weights": "vit_b_16"}[type(weights).__name__]
    with torch.device("meta"):
        _, preprocessing = zoo.build(f"torchvision/{name}", {})
    image = picture(300, 401)
    ours = normalise(preprocessing.crop(image)[None], preprocessing)[0]
    torch.testing.assert_close(ours, weights.transforms()(Image.fromarray(image)), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224", "convnext_atto"])
def test_the_zoo_reads_timms_configurations_as_they_are(name):
    with torch.device("meta"):
        module, preprocessing = zoo.build(f"timm/{name}", {})
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(module))
    image = picture(301, 400)
    ours = normalise(preprocessing.crop(image)[None], preprocessing)[0]
    torch.testing.assert_close(ours, transform(Image.fromarray(image)), atol=1e-5, rtol=0)


def test_a_grey_model_gets_one_channel():
    preprocessing = Preprocessing((28, 28), (0.5,), (0.5,), (28, 28), "squash")
    crop = preprocessing.crop(picture(40, 50))
    assert crop.shape == (28, 28, 1)
    assert normalise(crop[None], preprocessing).shape == (1, 1, 28, 28)


def lit_square(height, width, top, left, side):
    image = np.zeros((height, width, 3), np.uint8)
    image[top : top + side, left : left + side] = 255
    return image


@pytest.mark.parametrize("mode", ["center", "squash", "border"])
@pytest.mark.parametrize(
    ("height", "width", "top", "left"), [(200, 300, 90, 160), (300, 200, 130, 60), (224, 224, 100, 100)]
)
def test_what_a_model_saw_comes_back_to_where_it_is_on_the_picture(mode, height, width, top, left):
    preprocessing = Preprocessing((112, 112), HALF, HALF, (128, 128), mode)
    image = lit_square(height, width, top, left, 40)
    seen = preprocessing.crop(image)[..., 0].astype(np.float32) / 255
    back = preprocessing.to_image(seen, height, width)
    known = np.isfinite(back)
    assert known[top : top + 40, left : left + 40].all()
    assert back[top + 4 : top + 36, left + 4 : left + 36].min() > 0.95
    outside = np.zeros((height, width), bool)
    outside[4:-4, 4:-4] = True  # at its edge, the picture blends into the border that timm adds
    outside[top - 5 : top + 45, left - 5 : left + 45] = False
    assert back[outside & known].max() < 0.05


def test_what_a_model_never_saw_is_nan():
    preprocessing = Preprocessing((112, 112), HALF, HALF, (128, 128))
    landscape = preprocessing.to_image(np.ones((112, 112), np.float32), 128, 256)
    assert np.isfinite(landscape[8:120, 72:184]).all()
    assert np.isfinite(landscape).sum() == 112 * 112
    portrait = preprocessing.to_image(np.ones((112, 112), np.float32), 256, 128)
    np.testing.assert_array_equal(np.isfinite(portrait), np.isfinite(landscape.T))


@pytest.mark.parametrize("mode", ["squash", "border"])
def test_modes_that_show_the_whole_picture_leave_nothing_unknown(mode):
    preprocessing = Preprocessing((112, 112), HALF, HALF, (112, 112), mode)
    assert np.isfinite(preprocessing.to_image(np.ones((7, 7), np.float32), 90, 160)).all()


@pytest.mark.parametrize(("height", "width"), [(128, 192), (192, 128)])
def test_one_cell_of_a_coarse_map_covers_its_own_share_of_the_picture(height, width):
    preprocessing = Preprocessing((112, 112), HALF, HALF, (128, 128))
    cells = np.zeros((7, 7), np.float32)
    cells[2, 5] = 1
    back = preprocessing.to_image(cells, height, width)
    top, left = (height - 112) / 2 + 2 * 16, (width - 112) / 2 + 5 * 16
    peak = np.unravel_index(np.nanargmax(back), back.shape)
    assert peak[0] + 0.5 == pytest.approx(top + 8, abs=1)
    assert peak[1] + 0.5 == pytest.approx(left + 8, abs=1)
    assert np.nansum(back) == pytest.approx(16 * 16, rel=0.02)


def test_a_map_is_squashed_back_with_the_picture():
    preprocessing = Preprocessing((64, 64), HALF, HALF, (64, 64), "squash")
    left_half = np.zeros((4, 4), np.float32)
    left_half[:, :2] = 1
    back = preprocessing.to_image(left_half, 30, 400)
    assert back[:, :150].min() == 1
    assert back[:, 250:].max() == 0


def test_padding_around_a_small_picture_is_left_behind():
    preprocessing = Preprocessing((64, 64), HALF, HALF, (32, 32))
    seen = preprocessing.crop(np.full((20, 20, 3), 200, np.uint8))
    assert (seen[16:48, 16:48] == 200).all()
    assert seen[0, 0].tolist() == [0, 0, 0]
    back = preprocessing.to_image((seen[..., 0] == 200).astype(np.float32), 20, 20)
    assert back.min() > 0.5


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (90, 1), (3, 250)])
def test_even_the_thinnest_picture_goes_there_and_back(size):
    preprocessing = Preprocessing((56, 56), HALF, HALF, (64, 64))
    assert preprocessing.crop(picture(*size)).shape == (56, 56, 3)
    back = preprocessing.to_image(np.ones((56, 56), np.float32), *size)
    assert back.shape == size
    assert np.nanmax(back) == pytest.approx(1)


def test_neither_picture_nor_map_is_written_to():
    preprocessing = Preprocessing((56, 56), HALF, HALF, (64, 64))
    image, cells = picture(80, 90), np.ones((7, 7), np.float32)
    image.flags.writeable = cells.flags.writeable = False
    preprocessing.crop(image)
    preprocessing.to_image(cells, 80, 90)


def test_a_new_input_size_takes_the_resize_along():
    preprocessing = Preprocessing((224, 224), HALF, HALF, (256, 256))
    assert preprocessing.changed({"input_size": 112}).resize == (128, 128)
    assert preprocessing.changed({"input_size": [3, 112, 56]}).input_size == (112, 56)
    assert preprocessing.changed({"input_size": [112, 112], "resize": 112}).resize == (112, 112)
    assert preprocessing.changed({"mean": [0, 0, 0]}).mean == (0, 0, 0)


def test_impossible_preprocessing_is_explained():
    good = Preprocessing((224, 224), HALF, HALF, (256, 256))
    with one_line("'means'", "Did you mean mean?"):
        good.changed({"means": [0, 0, 0]})
    with one_line("'cubic'", "Did you mean bicubic?"):
        good.changed({"interpolation": "cubic"})
    with one_line("'centre'", "Did you mean center?"):
        good.changed({"mode": "centre"})
    with one_line("std above zero"):
        good.changed({"std": [1, 0, 1]})
    with one_line("std above zero"):
        good.changed({"mean": [0.5]})
    with one_line("input_size"):
        good.changed({"input_size": 0})
    with one_line("input_size"):
        good.changed({"input_size": "big"})
