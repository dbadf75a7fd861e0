"""The contrast page in a real browser: three nets on a digit, the way walked by keys, zoom in step, one panel large."""

import re
from contextlib import suppress

import pytest
from playwright.sync_api import Error as PlaywrightError

from images.digits import digits_image_set
from tests.browser.panels import n_marks, plot, press_mark, ranges, shown_px, zoom

PANELS, WIDTH = n_marks("contrast_chart"), shown_px("contrast_chart")
MORPH = f"{plot('contrast_morph')}?._fullLayout?.annotations.map((a) => a.text)"


@pytest.fixture
def page(open_window, address, digits_scored):
    folder, models = digits_scored
    chosen = f"models={','.join(models)}&images={digits_image_set(folder).digest}"
    page = open_window(f"{address}/?{chosen}")
    page.get_by_text("digits · 1,797").first.wait_for(timeout=120_000)
    page.get_by_role("link", name="Contrast").click()
    page.get_by_role("button", name="Select six images").click(timeout=120_000)
    return page


def test_three_nets_side_by_side_the_way_by_keys_and_zoom_in_step(page):
    page.wait_for_function(f"{MORPH}?.length >= 4", timeout=60_000)
    top = page.locator(".st-key-contrast_morph").bounding_box()["y"]
    page.wait_for_function(f"{PANELS} == 3 && {MORPH}?.length >= 8", timeout=90_000)
    with suppress(PlaywrightError):  # the other five picks may be through already
        page.locator(".st-key-contrast_stop button").click(timeout=1_000)
    page.get_by_text(re.compile("Stopped. What is finished is kept|Red is to be added")).wait_for(timeout=60_000)
    assert page.locator(".st-key-contrast_morph").bounding_box()["y"] == pytest.approx(top, abs=2), "nothing jumps"
    at_the_end = page.wait_for_function(MORPH).json_value()
    page.get_by_role("slider").focus()
    page.keyboard.press("Home")
    page.wait_for_function(f"JSON.stringify({MORPH}) != JSON.stringify({at_the_end})", timeout=20_000)
    zoom(page, "contrast_chart", 4, 30)
    shown = ranges(page, "contrast_chart")
    assert len(shown) == 3 + 3
    assert len(set(shown)) == 1
    page.get_by_role("button", name="Reset zoom").click()
    page.wait_for_function(f"{WIDTH} == 32 && {PANELS} == 3")
    press_mark(page, "contrast_chart")
    page.get_by_role("dialog").get_by_text("constraints hold").wait_for(timeout=20_000)
