"""The sidebar of every page: which models and images are at work, the picks, the jobs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import streamlit as st

from bank.device import device_title
from jobs.queue import Job, State
from pages.parts import cached, state
from pages.parts.page_end import PageEnd
from pages.parts.preview import square
from pages.parts.waiting import progress_words


@contextmanager
def beside() -> Iterator[None]:
    """Draw it beside the page that the block runs; the jobs come last, so that those the page starts are there."""
    mine = state.work()
    with st.sidebar:
        _models(mine)
        images = state.images()
        st.markdown(f"**Images** {images.name} · {len(images):,}")
        _picks(mine)
        jobs = st.container()
        st.caption(f":material/memory: {device_title(cached.bank().device)}")
    try:
        with suppress(PageEnd):
            yield
    finally:
        with jobs:
            _jobs()


def _models(mine: state.Work) -> None:
    st.markdown(f"**Models** {len(mine.active)} / {len(mine.models)}")
    for digest in mine.models:
        card = cached.card(digest)
        st.session_state[f"sidebar_{digest}"] = digest not in mine.switched_off  # pages switch models as well
        with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", wrap=False):
            st.markdown(square(mine.colour(digest)), unsafe_allow_html=True, width="content")
            st.checkbox(
                card.name,
                key=f"sidebar_{digest}",
                on_change=_switch,
                args=(digest,),
                help=f"{card.architecture} · {card.input_size[0]} px · {card.n_classes} classes",
            )


def _switch(digest: str) -> None:
    off = state.work().switched_off
    (off.discard if st.session_state[f"sidebar_{digest}"] else off.add)(digest)


def is_stale() -> bool:
    """Whether picks changed since the sidebar was drawn, as they do in a fragment's own run."""
    mine = state.work()
    return mine.n_picks_drawn != len(mine.picks)


def _picks(mine: state.Work) -> None:
    mine.n_picks_drawn = len(mine.picks)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**Picks** {len(mine.picks)}")
        if mine.picks:
            st.button("Clear", key="sidebar_clear", type="tertiary", on_click=mine.picks.clear)


def _jobs() -> None:
    """All jobs of this server that run or wait; redrawn every second only while there are any."""
    active = [job for job in cached.jobs().jobs if job.active]

    @st.fragment(run_every=1.0 if active else None)
    def draw_jobs() -> None:
        running = [job for job in cached.jobs().jobs if job.active]
        if not running:
            return
        st.markdown(f"**Jobs** {len(running)}")
        for job in running:
            _job(job)

    draw_jobs()


def _job(job: Job) -> None:
    words = "waiting" if job.state is State.WAITING else progress_words(job)
    st.progress(job.fraction, f"{job.title} · {words}")
    st.button("Cancel", key=f"sidebar_cancel_{job.number}", type="tertiary", on_click=job.cancel)
