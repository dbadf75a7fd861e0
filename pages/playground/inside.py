"""What there is to see of one run: an image on its way, what is mixed up, kernels, all runs, code; and its way out."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st

from common import sealed
from common.errors import InputError
from common.escape import markdown
from figures.layers import kernel_sheet
from figures.maps import to_webp
from images import mnist
from models import stack as stacks
from models.stack import Convolution, MaxPool
from pages.playground import runs, send, view
from pages.playground.bites import bite
from pages.playground.controls import Choice
from pages.playground.drawing.component import draw_digit
from pages.playground.lens.component import convolution_lens, max_pool_lens
from pages.playground.runs import Entry
from pages.shared import cache, session
from pages.shared.chart.component import ChartPoint, chart
from pages.shared.job_progress import error_line
from pages.shared.widgets import segments
from playground import look
from playground.data import TrainingData
from playground.drawn import as_digit
from playground.look import Inside, Network
from playground.training import Run

WAY, CONFUSION, KERNELS, RUNS, CODE = "Feature maps", "Confusion matrix", "Kernels", "All runs", "PyTorch code"
_TEST, _DRAWN = "Test image", "Draw"

#: Images of a cell of the confusion matrix that are shown.
_MOST_OF_A_CELL = 24


@dataclass(frozen=True)
class Sight:
    """What is looked at: a run after an `epoch`, and an image, `pixels` (C, side, side) uint8 of class `true` if known.

    `pixels` is `None` while nothing is drawn.
    """

    entry: Entry
    run: Run
    data: TrainingData
    epoch: int
    pixels: np.ndarray | None
    true: int | None

    @property
    def net(self) -> Network:
        """The network as it was then; raises `InputError` where its weights are not kept."""
        return self.entry.request.network(cache.store(), self.run, self.epoch, self.data)


def choose_sight(choice: Choice, entry: Entry) -> Sight:
    """The epoch, the image, and the way of the run into the comparison."""
    run = entry.run
    assert run is not None
    with st.spinner(f"Reading {markdown(choice.images.name)} …"):
        data = view.data_of(entry.request, choice.images)
    epoch = choose_epoch(entry, run)
    left, right = st.columns([3, 4], vertical_alignment="center")
    with right:
        sources = [_TEST, _DRAWN] if data.shape[0] == 1 else [_TEST]
        source = segments("Image", sources, "playground_source", label_visibility="collapsed")
        if source == _TEST:
            turn_buttons(data)
        send.button(choice, entry, epoch)
    with left:
        pixels, true = drawn(choice, data) if source == _DRAWN else test_image(data)
    return Sight(entry, run, data, epoch, pixels, true)


def section(choice: Choice, sight: Sight) -> None:
    """The run from all sides."""
    views = [WAY, CONFUSION, KERNELS, RUNS, CODE]
    what = segments("Look at", views, "playground_look", label_visibility="collapsed")
    try:
        if what == WAY:
            on_its_way(sight)
        elif what == CONFUSION:
            mixed_up(sight)
        elif what == KERNELS:
            kernels(sight)
        elif what == RUNS:
            all_runs(choice)
        else:
            code(choice, sight)
    except InputError as error:
        error_line(str(error))


def follow_epochs(entry: Entry) -> None:
    """Keep the epoch that is looked at one of those whose weights are kept: the last until another is chosen.

    Before anything is drawn, since the curves mark it too.
    """
    assert entry.run is not None
    kept, key, state = entry.request.kept_epochs(cache.store(), entry.run), "playground_epoch", st.session_state
    at_end = state.get(f"{key}_last") in (None, (entry.request.key, state.get(key)))
    if at_end or state.get(key) not in kept:
        state[key] = kept[-1]
    state[f"{key}_last"] = (entry.request.key, kept[-1])


def choose_epoch(entry: Entry, run: Run) -> int:
    """One of the epochs whose weights are kept."""
    epoch = st.session_state["playground_epoch"]
    kept = entry.request.kept_epochs(cache.store(), run)
    if len(kept) == 1:
        return epoch
    loss, accuracy = run.history[epoch, [1, 3]]
    label = f"Epoch · validation accuracy {accuracy:.1%}, loss {loss:.3f} · best epoch {run.best_epoch}"
    return st.select_slider(label, kept, key="playground_epoch")


def test_image(data: TrainingData) -> tuple[np.ndarray, int]:
    """The test image on show."""
    position = _position(data)
    true = int(data.labels[data.test[position]])
    alt = f"Test image {position + 1} of {len(data.test)}"
    st.image(to_webp(view.test_picture(data, position)), width=180, alt=alt)
    st.caption(f"{alt}  \nTrue class {markdown(data.classes[true])}")
    return data.pixels[data.test[position]], true


def _position(data: TrainingData) -> int:
    return min(st.session_state.get("playground_position", 0), len(data.test) - 1)


def turn_buttons(data: TrainingData) -> None:
    """The way to other test images."""
    n, position = len(data.test), _position(data)

    def turn(step: int) -> None:
        st.session_state["playground_position"] = (position + step) % n

    with st.container(horizontal=True, gap="xsmall"):
        st.button("", icon=":material/chevron_left:", key="playground_back", on_click=turn, args=[-1], help="Previous")
        st.button("", icon=":material/chevron_right:", key="playground_on", on_click=turn, args=[1], help="Next")
        step = 1 + position * 7919 % max(1, n - 1)
        st.button("", icon=":material/shuffle:", key="playground_other", on_click=turn, args=[step], help="Another")


def drawn(choice: Choice, data: TrainingData) -> tuple[np.ndarray | None, int | None]:
    """What was drawn by hand, brought into the frame of the digits; nothing while the canvas is blank."""
    drawing = draw_digit(key="playground_drawn")
    if drawing is None:
        return None, None
    side = data.shape[1]
    grey = as_digit(drawing, side, "mnist" if choice.images.name == mnist.SOURCES["mnist"].title else "digits")
    return np.broadcast_to(grey, (data.shape[0], side, side)), None


def on_its_way(sight: Sight) -> None:
    """The image through all layers, and the node that was clicked from close by."""
    if sight.pixels is None:
        st.caption("Draw a digit: its way through the network is shown here.")
        return
    seen = look.inside(sight.net, sight.entry.request.stack, sight.pixels, sight.data)
    chosen = st.session_state.get("playground_node")
    chosen = chosen if chosen and chosen[0] <= len(seen.layers) else None

    def choose(point: ChartPoint) -> None:
        column, unit = point.data
        st.session_state["playground_node"] = (column, unit) if column <= len(seen.layers) else None

    alt = "The image on its way through the network, layer by layer, to the probabilities of the classes"
    figure = view.tree(seen, sight.data.classes, sight.true, chosen)
    chart(figure, key="playground_tree", alt=alt, on_click=choose, toolbar=False)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption("Click a feature map to see how it is computed, cell by cell.")
        bite("feature_maps", "playground_bite_maps")
        bite("softmax", "playground_bite_softmax")
    if chosen is not None and chosen[0] > 0:
        closer(sight, seen, *chosen)


def closer(sight: Sight, seen: Inside, column: int, unit: int) -> None:
    """How one unit's values come from those before it."""
    layer, output = sight.entry.request.stack[column - 1], seen.layers[column - 1]
    if unit >= len(output.values):
        return
    before: Any = seen.layers[column - 2].values if column > 1 else look.as_values(seen.pixels, sight.data)
    st.markdown(f"**{layer.title}, unit {unit}**")
    if isinstance(layer, Convolution):
        kernels, biases = look.filters(sight.net, output.name)
        convolution_lens(
            before, kernels[unit], float(biases[unit]), output.values[unit], layer.stride, layer.padding,
            key="playground_lens",
        )  # fmt: skip
    elif isinstance(layer, MaxPool):
        max_pool_lens(before[unit], output.values[unit], layer.kernel_size, layer.stride, key="playground_pool_lens")
    else:
        bite(layer.kind, "playground_bite_layer")


