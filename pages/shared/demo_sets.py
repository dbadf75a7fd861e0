"""Image sets that are one click away, each with the nets that read it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from common.settings import settings
from images import digits as digit_images
from images import mnist
from images import paintings as demo_images
from images.image_set import ImageSet
from jobs.queue import Job
from models.demo.digit_nets import NETS as DIGIT_NETS
from models.demo.painting_nets import NETS
from models.loaders import demo, digits
from models.loaders.base import Loaded
from pages.shared import cache, scoring_job, session

PAINTINGS, DIGITS = "paintings", "digits"


@dataclass(frozen=True)
class Offer:
    """An image set on offer: `read` gives it, `load` one of its `nets` by name.

    `name` is what the set is called, `title` what it is offered as; its files lie under `folder` of the data folder.
    """

    name: str
    folder: str | Path
    title: str
    words: str
    read: Callable[[Path, Callable[[int, int], None]], ImageSet]
    load: Callable[[str], Loaded] = digits.load
    nets: tuple[str, ...] = tuple(DIGIT_NETS)


OFFERS = {
    PAINTINGS: Offer(
        demo_images.NAME,
        demo_images.DEMO,
        "paintings",
        "Procedural paintings of six kinds, some of them hard, some signed; with four small nets.",
        demo_images.demo_image_set,
        demo.load,
        tuple(NETS),
    ),
    DIGITS: Offer(
        digit_images.NAME,
        "digits",
        "handwritten digits",
        "1,797 real digits (scikit-learn), with three small nets and a generator for contrasts.",
        lambda data, progress: digit_images.digits_image_set(data, progress=progress),
    ),
    "digits-marked": Offer(
        digit_images.MARKED_NAME,
        "digits",
        "handwritten digits, every 8 marked",
        "The same digits with a grey square on every 8: what the net called square learnt from.",
        lambda data, progress: digit_images.digits_image_set(data, marked=True, progress=progress),
    ),
    "mnist": Offer(
        mnist.SOURCES["mnist"].title,
        "mnist",
        "MNIST (from the network)",
        "10,000 handwritten digits, 28 px, with the three small nets of the digits.",
        lambda data, progress: mnist.mnist_image_set("mnist", data, progress),
    ),
    "fashion-mnist": Offer(
        mnist.SOURCES["fashion-mnist"].title,
        "fashion-mnist",
        "Fashion-MNIST (from the network)",
        "10,000 pictures of clothes, 28 px; bring models of your own for them.",
        lambda data, progress: mnist.mnist_image_set("fashion-mnist", data, progress),
        nets=(),
    ),
}


@dataclass(frozen=True)
class Brought:
    """What a job brought: the digests of an image set and of the nets that read it."""

    images: str
    models: tuple[str, ...]


def bring(name: str) -> Job:
    """Start to bring a set and its nets; the job's result is a `Brought`."""
    offer, model_store, data = OFFERS[name], cache.model_store(), settings().data_folder

    def work(job: Job) -> Brought:
        images = offer.read(data, job.report)
        return Brought(images.digest, tuple(model_store.add(offer.load(net)).digest for net in offer.nets))

    title = f"Bringing {offer.title}"
    return cache.jobs().submit(Job(title, work, unit="pictures", key=f"bring {name}"), "interactive")


def put_to_work(brought: Brought) -> None:
    """Work on the set with its nets; models that know none of its classes make room, one switch away."""
    mine = session.work()
    mine.use_images(brought.images)
    for digest in brought.models:
        mine.add_model(digest)
    images = session.images()
    strangers = {
        digest
        for digest in mine.models
        if len(scoring_job.unknown_labels([cache.card(digest)], images)) == len(images.classes)
    }
    if strangers != set(mine.models):
        mine.switched_off |= strangers


def at_work(name: str) -> bool:
    """Whether the set is on show already; asked without making it."""
    images, offer = session.images(), OFFERS[name]
    return images.name == offer.name and images.paths[0].is_relative_to(settings().data_folder / offer.folder)


def choose() -> Job | None:
    """The sets on offer, and the button that brings one; returns the job that does."""
    name = st.selectbox(
        "Image set",
        list(OFFERS),
        format_func=lambda name: OFFERS[name].title,
        key="upload_set",
        persist_state="session",
    )
    here = at_work(name)
    st.caption(OFFERS[name].words + (" They are at work already." if here else ""))
    if not here and st.button("Use these pictures", key="upload_set_use"):
        return bring(name)
    return None
