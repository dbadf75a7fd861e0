"""Upload: the models and images in use, and the ways to add others."""

import streamlit as st

from models.libraries import import_below
from pages.shared import cache, scoring_job, session, site_map
from pages.shared.job_progress import error_line
from pages.upload import view

#: What is waited for once, when a server has just started.
_LOADING = "Loading PyTorch and the model libraries …"


def page() -> None:
    """Models on the left, images on the right; scoring starts above them."""
    state, images = session.state(), session.images()
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.title("Add models and images", width="content")
        score = st.button(
            "Score images",
            type="primary",
            icon=":material/arrow_forward:",
            key="upload_score",
            disabled=not state.active,
            help="Run every model on every image, and see which images to look at",
        )
    if score:
        with st.spinner(_LOADING):
            cache.jobs().submit(scoring_job.job())
        site_map.go("suggestion")
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("Models")
        with st.container(gap="small"):
            for card in session.cards():
                view.model_card(card, images)
        for name, why in state.not_added.items():
            error_line(f"{name}: {why}")
    with right:
        st.subheader("Images")
        view.image_set(images)
    with left, st.spinner(_LOADING):
        import_below()
    from pages.upload import adding

    with left:
        adding.models()
    with right:
        adding.images()
    view.this_workspace()


page()
