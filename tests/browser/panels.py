"""What browser tests do with a chart of panels; `chart` is its key."""

import base64
import io
import re

import numpy as np
from PIL import Image


def plot(chart: str) -> str:
    """The chart, in JavaScript."""
    return f"document.querySelector('.st-key-{chart} .js-plotly-plot')"


def sources(chart: str) -> str:
    """The addresses of all pictures that the chart shows, in JavaScript, as one text."""
    return f"JSON.stringify({plot(chart)}?._fullLayout?.images.map((image) => image.source))"


def n_drawn(chart: str, what: str) -> str:
    """How many elements of a kind (CSS) the chart shows, in JavaScript."""
    return f"{plot(chart)}?.querySelectorAll('{what}').length"


def n_marks(chart: str) -> str:
    """How many panels have a mark in their corner, in JavaScript."""
    return n_drawn(chart, ".textpoint text")


def shown_px(chart: str) -> str:
    """How many pixels of its picture the first panel shows along x, in JavaScript; NaN while nothing is drawn."""
    axis = f"{plot(chart)}?._fullLayout?.xaxis"
    return f"({axis}?.range[1] - {axis}?.range[0])"


def zoom(page, chart: str, panel: int, below: float) -> None:
    """Scroll over a panel until the first one shows less than `below` pixels."""
    page.locator(f".st-key-{chart} .draglayer .x{panel}y{panel} .nsewdrag").first.hover()
    page.mouse.wheel(0, -300)
    page.wait_for_function(f"{shown_px(chart)} < {below}")


def ranges(page, chart: str) -> list[str]:
    """What each panel shows along x, in whole pixels."""
    script = (
        f"{plot(chart)} && Object.entries({plot(chart)}._fullLayout)"
        ".filter(([name, axis]) => /^xaxis/.test(name) && (name === 'xaxis' || axis.matches))"
        ".map(([, axis]) => axis.range.map(Math.round).join())"
    )
    return page.wait_for_function(script).json_value()


def press_mark(page, chart: str, text: str = "", number: int = 0) -> None:
    """Press a mark in a panel's corner; plotly takes a click only after its hover."""
    mark = page.locator(f".st-key-{chart} .textpoint text", has_text=text).nth(number)
    mark.scroll_into_view_if_needed()
    box = mark.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_function(f"{plot(chart)}?._hoverdata?.[0]?.customdata")
    page.mouse.down()
    page.mouse.up()


def wait_for_words(page, chart: str, *words: str) -> None:
    """Wait until the chart says all of that; its words are drawn a little later than its panels."""
    for part in words:
        pattern = re.compile(r"\s".join(map(re.escape, part.split(" "))))
        page.locator(f".st-key-{chart}").get_by_text(pattern).first.wait_for(timeout=20_000)


def frames(page, chart: str, n_changes: int) -> list[np.ndarray]:
    """What the screen shows of a chart until its images have changed that often: greys (H, W) from 0 to 255."""
    box, screen, taken = page.locator(f".st-key-{chart}").bounding_box(), page.viewport_size, []
    right, bottom = box["x"] + box["width"], box["y"] + box["height"]
    corners = (box["x"], box["y"], min(right, screen["width"]), min(bottom, screen["height"]))
    session = page.context.new_cdp_session(page)

    def take(event) -> None:
        taken.append(event["data"])
        session.send("Page.screencastFrameAck", {"sessionId": event["sessionId"]})

    session.on("Page.screencastFrame", take)
    session.send("Page.startScreencast", {"format": "png"})
    for _ in range(n_changes):
        before = page.evaluate(sources(chart))
        page.wait_for_function(f"(before) => {sources(chart)} != before", arg=before, timeout=60_000)
    session.send("Page.stopScreencast")
    page.wait_for_timeout(500)  # for frames under way
    session.detach()
    pictures = [Image.open(io.BytesIO(base64.b64decode(data))) for data in taken]
    return [np.asarray(picture.convert("L").crop(corners), np.float32) for picture in pictures]
