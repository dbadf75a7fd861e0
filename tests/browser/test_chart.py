"""The chart component in a real browser, on a page of its own."""

import re
from pathlib import Path

import pytest

from benchmarks.browser import ROOT, serve
from tests.browser.panels import plot, shown_px

#: A page that is busy for longer than plotly lets pass between the two presses of a double click.
BUSY = "() => { for (const end = performance.now() + 600; performance.now() < end; ); }"
BARS, CLOUD, WIDTH = plot("bars"), plot("cloud"), shown_px("bars")


@pytest.fixture(scope="module")
def charts(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        with serve(tmp_path_factory.mktemp("data"), Path(__file__).parent / "charts" / "app.py") as address:
            yield address


@pytest.fixture
def page(open_window, charts):
    page = open_window(charts)
    page.wait_for_function(f"{WIDTH} > 0 && {CLOUD}?.querySelector('canvas')", timeout=60_000)
    return page


def test_hover_click_and_a_box_come_to_python_with_the_points_data(page):
    middle = page.locator(".st-key-cloud .nsewdrag").bounding_box()
    x, y = middle["x"] + middle["width"] / 2, middle["y"] + middle["height"] / 2
    page.mouse.move(x, y)
    hovered = page.get_by_text(re.compile(r"hover \d+, click None, box 0"))
    hovered.wait_for()
    (point,) = re.findall(r"hover (\d+)", hovered.inner_text())
    page.mouse.down()
    page.mouse.up()
    page.get_by_text(f"click {point}, box 0").wait_for()
    page.mouse.move(x - 100, y - 50)
    page.mouse.down()
    page.mouse.move(x + 100, y + 50, steps=4)
    page.mouse.up()
    page.get_by_text(re.compile(r"box \d{4,}")).wait_for()


def test_a_zoom_outlives_new_figures_until_it_is_taken_back(page):
    whole = page.evaluate(WIDTH)

    def zoom():
        page.locator(".st-key-bars .nsewdrag").hover()
        page.mouse.wheel(0, -300)
        page.wait_for_function(f"{WIDTH} < 0.95 * {whole}")

    def wait_for_the_whole():
        page.wait_for_function(f"Math.abs({WIDTH} - {whole}) < 1e-6")

    zoom()
    page.evaluate(f"window.before = {BARS}")
    page.get_by_text("Other bars").click()
    page.wait_for_function(f"{BARS}._fullData[0].y[0] == 3")
    assert page.evaluate(f"{WIDTH}") < 0.95 * whole
    assert page.evaluate(f"{BARS} === window.before"), "the chart was made anew"
    page.get_by_role("button", name="All of it").click()
    wait_for_the_whole()
    zoom()
    page.get_by_role("img", name="Three bars").focus()
    page.keyboard.press("Home")
    wait_for_the_whole()
    zoom()
    page.evaluate(f"{BARS}.addEventListener('mousedown', {BUSY}, {{ capture: true }})")
    page.locator(".st-key-bars .nsewdrag").dblclick()
    wait_for_the_whole()
    zoom()
    page.get_by_text("Other bars").click()
    page.wait_for_function(f"{BARS}._fullData[0].y[0] == 1 && {WIDTH} < 0.95 * {whole}")
    page.get_by_role("button", name="All of it").click()
    wait_for_the_whole()
    zoom()
    page.get_by_text("Another revision").click()
    wait_for_the_whole()


def test_it_follows_the_theme_the_width_and_fills_the_screen(page):
    colour = f"{BARS}._fullLayout.font.color + {BARS}._fullLayout.shapes[0].line.color"
    light = page.evaluate(colour)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"(light) => {colour} != light", arg=light)
    width = f"{BARS}._fullLayout.width"
    wide = page.evaluate(width)
    page.set_viewport_size({"width": 800, "height": 900})
    page.wait_for_function(f"{width} < {wide}")
    page.get_by_role("img", name="Three bars").focus()
    page.keyboard.press("f")
    page.wait_for_function(f"document.fullscreenElement && {BARS}._fullLayout.height > 600")
    page.keyboard.press("f")
    page.wait_for_function(f"!document.fullscreenElement && {BARS}._fullLayout.height == 300")


def test_another_page_leaves_nothing_behind_and_the_way_back_brings_all(page):
    page.get_by_role("link", name="None").click()
    page.get_by_role("heading", name="None").wait_for()
    page.wait_for_function("document.querySelectorAll('.js-plotly-plot, canvas').length == 0")
    page.get_by_role("link", name="Charts").click()
    page.wait_for_function(f"{WIDTH} > 0 && {CLOUD}?.querySelector('canvas')")
    assert page.locator(".js-plotly-plot").count() == 2


#: Two calls as Streamlit makes them when data come fast: it takes the first one back as outdated.
OUTDATED = """async () => {
  const loaded = performance.getEntriesByType("resource").map(({ name }) => name)
  const { draw } = await import(loaded.find((name) => name.endsWith("/chart.js")))
  const place = document.body.appendChild(document.createElement("div"))
  const data = { figure: loaded.find((name) => name.endsWith(".json") && name.includes("/content/")), events: {} }
  const moment = () => new Promise((resolve) => setTimeout(resolve, 50))
  const n = () => place.childElementCount
  const takeBack = [draw({ parentElement: place, data }), draw({ parentElement: place, data })]
  takeBack[0]()
  await moment()
  const kept = n()
  place.remove()
  takeBack[1]()
  await moment()
  return [kept, n()]
}"""


def test_an_outdated_call_that_is_taken_back_leaves_the_chart_in_place(page):
    assert page.evaluate(OUTDATED) == [1, 0]
