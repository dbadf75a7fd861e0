"""A server of our own and a real Chromium, for the interface benchmark and the browser tests."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from pages.shared.workspace import Workspace

CHROMIUM = Path(os.environ.get("PARALLAX_CHROMIUM", "/usr/bin/chromium"))
ROOT = Path(__file__).parent.parent

#: The last three draw WebGL without a graphics card.
_FLAGS = (
    "--no-sandbox",
    "--disable-background-networking",
    "--ignore-gpu-blocklist",
    "--use-gl=swiftshader",
    "--enable-unsafe-swiftshader",
)


#: The workspace of benchmarks.
WORKSPACE = Workspace("benchmarks".ljust(32, "x"))


def own_folder(data: Path) -> Path:
    """Where the server over the data folder `data` keeps what belongs to `WORKSPACE`."""
    return data / "workspaces" / WORKSPACE.id


@contextmanager
def serve(data: Path, script: Path = Path("app.py")) -> Iterator[str]:
    """Run a Streamlit script as `make run` does, on a free port and over the data folder `data`; yields its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("streamlit")), "run", str(script), "--server.port", str(port)]
    environment = {**os.environ, "PARALLAX_DATA": str(data)}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{address}/_stcore/health", process)
        yield address
    finally:
        process.terminate()
        process.wait(20)


def _wait_for(url: str, process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"No server at {url}.")


@contextmanager
def launched() -> Iterator[Browser]:
    """A fresh headless Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(_FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def chromium(width: int = 1440, height: int = 1000, dark: bool = False) -> Iterator[Page]:
    """A page in a fresh headless Chromium."""
    with launched() as browser:
        scheme = "dark" if dark else "light"
        yield browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)  # type: ignore[arg-type]


#: Where the points of the suggestion chart lie on the screen: [[x, y], …] of those that satisfy a condition on (x, y).
POINTS = """(condition) => {
  const chart = document.querySelector(".st-key-suggestion_scatter .js-plotly-plot")
  const {_size: size, xaxis, yaxis} = chart._fullLayout, {x, y} = chart._fullData[0]
  const box = chart.getBoundingClientRect()
  const wanted = new Function("x", "y", `return ${condition}`)
  return Array.from(x, (_, i) => i).filter((i) => wanted(x[i], y[i]))
    .map((i) => [box.left + size.l + xaxis.d2p(x[i]), box.top + size.t + yaxis.d2p(y[i])])
}"""


def wait_for_scatter(page: Page, seconds: float = 120) -> None:
    """Until the suggestion chart has drawn its points."""
    script = """() => {
      const chart = document.querySelector(".st-key-suggestion_scatter .js-plotly-plot")
      return chart && chart._fullData && chart._fullData[0].x.length > 0 && chart.querySelector("canvas")
    }"""
    page.wait_for_function(script, timeout=1000 * seconds)
