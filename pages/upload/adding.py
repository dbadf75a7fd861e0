"""The ways to add models and images: below what is in use, and drawn after it, since they wait for torch."""

from collections.abc import Callable, Mapping
from typing import Any

import streamlit as st

from common.errors import InputError, in_one_line
from images.image_set import ImageSet
from jobs.queue import Job, State
from models.loaders import LOADERS
from pages.shared import cache, demo_sets, session
from pages.shared.job_progress import error_line, wait_for
from pages.upload import controls, history
from pages.upload.added import Added

MODEL_TABS = {
    **{loader.tab: controls.MODEL_TABS[loader.tab] for loader in LOADERS.values()},
    "Recent": controls.recent_model,
}
IMAGE_TABS = {
    "Demo images": controls.demo_images,
    "Files or zip": controls.uploaded_images,
    "Folder on the server": controls.server_folder,
    "Recent": controls.recent_images,
}


def models() -> None:
    """Add models."""
    add_from("models", MODEL_TABS, use_models)


def images() -> None:
    """Add images, and use them."""
    add_from("images", IMAGE_TABS, use_images)


def add_from(slot: str, tabs: Mapping[str, Callable[[], Job | None]], use: Callable[[Any], None]) -> None:
    """Tabs, each of which may start the slot's job; `use` gets its result, and a failure changes nothing."""
    jobs = session.state().jobs
    if (job := jobs.get(slot)) is not None:
        if job.state is State.DONE:
            del jobs[slot]
            use(job.result)
            st.rerun()
        wait_for(job, f"upload_{slot}")
    for tab, draw in zip(st.tabs(list(tabs), on_change="rerun"), tabs.values(), strict=True):
        if not tab.open:
            continue
        with tab:
            try:
                started = draw()
            except (InputError, OSError) as error:  # a full disk is no one's mistake, and gets a line as well
                error_line(in_one_line(error))
                continue
        if started is not None:
            jobs[slot] = started
            session.state().not_added = {}
            st.rerun()


def use_models(added: Added) -> None:
    """Add the models; with other images than its own, the demo's models are switched off.

    The form of uploaded files is empty then, unless some of them failed: they can be corrected there.
    """
    state = session.state()
    state.not_added = added.failures
    if added.uploaded and not added.failures:
        state.uploads["models"] += 1
    for digest in added.digests:
        state.add_model(digest, added.replaces)
        if added.replaces:
            history.kept().move(added.replaces, digest)
    if state.images != cache.demo_images().digest:
        switch_demo_models_off()


def use_images(images: ImageSet | demo_sets.Added) -> None:
    """Switch to the images; the demo's models are switched off if there are models of the user's own."""
    state = session.state()
    state.uploads["images"] += 1
    if isinstance(images, demo_sets.Added):
        demo_sets.use(images)
        return
    state.use_images(images.digest)
    if any(not cache.card(digest).recipe.built_in for digest in state.models):
        switch_demo_models_off()


def switch_demo_models_off() -> None:
    """They classify nothing but the demo's paintings."""
    session.state().switched_off |= {card.digest for card in cache.demo_cards()}
