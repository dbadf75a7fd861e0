import json

import numpy as np
import plotly.graph_objects as go
import pytest

from figures.panel_grid import Band, Panel, Tile
from figures.prediction_difference import difference_figure, spotlight, strongest

PIXEL = "data:image/webp;base64,AAAA"
CAPTION = "window 10 px of 224\nstride 4 of 8 → 1 · 6 s\nerror ± 0.04 bits\nrange ± 1.2 bits"


def texts(figure):
    return " ".join(annotation.text for annotation in figure.layout.annotations).replace("\N{NO-BREAK SPACE}", " ")


@pytest.fixture
def bands():
    tiles = (
        Tile("vgg", "portrait 0.91", Panel(PIXEL, PIXEL, caption=CAPTION), "#FF0000"),
        Tile("vit", "seascape 0.40", Panel(PIXEL, words="reads pictures smaller than a window and its rim")),
        Tile("resnet", "", Panel(PIXEL, PIXEL, caption=CAPTION)),
    )
    return [Band("conditional", tiles), Band("", tiles[:2])]


def test_all_maps_pan_and_zoom_in_step(bands):
    axes = list(go.Figure(difference_figure(bands, (100, 200))).select_xaxes())
    assert len(axes) == 5
    assert all(axis.range == (0, 200) for axis in axes)
    assert [axis.matches for axis in axes].count("x") == 4


def test_titles_captions_reasons_and_the_legend_are_told_in_words(bands):
    drawn = texts(go.Figure(difference_figure(bands, (100, 100))))
    for words in ("conditional", "vgg", "portrait 0.91", "stride 4 of 8 → 1 · 6 s", "reads pictures", "against", "for"):
        assert words in drawn
    assert "against" not in texts(go.Figure(difference_figure(bands, (100, 100), legend=False)))


def test_only_panels_with_a_map_can_be_enlarged(bands):
    figure = go.Figure(difference_figure(bands, (100, 100)))
    corners = [np.asarray(trace.customdata).tolist()[0] for trace in figure.data if trace.customdata is not None]
    assert corners == [[0, 0], [0, 2], [1, 0]]


def test_panels_lie_within_the_figure_and_never_on_each_other(bands):
    figure = go.Figure(difference_figure(bands * 3, (100, 70)))
    boxes = [(*x.domain, *y.domain) for x, y in zip(figure.select_xaxes(), figure.select_yaxes(), strict=True)]
    for n, (left, right, bottom, top) in enumerate(boxes):
        assert 0 <= left < right <= 1 + 1e-9
        assert 0 <= bottom < top <= 1
        for other in boxes[n + 1 :]:
            assert right <= other[0] or other[1] <= left or top <= other[2] or other[3] <= bottom


def test_nothing_moves_when_a_map_and_its_words_arrive(bands):
    waiting = [
        Band(band.title, tuple(Tile(t.title, "", Panel(PIXEL, words="…")) for t in band.tiles)) for band in bands
    ]
    assert (
        go.Figure(difference_figure(waiting, (100, 200))).layout.height
        == go.Figure(difference_figure(bands, (100, 200))).layout.height
    )


def test_many_models_break_into_lines_and_long_names_are_cut():
    tile = Tile("a model with a name that is far too long for its panel", "", Panel(PIXEL))
    figure = go.Figure(difference_figure([Band("", (tile,) * 8)], (100, 100)))
    assert len({round(axis.domain[0], 6) for axis in figure.select_xaxes()}) == 4
    assert "…" in texts(figure)


def test_a_figure_without_any_map_is_still_one():
    json.loads(go.Figure(difference_figure([], (10, 10))).to_json())


def test_the_strongest_pixels_are_those_of_largest_magnitude_whatever_their_sign():
    values = np.zeros((10, 10), dtype=np.float32)
    values[2, 3], values[4, 5], values[6, 7] = 5.0, -7.0, 1.0
    mask = strongest(values, 0.02)
    assert np.argwhere(mask).tolist() == [[2, 3], [4, 5]]


def test_what_is_unknown_or_zero_is_never_among_the_strongest():
    values = np.full((10, 10), np.nan, dtype=np.float32)
    values[:, 0] = 1.0
    values[0, 0] = 3.0
    assert np.argwhere(strongest(values, 0.1)).tolist() == [[0, 0]], "a tenth of the ten that are known"
    assert not strongest(np.zeros((10, 10), dtype=np.float32)).any()
    assert not strongest(np.full((10, 10), np.nan, dtype=np.float32)).any()


def test_a_spotlight_is_clear_on_the_mask_and_dark_around_it():
    mask = np.eye(4, dtype=bool)
    veil = spotlight(mask)
    assert veil.dtype == np.uint8
    assert not veil[mask, 3].any()
    assert (veil[~mask, 3] > 180).all()


def test_a_spotlight_has_a_rim_that_shows_on_a_dark_picture():
    mask = np.zeros((5, 6), dtype=bool)
    mask[2, 0] = True
    bright = spotlight(mask)[..., :3].max(-1) > 200
    assert set(zip(*np.nonzero(bright & ~mask), strict=True)) == {(1, 0), (3, 0), (2, 1)}