def mixed_up(sight: Sight) -> None:
    """The confusion matrix of the test images, and the images of the cell that was clicked."""
    request, data = sight.entry.request, sight.data
    found = view.answers(request.key, sight.epoch, request, sight.run, data)
    cell = st.session_state.get("playground_cell")
    cell = cell if cell and max(cell) < len(data.classes) else None

    def choose(point: ChartPoint) -> None:
        st.session_state["playground_cell"] = tuple(point.data)

    left, right = st.columns([3, 2], gap="medium")
    with left:
        chart(view.confusion(data, found, cell), key="playground_confusion", alt="Confusion matrix", on_click=choose)
    with right:
        right_answers = (found.argmax(1) == data.labels[data.test]).mean()
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**Test accuracy {right_answers:.1%}** on {len(data.test):,} images it has never seen.")
            bite("confusion_matrix", "playground_bite_confusion")
        if cell is None:
            st.caption("Click a cell to see its images.")
            return
        true, predicted = (markdown(data.classes[number]) for number in cell)
        positions = view.mixed_up(data, found, *cell)
        st.markdown(f"{len(positions):,} images of **{true}** predicted as **{predicted}**")
        with st.grid(6, gap="xsmall"):
            for position in positions[:_MOST_OF_A_CELL].tolist():
                with st.container(gap="xsmall"):
                    st.image(to_webp(view.test_picture(data, position)), alt=f"Test image {position + 1}")
                    st.button(
                        "Look", key=f"playground_cell_{position}", on_click=look_at, args=[position], type="tertiary"
                    )


