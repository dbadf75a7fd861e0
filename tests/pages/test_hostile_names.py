"""Names of models, classes, files and image sets that look like markup are shown as they are on every page."""

import json
import re

import numpy as np
import plotly.graph_objects as go
import pytest
from PIL import Image

from common.settings import settings
from figures import suggestion as charts
from figures.contrast_grid import Curves, Row, Small, contrast_figure, morph_figure
from figures.layers import bars_figure
from figures.maxout import Curve, TargetTile, curves_figure, maxout_figure
from figures.network import network_figure
from figures.panel_grid import Band, Panel, Tile
from figures.prediction_difference import difference_figure
from images import intake
from jobs.queue import Job
from models.card import Recipe
from models.graph import Graph, Node
from pages.shared import cache
from playground.history_files import read_history
from playground.kept_histories import KeptHistories
from tests.makers import tiny_loaded
from tests.pages.apps import figures, finish
from tests.pages.test_pages import PAGES

#: One of each kind of sign; what must never reach Markdown as it is, nor a figure.
CLASSES = ("**ant**", "$bee$ :red[b] $c$ ![bee](http://x.org/b.png)", "[cat](http://x.org) `c` <b>c</b> <img src=x>")
SIGNS = re.compile(
    r"(?<!\\)(\*\*ant|\*\*net|\$bee|:red\[b|\[cat\]|`c`|:material/net|\[file\]|:green\[set|__layer__|\[bee\]|<img|<i>"
    r"|\[sex\]|\[epoch\]|\*\*bold|\[history\])"
)
TAGS = re.compile(r"<b>c</b>|<a href|<i>|<img")

#: Where text is shown as it stands, by the kind of message and its field.
PLAIN = {
    *(("Selectbox", name) for name in ("options", "raw_value", "placeholder")),
    *(("MultiSelect", name) for name in ("options", "raw_values", "default", "placeholder")),
    ("TextInput", "value"), ("TextInput", "default"), ("Image", "alt"), ("BidiComponent", "json"), ("Html", "body"),
    ("DownloadButton", "url"), ("PlotlyChart", "spec"),
}  # fmt: skip


@pytest.fixture
def app(new_app, tmp_path):
    """The app with two models and four pictures whose names are nothing but signs; all scored."""
    folder = tmp_path / ":green[set]"
    rng = np.random.default_rng(0)
    for number, label in enumerate((*CLASSES[:2], "[cat](http_x.org)", CLASSES[0])):
        place = folder / label
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (20, 20, 3), dtype=np.uint8)).save(place / f"[file](x) *{number}*.png")
    rows = [f'"[file](x) *{number}*.png",**bold** $x$ <img src=x>' for number in range(4)]
    (folder / "[file] <i>.csv").write_text("\n".join(['file,"[sex](http://x.org) <i> <img src=x>"', *rows]))
    (folder / "[file](x).txt").write_text("[file]")
    app = new_app.run()
    state = app.session_state["session"]
    images = intake.from_folder(folder, settings().data_folder, lambda done, total: None)
    state.models = [
        cache.model_store()
        .add(tiny_loaded(seed=seed, name=name, class_names=CLASSES, recipe=Recipe("checkpoint")))
        .digest
        for seed, name in enumerate(("**net** <i>i</i>", ":material/net: [cat](http://x.org)"))
    ]
    history = read_history(b"epoch,loss,[epoch](x) <i>,$bee$ <img src=x>\n1,2,3,4\n2,1,2,3\n", "[history](x) <i>")
    KeptHistories(settings().data_folder / "histories").put(state.models[0], history)
    state.use_images(images.digest)
    state.pick(list(images.ids))
    return app


def texts(app) -> list[str]:
    """Every text that is sent to the browser, but for what is shown as it stands."""
    return [text for part in (app.main, app.sidebar) for node in _nodes(part) for text in _texts(_proto(node))]


def _proto(node):
    return getattr(node, "proto", None)


def _texts(message):
    if not hasattr(message, "ListFields"):
        return
    for field, value in message.ListFields():
        if (type(message).__name__, field.name) in PLAIN or field.name in ("id", "element_id", "user_key"):
            continue
        for one in value if field.is_repeated else [value]:
            if isinstance(one, str):
                yield f"{type(message).__name__}.{field.name}: {one}"
            else:
                yield from _texts(one)


def _nodes(block):
    yield block
    for child in getattr(block, "children", {}).values():
        yield from _nodes(child)


def test_no_page_reads_a_name_as_markup(app):
    for name in PAGES:
        app.switch_page(f"../{name}/page.py").run()
        finish(app, failing=True)
        finish(app, failing=True)
        said = texts(app)
        assert len(said) > 10
        assert [text for text in said if SIGNS.search(text)] == [], name
        drawn = " ".join(json.dumps(figure, ensure_ascii=False) for figure in figures(app))
        assert not TAGS.search(drawn), name
    app.switch_page("../upload/page.py").run()
    job = cache.jobs().submit(Job("**net** at work", lambda job: job.report(1, 0) or 1 / 0), "interactive")
    assert job.wait(10)
    app.session_state["session"].jobs["images"] = job
    app.session_state["session"].warnings = ["**net** is gone"]
    job.error = "Expected [cat](x), got $bee$."
    app.run()
    assert not [text for text in texts(app) if SIGNS.search(text)]
    assert any(r"\[cat\]" in error.value for error in app.error)


NAME = "<b>c</b> <a href='u'>x</a> %{y}"


def test_no_figure_reads_a_name_as_markup():
    panel = Panel("a.png", "b.png", caption=f"{NAME}\n{NAME}")
    tile = Tile(NAME, NAME, panel, "#123456")
    shares = np.ones((3, 3), dtype=np.float32)
    drawn = [
        go.Figure(difference_figure([Band(NAME, (tile, Tile(NAME, "", Panel(words=NAME))))], (8, 8))),
        go.Figure(contrast_figure([Row("m", NAME, (tile,), (Small("input", ""),))], (8, 8))),
        go.Figure(morph_figure(Row("m", "", (tile,)), [Curves((NAME, NAME, NAME), shares)], "step", (8, 8))),
        go.Figure(maxout_figure([Band(NAME, (TargetTile(NAME, NAME, panel),))], (8, 8), True)),
        curves_figure([Curve(NAME, "#123456", shares[0])], NAME),
        bars_figure(shares[0], np.arange(3), [NAME] * 3, "#123456"),
        charts.accuracy_figure([NAME, NAME], np.ones(2), np.ones(2, dtype=int), ["#123456"] * 2),
        charts.agreement_figure([NAME, NAME], np.eye(2)),
        network_figure(Graph((Node(NAME), Node("y")), ((0, 1),)), []),
    ]
    for figure in drawn:
        for trace in figure.data:
            trace.customdata = None  # nobody reads it but the page
        text = json.dumps(figure.to_plotly_json(), default=lambda array: array.tolist())
        assert "<b>c" not in text
        assert "<a href" not in text
        assert "%{y} " not in text.replace("%{y} images", "")
        assert "&lt;b&gt;c" in text


def test_models_of_one_name_have_a_bar_each():
    figure = charts.accuracy_figure(["12", "12"], np.array([0.2, 0.9]), np.ones(2, dtype=int), ["#123456"] * 2)
    assert list(figure.data[0].y) == [0, 1]
    assert list(figure.layout.yaxis.ticktext) == ["12", "12"]
