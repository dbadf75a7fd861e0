"""The layers page without a browser: units in order, models in step, and what is said where there is nothing to see."""

import io

import numpy as np
import pytest
from PIL import Image

from explainers.layers import maps
from explainers.layers.maps import difference, order
from explainers.results import Sources, compute
from pages.layers import controls, view
from pages.layers.view import ViewOptions
from pages.shared import cache, layer_chooser, top_images
from pages.shared.page_state import PageState
from tests.pages.apps import figures, finish, words


@pytest.fixture
def page(app):
    """The page with six images picked, the two VGGs on it, and everything computed."""
    state = app.session_state["session"]
    state.switched_off |= {state.models[1], state.models[2]}
    app.switch_page("../layers/page.py").run()
    app.button(key="layers_six").click().run()
    finish(app)
    return app


def tiles(page, model: int) -> list[int]:
    """The units of the model's mosaic, in its order."""
    return [chart for chart in figures(page) if "images" in chart["layout"]][model]["data"][0]["customdata"]


def values_of(page, model: int, layer: str = "features.26") -> np.ndarray:
    state = page.session_state["session"]
    request = maps.UnitMapsRequest(cache.card(state.active[model]), state.picks[state.position], layer)
    return request.load(cache.store())


def test_every_unit_is_on_the_page_the_strongest_first(page):
    assert "1 / 6" in words(page)
    expected = order(values_of(page, 0)).tolist()
    assert tiles(page, 0) == expected
    assert f"Unit {expected[0]}" in words(page)
    assert "96 units of ReLU · 8×8" in words(page)
    assert " ".join(block.proto.body for block in page.get("html")).count("Highest activation") == 2
    page.segmented_control(key="layers_order").set_value("number").run()
    assert tiles(page, 0) == list(range(96))
    page.segmented_control(key="layers_scale").set_value("shared").run()
    assert not page.exception


def test_other_picks_are_worked_out_ahead(page):
    n_jobs = len(cache.jobs().jobs)
    page.button(key="layers_on").click().run()
    assert "2 / 6" in words(page)
    assert tiles(page, 0) == order(values_of(page, 0)).tolist()
    assert len(cache.jobs().jobs) == n_jobs


def test_a_clicked_unit_is_looked_at_until_the_layer_changes(page):
    vgg = page.session_state["session"].models[0]
    page.session_state["session"].units[vgg] = ("features.26", 7)
    page.run()
    assert "Unit 7" in words(page)
    page.selectbox(key=f"layers_layer_{vgg}").set_value("features.5").run()
    finish(page)
    assert f"Unit {order(values_of(page, 0, 'features.5'))[0]}" in words(page)
    assert page.select_slider(key=f"layers_slider_{vgg}").value == "features.5"


def test_the_slider_moves_the_chooser_and_models_in_step(page):
    vgg, _, _, shortcut = page.session_state["session"].models
    page.select_slider(key=f"layers_slider_{vgg}").set_value("features.12").run()
    assert page.selectbox(key=f"layers_layer_{vgg}").value == "features.12"
    assert page.selectbox(key=f"layers_layer_{shortcut}").value == "features.26"
    page.toggle(key="layers_in_step").set_value(True).run()
    assert page.selectbox(key=f"layers_layer_{shortcut}").value == "features.12"
    page.select_slider(key=f"layers_slider_{shortcut}").set_value("features.19").run()
    assert page.selectbox(key=f"layers_layer_{vgg}").value == "features.19"
    finish(page)
    assert not page.exception
    assert "64 units of ReLU" in words(page)


def test_units_can_be_ordered_by_how_far_two_models_are_apart(page):
    page.segmented_control(key="layers_order").set_value("differ").run()
    expected = np.argsort(-difference(values_of(page, 0), values_of(page, 1)), kind="stable").tolist()
    assert tiles(page, 0) == tiles(page, 1) == expected
    assert f"Against shortcut: most apart in unit {expected[0]}" in words(page)
    vgg = page.session_state["session"].models[0]
    page.selectbox(key=f"layers_layer_{vgg}").set_value("features.5").run()
    finish(page)
    assert "shortcut shows features.26: choose the same layer. Ordered by strength." in words(page)


def test_models_that_do_not_match_are_told_why(page):
    state = page.session_state["session"]
    state.switched_off.clear()
    state.switched_off |= {state.models[0], state.models[2]}
    page.segmented_control(key="layers_order").set_value("differ").run()
    finish(page)
    assert not page.exception
    assert "Ordered by strength" in words(page)


def test_neurons_without_a_grid_are_bars_and_answers_have_their_names(page):
    vgg = page.session_state["session"].models[0]
    page.selectbox(key=f"layers_layer_{vgg}").set_value("classifier").run()
    finish(page)
    assert not page.exception
    bars = next(chart for chart in figures(page) if chart["data"][0].get("orientation") == "h")
    assert "seascape" in bars["layout"]["yaxis"]["ticktext"]
    assert "no grid" in words(page)


