"""The stack builder in a real browser, on a page of its own: one window for all tests, each from the same stack."""

import json
from pathlib import Path

import pytest

from benchmarks.browser import ROOT, serve

#: The kinds of the layers on show, and what Python has.
SHOWN = "[...document.querySelectorAll('.parallax-stack .card:not(.end) .title')].map((title) => title.textContent)"
KEPT = "document.querySelector('[data-testid=stCode]')?.innerText"
PRESET, PRESET_TOTAL = ["Convolution", "ReLU", "MaxPool"], "Total: 18,090 parameters"


class Window:
    """A page with a stack builder, and what tests do with it."""

    def __init__(self, page):
        self.page = page

    def __getattr__(self, name):
        return getattr(self.page, name)

    def card(self, at):
        return self.page.locator(".parallax-stack .card").nth(at)

    def field(self, at, name):
        return self.card(at).get_by_label(name, exact=True)

    def button(self, name):
        return self.page.get_by_role("button", name=name, exact=True)

    def wait_for_kept(self, *parts):
        """Until Python has layers with these numbers or kinds, in order."""
        script = f"(parts) => parts.reduce((at, part) => at < 0 ? at : {KEPT}.indexOf(part, at), 0) >= 0"
        self.page.wait_for_function(script, arg=list(parts))
        return json.loads(self.page.evaluate(KEPT))

    def wait_for_answer(self):
        self.page.wait_for_function("!document.querySelector('.parallax-stack.waiting')")

    def wait_for_stack(self, *titles):
        """Until these layers are on show, and Python has as many of their kinds."""
        self.page.wait_for_function(f"(titles) => JSON.stringify({SHOWN}) === JSON.stringify(titles)", arg=list(titles))
        self.wait_for_answer()
        assert len(json.loads(self.page.evaluate(KEPT))) == len(titles)


@pytest.fixture(scope="module")
def errors():
    return []


@pytest.fixture(scope="module")
def only_window(browser, errors, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        script = Path(__file__).parent / "stack_builder" / "app.py"
        with serve(tmp_path_factory.mktemp("data"), script) as address:
            page = browser.new_page(viewport={"width": 1000, "height": 900})
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.goto(address)
            page.locator(".parallax-stack .card").nth(4).wait_for(timeout=60_000)
            yield Window(page)
            page.close()


@pytest.fixture
def window(only_window, errors):
    only_window.button("Preset").click()
    only_window.get_by_text(PRESET_TOTAL).wait_for()
    yield only_window
    assert not errors


def middle(locator):
    box = locator.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_a_dragged_card_shows_where_it_will_lie_and_lies_there(window):
    line = window.locator(".parallax-stack .line")
    window.mouse.move(*middle(window.card(3).locator(".handle")))
    window.mouse.down()
    x, y = middle(window.card(1))
    window.mouse.move(x, y - 8, steps=3)
    above, below = window.card(0).bounding_box(), window.card(1).bounding_box()
    assert above["y"] + above["height"] < middle(line)[1] < below["y"]
    window.keyboard.press("Escape")
    assert not line.is_visible()
    window.mouse.up()
    window.wait_for_stack(*PRESET)
    window.mouse.move(*middle(window.card(3)))
    window.mouse.down()
    window.mouse.move(x, y - 8, steps=3)
    window.mouse.up()
    window.wait_for_stack("MaxPool", "Convolution", "ReLU")
    assert not line.is_visible()


def test_a_finger_drags_by_the_handle(window):
    session = window.context.new_cdp_session(window.page)

    def touch(kind, *points):
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y} for x, y in points]})

    x, y = middle(window.card(1).locator(".handle"))
    _, end = middle(window.card(3))
    touch("touchStart", (x, y))
    for part in (0.3, 0.6, 1):
        touch("touchMove", (x, y + part * (end + 9 - y)))
    touch("touchEnd")
    window.wait_for_stack("ReLU", "MaxPool", "Convolution")


