"""The suggestion page with 50,000 rows × 4 models in a real browser, beside a bare page with the same trace.

`python -m benchmarks.interface`: time to the first chart, from hover to preview, from click to gallery; and the start
of a fresh server on an empty data folder: `first_page_s` from its first answer until the Upload page is drawn (browser
open already), `cold_start_s` from its start until the demo's scatter is on screen.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from playwright.sync_api import Page

from benchmarks.browser import POINTS, WORKSPACE, chromium, own_folder, serve, wait_for_scatter
from benchmarks.scoring import write_jpegs
from images.image_set import ImageSet
from models.card import ModelCard
from models.demo.demo_models import PAINTING_MODELS
from models.loaders import demo
from models.store import ModelStore

N_FILES = 200

_BARE = """
import numpy as np, plotly.graph_objects as go, streamlit as st
st.set_page_config(layout="wide")
x, y = np.load({x!r}), np.load({y!r})
marker = {{"size": 4, "color": "#0072B2", "opacity": 0.55}}
st.plotly_chart(go.Figure(go.Scattergl(x=x, y=y, mode="markers", marker=marker)), key="suggestion_scatter")
"""

#: Notes when plotly reports a hover, and when the preview shows another picture, whole.
_STOPWATCH = """() => {
  window.times = {hover: 0, shown: 0}
  const chart = document.querySelector(".st-key-suggestion_scatter .js-plotly-plot")
  chart.on("plotly_hover", () => { window.times.hover = performance.now() })
  const preview = document.querySelector(".st-key-preview")
  let last = preview.textContent
  const look = () => {
    const picture = preview.querySelector("img")
    if (preview.textContent !== last && picture && picture.complete && picture.naturalWidth) {
      last = preview.textContent
      window.times.shown = performance.now()
    }
  }
  new MutationObserver(look).observe(preview, {childList: true, subtree: true, characterData: true, attributes: true})
  preview.addEventListener("load", look, true)
}"""


#: The demo's four models and ten of its images are there, whole, and the button that scores them.
_UPLOAD_DRAWN = """() => {
  const pictures = [...document.querySelectorAll(".stMain img")]
  return pictures.length >= 14 && pictures.every((one) => one.complete && one.naturalWidth)
    && [...document.querySelectorAll(".stMain button")].some((one) => one.textContent.includes("Score images"))
}"""


def synthetic(data: Path, n_rows: int) -> tuple[list[ModelCard], ImageSet]:
    """`n_rows` images (a few files, many ids) and four models' answers to them, where the app looks for them."""
    files = write_jpegs(data / "jpegs", N_FILES).table
    table = files.iloc[np.arange(n_rows) % N_FILES].reset_index(drop=True)
    table["id"] = [f"{row:016x}" for row in range(n_rows)]
    table["name"] = [f"row-{row}.jpg" for row in range(n_rows)]
    cards = [ModelStore(data, "cpu").add(demo.PAINTINGS.load(name)) for name in PAINTING_MODELS]
    random = np.random.default_rng(0)
    table["label"] = random.choice(cards[0].class_names, n_rows)
    images = ImageSet("synthetic", table)
    images.save(own_folder(data) / "image-sets")
    folder = data / "predictions" / images.digest
    folder.mkdir(parents=True)
    base = random.integers(0, 6, n_rows)
    for card in cards:
        first = np.where(random.random(n_rows) < 0.8, base, random.integers(0, 6, n_rows))
        confidence = random.beta(6, 2, n_rows).astype(np.float32)
        frame = pd.DataFrame({"true_probability": confidence})
        for rank in range(5):
            frame[f"class_{rank + 1}"] = ((first + rank) % 6).astype(np.int32)
            frame[f"probability_{rank + 1}"] = (confidence if rank == 0 else (1 - confidence) / 5).astype(np.float32)
        frame.to_parquet(folder / f"{card.digest}.parquet", index=False)
    return cards, images


def seconds_to_chart(url: str) -> float:
    """From asking for the page to the drawn chart, in a fresh browser."""
    with chromium() as page:
        started = time.perf_counter()
        page.goto(url)
        wait_for_scatter(page)
        return time.perf_counter() - started


