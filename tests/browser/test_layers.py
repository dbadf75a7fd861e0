"""The layers page in a real browser: a click on a tile looks closer, a node of the network leads to its layer."""

import pytest

COLUMNS = "[...document.querySelectorAll('[class*=st-key-layers_chart_]')]"
CHART = f"{COLUMNS}[0]?.querySelector('.js-plotly-plot')"
N_TILES = f"({CHART}?.querySelector('image') ? {CHART}._fullData[0].x.length : 0)"
FIRST = f"{CHART}?._fullData?.[0].customdata[0]"
NODES = "document.querySelector('[class*=st-key-layers_network_] .js-plotly-plot')"

#: Where a node lies on the screen, by its name.
PLACE = f"""(name) => {{
  const {{_size: size, xaxis, yaxis}} = {NODES}._fullLayout, box = {NODES}.getBoundingClientRect()
  for (const trace of {NODES}._fullData) {{
    const at = (trace.customdata ?? []).findIndex((place) => place[0] === name)
    if (at >= 0) return [box.left + size.l + xaxis.d2p(trace.x[at]), box.top + size.t + yaxis.d2p(trace.y[at])]
  }}
}}"""


@pytest.fixture
def page(open_window, address):
    page = open_window(address, height=1300)
    page.get_by_role("link", name="Layers").click(timeout=120_000)
    page.get_by_role("button", name="Select six images").click(timeout=120_000)
    page.wait_for_function(f"{COLUMNS}.length == 4 && {N_TILES} == 96", timeout=90_000)
    return page


def press(page, x: float, y: float, drawn: str) -> None:
    """Click as people do: plotly takes a click only after its hover."""
    page.mouse.move(x, y)
    page.wait_for_function(f"{drawn}?._hoverdata?.length")
    page.mouse.down()
    page.mouse.up()


def where_it_rests(page, node: str) -> list[float]:
    """The place of a node once the popover that it is in moves no more."""
    seen, now = None, page.evaluate(PLACE, node)
    while now != seen:
        page.wait_for_timeout(200)
        seen, now = now, page.evaluate(PLACE, node)
    return now


def test_a_clicked_tile_is_looked_at_and_nothing_jumps(page):
    page.get_by_text("Highest activation").nth(3).wait_for(timeout=90_000)
    strongest = page.evaluate(FIRST)
    page.get_by_role("heading", name=f"Unit {strongest}", exact=True).first.wait_for()
    top = page.locator("h3").first.bounding_box()["y"]
    wanted, x, y = page.evaluate(
        f"(() => {{ const {{xaxis, yaxis, _size}} = {CHART}._fullLayout, t = {CHART}._fullData[0];"
        f" const box = {CHART}.getBoundingClientRect(); return [t.customdata[10],"
        " box.left + _size.l + xaxis.d2p(t.x[10]), box.top + _size.t + yaxis.d2p(t.y[10])] })()"
    )
    press(page, x, y, CHART)
    page.get_by_role("heading", name=f"Unit {wanted}", exact=True).first.wait_for(timeout=20_000)
    assert page.evaluate(FIRST) == strongest, "the order stays"
    assert page.locator("h3").first.bounding_box()["y"] == top
    page.locator("img[alt^='Where unit']").nth(3).wait_for(timeout=20_000)


def test_a_node_of_the_network_leads_to_its_layer_and_the_slider_goes_on(page):
    page.locator("button[data-testid=stPopoverButton]:visible").first.click()
    page.wait_for_function(f"{NODES}?._fullData?.length > 3", timeout=60_000)
    assert page.evaluate(f"{NODES}._fullLayout.height == {NODES}.clientHeight"), "every node has its row"
    press(page, *where_it_rests(page, "features.5"), NODES)
    page.wait_for_function(f"{N_TILES} == 16", timeout=30_000)
    page.keyboard.press("Escape")
    page.locator("[data-testid=stSlider] input[aria-valuetext='features.5']").focus()
    page.keyboard.press("ArrowRight")
    page.get_by_text("16 units of MaxPool2d · 32×32").wait_for(timeout=30_000)
    page.get_by_text("All models in step").click()
    page.get_by_text("16 units of MaxPool2d · 32×32").nth(1).wait_for(timeout=30_000)  # the shortcut net's
