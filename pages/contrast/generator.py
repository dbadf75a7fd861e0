"""The generator of the image set at work: which one it is, how real its images look, and the training of one."""

from dataclasses import replace

import numpy as np
import streamlit as st

from common.errors import InputError
from common.escape import markdown
from explainers.contrastive import generators
from explainers.contrastive.generator import Trained
from explainers.contrastive.generators import PARAMS, GeneratorRequest, ready_made
from explainers.contrastive.method import FEWEST_IMAGES, GeneratorParams, GeneratorTraining
from explainers.contrastive.training import Status
from figures.contrast_grid import losses_figure
from figures.maps import crisp, tiled, to_webp
from images.image_set import ImageSet
from jobs.queue import Job, State
from pages.shared import cache, demo_sets, pick_navigation, session, session_jobs
from pages.shared.chart.component import chart
from pages.shared.job_progress import error_line, progress_line, wait_for
from pages.shared.page_state import PageState
from pages.shared.widgets import segments, settings_of, what_is_it

#: This session's jobs: the training, and the digits on their way in.
GENERATOR, DIGITS = "contrast_generator", "contrast_digits"

_HERE, _READY = "trained here", "ready-made"

_SHEET_PX = 480

#: How long the settings that the page begins with take for small images.
_TAKES = "about 20 minutes"

_RESUME = "resume whenever you like"
_READING = (
    "Images that the generator makes of random numbers: what it cannot make, no contrast can show. The curve falls, "
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
    snapshot = None if own is None else own.load(cache.store())
    through = own and snapshot and snapshot.status == Status.OK and snapshot.step >= own.params.steps
    return st.session_state.get(f"contrast_which_{images.digest}", _HERE if through else _READY)


def offer(images: ImageSet) -> None:
    """What to do where no generator fits: ask about the digits, or train one."""
    state = session.state()
    st.markdown(
        "A contrast is the nearest image between two classes, so it takes a generator that knows what images of "
        f"the set look like. **{markdown(images.name)}** has none yet. The one that comes with the app can make "
        "nothing but handwritten digits."
    )
    job = state.jobs.get(DIGITS)
    if job is not None and job.state is State.DONE:
        del state.jobs[DIGITS]
        demo_sets.use(job.result)
        state.take_six = True
        st.rerun()
    if job is None or not job.active:
        icon = ":material/swap_horiz:"
        if st.button("Switch to the digits and their models", type="primary", key="contrast_digits", icon=icon):
            state.jobs[DIGITS] = demo_sets.add(demo_sets.DIGITS)
            st.rerun()
    if job is not None:
        wait_for(job, "contrast_add_digits")
    st.subheader(f"Or train a generator of {markdown(images.name)}")
    _train(images)


def pick_for_newcomers(page_state: PageState) -> None:
    """Who came by the switch to the digits gets six of them picked: there is something on show at once."""
    state = session.state()
    if state.take_six and not state.picks:
        state.pick(pick_navigation.most_disputed(page_state.table, page_state.images))
        state.take_six = False
        st.rerun()  # the sidebar counts them
    state.take_six = False


def section(images: ImageSet, trained: Trained) -> None:
    """Which generator is in use, what it makes, and the way to another one."""
    st.subheader("Generator")
    ready = ready_made(images.digest)
    own = generators.last_trained(cache.store(), images.digest)
    if ready and own and _training(images) is None:
        segments("Which one", [_HERE, _READY], f"contrast_which_{images.digest}", default=_which(images))
    shape, colours = trained.shape, "grey" if trained.shape.channels == 1 else "colour"
    what = "The one that comes with the app" if ready and trained.key == ready.key else "Trained here"
    st.caption(
        f"{what}, for {markdown(images.name)}: {trained.step:,} steps · {shape.side} × {shape.side} px in {colours} · "
        f"made from {shape.latent} numbers."
    )
    if ready and trained.key == ready.key:
        made = cache.image_file(f"samples {trained.key}", lambda: _sheet(trained.samples()))
        st.image(made, width=_SHEET_PX, alt="Images that the generator makes of random numbers")
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
        needed = f"{FEWEST_IMAGES} images or more to train a generator"
        st.info(markdown(str(InputError(needed, f"{len(images)} in {images.name}", "Add more images of the kind."))))
        return
    own = generators.last_trained(cache.store(), images.digest)
    with st.expander("The training"), st.grid(4, gap="small"):
        settings = settings_of(
            GeneratorTraining(), f"contrast_{images.digest}", defaults=PARAMS if own is None else own.params
        )
    request = GeneratorRequest(images.digest, GeneratorParams(**settings))
    key = _key(images, request.key)
    job, snapshot = session_jobs.running(GENERATOR, key), request.load(cache.store())
    busy = _training(images)
    with st.container(horizontal=True, vertical_alignment="center"):
        label = "Train a generator" if snapshot is None else "Resume training"
        over = snapshot is not None and snapshot.status != Status.OK
        if st.button(label, key="contrast_train", icon=":material/model_training:", disabled=bool(busy) or over):
            steps, done = request.params.steps, 0 if snapshot is None else snapshot.step
            until = replace(request.params, steps=steps if done < steps else done + steps)  # those done, as many again
            further = replace(request, params=until)
            session_jobs.retry(GENERATOR, [further])
            title, key = f"Generator of {images.name}", _key(images, further.key)
            session_jobs.submit(GENERATOR, title, images, [further], key=key)
            st.rerun()
        what_is_it(GeneratorTraining())
        st.caption(f"{PARAMS.steps:,} steps at 32 px take {_TAKES} on one core. Stop and go on whenever you like.")
    if busy is not None and job is None:
        st.caption("Another training of this set is at work; its settings are not the ones above.")
    st.fragment(_watch, run_every=1.0 if job is not None else None)(request, key, job is not None)


def _watch(request: GeneratorRequest, key: str, polled: bool) -> None:
    """How far the training is: its samples and the critic's loss."""
    job, snapshot = session.state().jobs.get(GENERATOR), session_jobs.known(request)
    if job is None and not polled and snapshot is None:
        return
    if failure := session.state().failures.get(request.key):
        error_line(failure)
    progress_line(job if job is not None and job.key == key else None, GENERATOR, polled, _READING, _RESUME)
    with st.container(height=_SHEET_PX + 60, border=False):  # nothing moves when the first samples come
        if snapshot is None:
            st.caption("The first samples come within seconds.")
            return
        if snapshot.note:
            st.warning(markdown(snapshot.note), icon=":material/warning:")
        left, right = st.columns(2)
        with left:
            alt = f"Samples of the generator after {snapshot.step} steps"
            st.image(to_webp(_sheet(snapshot.samples)), width=_SHEET_PX, alt=alt)
        with right:
            st.caption(f"step {snapshot.step:,} · samples differ by {snapshot.spread:.0%} of what real images do")
            chart(losses_figure(snapshot.losses), key="contrast_losses", alt="The critic's loss", toolbar=False)


def _sheet(samples: np.ndarray) -> np.ndarray:
    """Samples (N, side, side, C) uint8 on one image (H, W, 3) uint8."""
    sheet = tiled(samples, 8)
    return crisp(np.broadcast_to(sheet, (*sheet.shape[:2], 3)))