def test_kernels_are_read_when_they_are_looked_for(page):
    page.session_state["layers_kernels"] = True
    page.run()
    finish(page)
    assert not page.exception
    assert "vgg: 16 kernels of features.0, 3 × 3 × 3" in words(page)


def test_the_network_and_the_tree_open_on_demand(page):
    vgg = page.session_state["session"].models[0]
    n_charts = len(figures(page))
    page.session_state[f"layers_inside_{vgg}"] = True
    page.run()
    finish(page)
    assert not page.exception
    assert len(figures(page)) == n_charts + 1
    network = next(chart for chart in figures(page) if any(trace.get("mode") == "lines" for trace in chart["data"]))
    named = [place[0] for trace in network["data"] for place in trace.get("customdata") or []]
    assert {"features.0", "classifier.4"} <= set(named)
    page.segmented_control(key=f"layers_shown_{vgg}").set_value("tree").run()
    table = page.dataframe[0].value
    assert len(table) == 35
    assert table.iloc[0].tolist()[1:] == ["Sequential", "96×4×4", int(table.iloc[0]["parameters"])]
    assert table.iloc[1].tolist() == ["\N{NO-BREAK SPACE}" * 4 + "0", "Conv2d", "16×64×64", 432]


def test_a_layer_that_fails_is_said_and_the_other_model_stays(page, monkeypatch):
    vgg = page.session_state["session"].models[0]
    unit_maps = maps.unit_maps

    def fail(model, inputs, name):
        if name == "features.9":
            raise RuntimeError("this layer is out of order")
        return unit_maps(model, inputs, name)

    monkeypatch.setattr(maps, "unit_maps", fail)
    page.selectbox(key=f"layers_layer_{vgg}").set_value("features.9").run()
    finish(page)
    assert not page.exception
    assert "this layer is out of order" in words(page)
    assert len(tiles(page, 0)) == 96, "the other model's mosaic"


def test_files_hold_the_raw_maps_and_the_mosaic(page):
    state = page.session_state["session"]
    cards, images = [cache.card(digest) for digest in state.active], cache.image_set(state.images)
    layers, options = dict.fromkeys(state.active, "features.5"), ViewOptions()
    compute(
        Sources(cache.model_store(), cache.store(), images),
        maps.UnitMapsRequest(cards[0], state.picks[0], "features.5"),
    )
    units = view.units_of(cards[0], PageState(cards, images, None, state.picks[0]), layers, options)
    with np.load(io.BytesIO(view.to_npz_file(units))) as stored:
        assert stored["maps"].shape == (16, 64, 64)
    with Image.open(io.BytesIO(view.to_png_file(units, options))) as picture:
        assert picture.width > 200


def test_the_same_depth_is_the_layer_of_that_name_or_as_far_from_the_input():
    same = controls.same_depth
    assert same(["a", "b", "c"], "b", ["x", "b", "y", "z"]) == "b"
    assert same(["a", "b", "c"], "c", ["x", "y"]) == "y"
    assert same(["a", "b", "c"], "b", ["v", "w", "x", "y", "z"]) == "x"
    assert same(["a"], "a", ["x", "y"]) == "x"


def test_a_block_stands_in_front_of_what_is_inside_it(app):
    resnet = cache.card(app.session_state["session"].models[1])
    names = [layer.name for layer in layer_chooser.in_tree_order(resnet.layers)]
    assert names.index("layer1") + 1 == names.index("layer1.0") == names.index("layer1.0.conv1") - 1
    assert names[-1] == "fc"
    assert len(names) == len(resnet.layers)


def test_large_image_sets_are_measured_only_when_asked_for(page, monkeypatch):
    monkeypatch.setattr(top_images, "_UNASKED", 10)
    vgg = page.session_state["session"].models[0]
    page.selectbox(key=f"layers_layer_{vgg}").set_value("features.3").run()
    finish(page)
    assert (
        cache.unit_activations(cache.card(vgg), cache.image_set(page.session_state["session"].images), "features.3")
        is None
    )
    page.button(key=f"layers_{vgg}_measure").click().run()
    finish(page)
    assert not page.exception
    assert not [button for button in page.button if button.key == f"layers_{vgg}_measure"]


def test_a_unit_is_handed_to_maxout(page):
    vgg = page.session_state["session"].models[0]
    page.session_state["session"].units[vgg] = ("features.26", 7)
    page.run()
    page.button(key=f"layers_maxout_{vgg}").click().run()
    assert not page.exception
    assert "Which image maximises a class or unit?" in words(page)
    assert page.text_input(key=f"maxout_units_{vgg}").value == "7"
    assert page.selectbox(key=f"maxout_layer_{vgg}").value == "features.26"
