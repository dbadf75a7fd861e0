"""Bytes that a page turn moves, in a real browser: requests and WebSocket frames, as Chromium counts them.

`python -m benchmarks.page_bytes` walks the demo once, so that all is worked out, and then again in a fresh browser:
each page for the first time, on to the next picture where there is one, and back to the page later.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page

from benchmarks.browser import chromium, serve, wait_for_scatter

PAGES = ("Suggestion", "Compare", "Layers", "MaxOut")

#: A page is through when nothing has come for this long, and no job is at work.
_QUIET_S = 3.0


class Traffic:
    """What goes over a page's wire from now on."""

    def __init__(self, page: Page) -> None:
        self.page, self.n_bytes, self.last = page, 0, time.monotonic()
        session = page.context.new_cdp_session(page)
        session.on("Network.loadingFinished", lambda event: self._count(event["encodedDataLength"]))
        for name in ("webSocketFrameReceived", "webSocketFrameSent"):
            session.on(f"Network.{name}", lambda event: self._count(_size(event["response"])))
        session.send("Network.enable")

    def _count(self, n_bytes: float) -> None:
        self.n_bytes += round(n_bytes)
        self.last = time.monotonic()

    def until_quiet(self) -> int:
        """Bytes since the last call, once the page is through."""
        while True:
            self.page.wait_for_timeout(200)
            jobs = self.page.get_by_test_id("stSidebar").get_by_text("Jobs").count()
            if not jobs and time.monotonic() - self.last > _QUIET_S:
                moved, self.n_bytes = self.n_bytes, 0
                return moved


def _size(frame: dict[str, object]) -> int:
    """Bytes of a frame's content, which is base64 where it is not text."""
    text = str(frame["payloadData"])
    return len(text.encode()) if frame["opcode"] == 1 else 3 * len(text) // 4


def walk(page: Page, address: str) -> dict[str, int]:
    """Bytes of each step, by page and step."""
    page.set_default_timeout(300_000)
    traffic, moved = Traffic(page), dict[str, int]()
    page.goto(address)
    page.get_by_role("button", name="Score images").wait_for()
    moved["Upload, first"] = traffic.until_quiet()
    page.get_by_role("button", name="Score images").click()
    wait_for_scatter(page)
    moved["Suggestion, first"] = traffic.until_quiet()
    for name in PAGES[1:]:
        page.get_by_role("link", name=name, exact=True).click()
        six = page.get_by_role("button", name="Select six images")
        chart = page.locator(".js-plotly-plot image").first
        six.or_(chart).first.wait_for()
        if six.count():
            six.click()
        chart.wait_for()
        moved[f"{name}, first"] = traffic.until_quiet()
        if name in ("Compare", "Layers"):
            page.get_by_role("button", name="Next").first.click()
            moved[f"{name}, next picture"] = traffic.until_quiet()
    for name in PAGES:
        page.get_by_role("link", name=name, exact=True).click()
        page.wait_for_timeout(1000)
        page.locator(".js-plotly-plot .main-svg").first.wait_for()
        moved[f"{name}, again"] = traffic.until_quiet()
    return moved


def main() -> None:
    """Run it; some minutes, most of them to work out what is shown."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    with tempfile.TemporaryDirectory() as data:
        for _ in range(2):
            with serve(Path(data)) as address, chromium() as page:
                moved = walk(page, address)
    for step, n_bytes in moved.items():
        print(f"{step:24} {n_bytes / 1000:10,.1f} kB")
    print(
        json.dumps({f"kb_{step.lower().replace(', ', '_').replace(' ', '_')}": n / 1000 for step, n in moved.items()})
    )


if __name__ == "__main__":
    main()
