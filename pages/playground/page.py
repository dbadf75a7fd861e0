"""Playground: build a small network, train it, look inside, and set it beside others."""

from collections.abc import Sequence

import streamlit as st

from common.escape import markdown
from models import stack as stacks
from pages.playground import inside, runs, view
from pages.playground.bites import bite, open_bite
from pages.playground.builder.component import stack_builder
from pages.playground.controls import Choice, choose, rows_for_builder
from pages.playground.runs import Entry
from pages.shared import session
from pages.shared.chart.component import chart
from pages.shared.job_progress import error_line, progress_words
from playground.process import PROCESS

#: Seconds between two looks at a training.
_POLL_S = 1.5

#: Runs whose curves are drawn over each other: those begun last.
_MOST_CURVES = 8


def page() -> None:
    """The stack on the left, what became of it on the right, and below the way of an image through it."""
    st.title("Build a network and train it")
    PROCESS.start()
    choice = choose()
    for remark in choice.remarks:
        st.caption(markdown(remark))
    runs.keep_going(choice.images)
    left, right = st.columns([9, 11], gap="medium")
    with left:
        build(choice)
    with right:
        results = st.container()
    every = of(choice)
    entry = looked_at(every)
    runs.show_on_page(entry)
    if entry is not None:
        inside.follow_epochs(entry)
    busy = any(one.job is not None and one.job.active for one in every)
    with results:
        st.fragment(trainings, run_every=_POLL_S if busy else None)(choice, busy)
        sight = None if entry is None else inside.choose_sight(choice, entry)
    if sight is not None:
        inside.section(choice, sight)
    else:
        st.subheader("The network")
        if choice.whole:
            figure = view.empty_tree(choice.stack, choice.rows, choice.classes)
            chart(figure, key="playground_empty", alt="The network, layer by layer", toolbar=False)


def of(choice: Choice) -> list[Entry]:
    """The session's runs on the images in use."""
    return [entry for entry in runs.entries() if entry.request.data == choice.images.digest]


def looked_at(every: Sequence[Entry]) -> Entry | None:
    """The run on show, once it has weights."""
    entry = next((one for one in every if one.request.key == session.state().run), every[-1] if every else None)
    return entry if entry is not None and entry.run is not None else None


def build(choice: Choice) -> None:
    """The layers, to be changed."""

    def keep(stack: list[dict[str, object]]) -> None:
        session.state().stack = stacks.to_json(stacks.stack_of(stack))

    def explain(kind: str) -> None:
        st.session_state["playground_explain"] = kind

    rows = rows_for_builder(choice.rows)
    kinds, plain = stacks.kinds(), stacks.to_json(choice.stack)
    stack_builder(plain, rows, kinds, key="playground_builder", on_change=keep, on_explain=explain)
    if kind := st.session_state.pop("playground_explain", ""):
        open_bite(kind)


def trainings(choice: Choice, polled: bool) -> None:
    """The curves of all runs, and how far those are that train."""
    every = of(choice)
    active = [entry for entry in every if entry.job is not None and entry.job.active]
    if polled and (not active or runs.ahead_of_page(every)):
        st.rerun()
    if not every:
        st.caption("Press **Train**: accuracy and loss are drawn here, epoch by epoch.")
        return
    epoch = st.session_state.get("playground_epoch")
    with st.container(horizontal=True, horizontal_alignment="right"):
        bite("training_curves", "playground_bite_curves")
        bite("overfitting", "playground_bite_overfitting")
    figure = view.curves(every[-_MOST_CURVES:], epoch)
    chart(figure, key="playground_curves", alt="Accuracy and loss of each epoch", toolbar=False)
    for entry in every[-_MOST_CURVES:]:
        progress(entry)


def progress(entry: Entry) -> None:
    """One line for a run that trains or could go on: how far it is, Pause or Resume, and Stop."""
    job, run = entry.job, entry.run
    if entry.failure:
        error_line(f"{entry.name}: {entry.failure}")
        return
    if run is not None and run.note:
        st.warning(markdown(f"{entry.name}: {run.note}"), icon=":material/warning:")
    if job is not None and job.active:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.progress(job.fraction, f"{markdown(entry.name)} · {progress_words(job)}")
            st.button("Pause", key=f"playground_pause_{entry.request.key}", on_click=job.stop, disabled=job.cancelling)
            stop_button(entry)
    elif run is None or not entry.request.complete(run):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f"{markdown(entry.name)}: paused after epoch {0 if run is None else run.epoch}")
            st.button(
                "Resume", key=f"playground_resume_{entry.request.key}", on_click=runs.begin, args=(entry.request,)
            )
            stop_button(entry)


def stop_button(entry: Entry) -> None:
    """End a training for good."""
    key, why = f"playground_stop_{entry.request.key}", "What it has learnt so far stays."
    st.button("Stop", key=key, on_click=runs.stop, args=[entry], type="tertiary", help=why)


page()
