"""A model's card as people see it, and the ways to add a model."""

from __future__ import annotations

from typing import Any

import streamlit as st
from streamlit.typing import UploadedFile

from common.errors import InputError
from common.settings import settings
from figures.maps import data_uri
from jobs.queue import Job
from models.card import ModelCard
from models.loaders import checkpoint, zoo
from pages.shared import cache, session
from pages.shared.preview import square

_ALL = "Choose or type a part of the name"


def show_card(card: ModelCard, colour: str, position: int) -> None:
    """Source, input size, classes, parameters, and a picture as the net sees it."""
    images = session.images()
    crop = card.preprocessing.crop(cache.picture(images.digest, images.ids[0], 512))
    height, width = card.input_size
    grey = crop.repeat(3, axis=2) if crop.shape[2] == 1 else crop
    with st.container(border=True, height="stretch", gap="xsmall"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small", wrap=False):
            st.image(data_uri(grey), width=72, alt=f"An image as {card.name} sees it, {width} × {height} pixels")
            st.markdown(
                f"{square(colour)} **{card.name}** :green[:material/check_circle:]  \n{card.family} · {card.source}",
                unsafe_allow_html=True,
            )
        st.caption(
            f"{width} × {height} px · {card.n_classes:,} classes · {card.n_parameters / 1e6:.2g} M parameters"
            + "".join(f"  \n{note}" for note in card.notes)
        )
        if card.source != "demo":
            st.button("Remove", key=f"upload_remove_{position}", type="tertiary", on_click=_remove, args=(card.digest,))


def _remove(digest: str) -> None:
    session.state().models.remove(digest)


def demo_tab() -> None:
    """Add the demo's models again."""
    state = session.state()
    gone = [card for card in cache.demo_cards() if card.digest not in state.active]
    if not gone:
        st.caption("Four small models that classify paintings. They are in use already.")
    elif st.button("Add the demo models", key="upload_demo_nets"):
        for card in gone:
            state.add_model(card.digest)
        st.rerun()


def kept_tab() -> None:
    """Models that were added to this server before."""
    state = session.state()
    known = {card.digest: card for card in cache.model_store().cards() if card.digest not in state.models}
    if not known:
        st.caption("Models that you add are kept on this server and listed here on your next visit.")
        return
    digest = st.selectbox(
        "Model",
        list(known),
        format_func=lambda d: f"{known[d].name} · {known[d].architecture}",
        key="upload_kept",
    )
    if st.button("Add model", key="upload_kept_add"):
        state.add_model(digest)
        st.rerun()


def zoo_tab() -> Job | None:
    """Any architecture of timm or torchvision; returns the job that loads it."""
    architecture = st.selectbox(
        "Architecture", zoo.architectures(), index=None, placeholder=_ALL, key="upload_zoo", persist_state="session"
    )
    weights = st.segmented_control(
        "Weights", ["pretrained", "random"], default="pretrained", required=True, key="upload_zoo_weights"
    )
    text = st.text_input("Creation arguments", key="upload_zoo_create", placeholder="num_classes=10, drop_rate=0.1")
    if not st.button("Add model", key="upload_zoo_add", disabled=architecture is None):
        return None
    create = zoo.parse_arguments(text)

    def load(_job: Job) -> list[str]:
        return [cache.model_store().add(zoo.load(str(architecture), weights == "pretrained", create)).digest]

    return cache.jobs().submit(Job(f"Loading {architecture}", load), "interactive")


def checkpoint_tab() -> Job | None:
    """Weights from files, on a named architecture; returns the job that loads them."""
    files = st.file_uploader(
        "Checkpoints, and a config.json if there is one",
        [suffix[1:] for suffix in checkpoint.SUFFIXES] + ["json"],
        accept_multiple_files=True,
        key=f"upload_weights_{session.state().n_uploads}",
    )
    architecture = st.selectbox(
        "Architecture",
        zoo.architectures(),
        index=None,
        placeholder=_ALL,
        key="upload_architecture",
        help="May stay empty when a config.json names it.",
        persist_state="session",
    )
    text = st.text_input("Creation arguments", key="upload_create", placeholder="pad_type=same, num_classes=10")
    names = st.file_uploader(
        "Class names (one a line, or JSON)", ["txt", "json"], key=f"upload_names_{session.state().n_uploads}"
    )
    changes = _preprocessing()
    weights = [file for file in files if not file.name.endswith(".json")]
    if not st.button("Add models", key="upload_weights_add", disabled=not weights):
        return None
    configs = [checkpoint.read_config(_text(file)) for file in files if file.name.endswith(".json")]
    config = configs[0] if configs else {}
    chosen = architecture or config.get("architecture")
    if chosen is None:
        raise InputError("an architecture for the weights", "none", "Choose one, or add the model's config.json.")
    create = {**config.get("create", {}), **zoo.parse_arguments(text)}
    name_text = _text(names) if names else None
    kept = [(checkpoint.keep(file, file.name, settings().data_folder / "weights"), file.name) for file in weights]

    def load(job: Job) -> list[str]:
        digests = []
        for done, (path, name) in enumerate(kept):
            job.report(done, len(kept))
            arguments: dict[str, Any] = {"create": create, "preprocessing": changes, "name": name.rpartition(".")[0]}
            loaded = checkpoint.load(str(path), chosen, **arguments)
            if name_text is not None:
                loaded = checkpoint.with_class_names(loaded, name_text)
            digests.append(cache.model_store().add(loaded).digest)
        return digests

    return cache.jobs().submit(Job(f"Loading {len(kept)} checkpoints", load, unit="models"), "interactive")


def _text(file: UploadedFile) -> str:
    """What a text file says."""
    try:
        return file.getvalue().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError("a text file", f"{file.name}, which is none", "Save it as UTF-8.") from error


def _preprocessing() -> dict[str, Any]:
    """What differs from the architecture's own preprocessing; empty fields keep it."""
    with st.expander("Preprocessing, where it differs from the architecture's own"):
        mean = st.text_input("Mean per channel, 0 to 1", key="upload_mean", placeholder="0.485, 0.456, 0.406")
        std = st.text_input("Standard deviation per channel", key="upload_std", placeholder="0.229, 0.224, 0.225")
        size = st.number_input("Input side in pixels", 8, 2048, None, key="upload_size")
        resize = st.number_input("Shorter side resized to, in pixels", 8, 4096, None, key="upload_resize")
    changes: dict[str, Any] = {}
    for key, text in (("mean", mean), ("std", std)):
        if text.strip():
            try:
                changes[key] = [float(part) for part in text.split(",")]
            except ValueError as error:
                raise InputError(f"numbers for {key}", repr(text), "Write 0.5, 0.5, 0.5.") from error
    for key, side in (("input_size", size), ("resize", resize or size)):
        if side:
            changes[key] = [int(side), int(side)]
    return changes
