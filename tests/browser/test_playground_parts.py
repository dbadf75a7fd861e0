"""The canvas to draw on and the lens, in a real browser, on a page of their own."""

import re
from pathlib import Path

import pytest

from benchmarks.browser import ROOT, serve

BOARD, LENS = ".st-key-board canvas", ".st-key-convolution"


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory):
    """One page for all tests, which follow each other as a visitor's steps would; no script there may fail."""
    errors = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        with serve(tmp_path_factory.mktemp("data"), Path(__file__).parent / "playground" / "app.py") as address:
            page = browser.new_page(viewport={"width": 1440, "height": 1000})
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.goto(address)
            for key in ("convolution", "pooling"):
                line(page, key).locator("b").wait_for(timeout=60_000)
            yield page
            page.close()
    assert not errors


def move(page, canvas, x, y, **how):
    """Take the mouse to a place within a canvas, from 0 to 1."""
    box = page.locator(canvas).bounding_box()
    page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], **how)


def stroke(page, *places):
    move(page, BOARD, *places[0])
    page.mouse.down()
    for place in places[1:]:
        move(page, BOARD, *place, steps=3)
    page.mouse.up()


def ink(page, pattern):
    """(first column, first row, last column, last row) of the ink that Python has, once it has that."""
    said = page.get_by_text(re.compile(pattern))
    said.wait_for()
    return [int(number) for number in re.findall(r"\d+", said.inner_text())][1:]


def test_strokes_by_hand_and_by_keys_come_to_python_where_they_were_drawn(page):
    stroke(page, (0.25, 0.25), (0.25, 0.75))
    assert ink(page, r"ink \d+ from 1") == pytest.approx([12, 12, 15, 43], abs=1)
    stroke(page, (0.25, 0.75), (0.5, 0.75))
    assert ink(page, r"to (29|30),") == pytest.approx([12, 12, 29, 43], abs=1)
    page.locator(".st-key-board").get_by_role("button", name="Undo").click()
    assert ink(page, r"to 1\d,") == pytest.approx([12, 12, 15, 43], abs=1)
    page.locator(".st-key-board").get_by_role("button", name="Clear").click()
    page.get_by_text("blank").wait_for()
    page.locator(BOARD).focus()
    page.keyboard.press("Space")
    for _ in range(5):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    assert ink(page, r"ink \d+ from 2") == pytest.approx([26, 9, 29, 24], abs=1)


def line(page, key="convolution"):
    return page.locator(f".st-key-{key} .parallax-lens-line")


def test_a_cell_under_the_mouse_or_the_keys_tells_its_sum(page):
    output = f"{LENS} [data-part=output] canvas"
    move(page, output, 0.5 / 16, 0.5 / 16)
    # A corner: of the constant channel 4 of 9 cells lie in the image, the seven's are black.
    expected = "window × kernel = 0.50 (this channel 0.50) + bias −0.50 = 0.00"
    page.get_by_text(expected).wait_for()
    page.locator(output).focus()
    page.keyboard.press("ArrowDown")
    page.get_by_text("window × kernel = 0.75 (this channel 0.75) + bias −0.50 = 0.25").wait_for()
    page.locator(LENS).get_by_role("combobox").select_option("0")
    page.get_by_text("window × kernel = 0.75 (this channel 0.00) + bias −0.50 = 0.25").wait_for()
    numbers = r"= (−?[\d.]+) \(this channel (−?[\d.]+)\) \+ bias −0.50 = (−?[\d.]+)"
    move(page, output, 7.5 / 16, 2.5 / 16)
    total, part, value = (
        float(number.replace("−", "-")) for number in re.search(numbers, line(page).inner_text()).groups()
    )
    assert (total, part, value) == pytest.approx((-2.875, -4, -3.375), abs=0.006)


def test_playing_slides_the_window_over_the_image_and_comes_back(page):
    before = line(page, "pooling").inner_text()
    assert before.startswith("Maximum of the window = ")
    button = page.locator(".st-key-pooling").get_by_role("button")
    button.click()
    page.wait_for_function("before => document.querySelector('.st-key-pooling p').innerText != before", arg=before)
    button.click()
    assert button.inner_text() == "▶ Play"
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 400, "height": 900})
    page.wait_for_function(
        "document.querySelector('.st-key-convolution [data-part=output] canvas').getBoundingClientRect().right < 400"
    )


def test_a_bite_opens_its_words_and_a_moving_picture_within_a_popover_too(page):
    page.set_viewport_size({"width": 1440, "height": 1000})
    page.get_by_text("More", exact=True).click()
    page.get_by_role("button", name="What is this? Convolution").click()
    page.get_by_text("slides a small grid of weights").wait_for()
    drawn = page.locator(".st-key-bite svg")
    frame = drawn.locator(".a")
    place = "element => getComputedStyle(element).transform"
    first = frame.evaluate(place)
    frame.evaluate("element => element.getAnimations()[0].currentTime = 4000")
    assert frame.evaluate(place) != first
    assert drawn.evaluate("svg => getComputedStyle(svg).color") == "rgb(230, 234, 237)"
    page.emulate_media(reduced_motion="reduce")
    assert frame.evaluate("element => element.getAnimations().length") == 0
    page.keyboard.press("Escape")
    page.get_by_text("slides a small grid of weights").wait_for(state="hidden")
