import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from figures.network_tree import TreeColumn, TreeNode, network_tree

DIGITS = [str(n) for n in range(10)]


def nodes(n: int, side: int = 4) -> tuple[TreeNode, ...]:
    rng = np.random.default_rng(0)
    return tuple(TreeNode(i, rng.integers(0, 256, (side, side, 3), dtype=np.uint8), -1.5, 2.0) for i in range(n))


def columns(n_units: int = 3) -> list[TreeColumn]:
    return [
        TreeColumn("Input", "1 × 8 × 8", nodes(1, 8), 1),
        TreeColumn("Conv-1 <b>", f"{n_units} × 8 × 8", nodes(n_units, 8), n_units, "all"),
        TreeColumn("ReLU", f"{n_units} × 8 × 8", nodes(n_units, 8), n_units, "same"),
    ]


def marks(figure) -> dict[tuple[int, int], tuple[float, float]]:
    """Where what can be clicked lies, by its customdata."""
    return {
        tuple(data): (x, y)
        for trace in figure.data
        if trace.customdata is not None and trace.type == "scatter"
        for data, x, y in zip(trace.customdata, trace.x, trace.y, strict=True)
    }


def links(trace) -> list[tuple[float, float, float, float]]:
    return [(*trace.x[n : n + 2], *trace.y[n : n + 2]) for n in range(0, len(trace.x), 3)]


def pixels(image) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(image.source.partition(",")[2]))).convert("RGBA"))


def test_nodes_carry_their_column_and_unit_and_bars_their_class():
    figure = network_tree(columns(), np.full(10, 0.1), DIGITS)
    assert list(marks(figure)) == [(0, 0), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2)]
    (bars,) = [trace for trace in figure.data if trace.type == "bar"]
    assert [list(data) for data in bars.customdata] == [[3, n] for n in range(10)]


def test_a_layer_that_mixes_channels_hangs_on_all_and_one_that_does_not_on_its_own():
    figure = network_tree(columns())
    places = {mark: (round(x, 4), y) for mark, (x, y) in marks(figure).items()}
    found = {((left, start), (right, stop)) for left, right, start, stop in links(figure.data[0])}
    wanted = {(places[0, 0], places[1, n]) for n in range(3)} | {(places[1, n], places[2, n]) for n in range(3)}
    assert found == wanted


def test_units_are_linked_by_their_numbers_and_not_by_their_places():
    before, after = columns()[:2], TreeColumn("ReLU", "3", nodes(3)[1:], 3, "same")
    figure = network_tree([*before, after])
    assert len(links(figure.data[0])) == 3 + 2


def test_the_chosen_node_is_framed_and_its_links_stand_out():
    figure = network_tree(columns(), chosen=(1, 2))
    assert len(links(figure.data[1])) == 2
    (frame,) = [shape for shape in figure.layout.shapes if shape.type == "rect"]
    assert (frame.xanchor, frame.yanchor) == pytest.approx(marks(figure)[1, 2])
    assert len(links(network_tree(columns(), chosen=(1, 99)).data[0])) == 6


def test_of_many_units_the_first_are_shown_and_the_rest_is_said():
    figure = network_tree(columns(28), most=8)
    assert sum(mark[0] == 1 for mark in marks(figure)) == 8
    assert [note.text for note in figure.layout.annotations].count("+ 20 more") == 2
    assert not any("more" in note.text for note in network_tree(columns(8)).layout.annotations)


def test_of_many_classes_the_most_probable_are_shown_and_the_rest_is_said():
    probabilities = np.linspace(0, 1, 100)
    figure = network_tree(columns(), probabilities / probabilities.sum(), [f"class {n}" for n in range(100)], true=99)
    (bars,) = [trace for trace in figure.data if trace.type == "bar"]
    assert [data[1] for data in bars.customdata] == list(range(99, 87, -1))
    assert any("+ 88 more classes" in note.text for note in figure.layout.annotations)
    assert "✓" in figure.layout.yaxis2.ticktext[0]


@pytest.mark.parametrize("side", [1, 4, 7, 28, 32, 64])
def test_pixels_are_enlarged_by_a_whole_factor_and_keep_their_colours(side):
    (node,) = nodes(1, side)
    sheet = pixels(network_tree([TreeColumn("Input", "", (node,), 1)]).layout.images[0])
    factor = sheet.shape[0] // side
    assert sheet.shape == (side * factor, side * factor, 4)
    middles = sheet[factor // 2 :: factor, factor // 2 :: factor, :3]
    inner = slice(1, -1) if factor == 1 or side > 40 else slice(None)  # the frame takes the outermost pixel
    np.testing.assert_array_equal(middles[inner, inner], node.picture[inner, inner])


def test_large_and_oblong_pictures_fit_their_node():
    wide = TreeNode(0, np.full((100, 400, 3), 77, dtype=np.uint8))
    sheet = pixels(network_tree([TreeColumn("Input", "", (wide,), 1)]).layout.images[0])
    assert sheet.shape[0] == sheet.shape[1] <= 192
    assert sheet[0, 0, 3] == 0
    assert (sheet[sheet.shape[0] // 2, sheet.shape[1] // 2] == (77, 77, 77, 255)).all()


def test_before_training_nodes_are_grey_and_bars_are_empty():
    bare = tuple(TreeNode(unit) for unit in range(3))
    figure = network_tree([TreeColumn("Conv", "3 × 4 × 4", bare, 3)], None, DIGITS)
    middle = pixels(figure.layout.images[0])[40, 40]
    assert middle[0] == middle[1] == middle[2]
    (bars,) = [trace for trace in figure.data if trace.type == "bar"]
    assert set(bars.x) == {0}
    assert set(bars.text) == {""}
    assert figure.data[-1].hovertext[0] == "<b>Conv</b>, unit 0"


def test_one_image_a_column_and_little_to_send():
    figure = network_tree([*columns(8), *columns(8)[1:] * 4], np.full(10, 0.1), DIGITS)
    assert len(figure.layout.images) == 11
    assert len(figure.to_json()) < 150_000


def test_words_are_shown_as_they_are_with_the_range_of_values():
    figure = network_tree(columns())
    (words,) = {
        text for trace in figure.data for text in trace.hovertext or () if "Conv-1" in text and "unit 2" in text
    }
    assert words == "<b>Conv-1 &lt;b&gt;</b>, unit 2<br>values −1.5 to 2"
    json.loads(figure.to_json())


@pytest.mark.parametrize("n_columns", [1, 4, 11])
def test_titles_of_neighbours_never_touch_on_a_narrow_page(n_columns):
    layers = [TreeColumn("Convolution", "128 × 32 × 32", nodes(2), 2)] * n_columns
    heads = [
        note
        for note in network_tree(layers, np.full(10, 0.1), DIGITS).layout.annotations
        if "Conv" in note.text or "Pred" in note.text
    ]
    for n, one in enumerate(heads):
        for other in heads[n + 1 :]:
            if one.yshift == other.yshift:
                assert (other.x - one.x) * 690 >= 72
