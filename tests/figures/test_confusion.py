import json

import numpy as np
import pytest

from figures.colours import RIGHT, WRONG
from figures.confusion import confusion_matrix, percent, probability_bars

COUNTS = np.array([[8, 2, 0], [0, 1, 9], [0, 0, 0]])
NAMES = ["cat", "dog", "<b>a very long name of a class"]


def test_rows_are_true_classes_and_columns_predicted_ones():
    cells = confusion_matrix(COUNTS, NAMES).data[0]
    assert cells.text[1][2] == "9"
    assert list(cells.customdata[1][2]) == [1, 2]
    assert (
        "dog</b>: 9 of 10 images taken for <b>&lt;b&gt;a very long name of a class</b> (90.0%)" in cells.hovertext[1][2]
    )
    assert "cat</b>: 8 of 10 images right" in cells.hovertext[0][0]
    assert cells.hovertext[2][2] == ""


def test_errors_and_right_answers_have_different_colours_by_their_share_of_the_row():
    z = confusion_matrix(COUNTS, NAMES).data[0].z
    assert z[0][0] == pytest.approx(0.8)
    assert z[1][2] < z[0][1] < 0 < z[1][1]
    assert z[2][2] == z[0][2] == 0


def test_a_single_error_among_thousands_shows():
    counts = np.array([[9999, 1], [0, 10]])
    assert confusion_matrix(counts, ["a", "b"]).data[0].z[0][1] <= -0.01


@pytest.mark.parametrize("n", [1, 2, 10, 40, 100])
@pytest.mark.parametrize("width_px", [300, 560, 900])
def test_matrices_of_any_size_keep_their_names_apart_and_fit_the_width(n, width_px):
    figure = confusion_matrix(np.eye(n, dtype=int) * 12, [f"class {i}" for i in range(n)], None, width_px)
    margin, ticks = figure.layout.margin, figure.layout.yaxis.tickvals
    body_px = figure.layout.height - margin.t - margin.b
    assert body_px / n * (ticks[1] - ticks[0] if len(ticks) > 1 else n) >= min(12, body_px)
    if n < 100:
        assert margin.l + body_px + margin.r <= width_px + 1
    assert (figure.data[0].texttemplate != "") == (body_px / n >= 16)


def test_counts_are_hidden_where_their_digits_do_not_fit():
    big = np.eye(20, dtype=int) * 12345
    assert not confusion_matrix(big, [str(i) for i in range(20)], None, 560).data[0].texttemplate
    assert confusion_matrix(big // 1000, [str(i) for i in range(20)], None, 560).data[0].texttemplate


def test_the_chosen_cell_is_framed_and_long_names_are_cut():
    figure = confusion_matrix(COUNTS, NAMES, (1, 2))
    (frame,) = figure.layout.shapes
    assert (frame.x0, frame.y0) == (1.5, 0.5)
    assert figure.layout.yaxis.ticktext[2].startswith("&lt;b&gt;a very")
    assert figure.layout.yaxis.ticktext[2].endswith("…")
    json.loads(figure.to_json())


@pytest.mark.parametrize("n", [3, 12, 13, 100, 1000])
def test_bars_show_all_classes_the_predicted_and_the_true_one_named(n):
    probabilities = np.full(n, 0.1 / n)
    probabilities[1] = 0.9
    figure = probability_bars(probabilities, [f"<i>{i}" for i in range(n)], 2)
    (bar,) = figure.data
    assert len(bar.customdata) == n
    assert bar.marker.color[1] == WRONG
    axis = figure.layout.yaxis if n <= 12 else figure.layout.xaxis
    named = dict(zip(axis.tickvals, axis.ticktext, strict=True))
    assert "✓" in named[2]
    assert named[1] == "<b>&lt;i&gt;1</b>"
    assert len(named) <= 26
    assert "the true class" in bar.hovertext[2]


def test_a_right_answer_is_green_and_without_a_label_it_is_neither():
    assert probability_bars(np.array([0.2, 0.8]), ["a", "b"], 1).data[0].marker.color[1] == RIGHT
    unlabelled = probability_bars(np.array([0.2, 0.8]), ["a", "b"])
    assert unlabelled.data[0].marker.color[1] not in {RIGHT, WRONG}
    assert "✓" not in "".join(unlabelled.layout.yaxis.ticktext)


@pytest.mark.parametrize(
    ("probability", "words"),
    [(0, "0%"), (1, "100%"), (1e-9, "<0.1%"), (0.99999, ">99.9%"), (0.123, "12.3%"), (np.nan, "–")],
)
def test_percentages_never_round_to_none_or_all(probability, words):
    assert percent(probability) == words