def test_keys_move_remove_and_undo_and_the_focus_goes_along(window):
    window.card(1).focus()
    window.keyboard.press("Alt+ArrowDown")
    window.wait_for_stack("ReLU", "Convolution", "MaxPool")
    window.get_by_text("Convolution moved to place 2 of 3.").wait_for(state="attached")
    window.keyboard.press("Alt+ArrowDown")
    window.keyboard.press("Alt+ArrowDown")  # it is the last: nothing
    window.wait_for_stack("ReLU", "MaxPool", "Convolution")
    window.keyboard.press("Alt+ArrowUp")
    window.wait_for_stack("ReLU", "Convolution", "MaxPool")
    window.keyboard.press("Alt+ArrowDown")
    window.keyboard.press("ArrowUp")
    window.keyboard.press("Delete")
    window.wait_for_stack("ReLU", "Convolution")
    assert window.evaluate("document.activeElement.ariaLabel") == "Convolution, layer 2 of 2"
    last, between = ["ReLU", "MaxPool", "Convolution"], ["ReLU", "Convolution", "MaxPool"]
    for titles in (last, between, last, between, PRESET):
        window.keyboard.press("Control+z")
        window.wait_for_stack(*titles)
    window.keyboard.press("Control+Shift+Z")
    window.wait_for_stack("ReLU", "Convolution", "MaxPool")


def test_a_number_gives_the_new_stack_its_shapes_and_keeps_the_focus(window):
    filters = window.field(1, "Filters")
    filters.press("ControlOrMeta+a")
    filters.press_sequentially("12")  # two numbers on the way, one step to undo
    assert window.wait_for_kept('"filters": 12')[0]["kernel_size"] == 3
    window.card(1).get_by_text("120 parameters").wait_for()
    assert window.card(3).locator(".shape").inner_text() == "12 × 15 × 15"
    assert window.evaluate("document.activeElement.dataset.field") == "filters"
    window.keyboard.press("Escape")
    window.button("Undo").click()
    window.wait_for_kept('"filters": 8')
    assert filters.input_value() == "8"


def test_a_number_out_of_bounds_never_gets_to_python_and_what_it_becomes_is_said(window):
    for name, typed, now in [
        ("Filters", "999", "256"),
        ("Kernel", "12", "11"),
        ("Stride", "", "1"),
        ("Padding", "-3", "0"),
    ]:
        field = window.field(1, name)
        field.fill(typed)
        assert "wrong" in field.get_attribute("class")
        field.press("Tab")
        assert field.input_value() == now
        assert f"{name}: a whole number from" in window.card(1).locator(".error").last.inner_text()
    kept = window.wait_for_kept('"filters": 256', '"kernel_size": 11')
    assert kept[0] == {"kind": "convolution", "filters": 256, "kernel_size": 11, "stride": 1, "padding": 0}


#: Answers as they may come: one to an older edit, one to the last, one that refuses it,
#: one of a server that has forgotten; and a call that was outdated.
ANSWERS = """async () => {
  const loaded = performance.getEntriesByType("resource").map(({ name }) => name)
  const { draw } = await import(loaded.find((name) => name.endsWith("/builder.js")))
  const place = document.body.appendChild(document.createElement("div"))
  const field = { name: "filters", title: "Filters", low: 1, high: 256, step: 1, default: 8, help: "" }
  const kinds = { convolution: { title: "Convolution", fields: [field] } }
  const rows = ["Input", "Convolution", "Classifier"].map((title) => ({ title, shape: "", parameters: 0, error: "" }))
  const sent = []
  const answer = (number, filters) => draw({
    parentElement: place,
    data: { stack: [{ kind: "convolution", filters }], rows, kinds, number, explains: false, disabled: false },
    setStateValue: (_, edit) => sent.push([edit.number, edit.stack[0].filters]),
  })
  const type = (value) => {
    const input = place.querySelector("input")
    input.value = value
    for (const name of ["input", "change"]) input.dispatchEvent(new Event(name, { bubbles: true }))
  }
  const moment = () => new Promise((resolve) => setTimeout(resolve, 20))
  const takeBack = answer(5, 8)
  const seen = []
  const see = () => seen.push(Number(place.querySelector("input").value))
  type(1)
  type(12)
  for (const [number, filters] of [[6, 1], [7, 12], [8, 3]]) answer(number, filters), see()
  type(4)
  for (const [number, filters] of [[9, 3], [0, 5]]) answer(number, filters), see()
  takeBack()
  await moment()
  see()
  const taken = answer(0, 5)
  place.remove()
  taken()
  await moment()
  return { sent, seen, left: place.childElementCount }
}"""


