"""The gallery of picks: small pictures with what the models said, and the way on to the explanations."""

from __future__ import annotations

import streamlit as st

from images.image_set import ImageSet
from pages.shared import cache, session, site_map
from suggestion.table import Predictions


def picks_bar(images: ImageSet) -> None:
    """How many picks there are, and what can be done with them."""
    state = session.state()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{len(state.picks)} picks**" if state.picks else "**No picks yet**")
        if st.button(
            "Compare these",
            type="primary",
            icon=":material/arrow_forward:",
            key="gallery_compare",
            disabled=not state.picks,
        ):
            state.position = 0
            site_map.go("compare")
        names = "\n".join(images.names[images.index(image_id)] for image_id in state.picks)
        st.download_button("Save list", names, "picks.txt", key="gallery_save", disabled=not state.picks)
        st.button("Clear", key="gallery_clear", disabled=not state.picks, on_click=state.picks.clear)


def gallery(predictions: Predictions, images: ImageSet) -> None:
    """The picks, each with its answers; a cross takes one out."""
    state = session.state()
    if not state.picks:
        st.caption("Click a point, or drag a box around several, and their pictures gather here.")
        return
    with st.container(key="gallery"), st.grid("auto", min_column_width=112, gap="small"):
        for image_id in state.picks:
            row = images.index(image_id)
            with st.container(gap="xsmall"):
                st.image(cache.thumbnail(images.digest, row, 144), alt=images.names[row])
                said = {predictions.class_name(int(c)) for c in predictions.predicted[row]}
                true = predictions.class_name(int(predictions.true[row]))
                st.caption(f"**{true or 'no label'}** · {' / '.join(sorted(filter(None, said)))}")
                st.button(
                    "Remove",
                    key=f"gallery_remove_{image_id}",
                    type="tertiary",
                    on_click=state.picks.remove,
                    args=(image_id,),
                )
