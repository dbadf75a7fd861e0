"""The Playground's first lesson, in a real browser: build, train, look inside, draw a digit, compare two epochs."""

import re

from tests.browser.panels import n_drawn

#: The bars of the network's answer: their classes and probabilities.
ANSWER = """() => {
  const chart = document.querySelector(".st-key-playground_tree .js-plotly-plot")
  const bars = chart && chart._fullData && chart._fullData.find((trace) => trace.type === "bar")
  return bars ? Array.from(bars.x, (share, i) => [bars.customdata[i][1], share]) : null
}"""


#: The corners of a seven, as shares of the canvas.
SEVEN = ((0.25, 0.2), (0.75, 0.2), (0.45, 0.85))


def test_a_student_builds_trains_looks_inside_draws_and_compares_in_twelve_clicks(open_window, address):
    page, clicks = open_window(f"{address}/playground"), 0

    def click(locator):
        nonlocal clicks
        locator.click(timeout=60_000)
        clicks += 1

    def button(name):
        return page.get_by_role("button", name=name, exact=True).first

    button("Train").wait_for(timeout=120_000)
    page.locator(".st-key-playground_empty .js-plotly-plot").wait_for()
    click(page.get_by_role("combobox", name=re.compile("Network")))
    click(page.get_by_role("option", name="Conv-ReLU-Pool-Conv-ReLU-Pool, 3 × 3"))
    click(button("Train"))
    page.locator(".st-key-playground_tree .js-plotly-plot").wait_for(timeout=60_000)  # the first epochs are there
    page.get_by_role("button", name="Pause").wait_for(state="detached", timeout=240_000)

    click(page.get_by_text("Confusion matrix", exact=True))
    accuracy = page.get_by_text(re.compile(r"Test accuracy \d"))
    accuracy.wait_for(timeout=30_000)
    assert float(re.search(r"([\d.]+)%", accuracy.inner_text())[1]) > 90
    click(page.get_by_text("Feature maps", exact=True))
    page.locator(".st-key-playground_tree .js-plotly-plot").wait_for()

    click(page.get_by_text("Draw", exact=True))
    page.locator(".st-key-playground_tree").wait_for(state="detached")  # there is nothing drawn to look at
    canvas = page.locator(".st-key-playground_drawn canvas").first
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    corners = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in SEVEN]
    page.mouse.move(*corners[0])
    page.mouse.down()
    for corner in corners[1:]:
        page.mouse.move(*corner, steps=8)
    page.mouse.up()
    clicks += 1
    page.wait_for_function(ANSWER, timeout=30_000)
    assert max(page.evaluate(ANSWER), key=lambda bar: bar[1])[0] == 7

    click(button("Send to comparison"))
    compare = button("Compare")
    compare.wait_for(timeout=60_000)
    slider = page.get_by_role("slider").last
    slider.focus()
    slider.press("Home")  # epoch 0, before it had learnt anything
    clicks += 1
    page.get_by_text(re.compile("Epoch · validation accuracy")).wait_for()
    page.locator(".st-key-playground_send button:not([disabled])").wait_for(timeout=30_000)
    click(button("Send to comparison"))
    page.get_by_text("Epoch 0 · Conv").first.wait_for(timeout=60_000)
    click(compare)
    page.wait_for_function(f"{n_drawn('compare_chart', 'image')} >= 5", timeout=120_000)  # two methods, two epochs
    assert clicks <= 12
