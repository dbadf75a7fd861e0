"""What is in use: a card for each model, and what is known of the images."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from common.escape import markdown
from common.settings import settings
from figures.maps import to_webp
from images.image_set import ImageSet
from models.card import ModelCard
from pages.shared import cache, session, workspace
from pages.upload import history
from pages.upload.preprocessing import edit, first_image, rgb
from suggestion.table import label_note, unknown_labels

_N_THUMBNAILS = 10


def model_card(card: ModelCard, images: ImageSet) -> None:
    """An image as the model sees it; source, input size, classes, parameters, notes; and the way to remove it."""
    state = session.state()
    pixels = first_image(images)
    crop = card.preprocessing.crop(pixels)
    height, width = card.input_size
    ours = card.recipe.built_in
    classes = f"{card.n_classes:,} classes · " if card.classifies else ""
    facts = f"{width} × {height} px · {classes}{card.n_parameters / 1e6:.2g} M parameters"
    with st.container(border=True, gap="xsmall"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small", wrap=False):
            st.image(to_webp(rgb(crop)), width=64, alt=f"An image as {card.name} sees it, {width} × {height} pixels")
            with st.container(gap="xxsmall"):
                with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
                    st.markdown(
                        f"{session.square(card.digest)} **{markdown(card.name)}** :green[:material/check_circle:] "
                        f":small[{markdown(card.family)} · {markdown(card.source)}]",
                        width="content",
                    )
                    with st.container(horizontal=True, width="content"):
                        words = "Change how images are prepared for this model, or what its outputs mean"
                        icon, key = ":material/tune:", f"upload_change_{card.digest}"
                        if not ours and st.button("Edit", icon=icon, key=key, type="tertiary", help=words):
                            edit(card, pixels)
                        words = "The history of this model's training, from a file"
                        icon, key = ":material/show_chart:", f"upload_history_open_{card.digest}"
                        if not ours and st.button("History", icon=icon, key=key, type="tertiary", help=words):
                            history.dialog(card)
                        if card.source != "demo":
                            st.button(
                                "Remove",
                                key=f"upload_remove_{card.digest}",
                                type="tertiary",
                                on_click=state.models.remove,
                                args=(card.digest,),
                            )
                prepared = () if ours else (card.outputs, card.preprocessing.describe())
                st.caption("  \n".join([facts, *map(markdown, (*prepared, *card.notes))]))
        history.on_card(card)


def image_set(images: ImageSet) -> None:
    """Counts, ten thumbnails spread over the set, and what came with it, was converted or skipped."""
    n_labelled = sum(label is not None for label in images.labels)
    counts = f"{len(images):,} images · {len(images.classes)} classes · {n_labelled:,} labelled"
    st.markdown(f"**{markdown(images.name)}** · {counts}")
    spread = range(0, len(images), max(1, len(images) // _N_THUMBNAILS))
    with st.grid(5, min_column_width=64, gap="xsmall"):
        for index in spread[:_N_THUMBNAILS]:
            label = images.labels[index] or "no label"
            thumbnail, alt = cache.thumbnail(images.digest, index, 144), f"{images.names[index]}: {label}"
            st.image(thumbnail, caption=markdown(label), width="stretch", alt=alt)
    n_masks = {kind: sum(kind in kinds for kinds in images.mask_ids) for kind in images.mask_kinds}
    notes = images.table["note"][images.table["note"] != ""].value_counts()
    facts = {
        "Masks": [f"{kind} ({count:,})" for kind, count in n_masks.items()],
        "Further columns": images.metadata.columns,
        "Converted": [f"{count:,} {note}" for note, count in notes.items()],
    }
    if lines := [f"{title}: {markdown(', '.join(items))}" for title, items in facts.items() if len(items)]:
        st.caption("  \n".join(lines))
    if lines := about_labels(images):
        st.caption("  \n".join(lines))
    for remark in images.remarks:
        st.caption(markdown(remark))
    if note := label_note(session.cards(), images.classes):
        st.caption(markdown(note))
    if images.skipped:
        with st.expander(f":orange[{len(images.skipped)} skipped]"):
            rows = [(skipped.name, skipped.reason) for skipped in images.skipped]
            st.dataframe(pd.DataFrame(rows, columns=["file", "why"]), hide_index=True)


def this_workspace() -> None:
    """Whose what is added here is, how much of it is on disk, and the way to another workspace."""
    own = workspace.current()
    with st.expander("This workspace", key="upload_workspace", on_change="rerun") as box:
        if not box.open:
            return
        st.markdown(
            "What you add and compute here belongs to this workspace. **The address of this page is its key:** keep it "
            "to come back from another computer, and give it only to people who may see and change everything in here."
        )
        limit, days = settings().max_workspace_gigabytes, settings().keep_days
        size = f"{own.n_bytes / 1e6:,.1f} MB of {limit:g} GB on disk."
        st.caption(f"{size} It is deleted after {days} days without a visit.")
        address = f"?{workspace.PARAMETER}={workspace.new().key}"
        st.link_button("Open a new workspace", address, icon=":material/open_in_new:")


def about_labels(images: ImageSet) -> list[str]:
    """Which labels no model that is switched on has among its classes, and which of these the others have."""
    state, on = session.state(), session.cards()
    unknown = unknown_labels(on, images.classes) if on else []
    if not unknown:
        return []
    number = "1 label is" if len(unknown) == 1 else f"{len(unknown):,} labels are"
    words = f":orange[{number} no class of any model that is switched on (of {len(images.classes):,} labels):]"
    lines = [f"{words} {markdown(_some(unknown))}"]
    off = [cache.card(digest) for digest in state.models if digest in state.switched_off]
    knowing = [card for card in off if set(unknown) - set(unknown_labels([card], images.classes))]
    if knowing:
        lost = set(unknown_labels([*on, *knowing], images.classes))
        n_found = sum(label not in lost for label in unknown)
        names = markdown(_some([card.name for card in knowing]))
        lines.append(f"{n_found:,} of them are known to models that are switched off: {names}")
    return lines


def _some(names: Sequence[str]) -> str:
    """The first five, in a line."""
    return ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
