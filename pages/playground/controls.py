"""What a person sets on the Playground: the images, the network, how it is trained."""

from dataclasses import dataclass
from typing import Any

import streamlit as st

from common.errors import InputError
from common.escape import markdown
from common.settings import settings
from images.image_set import ImageSet
from jobs.queue import Job, State
from models import stack as stacks
from models.stack import PRESETS, Row, Stack
from pages.playground import runs
from pages.playground.bites import bite
from pages.shared import cache, session
from pages.shared.demo_sets import DEMO_SETS, DIGITS, PAINTINGS
from pages.shared.job_progress import error_line, wait_for
from pages.shared.page_state import end_page
from pages.shared.widgets import select, settings_of
from playground.data import is_grey, labelled
from playground.runs import TrainingRequest
from playground.training import NetworkTraining, TrainingParams

#: The network that the page begins with: the paper's third.
FIRST = "Conv-ReLU-Pool-Conv-ReLU-Pool, 3 × 3"

_IN_USE = "in use"

#: Sides that networks get at first for small images and for larger ones, in pixels.
_SMALL, _LARGE = 32, 64


@dataclass(frozen=True)
class Choice:
    """What is set: the images and their classes, the stack and its rows, and how to train it."""

    images: ImageSet
    classes: tuple[str, ...]
    remarks: tuple[str, ...]
    stack: Stack
    rows: list[Row]
    params: TrainingParams
    shortcut: str

    @property
    def request(self) -> TrainingRequest:
        """The training of just this."""
        return TrainingRequest(self.images.digest, self.stack, self.params, self.shortcut)

    @property
    def whole(self) -> bool:
        """Whether the stack is a network."""
        return not any(row.error for row in self.rows)


def choose_images() -> ImageSet:
    """The digits at first; the page ends here while a set is on its way."""
    names = {name: DEMO_SETS[name].title for name in (DIGITS, PAINTINGS, "mnist", "fashion-mnist")}
    names = {name: title[:1].upper() + title[1:] for name, title in names.items()}
    own = session.images()
    if own.digest not in (cache.demo_images().digest, _digest_of(DIGITS)):
        names[_IN_USE] = own.name
    name = select("Images", names, "playground_images")
    return own if name == _IN_USE else _demo_set(name)


def _demo_set(name: str) -> ImageSet:
    """A set of the demo; the page ends here until it is read."""
    if name == PAINTINGS:
        return cache.demo_images()
    digest = _digest_of(name)
    if digest and cache.knows_images(digest):
        return cache.image_set(digest)
    job = cache.jobs().find(f"playground images {name}")
    if job is None or job.state is State.DONE:
        job = _read(name)
    if not job.wait(1.5) or job.state is not State.DONE:
        wait_for(job, "playground_reading")
        if not job.active and st.button("Try again", key="playground_reading_again"):
            _read(name)
            st.rerun()
        end_page()
    return cache.image_set(job.result)


def _read(name: str) -> Job:
    """Start to read a set of the demo."""
    demo_set, data = DEMO_SETS[name], settings().data_folder

    def work(job: Job) -> str:
        return demo_set.read(data, job.report).digest

    key = f"playground images {name}"
    return cache.jobs().submit(Job(f"Reading {demo_set.title}", work, unit="images", key=key), "interactive")


def _digest_of(name: str) -> str:
    """The digest of a set that was read before; "" for one that was not."""
    job = cache.jobs().find(f"playground images {name}")
    return job.result if job is not None and job.state is State.DONE else ""


def choose_network() -> None:
    """One of the paper's networks, which the builder then shows; none while the stack is the person's own."""
    state = session.state()
    if state.stack is None:
        state.stack = stacks.to_json(PRESETS[FIRST])
    now = next((name for name, stack in PRESETS.items() if stacks.to_json(stack) == state.stack), None)
    st.session_state["playground_network"] = now

    def take() -> None:
        if name := st.session_state["playground_network"]:
            state.stack = stacks.to_json(PRESETS[name])

    st.selectbox("Network", list(PRESETS), key="playground_network", on_change=take, placeholder="Your own")


def choose_training(images: ImageSet, classes: tuple[str, ...]) -> tuple[TrainingParams, str]:
    """How to train, and the class of the planted shortcut; folded."""
    with st.popover("Settings", icon=":material/tune:", width="stretch"):
        with st.grid(3, gap="small"):
            defaults = TrainingParams(side=_side_for(images.digest))
            chosen = settings_of(NetworkTraining(), f"playground_{images.digest}", defaults=defaults)
        st.divider()
        with st.container(horizontal=True, vertical_alignment="bottom"):
            planted = st.toggle(
                "Plant a shortcut",
                **session.kept("playground_planted"),
                help="Every training image of one class gets a white square in a corner. Will the network look at it?",
            )
            bite("shortcut", "playground_bite_shortcut")
            shortcut = select("on every", classes, "playground_shortcut", index=len(classes) - 1) if planted else ""
    return TrainingParams(**chosen), shortcut


@st.cache_data(show_spinner=False, max_entries=100)
def _side_for(digest: str) -> int:
    images = cache.image_set(digest)
    return _SMALL if max(images.image(0).shape[:2]) <= _LARGE else _LARGE


@st.cache_data(show_spinner=False, max_entries=100)
def _is_grey(digest: str) -> bool:
    return is_grey(cache.image_set(digest))


def choose() -> Choice:
    """The toolbar's choosers; the page ends here where the images teach nothing."""
    first, second, third, fourth = st.columns([6, 8, 4, 3], vertical_alignment="bottom")
    with first:
        images = choose_images()
    try:
        classes, remarks = labelled(images)
    except InputError as error:
        error_line(str(error))
        end_page()
    with second:
        choose_network()
    with third:
        params, shortcut = choose_training(images, classes)
    stack = stacks.stack_of(session.state().stack or [])
    shape = (1 if _is_grey(images.digest) else 3, params.side, params.side)
    choice = Choice(images, classes, remarks, stack, stacks.trace(stack, shape, len(classes)), params, shortcut)
    with fourth:
        st.button(
            "Train",
            type="primary",
            icon=":material/model_training:",
            key="playground_train",
            disabled=not choice.whole,
            width="stretch",
            on_click=runs.begin,
            args=[choice.request],
            help=f"{params.epochs} epochs of {markdown(images.name)}"
            if choice.whole
            else "Mend the layer marked in red first.",
        )
    return choice


def rows_for_builder(rows: list[Row]) -> list[dict[str, Any]]:
    """The rows as the builder takes them."""
    ends = {0: "input", len(rows) - 1: "softmax"}
    return [
        {
            "title": row.title, "shape": row.shape_words, "parameters": row.n_parameters, "error": row.error,
            **({"explain": ends[number]} if number in ends else {}),
        }
        for number, row in enumerate(rows)
    ]  # fmt: skip
