"""Prediction difference: what each model's answer would lose if a part of the picture were not known."""

import streamlit as st

from common.errors import InputError
from explainers.prediction_difference.method import PredictionDifference
from figures.prediction_difference import Band, difference_figure
from pages.prediction_difference import jobs as working
from pages.prediction_difference import sections as more
from pages.prediction_difference import view as view
from pages.prediction_difference.controls import choose, look_at, progress, start
from pages.prediction_difference.jobs import MAPS, Plan
from pages.prediction_difference.page_state import Scene
from pages.prediction_difference.view import Look, Shot
from pages.shared import chart_events, pick_navigation, session
from pages.shared.param_widgets import about
from pages.shared.theme import ink

READING = (
    "Red speaks for the class, blue against it. Scroll over a panel to zoom, drag to pan: all panels move in step."
)


def pager() -> str:
    """Which of the picks is on show; beside it, what the method is."""
    with st.container(horizontal=True, vertical_alignment="center"):
        image_id = pick_navigation.pager("prediction_difference")
        st.space("stretch")
        with st.popover("What is it?", icon=":material/info:", type="tertiary"):
            st.markdown(about(PredictionDifference()))
    return image_id


def begin(plan: Plan, exact: Plan) -> None:
    """Start, go on, or leave nothing out."""
    with st.container(horizontal=True, vertical_alignment="center"):
        known = any(working.known(asked) is not None for asked in plan.all_asked())
        start(MAPS, "prediction_difference_start", plan, "Go on" if known else "Explain this picture")
        label = "Exact" if exact.finished else "Go on to exact" if known else "Explain it exactly"
        words = f"Every window (stride 1), each with all its samples (at least {working.EXACT_SAMPLES})."
        start(MAPS, "prediction_difference_exact", exact, label, plan.finished, words)
        st.caption(view.drawn_from(images, choice.settings["sampling"]))


def show(shots: list[Shot], plans: list[Plan], image_id: str, look: Look, polled: bool) -> None:
    """The maps; while they are being worked out they are drawn anew as they get sharper."""
    size = view.size_of(images, image_id)
    progress(MAPS, [plan.key for plan in plans], "prediction_difference", polled, READING)
    band = view.band("", shots, look, images, image_id)
    bands = [Band("", (view.picture_tile(images, image_id), *band.tiles))]
    zoom = chart_events.on_zoom("prediction_difference_chart", f"difference_zoom_{image_id}_{state.n_unzoomed}")
    with st.container(key="prediction_difference_chart"):  # a chart with a key of its own would forget the zoom
        pick_navigation.panels(
            difference_figure(bands, size, look.strength, ink(), zoom),
            f"What {len(shots)} models would lose if parts of {image_id} were not known",
        )
    chart_events.on_click("prediction_difference_chart", "prediction_difference_clicks", pick_navigation.expand)
    with st.container(horizontal=True, vertical_alignment="center"):  # lines that come late find room here
        png, npz = lambda: view.to_png_file(shots, look, images, image_id), lambda: view.to_npz_file(shots)
        icon = ":material/download:"
        st.download_button("Picture (PNG)", png, f"{image_id}.png", "image/png", key="difference_png", icon=icon)
        st.download_button("Raw maps (npz)", npz, f"{image_id}.npz", key="difference_npz", icon=icon)
        if lines := view.found_on_the_way(view.only_asked(shots)):
            st.caption("  \n".join(lines))
    more.enlarge(bands, size, look.strength)


state, images, cards = session.state(), session.images(), session.cards()
st.title("What would they miss?")
table = pick_navigation.require_predictions("prediction_difference")
pick_navigation.require_picks(table, "prediction_difference")
try:
    choice = choose(cards)
    picture = pager()
    shots = view.per_model(choice, cards, images, picture, table)
    all_asked = view.only_asked(shots)
    title = f"Prediction difference of {len(all_asked)} models"
    plans = [working.plan_of(title, all_asked), working.plan_of(title, list(map(working.exact, all_asked)))]
    begin(*plans)
    busy = any(working.running(MAPS, plan.key) for plan in plans)
    look = look_at()
    st.fragment(show, run_every=0.6 if busy else None)(shots, plans, picture, look, busy)
    more.sections(Scene(choice, cards, images, picture, table, look))
except InputError as error:
    st.error(str(error), icon=":material/error:")
