"""Tasks T1 and T2 on models and images of one's own, in a real browser, with screenshots to look at.

    python -m tests.browser.walk --weights A.safetensors B.safetensors --config A.json --class-names names.txt \
        --images /data/validation --true-class goldfish --out screenshots
"""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Page

from benchmarks.browser import POINTS, chromium, serve, wait_for_scatter

LONG = 45_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", nargs="+", type=Path, required=True)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--class-names", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--true-class", required=True)
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as data, serve(Path(data)) as address, chromium(height=1500) as page:
        try:
            walk(page, address, chosen)
        except PlaywrightError:
            page.screenshot(path=chosen.out / "failed.png")
            raise


def walk(page: Page, address: str, chosen: argparse.Namespace) -> None:
    started = time.perf_counter()

    def shot(name: str) -> None:
        page.wait_for_timeout(1500)
        page.screenshot(path=chosen.out / f"{name}.png")
        print(f"{name}: {time.perf_counter() - started:.1f} s", flush=True)

    page.set_default_timeout(LONG)
    page.goto(address)
    page.get_by_role("tab", name="Checkpoint or file").click(timeout=LONG)
    uploads = page.get_by_test_id("stFileUploader")
    uploads.nth(0).locator("input[type=file]").set_input_files([*chosen.weights, chosen.config])
    page.wait_for_timeout(3000)
    uploads.nth(1).locator("input[type=file]").set_input_files(chosen.class_names)
    page.wait_for_timeout(3000)
    page.get_by_role("button", name="Add models").click(timeout=LONG)
    page.get_by_text(chosen.weights[0].stem).first.wait_for(timeout=LONG)
    page.get_by_role("tab", name="Folder on the server").click()
    page.get_by_label("Folder", exact=True).fill(str(chosen.images))
    page.get_by_role("button", name="Use this folder").click()
    page.get_by_text(chosen.images.name).first.wait_for(timeout=LONG)
    shot("1-upload")
    page.get_by_role("button", name="Score images").click()
    page.wait_for_timeout(2500)
    page.screenshot(path=chosen.out / "2-scoring.png")
    wait_for_scatter(page, 60)
    shot("3-suggestion")

    points = page.evaluate(POINTS, "y > 1.5")
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    page.mouse.move(min(xs) - 8, min(ys) - 8)
    page.mouse.down()
    page.mouse.move(max(xs) + 8, max(ys) + 8, steps=8)
    page.mouse.up()
    page.wait_for_function("document.querySelectorAll('.st-key-gallery img').length > 0", timeout=LONG)
    shot("4-t1-picks")
    page.get_by_role("button", name="Compare").click()
    page.wait_for_function("document.querySelectorAll('.st-key-compare_chart image').length >= 8", timeout=LONG)
    shot("5-t1-compare")

    page.get_by_role("link", name="Suggestion").click()
    wait_for_scatter(page)
    page.get_by_role("button", name="Clear").last.click()
    page.get_by_label("True class").fill(chosen.true_class)
    page.get_by_role("option", name=re.compile(chosen.true_class)).first.click()
    script = "document.querySelector('.st-key-suggestion_scatter .js-plotly-plot')?._fullData?.[0].x.length <= 2"
    page.wait_for_function(script, timeout=LONG)
    page.wait_for_timeout(1000)
    x, y = page.evaluate(POINTS, "true")[0]
    page.mouse.move(x, y)
    page.wait_for_timeout(300)  # as people do: plotly takes a click for one on a point only after its hover
    page.mouse.down()
    page.mouse.up()
    page.wait_for_function("document.querySelectorAll('.st-key-gallery img').length > 0", timeout=LONG)
    shot("6-t2-picks")
    page.get_by_role("button", name="Compare").click()
    page.wait_for_function("document.querySelectorAll('.st-key-compare_chart image').length >= 8", timeout=LONG)
    page.get_by_role("combobox", name="Methods").click()
    for method in ("Guided backprop", "LRP (z-rule)"):
        page.get_by_role("option", name=method, exact=True).click()
    page.keyboard.press("Escape")
    page.wait_for_function("document.querySelectorAll('.st-key-compare_chart image').length >= 17", timeout=LONG)
    shot("7-t2-compare")


if __name__ == "__main__":
    main()
