"""What browser tests do with a chart of panels; `chart` is the key of the container that it is in."""

import re


def plot(chart: str) -> str:
    """The chart, in JavaScript."""
    return f"document.querySelector('.st-key-{chart} .js-plotly-plot')"


def zoom(page, chart: str, panel: int, below: float) -> None:
    """Scroll over a panel until the first one shows less than `below` pixels."""
    page.locator(f".st-key-{chart} .draglayer .x{panel}y{panel} .nsewdrag").first.hover()
    page.mouse.wheel(0, -300)
    axis = f"{plot(chart)}?._fullLayout?.xaxis"
    page.wait_for_function(f"({axis}.range[1] - {axis}.range[0]) < {below}")


def ranges(page, chart: str) -> list[str]:
    """What each panel shows along x, in whole pixels."""
    return page.evaluate(
        f"Object.entries({plot(chart)}._fullLayout).filter(([k, v]) => /^xaxis/.test(k))"
        ".map(([k, v]) => v.range.map(Math.round).join())"
    )


def press_mark(page, chart: str, text: str = "", number: int = 0) -> None:
    """Press a mark in a panel's corner; plotly takes a click only after its hover."""
    mark = page.locator(f".st-key-{chart} .textpoint text", has_text=text).nth(number)
    mark.scroll_into_view_if_needed()
    box = mark.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_function(f"{plot(chart)}._hoverdata?.[0]?.customdata")
    page.mouse.down()
    page.mouse.up()


def wait_for_words(page, chart: str, *words: str) -> None:
    """Wait until the chart says all of that; its words are drawn a little later than its panels."""
    for part in words:
        pattern = re.compile(r"\s".join(map(re.escape, part.split(" "))))
        page.locator(f".st-key-{chart}").get_by_text(pattern).first.wait_for(timeout=20_000)
