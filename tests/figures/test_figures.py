import json

import numpy as np
import plotly.graph_objects as go
import pytest

from figures.compare import Column, Row, compare_figure
from figures.panel_grid import Panel, single_figure
from figures.sheet import sheet
from figures.suggestion import accuracy_figure, agreement_figure, histogram_figure, scatter_figure
from suggestion.views import Scatter

PIXEL = "data:image/webp;base64,AAAA"


@pytest.fixture
def points():
    index = np.array([3, 5, 8])
    confidence = np.array([0.9, 0.5, 0.8], dtype=np.float32)
    n_classes = np.array([1, 2, 3], dtype=np.int32)
    counts = {"Confident, agree": 1, "Confident, disagree": 1, "Unsure, agree": 0, "Unsure, disagree": 1}
    return Scatter(index, confidence, n_classes, n_classes.astype(np.float32), counts)


def texts(figure):
    return " ".join(annotation.text for annotation in figure.layout.annotations)


def test_the_scatter_is_drawn_by_webgl_and_names_its_quadrants(points):
    figure = scatter_figure(points, 3)
    assert figure.data[0].type == "scattergl"
    assert figure.data[0].x.tolist() == points.confidence.tolist()
    for words in points.counts:
        assert words in texts(figure)


def test_an_empty_scatter_is_still_a_chart(points):
    none = Scatter(
        points.index[:0], points.confidence[:0], points.n_classes[:0], points.y[:0], dict.fromkeys(points.counts, 0)
    )
    assert len(scatter_figure(none, 3).data[0].x) == 0


def test_fifty_thousand_points_weigh_little():
    n_points = 50_000
    y = np.random.default_rng(0).random(n_points, dtype=np.float32)
    many = Scatter(
        np.arange(n_points),
        y,
        y.astype(np.int32),
        y,
        {"Confident, agree": n_points, "Confident, disagree": 0, "Unsure, agree": 0, "Unsure, disagree": 0},
    )
    assert len(scatter_figure(many, 4).to_json()) < 700_000


def test_histogram_bars_count_their_images():
    edges, bins = np.array([0.0, 0.5, 1.0]), np.array([0, 0, 1, 1, -1])
    right = np.array([True, False, True, True, True])
    figure = histogram_figure(edges, bins, {"right": right, "wrong": ~right}, {"right": "#000", "wrong": "#fff"}, "x")
    assert figure.data[0].y.tolist() == [1, 2]
    assert figure.data[1].y.tolist() == [1, 0]


def test_a_model_without_labels_says_so_instead_of_zero():
    colours = ["#000000", "#111111", "#222222"]
    figure = accuracy_figure(["a", "b", "c"], np.array([0.5, np.nan, 0.0]), np.array([4, 0, 4]), colours)
    assert figure.data[0].text[0] == "50.0% of 4"
    assert "no label" in figure.data[0].text[1]
    assert figure.data[0].textposition == ("auto", "outside", "outside"), "plotly hides words inside of an empty bar"


def test_every_cell_of_the_matrix_can_be_clicked():
    matrix = np.array([[1.0, 0.25], [0.25, 1.0]])
    figure = agreement_figure(["a", "b"], matrix)
    assert figure.data[0].customdata.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert figure.data[0].text[1] == "25%"


@pytest.fixture
def grid():
    columns = (Column("vgg", "#0072B2", (("cat", 0.9, True), ("dog", 0.1, False))), Column("vit", "#D55E00", ()))
    rows = (
        Row(
            "Grad-CAM",
            "Where?",
            False,
            (Panel(PIXEL, PIXEL, caption="layer4"), Panel(PIXEL, words="Not for this net.")),
        ),
        Row("LRP", "Why?", True, (Panel(PIXEL, PIXEL), Panel(PIXEL, words="waiting for the map …"))),
    )
    return go.Figure(compare_figure(PIXEL, (100, 200), columns, rows, 0.5))


def test_all_panels_pan_and_zoom_in_step(grid):
    axes = [axis for axis in grid.select_xaxes() if axis.range == (0, 200)]
    assert len(axes) == 1 + 2 * 2
    assert [axis.matches for axis in axes].count("x") == 4
    assert all(axis.range == (100, 0) for axis in grid.select_yaxes() if axis.scaleanchor)


def test_the_grid_shows_names_answers_reasons_and_captions(grid):
    for words in ("vgg", "vit", "Grad-CAM", "cat 0.90 ✓", "dog 0.10", "Not for this", "layer4"):
        assert words in texts(grid)


def test_only_panels_with_a_map_can_be_enlarged(grid):
    corners = [np.asarray(trace.customdata).tolist() for trace in grid.data if trace.customdata is not None]
    assert corners == [[[0, 0]], [[1, 0]]]


def test_a_map_and_its_picture_never_share_one_place(grid):
    """plotly.js draws only one of two images with equal place and size."""
    places = [(i.xref, i.yref, i.x, i.y, i.sizex) for i in grid.layout.images if i.xref != "paper"]
    assert len(places) == len(set(places))


def test_figures_are_plain_json(grid):
    json.loads(grid.to_json())
    json.loads(go.Figure(single_figure(Panel(PIXEL, PIXEL), (10, 20))).to_json())


def test_the_sheet_holds_every_cell():
    picture = np.full((50, 60, 3), (7, 200, 90), dtype=np.uint8)
    page = sheet(["a", "b"], ["Grad-CAM"], [[picture, "not for this net"]])
    assert (page == (7, 200, 90)).all(axis=2).sum() == 50 * 60
    assert page.dtype == np.uint8


def test_a_long_name_of_a_model_stays_in_its_column_and_keeps_both_ends():
    names = [f"Epoch {n} · a network with a very long name indeed, every {n} marked" for n in (3, 8)]
    columns = [Column(name, "#123456", (("cat", 0.9, True),)) for name in names]
    figure = go.Figure(compare_figure("picture", (10, 10), columns, []))
    titles = [one.text for one in figure.layout.annotations if "■" in one.text]
    assert len(set(titles)) == 2
    assert all("Epoch" in title and "…" in title and "marked" in title for title in titles)
    assert all(len(title.partition("</span> ")[2]) < 60 for title in titles)
