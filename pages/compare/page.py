"""Compare: every model's explanation of the picks, side by side."""

from dataclasses import replace

import streamlit as st

from common.errors import InputError
from explainers.output import UNIT
from explainers.registry import METHODS
from figures.compare import compare_figure
from pages.compare import trust_figures
from pages.compare import view as grid_view
from pages.compare.view import Choice
from pages.shared import pick_navigation, session
from pages.shared.param_widgets import about, layer_chooser, settings_of
from pages.shared.target_picker import choose_target, choose_units
from suggestion.table import Predictions

DEFAULT_METHODS = ["grad-cam", "occlusion"]
VIEWS = ["overlay", "map", "picture"]


def choose() -> Choice:
    """The toolbar: methods, target, scale; settings and layers folded."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        methods = st.multiselect(
            "Methods",
            list(METHODS),
            default=DEFAULT_METHODS,
            format_func=lambda m: METHODS[m].title,
            key="compare_methods",
            persist_state="session",
        )
        target = choose_target(cards, "compare")
        shared = pick_navigation.choose_scale("compare", "the models of a row")
    if target.kind == UNIT:
        target = replace(target, units=choose_units(cards, "compare"))
    with st.expander("Layers and settings of the methods"):
        st.caption("Layer that Grad-CAM and the activation look at")
        with st.grid(len(cards), gap="small"):
            layers = {card.digest: layer_chooser(card, "compare_layer") for card in cards}
        chosen = {}
        for name in methods:
            st.markdown(f"**{METHODS[name].title}**")
            with st.grid(4, gap="small"):
                chosen[name] = settings_of(METHODS[name], "compare_setting")
    return Choice(tuple(methods), target, shared, layers, chosen)


def pager(choice: Choice, table: Predictions) -> str:
    """Which of the picks is on show; beside it, what each method is, and how far to believe the maps."""
    with st.container(horizontal=True, vertical_alignment="center"):
        image_id = pick_navigation.pager("compare")
        st.space("stretch")
        for name in choice.methods:
            with st.popover(METHODS[name].title, icon=":material/info:", type="tertiary"):
                st.markdown(about(METHODS[name]))
        with st.popover("Trust", icon=":material/balance:", type="tertiary"):
            measure = st.button("Measure the maps on show", type="primary", key="compare_measure")
            trust_figures.meanings(images)
    if measure:
        grid_view.measure(choice, cards, images, image_id, table)
    return image_id


def grid(choice: Choice, image_id: str, table: Predictions, polled: bool) -> None:
    """The figure; while maps are being worked out it is drawn anew as they come."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        view = st.segmented_control(
            "View", VIEWS, default="overlay", required=True, key="compare_view", persist_state="session"
        )
        bare = view != "overlay"
        opacity = st.slider(
            "Opacity", 0.0, 1.0, 0.8, 0.05, key="compare_opacity", persist_state="session", width=220, disabled=bare
        )
        parts = choice, cards, images, image_id, table
        st.download_button(
            "Picture (PNG)",
            lambda: grid_view.to_png_file(*parts, opacity),
            f"{image_id}.png",
            "image/png",
            key="compare_png",
            icon=":material/download:",
        )
        st.download_button(
            "Raw maps (npz)",
            lambda: grid_view.to_npz_file(*parts),
            f"{image_id}.npz",
            key="compare_npz",
            icon=":material/download:",
        )
    pick_navigation.progress(grid_view.JOBS, polled)
    shown = grid_view.build(*parts, view)
    strength = opacity if view == "overlay" else 1.0
    pick_navigation.panels(
        compare_figure(shown.picture, shown.size, shown.columns, shown.rows, strength),
        "compare_chart",
        f"Explanations of {image_id} by {len(choice.methods)} methods for {len(cards)} models",
        image_id,
    )
    if state.expanded is not None:
        (row, column), state.expanded = state.expanded, None
        pick_navigation.full_width(
            f"{shown.rows[row].title} · {cards[column].name}", shown.rows[row].panels[column], shown.size, strength
        )


state, images, cards = session.state(), session.images(), session.cards()
st.title("What do they look at?")
table = pick_navigation.require_predictions("compare")
pick_navigation.require_picks(table, "compare")
try:
    choice = choose()
    picture = pager(choice, table)
    grid_view.submit(choice, cards, images, table)
    pace = grid_view.pace()
    st.fragment(grid, run_every=pace)(choice, picture, table, pace is not None)
except InputError as error:
    st.error(str(error), icon=":material/error:")
