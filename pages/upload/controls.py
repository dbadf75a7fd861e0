"""The tabs in which models and images are added: each draws its widgets, and returns the job that it starts."""

from collections.abc import Callable
from pathlib import Path

import streamlit as st

from common.errors import InputError
from common.settings import settings
from images import intake
from images.formats import SUFFIXES, TABLE_SUFFIXES
from images.image_set import ImageSet
from images.server_folder import check_server_folder
from jobs.queue import Job
from models.loaders import zoo
from models.loaders.arguments import parse_arguments
from models.loaders.base import FILE_TAB
from pages.server.listening import server_folders
from pages.shared import cache, demo_sets, session, workspace
from pages.shared.session import kept
from pages.shared.widgets import segments, select
from pages.upload import checkpoints
from pages.upload.added import Added
from pages.upload.checkpoints import CHOOSE

_LAYOUT = (
    "Labels: class folders, or a CSV with the columns file and label. Masks of what maps should lie on (see Trust): a "
    "folder masks/ with the images' own names, masks/KIND/ for several kinds, or a column mask in the CSV."
)


def demo_models() -> None:
    """The demo's models, to be added again."""
    state = session.state()
    missing = [card for card in cache.demo_cards() if card.digest not in state.active]
    if not missing:
        st.caption("Four small models that classify paintings. They are in use already.")
    elif st.button("Add the demo models", key="upload_demo_models"):
        for card in missing:
            state.add_model(card.digest)
        st.rerun()


def recent_model() -> None:
    """Models that were added to this workspace before, or are those of the class."""
    known = {card.digest: f"{card.name} · {card.architecture}" for card in cache.known_cards()}
    for digest in session.state().models:
        known.pop(digest, None)
    _recent("Models", known, "Add model", "upload_recent", session.state().add_model)


def zoo_model() -> Job | None:
    """Any architecture of timm or torchvision."""
    architecture = select("Architecture", zoo.architectures(), "upload_zoo", index=None, placeholder=CHOOSE)
    weights = segments("Weights", ["pretrained", "random"], "upload_zoo_weights")
    text = st.text_input("Creation arguments", key="upload_zoo_create", placeholder="num_classes=10, drop_rate=0.1")
    if not st.button("Add model", key="upload_zoo_add", disabled=architecture is None):
        return None
    create = parse_arguments(text)
    head, model_store = create.pop("head", None), cache.model_store()

    def load(_job: Job) -> Added:
        loaded = zoo.load(str(architecture), weights == "pretrained", create)
        loaded = loaded if head is None else loaded.with_head(str(head))
        return Added((model_store.add(loaded).digest,))

    return cache.jobs().submit(Job(f"Loading {architecture}", load), "interactive")


def recent_images() -> None:
    """Image sets that were added to this workspace before, or are those of the class."""
    known = {images.digest: f"{images.name} · {len(images):,} images" for images in cache.known_image_sets()}
    known.pop(session.state().images, None)
    _recent("Image sets", known, "Use this image set", "upload_recent_set", session.state().use_images)


def _recent(what: str, names: dict[str, str], words: str, key: str, use: Callable[[str], None]) -> None:
    """One of those with these `names`, by their digests, is used again."""
    if not names:
        st.caption(f"{what} that you add are kept in this workspace and listed here on your next visit.")
        return
    digest = select(what, names, key)
    if st.button(words, key=f"{key}_add"):
        use(digest)
        st.rerun()


#: What draws each tab that loaders name.
MODEL_TABS = {"Demo models": demo_models, "Zoo": zoo_model, FILE_TAB: checkpoints.model_files}


def demo_images() -> Job | None:
    """The demo's image sets, each with its models."""
    name = select("Image set", {name: one.title for name, one in demo_sets.DEMO_SETS.items()}, "upload_set")
    in_use = demo_sets.in_use(name)
    st.caption(demo_sets.DEMO_SETS[name].description + (" They are in use already." if in_use else ""))
    if not in_use and st.button("Use these images", key="upload_set_use"):
        return demo_sets.add(name)
    return None


def uploaded_images() -> Job | None:
    """Files, a zip, or a folder, from the visitor's computer."""
    kinds = [suffix[1:] for suffix in (*SUFFIXES, *TABLE_SUFFIXES, ".zip")]
    whole_folder = st.toggle("A whole folder", **kept("upload_whole_folder"))
    files = st.file_uploader(
        "A folder from your computer" if whole_folder else "Images, or one zip",
        kinds,
        accept_multiple_files="directory" if whole_folder else True,
        key=f"upload_files_{session.state().uploads['images']}_{whole_folder}",
        help=_LAYOUT,
    )
    if not st.button("Use these images", key="upload_files_add", disabled=not files):
        return None
    workspace.current().check_room(sum(file.size for file in files))
    data = workspace.current().folder

    def read(job: Job) -> ImageSet:
        if len(files) == 1 and files[0].name.lower().endswith(".zip"):
            return intake.from_zip(files[0], files[0].name, data, job.report)
        return intake.from_files([(file.name, file) for file in files], data, job.report)

    return cache.jobs().submit(Job("Reading images", read, unit="images"), "interactive")


def server_folder() -> Job | None:
    """A folder that the server can read, and may."""
    roots = server_folders()
    if not roots:
        st.caption("This server opens no folders: `image_folders` in parallax.toml names those that it may open.")
        return None
    if Path.home() in roots and Path.home() not in settings().allowed_folders:
        st.caption("Your home folder may be read from here, as only your own machine reaches this server.")
    with st.form("upload_folder_form", border=False):
        text = st.text_input("Folder", key="upload_folder", placeholder="/data/validation", help=_LAYOUT)
        if not st.form_submit_button("Use this folder", key="upload_folder_add"):
            return None
    if not text.strip():
        raise InputError("the path of a folder on the server", "nothing", "Type one, such as /data/validation.")
    folder, data = check_server_folder(text.strip(), roots), workspace.current().folder

    def read(job: Job) -> ImageSet:
        return intake.from_folder(folder, data, job.report, roots)

    return cache.jobs().submit(Job(f"Reading {folder.name}", read, unit="images"), "interactive")
