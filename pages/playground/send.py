"""The way of a run into the comparison: its network, after any epoch that is kept, becomes a model of the session."""

from pathlib import Path

import streamlit as st

from common.escape import markdown
from models.loaders import playground
from pages.playground import view
from pages.playground.controls import Choice
from pages.playground.runs import Entry
from pages.shared import cache, demo_sets, session, site_map, workspace
from pages.shared.demo_sets import Added
from playground.data import marked_image_set
from playground.kept_histories import KeptHistories
from playground.runs import save


def to_file(choice: Choice, entry: Entry, epoch: int) -> Path:
    """The file of a run's network after an epoch; raises `InputError` where its weights are not kept."""
    assert entry.run is not None
    return save(entry.request, entry.run, epoch, cache.store(), choice.images, workspace.current().folder)


def button(choice: Choice, entry: Entry, epoch: int) -> None:
    """Send to comparison; and once that is done, the way there."""
    name, this = f"Epoch {epoch} · {entry.name}", (entry.request.key, epoch)
    sent = st.session_state.setdefault("playground_sent", [])
    with st.container(horizontal=True):
        if st.button("Send to comparison", icon=":material/compare:", key="playground_send", disabled=this in sent):
            with st.spinner("Making it a model of the session …"):
                card = cache.model_store().add(playground.load(str(to_file(choice, entry, epoch)), name))
                KeptHistories(workspace.current().folder / "histories").put(card.digest, view.history(entry))
            demo_sets.use(Added(choice.images.digest, (card.digest,)))
            session.state().take_six = True
            sent.append(this)
            st.toast(f"{markdown(name)} is now a model of the session.")
            st.rerun()
        if sent:
            if st.button("Compare", icon=":material/arrow_forward:", key="playground_compare"):
                site_map.go("compare")
            if entry.request.shortcut and st.button(
                "Use marked test images",
                key="playground_marked",
                help="The comparison then shows the test images, every one with the mark: who falls for it?",
            ):
                data = view.data_of(entry.request, choice.images)
                marked = marked_image_set(choice.images, data, workspace.current().folder)
                session.state().use_images(marked.digest)
                st.toast(f"The comparison now uses {markdown(marked.name)}.")
