"""The MaxOut page in a real browser: pictures form, stop and go on, zoom in step, and lead to Reason."""

import re

import pytest

from tests.browser.panels import frames, plot, press_mark, ranges, shown_px, zoom

PICTURES = f"{plot('maxout_chart')}?._fullLayout?.images.filter((image) => image.xref !== 'paper').length"
WIDTH = shown_px("maxout_chart")
CURVES = f"{plot('maxout_curves')}?._fullData?.[0].x.length"
N_PICTURES = 3 * 6


@pytest.fixture
def page(open_window, address):
    page = open_window(address)
    page.get_by_test_id("stSidebar").get_by_text("vit", exact=True).click(timeout=120_000)  # it takes longest
    page.get_by_role("link", name="MaxOut").click(timeout=120_000)
    return page


def test_pictures_form_stop_and_go_on_and_lead_to_reason(page):
    page.get_by_text("Takes 4,608 steps").wait_for(timeout=60_000)
    page.get_by_role("button", name="Start").click()
    page.wait_for_function(f"{PICTURES} == {N_PICTURES} && {CURVES} > 3", timeout=120_000)
    top = page.locator(".st-key-maxout_chart").bounding_box()["y"]
    detail = [frame.std() for frame in frames(page, "maxout_chart", 3)]
    assert len(set(detail)) > 2, "pictures form"
    assert min(detail) > max(detail) / 2, "the chart blinks"
    page.locator(".st-key-maxout_stop button").click()
    page.get_by_text("Stopped. What is finished is kept").wait_for(timeout=60_000)
    assert page.locator(".st-key-maxout_chart").bounding_box()["y"] == pytest.approx(top, abs=2), "nothing jumps"
    page.get_by_role("button", name="Resume").click()
    page.get_by_text(re.compile(r"^[\d,]+ of 4,608 steps")).first.wait_for(timeout=30_000)
    page.locator(".st-key-maxout_stop button").click()
    page.get_by_text("Stopped. What is finished is kept").wait_for(timeout=60_000)
    zoom(page, "maxout_chart", 2, 75)
    shown = ranges(page, "maxout_chart")
    assert len(shown) == N_PICTURES
    assert len(set(shown)) == 1
    page.get_by_role("button", name="Reset zoom").click()
    page.wait_for_function(f"{WIDTH} == 80")
    press_mark(page, "maxout_chart", "⤢")
    page.get_by_role("dialog").get_by_text("64 × 64 px").wait_for(timeout=20_000)
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")
    press_mark(page, "maxout_chart", "Reason")
    page.get_by_text("Grad-CAM layer by layer").wait_for(timeout=30_000)
    page.get_by_test_id("stSidebar").get_by_text(re.compile("Selected images 6")).wait_for(timeout=30_000)
