import numpy as np
import pytest
from plotly.colors import hex_to_rgb

from figures.colours import IMAGES, MODEL_COLOURS, NO_LABEL, NOT_ITS_CLASS, RIGHT, WRONG, colour_table, model_colour
from figures.maps import changed_over, colour_map, crisp, data_uri, has_evidence, map_scale, over, shrink, tiled, to_png


def test_red_speaks_for_blue_against_and_white_says_nothing():
    table = colour_table(signed=True).astype(int)
    assert table[127].min() > 250
    red, _, blue = table[255]
    assert red > 2 * blue
    red, _, blue = table[0]
    assert blue > 2 * red


def test_the_unsigned_scale_grows_ever_brighter():
    luminance = colour_table(signed=False) @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(luminance) > -0.5).all()
    assert luminance[-1] > 200 > 30 > luminance[0]


def test_no_two_models_share_a_colour_nor_has_one_that_of_right_or_wrong():
    colours = [model_colour(number) for number in range(30)]
    assert colours[:8] == list(MODEL_COLOURS)
    rgb = np.array(
        [hex_to_rgb(colour) for colour in (*colours, RIGHT, WRONG, NOT_ITS_CLASS, NO_LABEL, IMAGES)], dtype=float
    )
    apart = np.linalg.norm(rgb[:, None] - rgb, axis=2)
    assert apart[~np.eye(len(rgb), dtype=bool)].min() > 25


def test_where_a_map_says_nothing_the_picture_shows_through():
    attribution = np.array([[0.0, 1.0], [-1.0, np.nan]], dtype=np.float32)
    rgba = colour_map(attribution, signed=True, scale=1.0, overlay=True)
    assert rgba[0, 0, 3] == 0
    assert rgba[0, 1, 3] == rgba[1, 0, 3] == 255
    assert rgba[1, 1].tolist() == [128, 128, 128, 130]


def test_a_map_alone_is_opaque_everywhere():
    rgba = colour_map(np.zeros((3, 3), dtype=np.float32), signed=True, scale=0.0, overlay=False)
    assert (rgba[..., 3] == 255).all()
    assert (rgba[..., :3] > 250).all()


def test_values_beyond_the_scale_get_the_full_colour():
    rgba = colour_map(np.array([[5.0]], dtype=np.float32), signed=False, scale=1.0, overlay=False)
    assert (rgba[0, 0, :3] == colour_table(signed=False)[255]).all()


def test_a_shared_scale_keeps_magnitudes_comparable():
    weak, strong = np.full((4, 4), 0.1, dtype=np.float32), np.full((4, 4), 1.0, dtype=np.float32)
    assert map_scale([weak]) == pytest.approx(0.1)
    assert map_scale([weak, strong]) == pytest.approx(1.0)


def test_one_bright_pixel_does_not_blind_the_rest():
    attribution = np.full((100, 100), 0.2, dtype=np.float32)
    attribution[0, 0] = 50
    assert map_scale([attribution]) == pytest.approx(0.2)


def test_a_map_with_a_single_value_still_has_a_scale():
    attribution = np.zeros((100, 100), dtype=np.float32)
    attribution[3, 3] = 2
    assert map_scale([attribution]) == 2
    assert has_evidence(attribution)
    assert not has_evidence(np.array([[0.0, np.nan]]))


def test_laying_over_is_the_weighted_mean():
    image = np.full((2, 2, 3), 100, dtype=np.uint8)
    rgba = np.full((2, 2, 4), 255, dtype=np.uint8)
    assert (over(image, rgba, 0.0) == 100).all()
    assert (over(image, rgba, 1.0) == 255).all()
    assert (over(image, rgba, 0.5) == 178).all()


def test_pictures_shrink_but_never_grow():
    assert shrink(np.zeros((50, 100, 3), dtype=np.uint8), 20).shape == (10, 20, 3)
    assert shrink(np.zeros((5, 10, 3), dtype=np.uint8), 20).shape == (5, 10, 3)


def test_pictures_leave_as_png_and_webp():
    pixels = np.zeros((4, 4, 3), dtype=np.uint8)
    assert to_png(pixels).startswith(b"\x89PNG")
    assert data_uri(pixels).startswith("data:image/webp;base64,")


def test_tiles_lie_row_by_row_and_what_ends_the_last_row_is_empty():
    tiles = np.arange(3, dtype=np.uint8)[:, None, None] * np.ones((1, 2, 2), np.uint8)
    assert tiled(tiles, 2, empty=9).tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 9, 9], [2, 2, 9, 9]]


def test_what_is_to_add_is_red_and_what_is_to_take_away_blue():
    image = np.zeros((32, 32, 3), np.uint8)
    image[8:24, 12:20] = 255
    change = np.zeros((32, 32), np.float32)
    change[2:6, 12:20], change[26:30, 12:20] = 0.5, -0.5
    shown = changed_over(image, change).astype(int)
    assert shown[4, 15, 0] > shown[4, 15, 2] + 50
    assert shown[28, 15, 2] > shown[28, 15, 0] + 50
    assert len(set(shown[15, 15])) == 1, "the rest is grey"


def test_small_images_stay_crisp():
    assert crisp(np.zeros((32, 32, 3), np.uint8)).shape == (256, 256, 3)
    assert crisp(np.zeros((300, 200, 3), np.uint8)).shape == (300, 200, 3)
