"""The grid of contrasts, the way between two classes, and the curve of a training."""

import numpy as np
import plotly.graph_objects as go
import pytest

from figures.contrast_grid import Curves, Row, Small, contrast_figure, losses_figure, morph_figure
from figures.panel_grid import Panel, Tile

SIZE = (32, 32)
PICTURE = "data:image/webp;base64,AAAA"


def row(title: str, n: int, small: int = 0) -> Row:
    tiles = tuple(Tile(f"model {m}", f"why a\nand not {m}", Panel(PICTURE, PICTURE, caption="facts")) for m in range(n))
    return Row(title, "words", tiles, tuple(Small(f"small {s}", PICTURE) for s in range(small)))


def words(figure) -> str:
    return " ".join(annotation.text for annotation in figure.layout.annotations)


def test_every_map_carries_its_row_and_tile_and_zooms_with_all_others():
    figure = go.Figure(contrast_figure([row("CDeepEx", 3, small=3), row("xGEMs", 3)], SIZE))
    marks = [tuple(trace.customdata[0]) for trace in figure.data if trace.customdata is not None]
    assert marks == [(r, t) for r in range(2) for t in range(3)]
    axes = list(figure.select_xaxes())
    assert len(axes) == 3 + 6
    assert all(tuple(axis.range) == (0, SIZE[1]) for axis in axes)
    assert sum(axis.matches == "x" for axis in axes) == len(axes) - 1
    for part in ("CDeepEx", "xGEMs", "small 2", "why a<br>and not 2", "to take away", "to add"):
        assert part in words(figure)


@pytest.mark.parametrize(("n", "n_columns"), [(1, 1), (4, 4), (5, 3), (8, 4)])
def test_many_models_break_into_lines_that_stay_on_the_page(n, n_columns):
    figure = go.Figure(contrast_figure([row("CDeepEx", n)], SIZE))
    lefts = {round(axis.domain[0], 4) for axis in figure.select_xaxes()}
    assert len(lefts) == n_columns
    assert all(0 <= axis.domain[0] < axis.domain[1] <= 1 for axis in figure.select_xaxes())
    assert all(0 <= axis.domain[0] < axis.domain[1] <= 1 for axis in figure.select_yaxes())


def test_likelihoods_have_axes_of_their_own_below_each_picture():
    shares = np.linspace(0, 1, 12, dtype=np.float32).reshape(4, 3)
    curves = [Curves(("8", "3", "next"), shares, at=2), None, Curves(("8", "3", ""), shares)]
    figure = go.Figure(morph_figure(row("On the way", 3), curves, "step", SIZE))
    lines = [trace for trace in figure.data if trace.name]
    assert [line.name for line in lines] == ["8", "3", "next", "8", "3"], "two classes have no next one"
    assert {line.xaxis for line in lines} == {"x4", "x5"}
    assert figure.layout.xaxis4.matches is None
    assert tuple(lines[1].y) == pytest.approx(shares[:, 1])
    (marker,) = [trace for trace in figure.data if trace.x is not None and tuple(trace.x) == (2, 2)]
    assert marker.xaxis == "x4"
    assert all(axis.fixedrange for axis in figure.select_xaxes()), "a slider moves here, not the mouse"


def test_a_long_training_is_thinned_to_means():
    losses = np.arange(10_000, dtype=np.float32)
    (trace,) = losses_figure(losses).data
    assert len(trace.x) == 1000
    assert trace.x[-1] == 10_000
    assert trace.y[0] == pytest.approx(losses[:10].mean())
