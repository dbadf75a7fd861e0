"""The trainings of this session: begun, paused, resumed, and the one that is looked at."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from figures.colours import model_colour
from images.image_set import ImageSet
from jobs.queue import Job
from models.stack import PRESETS
from pages.shared import cache, session, session_jobs
from playground.runs import TrainingRequest
from playground.training import Run

#: Seconds between two drawings of the whole page while a network trains.
_REDRAW_S = 5.0

#: The key of the run that the page shows, its epoch, and when it was drawn.
_SHOWN = "playground_shown"

#: Trainings that a session remembers, the oldest are forgotten first.
_MOST = 30


@dataclass(frozen=True)
class Entry:
    """A training: its name and colour, what was asked for, and how far it is; `run` is `None` before epoch 0."""

    name: str
    colour: str
    request: TrainingRequest
    run: Run | None

    @property
    def job_name(self) -> str:
        """The name of its job among the session's."""
        return f"playground {self.request.key}"

    @property
    def job(self) -> Job | None:
        """Its latest job."""
        return session.state().jobs.get(self.job_name)

    @property
    def failure(self) -> str:
        """Why it cannot go on; "" while it can."""
        return session.state().failures.get(self.request.key, "")


def entries() -> list[Entry]:
    """All of this session, in the order in which they were begun."""
    found = []
    for plain in session.state().runs:
        request = TrainingRequest.of(plain)
        run = session_jobs.known(request)
        found.append(Entry(plain["name"], model_colour(plain["colour"]), request, run))
    return found


def begin(request: TrainingRequest) -> None:
    """Train, or go on to as many epochs as are asked for; it is looked at from now on."""
    state = session.state()
    plain = next((one for one in state.runs if TrainingRequest.of(one).key == request.key), None)
    if plain is None:
        number = max((one["colour"] for one in state.runs), default=-1) + 1
        state.runs = [*state.runs, {"name": _name(request), "colour": number, **request.plain}][-_MOST:]
    else:
        if request.finished(cache.store()):
            st.toast("This training is through. Ask for more epochs, or another seed, under Settings.")
        plain.update(request.plain)
        session_jobs.retry(f"playground {request.key}", [request])
    state.run = request.key


def keep_going(images: ImageSet) -> None:
    """Train what is not through: also what a server that died was at, but not what was paused."""
    for entry in entries():
        if entry.request.data == images.digest and not entry.failure:
            title = f"Training {entry.name}"
            session_jobs.submit(entry.job_name, title, images, [entry.request], key=entry.job_name, lane="training")


def stop(entry: Entry) -> None:
    """End a training where it is: it counts as through, and goes on only if more epochs are asked for."""
    if entry.job is not None:
        entry.job.stop()
    for plain in session.state().runs:
        if TrainingRequest.of(plain).key == entry.request.key:
            plain["params"] = {**plain["params"], "epochs": max(1, 0 if entry.run is None else entry.run.epoch)}


def forget(entry: Entry) -> None:
    """Take a training out of the list; it stops."""
    if entry.job is not None and entry.job.active:
        entry.job.cancel()
    state = session.state()
    state.runs = [one for one in state.runs if TrainingRequest.of(one).key != entry.request.key]


def show_on_page(entry: Entry | None) -> None:
    """Take down what the page shows, for `ahead_of_page`."""
    shown = None if entry is None or entry.run is None else (entry.request.key, entry.run.epoch, time.monotonic())
    st.session_state[_SHOWN] = shown


def ahead_of_page(every: Sequence[Entry]) -> bool:
    """Whether all of the page should be drawn again, not the curves alone: for a first epoch, then every few seconds.

    Drawing all takes as long as an epoch of a small network, and holds it up.
    """
    shown = st.session_state.get(_SHOWN)
    if shown is None:
        return any(entry.run is not None for entry in every)
    key, epoch, at = shown
    run = next((entry.run for entry in every if entry.request.key == key), None)
    return run is not None and run.epoch > epoch and (epoch == 0 or time.monotonic() - at > _REDRAW_S)


def _name(request: TrainingRequest) -> str:
    """A name that tells it from the session's other trainings: what is set otherwise than usual, and the network."""
    known = next((name for name, stack in PRESETS.items() if stack == request.stack), None)
    words = [f"every {request.shortcut} marked"] if request.shortcut else []
    usual = type(request.params)()
    params = {
        "batch": "batch {}",
        "learning_rate": "rate {:g}",
        "optimiser": "{}",
        "augmentation": "{}",
        "seed": "seed {}",
    }
    for field, form in params.items():
        if (value := getattr(request.params, field)) != getattr(usual, field):
            words.append(form.format(value))
    name = " · ".join([*words, known or "-".join(layer.title for layer in request.stack) or "Classifier alone"])
    taken = {one["name"] for one in session.state().runs}
    return next(n for n in (name, *(f"{name} ({k})" for k in range(2, 100))) if n not in taken)
