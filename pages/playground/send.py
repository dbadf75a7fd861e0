"""The way of a run into the comparison: its network, after any epoch that is kept, becomes a model of the session."""

import streamlit as st

from common.settings import settings
from pages.playground import view
from pages.playground.controls import Choice
from pages.playground.runs import Entry
from pages.shared import cache, demo_sets, session, site_map
from pages.shared.demo_sets import Added
from playground.data import marked_image_set
from playground.kept_histories import KeptHistories
from playground.runs import send


def button(choice: Choice, entry: Entry, epoch: int) -> None:
    """Send to comparison; and once that is done, the way there."""
    name = f"Epoch {epoch} · {entry.name}"
    sent = st.session_state.setdefault("playground_sent", [])
    with st.container(horizontal=True):
        if st.button("Send to comparison", icon=":material/compare:", key="playground_send", disabled=name in sent):
            assert entry.run is not None
            with st.spinner("Making it a model of the session …"):
                data_folder, store = settings().data_folder, cache.store()
                loaded = send(entry.request, entry.run, epoch, name, store, choice.images, data_folder)
                card = cache.model_store().add(loaded)
                KeptHistories(data_folder / "histories").put(card.digest, view.history(entry))
            demo_sets.use(Added(choice.images.digest, (card.digest,)))
            session.state().take_six = True
            sent.append(name)
            st.toast(f"{name} is now a model of the session.")
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
                marked = marked_image_set(choice.images, data, settings().data_folder)
                session.state().use_images(marked.digest)
                st.toast(f"The comparison now uses {marked.name}.")
