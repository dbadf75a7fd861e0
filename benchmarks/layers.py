"""The layers page in a real browser: from a key press to all 512 units of another layer, once they are cached.

`python -m benchmarks.layers` moves the slider of one model (and of two in step) between two layers that were looked at
before, and stops the time when the mosaic of the new one is drawn; then the same from one pick to the next.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page

from benchmarks.browser import WORKSPACE, chromium, own_folder, serve
from images.paintings import demo_image_set
from models.loaders import zoo
from models.store import ModelStore

#: A net with a layer of 512 units of 28 × 28, and one of 256 right in front of it.
ARCHITECTURE, LAYER = "torchvision/vgg11", "features.11"
N_PICTURES = 8

#: How many units each mosaic shows, once its picture is in the page.
_UNITS = """() => [...document.querySelectorAll("[class*=st-key-layers_chart_]")].map((column) => {
  const chart = column.querySelector(".js-plotly-plot")
  return chart?.querySelector("image") ? chart._fullData[0].x.length : 0
})"""

#: The first units in their order, which change from pick to pick.
_ORDER = """() => [...document.querySelectorAll("[class*=st-key-layers_chart_] .js-plotly-plot")]
  .map((chart) => chart.querySelector("image") ? chart._fullData[0].customdata.slice(0, 40).join() : "").join(" ")"""


def wait_for_units(page: Page, n_models: int, n_units: int) -> None:
    """Until every model's mosaic shows `n_units` tiles."""
    script = f"() => {{ const n = ({_UNITS})(); return n.length == {n_models} && n.every((k) => k == {n_units}) }}"
    page.wait_for_function(script, timeout=120_000)


def seconds_to(page: Page, key: str, n_models: int, n_units: int) -> float:
    """From a key press on the first slider to the drawn mosaics."""
    page.locator("[data-testid=stSlider] input[type=range]").first.focus()
    page.wait_for_timeout(300)
    started = time.perf_counter()
    page.keyboard.press(key)
    wait_for_units(page, n_models, n_units)
    return time.perf_counter() - started


def seconds_to_next(page: Page, button: str) -> float:
    """From a click on Next or Previous to the mosaics of another pick."""
    before = page.evaluate(_ORDER)
    started = time.perf_counter()
    page.get_by_role("button", name=button).click()
    page.wait_for_function(f"(before) => {{ const now = ({_ORDER})(); return now && now != before }}", arg=before)
    return time.perf_counter() - started


def visit(address: str, models: list[str], images: str, repeats: int) -> tuple[list[float], ...]:
    """Seconds between the layers, and between picks, with these models (digests) on the page."""
    with chromium() as page:
        page.set_default_timeout(120_000)
        page.goto(f"{address}/?workspace={WORKSPACE.key}&models={','.join(models)}&images={images}")
        page.get_by_role("link", name="Layers").click()
        page.get_by_role("button", name="Select six images").click()
        if len(models) > 1:
            page.get_by_text("All models in step").click()
            page.wait_for_timeout(2000)
        page.get_by_role("combobox", name="Layer", exact=True).first.fill(f"{LAYER} ")
        page.get_by_role("option", name=f"{LAYER} ").first.click()
        wait_for_units(page, len(models), 512)
        for key, n_units in (("ArrowLeft", 256), ("ArrowRight", 512)):
            seconds_to(page, key, len(models), n_units)
            settle(page)
        between_layers = []
        for _ in range(repeats):
            seconds_to(page, "ArrowLeft", len(models), 256)
            settle(page)
            between_layers.append(seconds_to(page, "ArrowRight", len(models), 512))
            settle(page)
        between_picks = []
        for button in ("Next", "Next", "Previous", "Previous", *("Next", "Previous") * repeats):
            between_picks.append(seconds_to_next(page, button))
            settle(page)
    return between_layers, between_picks[4:]


def settle(page: Page) -> None:
    """Until nothing runs in the background, so that each time is that of one interaction."""
    page.wait_for_timeout(500)
    page.get_by_text("Jobs", exact=False).first.wait_for(state="detached")
    page.wait_for_timeout(500)


def main() -> None:
    """Run it; about two minutes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    chosen = parser.parse_args()
    figures = {}
    with tempfile.TemporaryDirectory() as temporary:
        data = Path(temporary)
        model_store = ModelStore(own_folder(data), "cpu")
        cards = [model_store.add(zoo.load(ARCHITECTURE, seed=seed)) for seed in range(2)]
        images = demo_image_set(data).take(range(N_PICTURES))
        images.save(data / "image-sets")
        with serve(data) as address:
            with chromium() as page:  # imports count for the cold start only
                page.goto(address)
                page.get_by_role("button", name="Score images").wait_for(timeout=120_000)
                page.wait_for_timeout(8000)
            for n_models in (1, 2):
                digests = [card.digest for card in cards[:n_models]]
                times = visit(address, digests, images.digest, chosen.repeats)
                for what, seconds in zip(("layer", "pick"), times, strict=True):
                    middle, slowest = statistics.median(seconds), max(seconds)
                    print(f"{n_models} × 512 units, another {what}: median {middle:.2f} s, slowest {slowest:.2f} s")
                    figures[f"layers_{what}_{n_models}_models_s"] = round(middle, 3)
                    figures[f"layers_{what}_{n_models}_models_slowest_s"] = round(slowest, 3)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
