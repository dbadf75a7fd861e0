import json

import numpy as np
import pytest

from figures.training_curves import other_measures, training_curves
from playground.history import History

RED, BLUE = "#FF0000", "#0000FF"


def run(n_epochs: int, name: str = "run", first: int = 1, **more) -> History:
    epochs = np.arange(first, first + n_epochs)
    losses = 2.0 / np.arange(1, n_epochs + 1)
    values = {
        "training loss": losses, "validation loss": losses + 0.1,
        "training accuracy": 1 - losses / 3, "validation accuracy": 0.95 - losses / 3,
    }  # fmt: skip
    return History(name, epochs, {**values, **more})


def curves(figure, axis: str = "x"):
    return [trace for trace in figure.data if trace.xaxis == axis and "lines" in (trace.mode or "")]


def stars(figure):
    return [trace for trace in figure.data if trace.marker.symbol == "star"]


def test_accuracy_is_left_and_loss_right_training_dashed_and_validation_solid():
    figure = training_curves([run(5)], [RED])
    for axis, measure in (("x", "accuracy"), ("x2", "loss")):
        training, validation = curves(figure, axis)
        assert (training.name, validation.name) == (f"run: training {measure}", f"run: validation {measure}")
        assert training.line.dash
        assert not validation.line.dash
        assert training.line.width < validation.line.width
        np.testing.assert_allclose(np.array(validation.y, float), run(5).values[f"validation {measure}"])
    assert figure.layout.xaxis.domain[1] < figure.layout.xaxis2.domain[0]


def test_the_axes_stay_as_epochs_come_in():
    axes = [
        (f.layout.xaxis.range, f.layout.xaxis2.range, f.layout.yaxis.range, f.layout.yaxis2.range)
        for f in (training_curves([run(n)], [RED], n, last_epoch=20) for n in (1, 5, 20))
    ]
    assert axes[0] == axes[1] == axes[2]
    assert axes[0][0][0] < 1
    assert axes[0][0][1] > 20


def test_every_value_lies_within_its_axes():
    figure = training_curves([run(1, first=0), run(30)], [RED, BLUE], 3)
    for trace in figure.data:
        x = figure.layout[f"xaxis{trace.xaxis[1:]}"].range
        y = figure.layout[f"yaxis{trace.yaxis[1:]}"].range
        assert all(x[0] <= value <= x[1] for value in trace.x)
        assert all(y[0] <= value <= y[1] for value in trace.y if value is not None)


@pytest.mark.parametrize("known", [[5], [3, 50, 51]])
def test_few_values_are_points_and_lines_pass_over_what_is_missing(known):
    losses = np.full(100, np.nan)
    losses[known] = 1.0
    (curve,) = curves(training_curves([History("run", np.arange(100), {"training loss": losses})], [RED]))
    assert list(curve.x) == known
    assert curve.mode == "lines+markers"
    assert curve.marker.size > 0


def test_long_runs_are_lines_of_bounded_length_up_to_the_last_epoch():
    values = {"validation loss": np.linspace(2, 1, 50_001)}
    (curve,) = curves(training_curves([History("run", np.arange(50_001), values, unit="step")], [RED]))
    assert curve.mode == "lines"
    assert 1000 < len(curve.x) <= 2000
    assert curve.x[-1] == 50_000
    assert curve.x[0] < 30


def test_the_best_epoch_of_each_run_has_a_star_on_both_charts():
    figure = training_curves([run(4), run(7)], [RED, BLUE])
    assert [(star.x[0], star.xaxis, star.marker.color) for star in stars(figure)] == [
        (4, "x", RED), (7, "x", BLUE), (4, "x2", RED), (7, "x2", BLUE),
    ]  # fmt: skip


def test_the_epoch_on_show_is_a_line_on_both_charts_and_points_carry_their_run_and_epoch():
    figure = training_curves([run(4), run(3)], [RED, BLUE], 3)
    assert [(shape.x0, shape.xref) for shape in figure.layout.shapes] == [(3, "x"), (3, "x2")]
    last = curves(figure)[-1]
    assert [list(mark) for mark in last.customdata] == [[1, 1], [1, 2], [1, 3]]
    assert not training_curves([run(4)], [RED]).layout.shapes


def test_a_loss_that_blows_up_leaves_the_rest_visible_and_what_is_infinite_is_marked():
    losses = np.array([2.0, 1.0, 50.0, 1e6, np.inf, np.nan])
    figure = training_curves([History("run", np.arange(6), {"validation loss": losses})], [RED])
    assert figure.layout.yaxis.type == "log"
    (marks,) = [trace for trace in figure.data if trace.marker.symbol == "triangle-up"]
    assert list(marks.x) == [4]
    assert "infinite" in marks.hovertemplate
    assert list(curves(figure)[0].x) == [0, 1, 2, 3]
    assert training_curves([run(50)], [RED]).layout.yaxis2.type is None


def test_only_what_was_measured_gets_a_chart_and_anything_can():
    loss_only = History("run", np.arange(2), {"training loss": np.ones(2), "lr <1>": np.array([0.1, -0.2])})
    assert len(list(training_curves([loss_only], [RED]).select_xaxes())) == 1
    assert other_measures([loss_only, run(2)]) == ["lr <1>"]
    figure = training_curves([loss_only], [RED], measures=other_measures([loss_only]))
    assert [list(trace.y) for trace in curves(figure)] == [[0.1, -0.2]]
    assert any("lr &lt;1&gt;" in note.text for note in figure.layout.annotations)


def test_before_the_first_epoch_both_charts_are_there():
    figure = training_curves([], [], None, last_epoch=10)
    assert {trace.xaxis for trace in figure.data} == {"x", "x2"}
    assert figure.layout.xaxis.range[1] > 10


def test_names_are_said_as_they_are_and_long_ones_keep_both_ends():
    names = [f"<b>Conv-ReLU-Conv-ReLU-Pool</b> %{{x}} with kernels of {n}" for n in range(12)]
    figure = training_curves([run(2, name) for name in names], [RED] * 12)
    words = " ".join(note.text for note in figure.layout.annotations)
    assert "<b>Conv" not in words
    assert "of 0" in words
    assert "more" in words
    assert "%{x} with" not in curves(figure)[0].hovertemplate
    json.loads(figure.to_json())
