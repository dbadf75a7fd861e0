import io
import json

import numpy as np
import pytest
from PIL import Image

from figures.colours import colour_table
from figures.layers import bars_figure, columns_for, kernel_sheet, mosaic, mosaic_figure, unit_histogram

RED, GREY = (178, 24, 43), (128, 128, 128)


def pixels(tiles) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(tiles.to_png())).convert("RGBA"))


def test_units_lie_where_the_mosaic_says():
    values = np.zeros((5, 2, 2), np.float32)
    for unit in range(5):
        values[unit, unit % 2, 0] = unit + 1
    order = np.array([3, 1, 4, 0, 2])
    tiles = mosaic(values, order, n_columns=2)
    assert tiles.n_rows == 3
    assert tiles.place(2) == (1, 0)
    picture = pixels(tiles)
    bright, dark = colour_table(False)[255], colour_table(False)[0]
    for position, unit in enumerate(order.tolist()):
        tile = picture[tiles.box(position)]
        height, width = tile.shape[0] // 2, tile.shape[1] // 2
        lit = tile[(unit % 2) * height + 2, 2, :3]
        np.testing.assert_array_equal(lit, bright)
        np.testing.assert_array_equal(tile[2, width + 2, :3], dark)
    assert picture[-1, -1, 3] == 0, "nothing where there are no tiles"


def test_each_unit_has_its_own_scale_or_all_share_one():
    values = np.stack([np.full((2, 2), 1.0), np.full((2, 2), 4.0), np.zeros((2, 2))]).astype(np.float32)
    own, shared = (mosaic(values, np.arange(3), 3, shared=flag) for flag in (False, True))
    assert own.scales.tolist() == [1, 4, 0]
    assert [int(own.steps[own.box(n)].max()) for n in range(3)] == [252, 252, 0]
    assert shared.scales.tolist() == [4, 4, 0]
    assert [int(shared.steps[shared.box(n)].max()) for n in range(3)] == [63, 252, 0]


def test_values_below_zero_make_the_colours_diverge_around_white():
    values = np.array([[[-2.0, 0.0, 2.0]]], np.float32)
    picture = pixels(mosaic(values, np.arange(1), 1))
    left, middle, right = (picture[5, x, :3] for x in (5, picture.shape[1] // 2, picture.shape[1] - 10))
    assert tuple(right) == RED
    assert middle.min() >= 254
    assert left[2] > left[0]


def test_large_maps_are_averaged_down_and_their_edges_kept_right():
    values = np.zeros((1, 224, 100), np.float32)
    values[0, :112] = 1
    tiles = mosaic(values, np.arange(1), 1)
    height, width = tiles.tile_px
    assert max(height, width) <= 96
    steps = tiles.steps[tiles.box(0)]
    assert steps[0].tolist() == [252] * width
    assert steps[-1].tolist() == [0] * width
    constant = mosaic(np.ones((1, 97, 97), np.float32), np.arange(1), 1)
    assert (constant.steps[constant.box(0)] == 252).all(), "the rest of a division counts for what it is"


def test_tiles_stand_as_high_as_wide_until_they_get_too_small():
    assert columns_for(96, 500) == 10
    assert columns_for(512, 500) == 19
    assert columns_for(1, 500) == 1
    assert columns_for(512, 10) == 1


def test_every_tile_carries_its_unit_and_the_chosen_one_a_frame():
    order = np.array([2, 0, 1])
    tiles = mosaic(np.ones((3, 4, 4), np.float32), order, 2)
    figure = mosaic_figure("data:image/png;base64,AAAA", tiles, ["c", "a", "b"], 400, chosen=1)
    marks = figure.data[0]
    assert list(marks.customdata) == [2, 0, 1]
    assert list(marks.hovertext) == ["c", "a", "b"]
    assert [(x, y) for x, y in zip(marks.x, marks.y, strict=True)] == [(0.5, 0.5), (1.5, 0.5), (0.5, 1.5)]
    assert {(shape.x0, shape.y0) for shape in figure.layout.shapes} == {(0, 1)}
    assert figure.layout.images[0].sizex == figure.layout.xaxis.range[1] == 2
    json.loads(figure.to_json())


@pytest.mark.parametrize("n_units", [6, 300])
def test_bars_carry_their_units_in_order(n_units):
    values = np.linspace(-1, 1, n_units, dtype=np.float32)
    order = np.argsort(-values)
    figure = bars_figure(values, order, [f"unit {unit}" for unit in range(n_units)], "#0072B2", chosen=2)
    (bars,) = figure.data
    assert list(bars.customdata) == order.tolist()
    lengths = bars.x if n_units == 6 else bars.y
    np.testing.assert_allclose(lengths, values[order])
    assert [colour for colour, unit in zip(bars.marker.color, order, strict=True) if unit == 2] == ["#0072B2"]
    assert bars.hovertext[0] == f"unit {n_units - 1}: 1"


def test_the_histogram_counts_every_image_and_marks_the_pick():
    values = np.concatenate([np.zeros(30), np.ones(10), [np.nan]]).astype(np.float32)
    figure = unit_histogram(values, 0.5, "#0072B2")
    assert sum(figure.data[0].y) == 40
    assert figure.layout.shapes[0].x0 == 0.5
    assert "25% of images are above" in figure.layout.annotations[0].text


def test_kernels_of_three_channels_are_shown_in_their_own_colours():
    weights = np.zeros((2, 3, 2, 2), np.float32)
    weights[0, 0, 0, 0], weights[0, 2, 0, 0], weights[1] = 0.5, -0.5, 0
    sheet = kernel_sheet(weights)
    assert sheet.shape == (52, 104, 4)
    assert sheet[0, 0].tolist() == [255, 128, 0, 255]
    assert sheet[0, 52].tolist() == [128, 128, 128, 255], "a dead kernel is grey"
    assert sheet[50, 0, 3] == 0
    assert kernel_sheet(np.ones((3, 8, 3, 3), np.float32))[0, 0, :3].tolist() == list(RED)
    assert kernel_sheet(np.ones((1, 1, 3, 3), np.float32))[0, 0, :3].tolist() == [255, 255, 255]
