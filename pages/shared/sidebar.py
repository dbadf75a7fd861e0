"""The sidebar of every page: models and images in use, the number of selected images, the jobs."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import streamlit as st

from common.errors import InputError, in_one_line
from common.escape import markdown
from pages.shared import cache, session
from pages.shared.job_progress import error_line, progress_words, stop_button
from pages.shared.page_state import PageEnd


@contextmanager
def around_page() -> Iterator[None]:
    """Draw it around the page that the block runs: the jobs come last, so that those the page starts are there.

    A mistake in somebody's input that the page raises, or a disk that refuses, gets its line at the page's end.
    """
    state = session.state()
    session.forget_what_is_gone()
    with st.sidebar:
        _models(state)
        images = session.images()
        st.markdown(f"**Images** {markdown(images.name)} · {len(images):,}")
        _picks(state)
        jobs, device = st.container(), st.container()
    for warning in state.warnings:
        st.warning(markdown(warning))
    try:
        with suppress(PageEnd):
            yield
        with device:
            st.caption(f":material/memory: {_device()}")
    except (InputError, OSError) as error:
        error_line(in_one_line(error))
    finally:
        with jobs:
            _jobs()


def _device() -> str:
    """Where models run; last of all, as it waits for torch."""
    store = cache.model_store()
    from models.device import device_title

    return device_title(store.device)


def _models(state: session.SessionState) -> None:
    st.markdown(f"**Models** {len(state.active)} / {len(state.models)}")
    for digest in state.models:
        card = cache.card(digest)
        st.session_state[f"sidebar_{digest}"] = digest not in state.switched_off  # pages switch models as well
        with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", wrap=False):
            st.markdown(session.square(digest), width="content")
            st.checkbox(
                markdown(card.name),
                key=f"sidebar_{digest}",
                on_change=_switch,
                args=(digest,),
                help=f"{markdown(card.architecture)} · {card.input_size[0]} px · {card.n_classes} classes",
            )


def _switch(digest: str) -> None:
    off = session.state().switched_off
    (off.discard if st.session_state[f"sidebar_{digest}"] else off.add)(digest)


def _picks(state: session.SessionState) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**Selected images** {len(state.picks)}")
        if state.picks:
            st.button("Clear", key="sidebar_clear", type="tertiary", on_click=state.picks.clear)


def _jobs() -> None:
    """All running and waiting jobs of this workspace; redrawn every second while there are any."""
    active = [job for job in cache.jobs().jobs if job.active]

    @st.fragment(run_every=1.0 if active else None)
    def draw_jobs() -> None:
        running = [job for job in cache.jobs().jobs if job.active]
        if not running:
            return
        st.markdown(f"**Jobs** {len(running)}")
        for job in running:
            st.progress(job.fraction, f"{markdown(job.title)} · {progress_words(job)}")
            stop_button(job, f"sidebar_cancel_{job.number}", type="tertiary")

    draw_jobs()
