"""The figure of MaxOut's pictures: every picture has its place, its marks and its neighbours."""

import numpy as np
import plotly.graph_objects as go
import pytest

from figures.maxout import ENLARGE, REASON, Curve, TargetTile, curves_figure, maxout_figure
from figures.panel_grid import Band, Panel

URI = "data:image/webp;base64,AA=="


def tile(**changes):
    facts = {"title": "vgg", "facts": "", "colour": "#0072B2", "panel": Panel(URI, caption="logit 12\nstep 256")}
    return TargetTile(**{**facts, "most": (URI,) * 4, "least": (URI,) * 4, **changes})


def texts(figure):
    return [words.text for words in figure.layout.annotations]


def test_every_picture_zooms_with_the_others_and_carries_its_marks():
    bands = [Band("portrait", (tile(), tile())), Band("landscape", (tile(), tile()))]
    figure = go.Figure(maxout_figure(bands, (64, 80), images=True))
    assert len(figure.data) == 4
    assert [list(marks) for marks in figure.data[-1].customdata] == [[1, 1, ENLARGE], [1, 1, REASON]]
    axes = [axis for name, axis in figure.layout.to_plotly_json().items() if name.startswith("xaxis")]
    assert len(axes) == 4
    assert all(axis["range"] == [0, 80] for axis in axes)
    assert all(axis.get("matches", "x") == "x" for axis in axes)
    assert "<b>portrait</b>" in texts(figure)
    assert any("logit 12<br>step 256" in text for text in texts(figure))


@pytest.mark.parametrize("n_tiles", [1, 2, 4, 7])
@pytest.mark.parametrize("size", [(64, 64), (64, 128), (128, 64)])
def test_images_stand_beside_their_picture_and_inside_the_figure(n_tiles, size):
    figure = go.Figure(maxout_figure([Band("", (tile(),) * n_tiles)], size, images=True))
    layout = figure.layout.to_plotly_json()
    stamps = [image for image in layout["images"] if image["xref"] == "paper"]
    assert len(stamps) == 8 * n_tiles
    assert all(stamp["x"] >= 0 and stamp["x"] + stamp["sizex"] <= 1.001 for stamp in stamps)
    assert all(stamp["y"] - stamp["sizey"] >= -0.001 for stamp in stamps)
    right = [axis["domain"][1] for name, axis in layout.items() if name.startswith("xaxis")]
    assert stamps[0]["x"] >= right[0], "no image lies over its picture"


def test_without_images_pictures_are_denser():
    bands = [Band("", (tile(),) * 12)]
    assert go.Figure(maxout_figure(bands, (64, 64), images=False)).layout.height < (
        go.Figure(maxout_figure(bands, (64, 64), images=True)).layout.height
    )


def test_what_is_not_there_yet_has_words_and_nothing_to_click():
    figure = go.Figure(
        maxout_figure([Band("portrait", (tile(panel=Panel(words="waiting for its turn …")),))], (64, 64), True)
    )
    assert any("waiting" in text for text in texts(figure))
    assert figure.data[0].customdata is None


def test_the_figure_keeps_its_height_while_pictures_come():
    waiting = [Band("portrait", (tile(panel=Panel(words="waiting"), most=(), least=()),) * 2)]
    there = [Band("portrait", (tile(), tile(panel=Panel(URI, caption="a\nb\nc"))))]
    heights = {go.Figure(maxout_figure(bands, (64, 64), True)).layout.height for bands in (waiting, there)}
    assert len(heights) == 1


def test_an_empty_page_is_a_figure_too():
    assert go.Figure(maxout_figure([], (64, 64), True)).layout.height > 0


def test_curves_have_gaps_where_there_was_no_number():
    figure = curves_figure([Curve("vgg · portrait", "#0072B2", np.array([1.0, np.nan, 3.0]))], "logit")
    assert figure.data[0].x.tolist() == [1, 2, 3]
    assert np.isnan(figure.data[0].y[1])
    assert figure.layout.yaxis.title.text == "logit"
