"""The generator of the image set at work: which one it is, how real its pictures look, and the training of one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import streamlit as st

from common.errors import InputError
from explainers.contrastive import generators
from explainers.contrastive.generator import Trained
from explainers.contrastive.generators import Wanted
from explainers.contrastive.method import FEWEST_IMAGES, GeneratorParams, GeneratorTraining
from explainers.contrastive.ready_made import PARAMS, ready_made, sheet
from explainers.contrastive.samples import samples
from explainers.contrastive.training import WELL, Look
from figures.contrast_grid import losses_figure
from figures.contrastive import crisp
from figures.maps import data_uri
from images.image_set import ImageSet
from jobs.queue import Job, State
from pages.prediction_difference.controls import progress
from pages.prediction_difference.jobs import running
from pages.shared import cache, demo_sets, pick_navigation, session, session_jobs
from pages.shared.job_progress import wait_for
from pages.shared.param_widgets import about, settings_of
from pages.shared.theme import ink
from suggestion.table import Predictions

#: This session's jobs: the training, and the digits on their way in.
GENERATOR, DIGITS = "contrast_generator", "contrast_digits"

_HERE, _READY = "trained here", "ready-made"

_SHEET_PX = 480

#: How long the settings that the page begins with take for small pictures.
_TAKES = "about 20 minutes"

_READING = (
    "Pictures that the generator makes of random numbers: what it cannot make, no contrast can show. The curve falls, "
    "and levels off, as the critic finds it harder to tell them from real ones."
)


def in_use(images: ImageSet) -> Trained | None:
    """The generator that answers: while one is being trained, the ready-made one, if there is any."""
    ready = ready_made(images.digest)
    if _training(images) is not None or (ready and _which(images) == _READY):
        return ready
    return generators.find(cache.store(), images.digest)


def _which(images: ImageSet) -> str:
    """Which of the two generators of a set is chosen: at first the one trained here, but only if it is through."""
    own = generators.last_trained(cache.store(), images.digest)
    look = None if own is None else generators.find_look(cache.store(), own)
    through = own is not None and look is not None and look.fate == WELL and look.step >= own.params.steps
    return st.session_state.get(f"contrast_which_{images.digest}", _HERE if through else _READY)


def offer(images: ImageSet) -> None:
    """What to do where no generator fits: ask about the digits, or train one."""
    state = session.state()
    st.markdown(
        "A contrast is the nearest picture between two classes, so it takes a generator that knows what pictures of "
        f"the set look like. **{images.name}** has none yet. The one that comes with the app can make nothing but "
        "handwritten digits."
    )
    job = state.jobs.get(DIGITS)
    if job is not None and job.state is State.DONE:
        del state.jobs[DIGITS]
        demo_sets.use(job.result)
        state.take_six = True
        st.rerun()
    if job is None or not job.active:
        icon = ":material/swap_horiz:"
        if st.button("Switch to the digits and their nets", type="primary", key="contrast_digits", icon=icon):
            state.jobs[DIGITS] = demo_sets.add(demo_sets.DIGITS)
            st.rerun()
    if job is not None:
        wait_for(job, "contrast_add_digits")
    st.subheader(f"Or train a generator of {images.name}")
    _train(images)


def pick_for_newcomers(table: Predictions) -> None:
    """Who came by the switch to the digits gets six of them picked: there is something on show at once."""
    state = session.state()
    if state.take_six and not state.picks:
        state.pick(pick_navigation.most_disputed(table, session.images()))
        state.take_six = False
        st.rerun()  # the sidebar counts them
    state.take_six = False


def section(images: ImageSet, trained: Trained) -> None:
    """Which generator is in use, what it makes, and the way to another one."""
    st.subheader("Generator")
    ready = ready_made(images.digest)
    own = generators.last_trained(cache.store(), images.digest)
    if ready and own and _training(images) is None:
        st.segmented_control(
            "Which one",
            [_HERE, _READY],
            default=_which(images),
            required=True,
            key=f"contrast_which_{images.digest}",
            persist_state="session",
        )
    shape, colours = trained.shape, "grey" if trained.shape.channels == 1 else "colour"
    what = "The one that comes with the app" if ready and trained.key == ready.key else "Trained here"
    st.caption(
        f"{what}, for {images.name}: {trained.step:,} steps · {shape.side} × {shape.side} px in {colours} · made from "
        f"{shape.latent} numbers."
    )
    if ready and trained.key == ready.key:
        picture = cache.drawn(f"samples {trained.key}", lambda: _sheet(samples(trained)))
        st.image(picture, width=_SHEET_PX, alt="Pictures that the generator makes of random numbers")
        with st.expander("Train one here", key="contrast_generator_box", on_change="rerun") as box:
            if box.open or _training(images) is not None:
                _train(images)
    else:
        _train(images)


def _training(images: ImageSet) -> Job | None:
    """The job that trains a generator of this set, in whatever session it was begun."""
    start = _key(images, "")
    return next((job for job in cache.jobs().jobs if job.active and job.key.startswith(start)), None)


def _key(images: ImageSet, wanted: str) -> str:
    return f"generator {images.digest} {wanted}"


def _train(images: ImageSet) -> None:
    """Settings, start, stop and go on, and what there is to see."""
    if len(images) < FEWEST_IMAGES:
        needed = f"{FEWEST_IMAGES} pictures or more to train a generator"
        st.info(str(InputError(needed, f"{len(images)} in {images.name}", "Add more images of the kind.")))
        return
    own = generators.last_trained(cache.store(), images.digest)
    with st.expander("The training"), st.grid(4, gap="small"):
        settings = settings_of(
            GeneratorTraining(), f"contrast_{images.digest}", defaults=PARAMS if own is None else own.params
        )
    wanted = Wanted(images.digest, GeneratorParams(**settings))
    key, store = _key(images, wanted.key), cache.store()
    job, look = running(GENERATOR, key), generators.find_look(store, wanted)
    busy = _training(images)
    with st.container(horizontal=True, vertical_alignment="center"):
        label = "Train a generator" if look is None else "Go on training"
        over = look is not None and look.fate != WELL
        if st.button(label, key="contrast_train", icon=":material/model_training:", disabled=bool(busy) or over):
            _submit(images, wanted, look)
            st.rerun()
        with st.popover("What is it?", icon=":material/info:", type="tertiary"):
            st.markdown(about(GeneratorTraining()))
        st.caption(f"{PARAMS.steps:,} steps at 32 px take {_TAKES} on one core. Stop and go on whenever you like.")
    if busy is not None and job is None:
        st.caption("Another training of this set is at work; its settings are not the ones above.")
    st.fragment(_watch, run_every=1.0 if job is not None else None)(wanted, key, job is not None)


def _submit(images: ImageSet, wanted: Wanted, look: Look | None) -> None:
    """Train up to the steps that are set; those done, as many again."""
    store, device, steps = cache.store(), cache.model_store().device, wanted.params.steps
    until = steps if look is None or look.step < steps else look.step + steps

    def work(job: Job) -> None:
        def report(done: int, total: int) -> None:
            job.say("")
            job.report(done, total)

        def learn(done: int, total: int) -> None:
            job.say(f"Reading {images.name}: {done:,} of {total:,} pictures")
            job.report(0, until)

        def show(seen: Look) -> None:
            job.result = seen

        generators.train(store, images, replace(wanted.params, steps=until), report, show, learn, device)

    key = _key(images, wanted.key)
    session_jobs.submit_work(GENERATOR, key, f"Generator of {images.name}", "steps", work)


def _watch(wanted: Wanted, key: str, polled: bool) -> None:
    """How far the training is: its samples and the critic's loss."""
    job = session.state().jobs.get(GENERATOR)
    if job is None and not polled and generators.find_look(cache.store(), wanted) is None:
        return
    progress(GENERATOR, [key], GENERATOR, polled, _READING)
    live = job.result if job is not None and job.active and job.key == key else None
    look = live or generators.find_look(cache.store(), wanted)
    with st.container(height=_SHEET_PX + 60, border=False):  # nothing moves when the first samples come
        if look is None:
            st.caption("The first samples come within seconds.")
            return
        if look.note:
            st.warning(look.note, icon=":material/warning:")
        left, right = st.columns(2)
        with left:
            picture = data_uri(_sheet(look.samples))
            st.image(picture, width=_SHEET_PX, alt=f"Samples of the generator after {look.step} steps")
        with right:
            words = f"step {look.step:,} · samples differ by {look.spread:.0%} of what real pictures do"
            st.caption(words)
            config: dict[str, Any] = {"displayModeBar": False}
            with st.container(key="contrast_losses"):
                st.plotly_chart(losses_figure(look.losses, ink()), config=config, alt="The critic's loss")


def _sheet(pictures: np.ndarray) -> np.ndarray:
    """Samples (N, side, side, C) uint8 on one picture (H, W, 3) uint8."""
    whole = sheet(pictures)
    return crisp(np.broadcast_to(whole, (*whole.shape[:2], 3)))
