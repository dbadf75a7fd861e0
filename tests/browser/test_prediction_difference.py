"""The prediction difference page in a real browser: maps that sharpen, stop, are there after a reload, and go on."""

import pytest

from tests.browser.panels import n_marks, press_mark, shown_px, sources, wait_for_words, zoom

CORNERS, WIDTH = n_marks("prediction_difference_chart"), shown_px("prediction_difference_chart")
TOP = "document.querySelector('.st-key-difference_png').getBoundingClientRect().top"


@pytest.fixture
def page(open_window, address):
    page = open_window(f"{address}/?models=vgg,resnet")  # those of which every window is quickly known
    page.get_by_role("link", name="Prediction difference").click(timeout=120_000)
    page.get_by_role("button", name="Select six images").click(timeout=120_000)
    page.wait_for_function(f"{WIDTH} == 224", timeout=90_000)
    return page


def test_maps_sharpen_stop_are_found_after_a_reload_and_go_on(page):
    page.get_by_text("not computed yet").first.wait_for(timeout=20_000)
    top = page.evaluate(TOP)
    page.get_by_role("button", name="Explain this image").click()
    page.wait_for_function(f"{CORNERS} == 2", timeout=120_000)
    assert page.evaluate(TOP) == top, "the page jumps when maps arrive"
    page.locator(".st-key-prediction_difference_stop button").wait_for(state="detached", timeout=180_000)
    said = ("window 4 px of 64", "window 4 px of 80", "stride 2", "error ±", "bits")
    wait_for_words(page, "prediction_difference_chart", *said)
    assert page.evaluate(TOP) == top, "the page jumps when the job ends"

    zoom(page, "prediction_difference_chart", 2, 220)
    before = page.evaluate(sources("prediction_difference_chart"))
    page.get_by_role("button", name="Resume to exact").click()
    stop = page.locator(".st-key-prediction_difference_stop button")
    stop.wait_for(timeout=30_000)
    page.wait_for_function(
        f"(before) => {sources('prediction_difference_chart')} != before", arg=before, timeout=120_000
    )
    page.wait_for_function(f"{WIDTH} < 220")  # a sharper map keeps the zoom
    stop.click()
    page.get_by_text("Stopped. What is finished is kept").wait_for(timeout=60_000)

    page.get_by_role("button", name="Reset zoom").click()
    page.wait_for_function(f"{WIDTH} == 224 && {CORNERS} == 2", timeout=30_000)
    press_mark(page, "prediction_difference_chart", number=1)
    page.get_by_role("dialog").get_by_text("resnet").wait_for(timeout=20_000)

    page.reload()
    page.wait_for_function(f"{CORNERS} == 2", timeout=90_000)
    assert page.get_by_role("button", name="Resume", exact=True).is_disabled()
    page.get_by_role("button", name="Resume to exact").click()
    stop.wait_for(timeout=30_000)
    stop.click()
    page.get_by_text("Stopped. What is finished is kept").wait_for(timeout=60_000)