def test_a_late_answer_overwrites_no_newer_number_and_python_has_the_last_word(window):
    assert window.evaluate(ANSWERS) == {"sent": [[6, 1], [7, 12], [9, 4]], "seen": [12, 12, 3, 3, 5, 5], "left": 0}


def test_layers_are_added_at_the_end_or_after_the_selected_card_and_removed(window):
    window.button("Add Dropout").click()
    window.wait_for_stack(*PRESET, "Dropout")
    assert window.wait_for_kept("dropout")[3] == {"kind": "dropout", "probability": 0.25}
    window.card(1).click(position={"x": 200, "y": 8})
    window.get_by_text("Add after Convolution:").wait_for()
    window.button("Add BatchNorm").click()
    window.wait_for_stack("Convolution", "BatchNorm", "ReLU", "MaxPool", "Dropout")
    window.button("Remove ReLU").click()
    window.wait_for_stack("Convolution", "BatchNorm", "MaxPool", "Dropout")
    for name in ("Convolution", "BatchNorm", "MaxPool", "Dropout"):
        window.button(f"Remove {name}").click()
    window.wait_for_stack()
    window.button("Add ReLU").click()
    window.wait_for_stack("ReLU")


def test_the_layer_that_breaks_says_why_and_no_word_of_anyone_runs(window):
    for at, name, number in [(1, "Kernel", "11"), (1, "Stride", "4"), (3, "Window", "8")]:
        window.field(at, name).fill(number)
    window.card(3).get_by_text("Nothing is left: a window of 8 × 8 does not fit on a map whose side is 6.").wait_for()
    assert window.locator(".parallax-stack .broken").count() == 1
    window.get_by_text("No total: the stack breaks at MaxPool").wait_for()
    window.button("Preset").click()
    window.get_by_text(PRESET_TOTAL).wait_for()
    assert window.locator(".parallax-stack .broken").count() == 0
    window.locator(".parallax-stack .add").last.click()  # the one whose title is a tag
    window.card(4).locator("input").fill("4")
    window.card(4).locator("input").press("Enter")
    window.card(4).get_by_text("from 1 to 11 in steps of 2; 4 became 5.").wait_for()
    window.wait_for_kept('"kind": "hostile", "<b>n</b>": 5')
    assert window.locator(".parallax-stack img, .parallax-stack b").count() == 0
    assert window.title() != "run"


def test_a_question_mark_asks_for_the_bite_and_a_disabled_stack_is_seen_only(window):
    for name, kind in [("ReLU", "relu"), ("Input", "input")]:
        window.button(f"Explain {name}").click()
        window.get_by_text(f"Explained: {kind}").wait_for()
    window.locator("label").filter(has_text="Disabled").click()
    window.wait_for_function("document.querySelector('[data-field=filters]').disabled")
    window.card(1).focus()
    window.keyboard.press("Delete")
    window.keyboard.press("Alt+ArrowDown")
    window.button("Explain MaxPool").click()
    window.get_by_text("Explained: max_pool").wait_for()
    window.wait_for_stack(*PRESET)
    window.locator("label").filter(has_text="Disabled").click()
    window.wait_for_function("!document.querySelector('[data-field=filters]').disabled")
