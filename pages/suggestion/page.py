"""Suggestion: which images to inspect, by the confidence and the agreement of the models."""

import numpy as np
import streamlit as st

from common.escape import markdown
from figures.suggestion import accuracy_figure, agreement_figure, scatter_figure
from pages.shared import cache, scoring_job, session
from pages.shared.chart.component import ChartPoint, Drawing, chart, drawing
from pages.shared.page_state import PageState
from pages.suggestion.controls import choose_filters, choose_view
from pages.suggestion.one_model import one_model
from pages.suggestion.selection import gallery, preview, selection_bar
from suggestion import scoring
from suggestion.views import accuracy, agreement, keep, scatter, where_they_differ, without_shared_classes

#: Images without answers that are named, at most.
_N_LOST = 3

#: Images that a click on two models selects at most.
_PER_PAIR = 12


def page() -> None:
    """The way to scores, or the charts over them; regression models can be explained, but cast no vote."""
    cards, images = [card for card in session.cards() if card.classifies], session.images()
    st.title("Find images to inspect")
    if not cards:
        st.info("No classifier is switched on. Switch one on in the sidebar, or add one on the Upload page.")
        return
    table = cache.predictions(cards, images)
    if table is None:
        not_scored()
        return
    page_state = PageState(cards, images, table)
    if lost := scoring.unread(table, images):
        examples = "  \n".join(markdown(f"{one.name}: {one.reason}") for one in lost[:_N_LOST])
        st.warning(f"{len(lost):,} of {len(images):,} images could not be read and are left out:  \n{examples}")
    if not table.scored.any():
        return
    if words := without_shared_classes(cards):
        st.warning(markdown(words))
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        several = choose_view(len(cards))
        selection_bar(images)
    if several:
        several_models(page_state)
        statistics(page_state)
    else:
        one_model(page_state)


def not_scored() -> None:
    """The scoring job, or the button that starts one."""
    cards, images = session.cards(), session.images()
    job = scoring_job.job()
    if cache.jobs().find(job.key) is not None or cache.jobs().last_at(job.parts) is not None:
        scoring_job.wait("suggestion")
        return
    name = markdown(images.name)
    st.markdown(f"The {len(images):,} images of **{name}** are not yet scored by all {len(cards)} models.")
    if st.button("Score images", type="primary", key="suggestion_score"):
        cache.jobs().submit(job)
        st.rerun()


def several_models(page_state: PageState) -> None:
    """The scatter with its preview, and the selected images."""
    points = scatter(page_state.table, keep(page_state.table, choose_filters(page_state.table)))
    figure = drawing(scatter_figure(points, len(page_state.cards)))
    explore(page_state, figure, points.index, tuple(session.state().picks))
    gallery(page_state)


@st.fragment
def explore(page_state: PageState, figure: Drawing, rows: np.ndarray, picks: tuple[str, ...]) -> None:
    """The scatter, and beside it the image under the mouse; only this runs again when the mouse moves on.

    `rows` (P,) are the points' rows in the table, `picks` what the rest of the page shows. It stays the page's only
    fragment: when a nested one and its parent are due together, Streamlit may run the child first, and then loses the
    parent to a duplicate key.
    """
    state = session.state()
    if tuple(state.picks) != picks:
        st.rerun()

    def select(points: list[ChartPoint]) -> None:
        left_out = state.pick([page_state.images.ids[rows[point.number]] for point in points])
        if left_out:
            st.toast(f"At most {session.MAX_PICKS} images can be selected; {left_out:,} were left out.")

    left, right = st.columns([5, 2], gap="medium")
    with left:
        hovered = chart(
            figure,
            key="suggestion_scatter",
            alt="Mean confidence of the models against the number of classes they predict, one point per image",
            on_click=lambda point: select([point]),
            on_select=select,
            on_hover="rerun",
        )
        st.caption(
            f"{len(rows):,} of {len(page_state.table):,} images. Right: higher confidence. Up: more predicted classes "
            "(points are jittered). Hover to see an image; click or drag a box to select."
        )
    with right:
        preview(page_state, None if hovered is None else int(rows[hovered.number]))


def statistics(page_state: PageState) -> None:
    """Each model's accuracy, and the agreement of each two."""

    def select_pair(pair: ChartPoint) -> None:
        rows = where_they_differ(page_state.table, *pair.data)
        session.state().pick([page_state.images.ids[row] for row in rows[:_PER_PAIR]])

    names = page_state.table.model_names
    colours = [session.state().colour(digest) for digest in page_state.table.models]
    left, right = st.columns(2, gap="large")
    if page_state.table.labelled.any():
        with left:
            st.subheader("Accuracy")
            figure = accuracy_figure(names, *accuracy(page_state.table), colours)
            chart(figure, key="suggestion_accuracy", alt="Accuracy of each model", toolbar=False)
    with right if page_state.table.labelled.any() else left:
        st.subheader("Agreement")
        chart(
            agreement_figure(names, agreement(page_state.table)),
            key="suggestion_agreement",
            alt="Share of images for which each pair of models predicts the same class",
            on_click=select_pair,
            toolbar=False,
        )
        st.caption(
            "Share of images with the same predicted class. Click a cell to select up to "
            f"{_PER_PAIR} images on which the two models differ."
        )


page()
