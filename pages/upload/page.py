"""Upload: add models and images; what is wrong with them, and how to mend it."""

from pathlib import Path

import pandas as pd
import streamlit as st

from common.errors import InputError
from common.settings import settings
from images import intake
from images.image_set import ImageSet
from jobs.queue import Job, State
from pages.shared import cache, demo_sets, scoring_job, session, site_map
from pages.shared.job_progress import wait_for
from pages.upload import model_cards

N_THUMBNAILS = 10

LAYOUT = (
    "Labels: class folders, or a CSV with the columns file and label. Masks of what maps should lie on (see Trust): a "
    "folder masks/ with the images' own names, masks/KIND/ for several kinds, or a column mask in the CSV."
)


def models_column() -> None:
    st.subheader("Models")
    with st.grid(2, min_column_width=210, gap="small"):
        for position, digest in enumerate(state.active):
            model_cards.show_card(cache.card(digest), state.colour(digest), position)
    take_in("models", models_ready)
    demo, zoo, checkpoint, kept = st.tabs(["Demo", "Zoo", "Checkpoint", "Recent"], on_change="rerun")
    for tab, draw in (
        (demo, model_cards.demo_tab),
        (zoo, model_cards.zoo_tab),
        (checkpoint, model_cards.checkpoint_tab),
        (kept, model_cards.kept_tab),
    ):
        if tab.open:
            with tab:
                start("models", draw)


def images_column() -> None:
    st.subheader("Images")
    images = session.images()
    n_labelled = sum(label is not None for label in images.labels)
    st.markdown(f"**{images.name}** · {len(images):,} images · {len(images.classes)} classes · {n_labelled:,} labelled")
    spread = range(0, len(images), max(1, len(images) // N_THUMBNAILS))
    with st.grid(5, min_column_width=72, gap="xsmall"):
        for index in list(spread)[:N_THUMBNAILS]:
            label = images.labels[index] or "no label"
            picture, alt = cache.thumbnail(images.digest, index, 144), f"{images.names[index]}: {label}"
            st.image(picture, caption=label, width="stretch", alt=alt)
    known_of(images)
    left_out(images)
    take_in("images", images_ready)
    demo, files, folder = st.tabs(["Demo", "Files or zip", "Folder on the server"], on_change="rerun")
    for tab, draw in ((demo, demo_sets.choose), (files, uploaded_images), (folder, server_folder)):
        if tab.open:
            with tab:
                start("images", draw)


def known_of(images: ImageSet) -> None:
    """Which masks and further columns came with the images."""
    n_masks = {kind: sum(kind in images.mask_ids(row) for row in range(len(images))) for kind in images.mask_kinds}
    if n_masks:
        st.caption("Masks: " + ", ".join(f"{kind} ({count:,})" for kind, count in n_masks.items()))
    if len(columns := images.metadata.columns):
        st.caption("Further columns: " + ", ".join(columns))


def left_out(images: ImageSet) -> None:
    """What was skipped, what was converted, and which labels no model knows."""
    if images.skipped:
        with st.expander(f":orange[{len(images.skipped)} skipped]"):
            st.dataframe(
                pd.DataFrame([(s.name, s.reason) for s in images.skipped], columns=["file", "why"]), hide_index=True
            )
    notes = images.table["note"][images.table["note"] != ""].value_counts()
    if len(notes):
        st.caption("Converted: " + ", ".join(f"{count:,} {note}" for note, count in notes.items()))
    if images.classes and (cards := session.cards()) and (strange := scoring_job.unknown_labels(cards, images)):
        shown = ", ".join(strange[:5]) + (" …" if len(strange) > 5 else "")
        st.caption(f":orange[{len(strange)} of {len(images.classes)} labels are no class of any model:] {shown}")


def uploaded_images() -> Job | None:
    kinds = [suffix[1:] for suffix in intake.SUFFIXES] + ["zip", "csv"]
    whole_folder = st.toggle("A whole folder", key="upload_whole_folder", persist_state="session")
    files = st.file_uploader(
        "A folder from your computer" if whole_folder else "Images, or one zip",
        kinds,
        accept_multiple_files="directory" if whole_folder else True,
        key=f"upload_pictures_{state.n_uploads}_{whole_folder}",
        help=LAYOUT,
    )
    if not st.button("Use these images", key="upload_pictures_add", disabled=not files):
        return None
    data = settings().data_folder

    def read(job: Job) -> ImageSet:
        if len(files) == 1 and files[0].name.lower().endswith(".zip"):
            return intake.from_zip(files[0], files[0].name, data, job.report)
        return intake.from_files([(file.name, file) for file in files], data, job.report)

    return cache.jobs().submit(Job("Reading images", read, unit="images"), "interactive")


def server_folder() -> Job | None:
    with st.form("upload_folder_form", border=False):
        folder = st.text_input("Folder", key="upload_folder", placeholder="/data/validation", help=LAYOUT)
        if not st.form_submit_button("Use this folder", key="upload_folder_add"):
            return None
    if not folder.strip():
        raise InputError("the path of a folder on the server", "nothing", "Type one, such as /data/validation.")
    data = settings().data_folder

    def read(job: Job) -> ImageSet:
        return intake.from_folder(Path(folder.strip()), data, job.report)

    return cache.jobs().submit(Job(f"Reading {folder}", read, unit="images"), "interactive")


def models_ready(digests: list[str]) -> None:
    state.n_uploads += 1  # fresh uploaders: the files are on disk now; before, a mistake could still be mended
    for digest in digests:
        state.add_model(digest)
    # The demo nets know paintings only: with a model of one's own they make room, one switch away.
    state.switched_off |= (
        {c.digest for c in cache.demo_cards()} if state.images != cache.demo_images().digest else set()
    )


def images_ready(images: ImageSet | demo_sets.Added) -> None:
    state.n_uploads += 1
    if isinstance(images, demo_sets.Added):
        demo_sets.use(images)
        return
    state.use_images(images.digest)
    if any(cache.card(digest).source not in ("demo", "digits") for digest in state.models):
        state.switched_off |= {card.digest for card in cache.demo_cards()}


def start(slot: str, draw) -> None:  # type: ignore[no-untyped-def]
    """Draw a tab; a job that it starts is awaited above the tabs, a mistake gets its line here."""
    try:
        job = draw()
    except InputError as error:
        st.error(str(error), icon=":material/error:")
        return
    if job is not None:
        state.jobs[slot] = job
        st.rerun()


def take_in(slot: str, ready) -> None:  # type: ignore[no-untyped-def]
    """Wait for the slot's job; what it added is used, what failed changes nothing."""
    job = state.jobs.get(slot)
    if job is None:
        return
    if job.state is State.DONE:
        del state.jobs[slot]
        ready(job.result)
        st.rerun()
    wait_for(job, f"upload_{slot}")


state = session.state()
st.title("Add models and images")
left, right = st.columns(2, gap="large")
with left:
    models_column()
with right:
    images_column()
if st.button(
    "Score and see suggestions",
    type="primary",
    icon=":material/arrow_forward:",
    key="upload_score",
    disabled=not state.active,
):
    scoring_job.submit()
    site_map.go("suggestion")
