"""Trust: how far the maps can be believed, over methods and models, and whether they notice when a model forgets."""

import streamlit as st

from common.errors import InputError
from explainers.attribution import AttributionRequest, request_for
from explainers.evaluation.cascades import CascadeRequest
from explainers.registry import METHODS
from jobs.queue import State
from pages.shared import pick_navigation, session, session_jobs
from pages.shared.job_progress import progress_words
from pages.shared.param_widgets import about
from pages.trust import view
from suggestion.table import Predictions
from suggestion.targets import target_of

QUICK = ["grad-cam", "saliency", "input-x-gradient", "integrated-gradients", "guided-backprop", "occlusion"]


def choose_methods() -> list[str]:
    """Which methods to measure; one button takes them all."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        methods = st.multiselect(
            "Methods",
            list(METHODS),
            default=QUICK,
            format_func=lambda name: METHODS[name].title,
            key="trust_methods",
            persist_state="session",
        )
        st.button("All methods", key="trust_all", on_click=take_all)
    return methods


def take_all() -> None:
    st.session_state["trust_methods"] = list(METHODS)


def choose_images() -> list[str]:
    """The picks, or the first pictures of the set."""
    sources = ["first pictures", "picks"] if state.picks else ["first pictures"]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        source = st.segmented_control(
            "Pictures", sources, default=sources[0], required=True, key="trust_source", persist_state="session"
        )
        if source == "picks":
            return list(state.picks)
        most = len(images)
        if most <= 1:
            return list(images.ids)
        count = st.slider("How many", 1, most, min(24, most), key="trust_count", persist_state="session", width=320)
    return list(images.ids[:count])


def table_section() -> None:
    """Choose, measure, read."""
    methods, image_ids = choose_methods(), choose_images()
    n_maps = sum(METHODS[name].applies(card) is None for name in methods for card in cards) * len(image_ids)
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("Measure", type="primary", key="trust_measure", disabled=not n_maps):
            view.submit(cards, methods, images, image_ids)
        st.caption(
            f"{n_maps:,} maps: {len(methods)} methods where they suit {len(cards)} models, {len(image_ids)} pictures. "
            "What was measured before is found again."
        )
    job = state.jobs.get("trust_table")
    busy = job is not None and job.active
    st.fragment(growing_table, run_every=1.0 if busy else None)(busy)


def growing_table(polled: bool) -> None:
    """The rows so far; the line above keeps its place, so that nothing jumps."""
    job = state.jobs.get("trust_table")
    if polled and job is not None and not job.active:
        st.rerun()
    if job is None:
        st.info("Nothing is measured yet. Choose methods and pictures, then press Measure.")
        return
    with st.container(height=64, border=False, horizontal=True, vertical_alignment="center"):
        if job.active:
            st.progress(job.fraction, progress_words(job))
            st.button("Cancel", key="trust_cancel", type="tertiary", on_click=job.cancel)
        elif job.state is State.FAILED:
            st.error(job.error, icon=":material/error:")
        elif job.state is State.CANCELLED:
            st.caption("Stopped. What is measured is kept: press Measure to go on from there.")
        else:
            st.caption("Click a heading to sort; rest on it to read what it means. ↑ high is good, ↓ low is good.")
    if job.result is None:
        return
    view.draw_table(job.result)
    view.draw_exposed(job.result)
    st.download_button(
        "Table (CSV)",
        job.result.to_csv(index=False).encode(),
        "trust.csv",
        "text/csv",
        key="trust_csv",
        icon=":material/download:",
    )


def cascade_section(table: Predictions) -> None:
    """One map while its model forgets."""
    st.subheader("Does the map notice when the model forgets?")
    st.markdown(
        "The layers get random weights, from the answer down to the picture. A map that stays as it was tells of the "
        "picture, not of what the model has learnt (Adebayo et al. 2018)."
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        choices = state.picks or list(images.ids[:60])
        image_id = st.selectbox(
            "Picture", choices, format_func=lambda one: images.names[images.index(one)], key="trust_picture"
        )
        card = st.selectbox("Model", cards, format_func=lambda one: one.name, key="trust_model")
        suited = [name for name in METHODS if METHODS[name].applies(card) is None]
        name = st.selectbox("Method", suited, format_func=lambda one: METHODS[one].title, key="trust_method")
        with st.popover("What is it?", icon=":material/info:", type="tertiary"):
            st.markdown(about(METHODS[name]))
        pressed = st.button("Randomise", key="trust_randomise")
    method = METHODS[name]
    target = target_of(table, images.index(image_id), card) if method.uses_target else 0
    if isinstance(target, str):
        st.info(target)
        return
    request = request_for(card, image_id, method, target=target, data=images.digest)
    if pressed:
        strip = CascadeRequest(request)
        state.failures.pop(strip.key, None)
        session_jobs.submit("cascade", strip.title, images, [strip])
    job = state.jobs.get("cascade")
    busy = job is not None and job.active
    st.fragment(growing_strip, run_every=0.6 if busy else None)(request, busy)


def growing_strip(request: AttributionRequest, polled: bool) -> None:
    """How far the job is, then the strip."""
    job = state.jobs.get("cascade")
    if polled and job is not None and not job.active:
        st.rerun()
    strip = CascadeRequest(request)
    if job is not None and job.active and job.key == session_jobs.key_for("cascade", [strip]):
        st.progress(job.fraction, progress_words(job))
        st.button("Cancel", key="trust_cascade_cancel", type="tertiary", on_click=job.cancel)
    if failure := state.failures.get(strip.key):
        st.error(failure, icon=":material/error:")
    view.draw_strip(request, images)


state, images, cards = session.state(), session.images(), session.cards()
st.title("How far can the maps be believed?")
table = pick_navigation.require_predictions("trust")
try:
    table_section()
    cascade_section(table)
except InputError as error:
    st.error(str(error), icon=":material/error:")
