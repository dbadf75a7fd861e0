"""The two tasks of iNNvestigate-GUI's usability test (section 5), done by a script in a real browser on the demo."""

import re

import pytest

from benchmarks.browser import POINTS, serve, wait_for_scatter
from tests.browser.panels import n_drawn, n_marks, press_mark, ranges, shown_px, sources, zoom

MAPS, WIDTH = n_drawn("compare_chart", "image"), shown_px("compare_chart")


class Visitor:
    """Somebody at the page, who counts clicks."""

    def __init__(self, page) -> None:
        self.page, self.clicks = page, 0

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name).first.click(timeout=120_000)
        self.clicks += 1

    def points(self, condition: str) -> list[list[float]]:
        """Where the points that satisfy a condition lie, once the chart stands still."""
        seen, now = None, self.page.evaluate(POINTS, condition)
        while now != seen:
            self.page.wait_for_timeout(200)
            seen, now = now, self.page.evaluate(POINTS, condition)
        return now

    def drag(self, condition: str) -> None:
        """A box around the points that satisfy a condition; counts as one click."""
        points = self.points(condition)
        (left, top), (right, bottom) = (tuple(f(p[axis] for p in points) for axis in (0, 1)) for f in (min, max))
        self.page.mouse.move(left - 8, top - 8)
        self.page.mouse.down()
        self.page.mouse.move(right + 8, bottom + 8, steps=8)
        self.page.mouse.up()
        self.clicks += 1

    def wait(self, script: str, seconds: float = 90) -> None:
        self.page.wait_for_function(script, timeout=1000 * seconds)


@pytest.fixture
def visitor(open_window, address):
    return Visitor(open_window(address))


def test_t1_which_images_do_the_models_dispute_and_what_do_they_look_at(open_window, tmp_path):
    """T1 in at most six clicks, by the very first visitor of a server, who comes by a link to a page."""
    with serve(tmp_path / "data") as address:
        visitor = Visitor(open_window(f"{address}/suggestion"))
        page = visitor.page
        page.get_by_role("heading", name="Find images to inspect").wait_for(timeout=120_000)
        assert page.get_by_text("Page not found").count() == 0
        assert page.request.get(address).headers["x-content-type-options"] == "nosniff"
        visitor.press("Score images")
        wait_for_scatter(page)
        page.mouse.move(*visitor.points("y > 1.5")[0])
        visitor.wait("document.querySelector('.st-key-preview img')?.naturalWidth > 100")
        words = page.locator(".st-key-preview").inner_text()
        for name in ("vgg", "resnet", "vit", "shortcut", "true", "classes predicted"):
            assert name in words
        visitor.drag("y > 1.5 && x > 0.5")
        visitor.wait("document.querySelectorAll('.st-key-gallery img').length > 0")
        visitor.press("Compare")
        page.get_by_test_id("stSidebar").get_by_text(re.compile(r"Explaining \d+ images")).wait_for(timeout=60_000)
        visitor.wait(f"{MAPS} >= 8")
        assert visitor.clicks <= 6
        for name in ("vgg", "resnet", "vit", "shortcut", "Grad-CAM"):
            page.locator(".st-key-compare_chart").get_by_text(name).first.wait_for(timeout=20_000)
        assert re.search(r"1 / \d+", page.get_by_text(re.compile(r"^1 / \d+$")).first.inner_text())
        page.close()  # before its server ends


def test_t2_do_the_models_use_the_right_features_for_one_class(visitor):
    """T2: the pictures of one class, the ones that all get right beside the disputed ones."""
    visitor.press("Score images")
    wait_for_scatter(visitor.page)
    page = visitor.page
    page.get_by_label("True class").click()
    page.get_by_role("option", name="seascape").click()
    visitor.wait("document.querySelector('.st-key-suggestion_scatter .js-plotly-plot')?._fullData?.[0].x.length < 100")
    visitor.drag("true")
    visitor.wait("document.querySelectorAll('.st-key-gallery img').length > 20")
    assert "seascape" in page.locator(".st-key-gallery").inner_text()
    visitor.press("Compare")
    visitor.wait(f"{MAPS} >= 8")


def test_zooming_one_panel_moves_them_all_and_stays_and_a_click_on_its_corner_enlarges_it(visitor):
    visitor.page.get_by_role("link", name="Compare").click(timeout=120_000)
    visitor.press("Select six images")
    visitor.page.get_by_text("Scroll over a panel").wait_for(timeout=90_000)  # all maps are there
    visitor.wait(f"{MAPS} >= 8")
    zoom(visitor.page, "compare_chart", 7, 220)  # in the second row, in the second column
    shown = ranges(visitor.page, "compare_chart")
    assert len(shown) >= 8
    assert len(set(shown)) == 1
    before = visitor.page.evaluate(sources("compare_chart"))
    visitor.page.get_by_text("map", exact=True).click()
    visitor.page.wait_for_function(f"(before) => {sources('compare_chart')} != before", arg=before)
    visitor.wait(f"{WIDTH} < 220")  # another view keeps the zoom
    visitor.press("Reset zoom")
    visitor.wait(f"{WIDTH} == 224 && {n_marks('compare_chart')} > 0")
    press_mark(visitor.page, "compare_chart")
    visitor.page.get_by_role("dialog").get_by_text("Grad-CAM · vgg").wait_for(timeout=20_000)


def test_a_damaged_picture_costs_one_line_and_nothing_else(visitor, tmp_path):
    page = visitor.page
    page.get_by_role("tab", name="Files or zip").click(timeout=120_000)
    damaged = tmp_path / "damaged.jpg"
    damaged.write_bytes(b"\xff\xd8\xff\xe0 this is no JPEG")
    page.locator("input[type=file]").first.set_input_files(str(damaged))
    page.get_by_role("button", name="Use these images").click()
    page.get_by_text("Expected at least one image").wait_for(timeout=30_000)
    assert page.get_by_text("paintings").first.is_visible()
    assert page.get_by_text("Traceback").count() == 0
