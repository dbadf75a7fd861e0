"""The MaxOut page in a real browser: pictures form, stop and go on, zoom in step, and lead to Reason."""

import re

import pytest

from benchmarks.browser import chromium, serve

PLOT = "document.querySelector('.st-key-maxout_chart .js-plotly-plot')"
CHART = f"{PLOT}?._fullLayout"
PICTURES = f"{CHART}?.images.filter((image) => image.xref !== 'paper').length"
WIDTH = f"({CHART}?.xaxis.range[1] - {CHART}?.xaxis.range[0])"
CURVES = "document.querySelector('.st-key-maxout_curves .js-plotly-plot')?._fullData?.[0].x.length"
N_PICTURES = 4 * 6


@pytest.fixture
def page(tmp_path):
    with serve(tmp_path / "data") as address, chromium() as page:
        errors = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(address)
        page.get_by_role("link", name="MaxOut").click(timeout=120_000)
        yield page
        assert not errors


def click_mark(page, text: str) -> None:
    """Plotly takes a click only after its hover."""
    mark = page.locator(".st-key-maxout_chart .textpoint text", has_text=text).first
    mark.scroll_into_view_if_needed()
    box = mark.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_function(f"{PLOT}._hoverdata?.[0]?.customdata")
    page.mouse.down()
    page.mouse.up()


def test_pictures_form_stop_and_go_on_and_lead_to_reason(page):
    page.wait_for_function(f"{PICTURES} == {N_PICTURES} && {CURVES} > 3", timeout=120_000)
    top = page.locator(".st-key-maxout_chart").bounding_box()["y"]
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("Stopped. The best pictures are kept").wait_for(timeout=60_000)
    assert page.locator(".st-key-maxout_chart").bounding_box()["y"] == pytest.approx(top, abs=2), "nothing jumps"
    page.get_by_role("button", name="Go on").click()
    page.get_by_text(re.compile(r"MaxOut of 24 targets: [\d,]+ of 6,144 steps")).first.wait_for(timeout=30_000)
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("Stopped. The best pictures are kept").wait_for(timeout=60_000)
    page.locator(".st-key-maxout_chart .draglayer .x2y2 .nsewdrag").first.hover()
    page.mouse.wheel(0, -300)
    page.wait_for_function(f"{WIDTH} < 75")
    ranges = page.evaluate(
        f"Object.entries({CHART}).filter(([k, v]) => /^xaxis/.test(k)).map(([k, v]) => v.range.map(Math.round).join())"
    )
    assert len(ranges) == N_PICTURES
    assert len(set(ranges)) == 1
    page.get_by_role("button", name="Whole pictures").click()  # at once: before the server heard of the zoom
    page.wait_for_function(f"{WIDTH} == 80")
    page.wait_for_timeout(1500)
    click_mark(page, "⤢")
    page.get_by_role("dialog").get_by_text("64 × 64 px").wait_for(timeout=20_000)
    page.keyboard.press("Escape")
    page.wait_for_timeout(1500)
    click_mark(page, "Reason")
    page.get_by_text("Where does each layer find its reasons?").wait_for(timeout=30_000)
    page.get_by_test_id("stSidebar").get_by_text(re.compile("Picks 6")).wait_for(timeout=30_000)
