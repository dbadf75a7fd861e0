import json

import numpy as np
import plotly.graph_objects as go
import pytest

from figures.colours import MODEL_COLOURS
from figures.panel_grid import Panel, per_line
from figures.reason import HEADER, TARGET_COLOURS, TargetRow, reason_figure, regions

PIXEL = "data:image/webp;base64,AAAA"
RED, BLUE = "#FF0000", "#0000FF"


def texts(figure):
    return " ".join(annotation.text for annotation in figure.layout.annotations)


@pytest.fixture
def figure():
    layers = (
        Panel(PIXEL, PIXEL, caption="layer1\n20×20 · found 0.4\n0–2.1"),
        Panel(PIXEL, words="found nothing", caption="layer4\n3×3 · found 0"),
        Panel(PIXEL, PIXEL, caption="mean of 2 layers\nmean 0.2\n0–1"),
    )
    rows = (
        TargetRow("portrait", TARGET_COLOURS[0], "its answer · score 4.1", layers),
        TargetRow("landscape", TARGET_COLOURS[1], "", layers[1:2] * 3, words="Not enough memory: choose fewer layers."),
    )
    return go.Figure(reason_figure(PIXEL, Panel(PIXEL, PIXEL), (100, 200), rows, 0.5, 0.8))


def test_picture_regions_and_all_maps_pan_and_zoom_in_step(figure):
    axes = list(figure.select_xaxes())
    assert len(axes) == 2 + 2 * 3
    assert all(axis.range == (0, 200) for axis in axes)
    assert [axis.matches for axis in axes].count("x") == len(axes) - 1
    assert all(axis.range == (100, 0) for axis in figure.select_yaxes())


def test_targets_layers_and_reasons_are_told_in_words(figure):
    for words in ("portrait", "its answer", "layer1", "found 0.4", "found nothing", "Not enough memory", "above 50%"):
        assert words in texts(figure)


def test_only_panels_with_a_map_can_be_enlarged(figure):
    corners = [np.asarray(trace.customdata).tolist()[0] for trace in figure.data if trace.customdata is not None]
    assert corners == [[HEADER, 0], [0, 0], [0, 2]]


def test_a_map_and_its_picture_never_share_one_place(figure):
    """plotly.js draws only one of two images with equal place and size."""
    places = [(image.xref, image.yref, image.x, image.y) for image in figure.layout.images if image.xref != "paper"]
    assert len(places) == len(set(places))


def test_panels_lie_within_the_figure_and_never_on_each_other(figure):
    boxes = [(*x.domain, *y.domain) for x, y in zip(figure.select_xaxes(), figure.select_yaxes(), strict=True)]
    for n, (left, right, bottom, top) in enumerate(boxes):
        assert 0 <= left < right <= 1 + 1e-9
        assert 0 <= bottom < top <= 1
        for other in boxes[n + 1 :]:
            apart = right <= other[0] or other[1] <= left or top <= other[2] or other[3] <= bottom
            assert apart


@pytest.mark.parametrize(("n_panels", "n_columns"), [(1, 1), (2, 2), (6, 6), (7, 4), (12, 6), (13, 5)])
def test_many_layers_break_into_equally_full_lines(n_panels, n_columns):
    assert per_line(n_panels) == n_columns
    rows = [TargetRow("portrait", RED, "", (Panel(PIXEL, PIXEL),) * n_panels)]
    figure = go.Figure(reason_figure(PIXEL, Panel(PIXEL), (100, 100), rows, 0.5))
    assert len({round(axis.domain[0], 6) for axis in list(figure.select_xaxes())[2:]}) == n_columns


def test_long_layer_names_keep_their_end():
    name = "encoder.layers.encoder_layer_11.self_attention.out_proj"
    panels = (Panel(PIXEL, PIXEL, caption=f"{name}\n14×14"),) * 6
    figure = go.Figure(reason_figure(PIXEL, Panel(PIXEL), (100, 100), [TargetRow("portrait", RED, "", panels)], 0.5))
    captions = [annotation for annotation in figure.layout.annotations if "out_proj" in annotation.text]
    assert len(captions) == 6
    assert all("…" in caption.text and name not in caption.text for caption in captions)
    assert captions[0].hovertext == name


def test_a_figure_without_any_map_is_still_one():
    waiting = (Panel(PIXEL, words="waiting for the map …"),) * 2
    json.loads(
        go.Figure(reason_figure(PIXEL, Panel(PIXEL), (10, 10), [TargetRow("a", RED, "", waiting)], 0.5)).to_json()
    )


def test_regions_are_tinted_within_and_outlined_at_their_edge():
    mask = np.zeros((20, 20), dtype=bool)
    mask[5:15, 5:15] = True
    rgba = regions([mask], [RED])
    assert rgba.dtype == np.uint8
    assert rgba[0, 0, 3] == 0
    assert rgba[5, 5].tolist() == [255, 0, 0, 255]
    assert rgba[10, 10].tolist() == [255, 0, 0, 89]


def test_regions_that_overlap_show_both_colours():
    left, right = np.zeros((40, 40), dtype=bool), np.zeros((40, 40), dtype=bool)
    left[5:35, :25], right[5:35, 15:] = True, True
    rgba = regions([left, right], [RED, BLUE])
    both = rgba[20, 20].astype(int)
    assert both[0] > 50
    assert both[2] > both[0], "the later one lies on top"
    assert both[3] > 89
    assert rgba[20, 2].tolist()[:3] == [255, 0, 0]
    assert rgba[20, 15].tolist() == [0, 0, 255, 255]


def test_a_region_at_the_pictures_edge_has_no_outline_there():
    mask = np.ones((10, 10), dtype=bool)
    assert (regions([mask], [RED])[..., 3] == 89).all()
    assert not regions([~mask], [RED])[..., 3].any()


def test_targets_have_colours_of_their_own():
    assert len(set(TARGET_COLOURS)) == 5
    assert not set(TARGET_COLOURS) & set(MODEL_COLOURS)
