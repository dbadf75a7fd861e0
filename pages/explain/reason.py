"""Reason: where the layers of one model find what speaks for a class, from early to late."""

from dataclasses import replace

import streamlit as st

from bank.errors import InputError
from figures.compare import Panel, single_figure
from figures.reason import HEADER, reason_figure
from pages.parts import cached, chart_events, compare_grid, reason_view, scoring_job, state
from pages.parts.reason_controls import choose, choose_guided, look_at
from pages.parts.reason_view import Choice
from pages.parts.theme import ink
from pages.parts.waiting import run_and_wait
from suggestion.table import Predictions


def pager(choice: Choice) -> tuple[str, Choice]:
    """Which of the picks is on show; beside it, whether to guide."""
    mine.at = min(mine.at, len(mine.picks) - 1)
    image_id = mine.picks[mine.at]
    row = images.index(image_id)
    with st.container(horizontal=True, vertical_alignment="center"):
        back, on = mine.at == 0, mine.at + 1 == len(mine.picks)
        st.button(
            "Previous", icon=":material/chevron_left:", key="reason_back", disabled=back, on_click=turn, args=[-1]
        )
        st.markdown(f"**{mine.at + 1} / {len(mine.picks)}**")
        st.button("Next", icon=":material/chevron_right:", key="reason_on", disabled=on, on_click=turn, args=[1])
        st.markdown(f"{images.names[row]} · true class **{images.labels[row] or 'unknown'}**")
        return image_id, replace(choice, guided=choose_guided(choice.card))


def turn(step: int) -> None:
    mine.at += step


def show(choice: Choice, image_id: str, table: Predictions, polled: bool) -> None:
    """The figure; while maps are being worked out it is drawn anew as they come."""
    look, opacity = look_at(unzoom)
    parts = choice, look, images, image_id, table
    reason_view.progress(polled)
    shown = reason_view.build(*parts)
    zoom = chart_events.on_zoom("reason_chart", f"reason_zoom_{image_id}_{mine.n_unzoomed}")
    strength = opacity if look.view == "overlay" else 1.0
    with st.container(key="reason_chart"):  # a chart with a key of its own would be made anew, and forget the zoom
        st.plotly_chart(
            reason_figure(shown.picture, shown.marked, shown.size, shown.rows, look.threshold, strength, ink(), zoom),
            config={"scrollZoom": True, "displaylogo": False, "doubleClick": False},
            alt=f"What {len(choice.layers)} layers of {choice.card.name} found in {image_id}",
        )
    chart_events.on_click("reason_chart", "reason_clicks", expand)
    with st.container(horizontal=True):
        png, npz = lambda: reason_view.to_png_file(*parts, opacity), lambda: reason_view.to_npz_file(*parts)
        icon = ":material/download:"
        st.download_button("Picture (PNG)", png, f"{image_id}.png", "image/png", key="reason_png", icon=icon)
        st.download_button("Raw maps (npz)", npz, f"{image_id}.npz", key="reason_npz", icon=icon)
    if mine.expanded is not None:
        (row, column), mine.expanded = mine.expanded, None
        if row == HEADER:
            full_width("regions of all targets", shown.marked, shown.size, strength)
        else:
            full_width(shown.rows[row].title, shown.rows[row].panels[column], shown.size, strength)


def unzoom() -> None:
    """Back to the whole picture: a fresh memory of the zoom."""
    mine.n_unzoomed += 1


def expand(_trace: int, _point: int, place: list[int] | None) -> None:
    """A click on a panel's corner: show it at full width."""
    if place is not None:
        mine.expanded = (int(place[0]), int(place[1]))


@st.dialog("Full width", width="large")
def full_width(title: str, panel: Panel, size: tuple[int, int], opacity: float) -> None:
    st.markdown(f"**{title}** · {' · '.join(panel.caption.splitlines())}")
    st.plotly_chart(single_figure(panel, size, opacity), key="reason_single", config={"scrollZoom": True})


def nothing_picked(table: Predictions) -> None:
    st.markdown("No pictures are picked yet. Pick some on the Suggestion page, or start with six that deserve a look.")
    with st.container(horizontal=True):
        if st.button("Take six that deserve a look", type="primary", key="reason_six"):
            mine.pick(compare_grid.six_to_look_at(table, images))
            st.rerun()
        if st.button("Go to suggestions", key="reason_suggestions"):
            st.switch_page("pages/find/suggestion.py")


mine, images, cards = state.work(), state.images(), state.cards()
st.title("Where does each layer find its reasons?")
if not cards:
    st.info("No model is switched on. Switch one on in the sidebar, or bring one on the Upload page.")
    st.stop()
table = cached.predictions(cards, images)
if table is None:
    st.markdown("The models' answers come first.")
    run_and_wait(scoring_job.job(), "reason", "interactive")
elif not mine.picks:
    nothing_picked(table)
else:
    try:
        picture, choice = pager(choose(cards))
        for line in reason_view.targets_of(choice, images, picture, table)[1]:
            st.caption(line)
        reason_view.submit(choice, images, table)
        pace = reason_view.pace()
        st.fragment(show, run_every=pace)(choice, picture, table, pace is not None)
    except InputError as error:
        st.error(str(error), icon=":material/error:")