def hover_ms(page: Page, n_hovers: int = 12) -> list[float]:
    """Milliseconds from plotly's hover to the whole preview, over some points."""
    page.evaluate(_STOPWATCH)
    points = page.evaluate(POINTS, "y > 1.7")
    spots = np.random.default_rng(1).choice(len(points), n_hovers + 2, replace=False)
    times = []
    for spot in spots:
        before = page.evaluate("window.times.shown")
        page.mouse.move(*points[spot])
        page.wait_for_function("(before) => window.times.shown > before", arg=before, timeout=20_000)
        times.append(page.evaluate("window.times.shown - window.times.hover"))
        page.wait_for_timeout(250)
    return times[2:]


def gallery_ms(page: Page, n_clicks: int = 5) -> list[float]:
    """Milliseconds from a click on a point to its picture in the gallery."""
    points = page.evaluate(POINTS, "y > 2.7")
    times = []
    for spot in np.random.default_rng(2).choice(len(points), n_clicks, replace=False):
        count = page.locator(".st-key-gallery img").count()
        page.mouse.move(*points[spot])
        started = time.perf_counter()
        page.mouse.down()
        page.mouse.up()
        script = "(n) => document.querySelectorAll('.st-key-gallery img').length > n"
        page.wait_for_function(script, arg=count, timeout=20_000)
        times.append(1000 * (time.perf_counter() - started))
        page.wait_for_timeout(400)
    return times


def start_s() -> tuple[float, float]:
    """A fresh server on an empty data folder: from its answer to the drawn Upload page, and from its start to the
    demo's scatter, the click on the way included.
    """
    with tempfile.TemporaryDirectory() as data, chromium() as page:
        started = time.perf_counter()
        with serve(Path(data)) as address:
            there = time.perf_counter()
            page.goto(address)
            page.wait_for_function(_UPLOAD_DRAWN, timeout=120_000)
            first_page = time.perf_counter() - there
            page.get_by_role("button", name="Score images").click(timeout=120_000)
            wait_for_scatter(page)
            return first_page, time.perf_counter() - started


def main() -> None:
    """Run everything; about three minutes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args()
    first_page, cold = start_s()
    print(f"First page {first_page:.1f} s, cold start to the demo's scatter {cold:.1f} s", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        data = Path(temporary)
        cards, images = synthetic(data, chosen.rows)
        random = np.random.default_rng(0)
        places = {"x": str(data / "x.npy"), "y": str(data / "y.npy")}
        np.save(places["x"], random.random(chosen.rows, dtype=np.float32))
        np.save(places["y"], random.random(chosen.rows, dtype=np.float32))
        bare_script = data / "bare.py"
        bare_script.write_text(_BARE.format(**places))
        models = ",".join(card.digest for card in cards)
        with serve(data) as address, serve(data, bare_script) as bare_address:
            url = f"{address}/suggestion?workspace={WORKSPACE.key}&models={models}&images={images.digest}"
            for warm in (address, bare_address):  # imports count for the cold start only
                with chromium() as page:
                    page.goto(warm)
                    page.wait_for_timeout(8000)
            pairs = [(seconds_to_chart(url), seconds_to_chart(bare_address)) for _ in range(chosen.repeats)]
            ours, bare = (statistics.median(times) for times in zip(*pairs, strict=True))
            print(f"First chart of {chosen.rows:,} points: {ours:.2f} s, bare page {bare:.2f} s", flush=True)
            with chromium() as page:
                page.goto(url)
                wait_for_scatter(page)
                page.wait_for_timeout(2000)
                hover, gallery = hover_ms(page), gallery_ms(page)
    print(f"Hover to preview: median {statistics.median(hover):.0f} ms, slowest {max(hover):.0f} ms")
    print(f"Click to gallery: median {statistics.median(gallery):.0f} ms")
    figures = {
        "first_chart_ratio": round(ours / bare, 3),
        "hover_ms": round(statistics.median(hover), 1),
        "hover_slowest_ms": round(max(hover), 1),
        "gallery_ms": round(statistics.median(gallery), 1),
        "first_page_s": round(first_page, 2),
        "cold_start_s": round(cold, 2),
        "first_chart_s": round(ours, 3),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
