"""Suggestion: which images deserve a look, by how sure and how united the models are."""

import numpy as np
import streamlit as st

from figures.suggestion import accuracy_figure, agreement_figure, scatter_figure
from pages.shared import cache, scoring_job, session
from pages.shared.chart.component import ChartPoint, Drawing, chart, drawing
from pages.shared.job_progress import run_and_wait
from pages.shared.preview import preview
from pages.suggestion.gallery import gallery, picks_bar
from pages.suggestion.one_model import one_model
from suggestion.table import NONE, Predictions, shared_classes
from suggestion.views import Filters, accuracy, agreement, keep, scatter, where_they_differ

ANY = "any"


def filters(predictions: Predictions) -> Filters:
    """The row of filters over the chart."""
    names = dict(zip(predictions.models, predictions.model_names, strict=True))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        true_class = class_filter("True class", predictions, predictions.true, "suggestion_true")
        predicted = class_filter("Predicted class", predictions, predictions.predicted, "suggestion_predicted")
        alone = ANY
        if len(names) > 2:
            alone = st.selectbox(
                "Alone in its answer",
                [ANY, *names],
                format_func=lambda model: names.get(model, ANY),
                key="suggestion_alone",
                persist_state="session",
                help="This model against all the others, who agree.",
            )
        unlabelled = not predictions.labelled.any()
        errors = st.toggle("Only errors", key="suggestion_errors", persist_state="session", disabled=unlabelled)
        split = st.toggle("Only disagreements", key="suggestion_split", persist_state="session")
    return Filters(true_class, predicted, errors, split, None if alone == ANY else predictions.models.index(alone))


def class_filter(title: str, predictions: Predictions, numbers: np.ndarray, key: str) -> int | None:
    """A chooser over the classes that occur among `numbers`."""
    names = {predictions.classes[number]: int(number) for number in np.unique(numbers) if number != NONE}
    chosen = st.selectbox(title, [ANY, *names], key=key, persist_state="session", disabled=not names)
    return names.get(chosen)


def several_models(predictions: Predictions) -> None:
    """The scatter with its preview, and the gallery of picks."""
    points = scatter(predictions, keep(predictions, filters(predictions)))
    shown = drawing(scatter_figure(points, len(predictions.models)))
    explore(predictions, shown, points.index, tuple(state.picks))
    picks_bar(images)
    gallery(predictions, images)


@st.fragment
def explore(predictions: Predictions, shown: Drawing, rows: np.ndarray, picks: tuple[str, ...]) -> None:
    """The scatter, and beside it the picture under the mouse; only this runs again when the mouse moves on.

    `rows` (P,) are the points' places in the table, `picks` what the rest of the page shows. It stays the page's only
    fragment: when a nested one and its parent are due together, Streamlit may run the child first, and then loses the
    parent to a duplicate key.
    """
    if tuple(state.picks) != picks:
        st.rerun()

    def take(points: list[ChartPoint]) -> None:
        left_out = state.pick([images.ids[rows[point.number]] for point in points])
        if left_out:
            st.toast(f"{session.MAX_PICKS} picks at most: {left_out:,} more were left out. Choose a smaller box.")

    left, right = st.columns([5, 2], gap="medium")
    with left:
        under_the_mouse = chart(
            shown,
            key="suggestion_scatter",
            alt="Mean confidence of the models against the number of classes they predict, one point an image",
            on_click=lambda point: take([point]),
            on_select=take,
            on_hover="rerun",
        ).hover
        st.caption(
            f"{len(rows):,} of {len(predictions):,} images. Right: sure of their answers; up: the models give "
            "different answers (points are spread within a row). Hover to see, click or drag a box to pick."
        )
    with right:
        preview(predictions, images, None if under_the_mouse is None else int(rows[under_the_mouse.number]))


def beyond_the_paper(predictions: Predictions) -> None:
    """Each model's accuracy, and who agrees with whom."""

    def take_pair(pair: ChartPoint) -> None:
        rows = where_they_differ(predictions, *pair.data)
        state.pick([images.ids[row] for row in rows[:12]])

    names, colours = predictions.model_names, [state.colour(digest) for digest in predictions.models]
    left, right = st.columns(2, gap="large")
    if predictions.labelled.any():
        with left:
            st.subheader("How often each model is right")
            shares, counts = accuracy(predictions)
            figure = accuracy_figure(names, shares, counts, colours)
            chart(figure, key="suggestion_accuracy", alt="Share of right answers of each model", toolbar=False)
    with right if predictions.labelled.any() else left:
        st.subheader("Who agrees with whom")
        chart(
            agreement_figure(names, agreement(predictions)),
            key="suggestion_agreement",
            alt="Share of images to which each pair of models gives the same answer",
            on_click=take_pair,
            toolbar=False,
        )
        st.caption("Share of images with the same answer. Click a cell: images on which the two differ become picks.")


def not_scored() -> None:
    """No table yet: the job that makes it, or the button that starts one."""
    job = cache.jobs().find(scoring_job.key(session.cards(), images))
    if job is None:
        st.markdown(f"{len(images):,} pictures of {images.name} wait for the answers of {len(cards)} models.")
        if st.button("Score them now", type="primary", key="suggestion_score"):
            scoring_job.submit()
            st.rerun()
    elif job.result:
        for digest, reason in job.result.items():
            st.error(f"{cache.card(digest).name} is left out: {reason}", icon=":material/error:")
        st.button(
            "Switch it off and go on", key="suggestion_without", on_click=state.switched_off.update, args=(job.result,)
        )
    else:
        run_and_wait(scoring_job.job(), "suggestion")


state, images, cards = session.state(), session.images(), session.classifiers()
st.title("Which images deserve a look?")
table = cache.predictions(cards, images)
if not cards:
    st.info("No classifier is switched on. Switch one on in the sidebar, or add one on the Upload page.")
elif table is None:
    not_scored()
else:
    if len(cards) > 1 and not shared_classes(cards):
        st.warning("These models have no class in common: they disagree on every image.")
    views = ["Several models", "One model"] if len(cards) > 1 else ["One model"]
    view = st.segmented_control(
        "View",
        views,
        default=views[0],
        required=True,
        key="suggestion_view",
        label_visibility="collapsed",
        persist_state="session",
    )
    if view == "Several models":
        several_models(table)
        beyond_the_paper(table)
    else:
        one_model(table, images, cards)
