"""The reason page in a real browser: every layer of two targets, all zooming in step, each to be enlarged."""

import pytest

from tests.browser.panels import n_drawn, n_marks, press_mark, ranges, shown_px, wait_for_words, zoom

MAPS = n_drawn("reason_chart", "image")
CORNERS, WIDTH = n_marks("reason_chart"), shown_px("reason_chart")


@pytest.fixture
def page(open_window, address):
    page = open_window(address)
    page.get_by_role("link", name="Reason").click(timeout=120_000)
    page.get_by_role("button", name="Select six images").click(timeout=120_000)
    page.get_by_text("Scroll over a panel").wait_for(timeout=90_000)  # all maps are there
    page.wait_for_function(f"{MAPS} >= 12", timeout=30_000)
    return page


def test_layers_zoom_in_step_keep_the_zoom_and_can_be_enlarged(page):
    said = ("its answer", "its runner-up", "features.5", "mean of 4 layers", "Coloured: where")
    wait_for_words(page, "reason_chart", *said)
    zoom(page, "reason_chart", 5, 220)
    shown = ranges(page, "reason_chart")
    assert len(shown) == 2 + 2 * 5
    assert len(set(shown)) == 1
    page.get_by_text("max", exact=True).click()
    page.locator(".st-key-reason_chart").get_by_text("max of 4 layers").first.wait_for(timeout=20_000)
    page.wait_for_function(f"{WIDTH} < 220")  # another way to put layers together keeps the zoom
    page.get_by_role("button", name="Reset zoom").click()
    page.wait_for_function(f"{WIDTH} == 224 && {CORNERS} > 3")
    press_mark(page, "reason_chart")
    page.get_by_role("dialog").get_by_text("regions of all targets").wait_for(timeout=20_000)