def look_at(position: int) -> None:
    """Show a test image on its way through the network."""
    st.session_state.update({"playground_position": position, "playground_look": WAY, "playground_source": _TEST})


def kernels(sight: Sight) -> None:
    """The kernels of every convolution."""
    names = look.convolutions(sight.entry.request.stack)
    if not names:
        st.caption("The network has no convolution.")
        return
    net = sight.net
    for name, column in zip(names, st.columns(min(3, len(names))) * len(names), strict=False):
        weights, _ = look.filters(net, name)
        with column:
            st.image(to_webp(kernel_sheet(weights, 8)), width="stretch", alt=f"Kernels of {name}")
            n, channels, side, _ = weights.shape
            more = ", the mean over channels" if channels not in (1, 3) else ""
            st.caption(f"{name}: {n} filters of {channels} × {side} × {side}{more}. Grey or white is zero.")


def code(choice: Choice, sight: Sight) -> None:
    """The stack as PyTorch code, and the network to take home."""
    data, request = sight.data, sight.entry.request
    st.code(stacks.code(request.stack, data.shape, len(data.classes)), language="python")
    st.download_button(
        f"Network after epoch {sight.epoch} (safetensors)",
        lambda: sealed.read(send.to_file(choice, sight.entry, sight.epoch)) or b"",
        f"playground-epoch-{sight.epoch}.safetensors",
        key="playground_download",
        icon=":material/download:",
        help="On command lines, playground/FILE names it as a model.",
    )


def all_runs(choice: Choice) -> None:
    """The table of runs on these images: sort it by a click on a column; a row that is chosen is looked at."""
    every = [entry for entry in runs.entries() if entry.request.data == choice.images.digest]
    accuracies = {}
    for entry in every:
        if entry.run is not None:
            data = view.data_of(entry.request, choice.images)
            try:
                found = view.answers(entry.request.key, entry.run.best_epoch, entry.request, entry.run, data)
            except InputError:  # its weights made room for newer results: the table has no figure then
                continue
            accuracies[entry.request.key] = float((found.argmax(1) == data.labels[data.test]).mean())
    percent = st.column_config.NumberColumn(format="%.1f %%")
    picked = st.dataframe(
        view.table(every, accuracies),
        hide_index=True,
        key="playground_runs",
        on_select="rerun",
        selection_mode="single-row",
        column_config={
            "Test accuracy": percent,
            "Validation accuracy": percent,
            "Validation loss": st.column_config.NumberColumn(format="%.3f"),
            "Seconds": st.column_config.NumberColumn(format="%.0f"),
        },
    )
    if rows := picked.selection.rows:
        entry = every[rows[0]]
        with st.container(horizontal=True):
            icon = ":material/visibility:"
            st.button("Look at it", icon=icon, key="playground_show", on_click=look_at_run, args=[entry])
            st.button("Remove it", key="playground_forget", on_click=runs.forget, args=[entry])


def look_at_run(entry: Entry) -> None:
    """Show another run, with its stack in the builder."""
    session.state().run = entry.request.key
    session.state().stack = stacks.to_json(entry.request.stack)
    st.session_state["playground_look"] = WAY
