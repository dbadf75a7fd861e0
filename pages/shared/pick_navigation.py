"""What the pages share that show the picked images one by one: what they need first, the pager, progress, zoom."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from figures.panel_grid import Panel, single_figure
from images.image_set import ImageSet
from jobs.queue import State
from pages.shared import cache, scoring_job, session, session_jobs, site_map
from pages.shared.chart.component import ChartPoint, chart
from pages.shared.job_progress import progress_words, run_and_wait
from pages.shared.page_end import end_page
from suggestion.table import Predictions
from suggestion.views import mean_confidence, n_predicted_classes


def require_predictions(key: str) -> Predictions:
    """The models' predictions; the page ends here without a model, and until all images are scored."""
    cards, images = session.cards(), session.images()
    if not cards:
        st.info("No model is switched on. Switch one on in the sidebar, or add one on the Upload page.")
        end_page()
    table = cache.predictions(cards, images)
    if table is None:
        st.markdown("The images must be scored first.")
        run_and_wait(scoring_job.job(), key, "interactive")
        end_page()
    return table


def require_picks(table: Predictions, key: str) -> None:
    """The page ends here while no image is selected, and offers to select some."""
    state, images = session.state(), session.images()
    if state.picks:
        return
    st.markdown(
        "No image is selected. Select some on the Suggestion page, or the six on which the models disagree most."
    )
    with st.container(horizontal=True):
        if st.button("Select six images", type="primary", key=f"{key}_six"):
            state.pick(most_disputed(table, images))
            st.rerun()
        if st.button("Go to Suggestion", key=f"{key}_suggestions"):
            site_map.go("suggestion")
    end_page()


def most_disputed(table: Predictions, images: ImageSet) -> list[str]:
    """The ids of the six images with the most predicted classes; among equals, those of the highest mean confidence."""
    order = np.lexsort((-mean_confidence(table), -n_predicted_classes(table)))
    return [images.ids[row] for row in order[:6]]


def pager(key: str) -> str:
    """Previous, position, next and the image's name, into the row that the caller has opened; returns the id."""
    state, images = session.state(), session.images()
    state.position = min(state.position, len(state.picks) - 1)
    row = images.index(state.picks[state.position])
    first, last = state.position == 0, state.position + 1 == len(state.picks)
    st.button("Previous", icon=":material/chevron_left:", key=f"{key}_back", disabled=first, on_click=_turn, args=[-1])
    st.markdown(f"**{state.position + 1} / {len(state.picks)}**")
    st.button("Next", icon=":material/chevron_right:", key=f"{key}_on", disabled=last, on_click=_turn, args=[1])
    st.markdown(f"{images.names[row]} · true class **{images.labels[row] or 'unknown'}**")
    return images.ids[row]


def _turn(step: int) -> None:
    session.state().position += step


def progress(
    names: Sequence[str],
    polled: bool,
    hint: str = "Scroll over a panel to zoom, drag to pan; all panels zoom together.",
) -> None:
    """The progress of a job of these names, and the button that stops it; runs the page again when it has ended.

    The line keeps its height afterwards, so that nothing below it jumps; `hint` then stands there.
    """
    job, active = session.state().jobs.get(names[0]), session_jobs.active(*names)
    with st.container(height=64, border=False, horizontal=True, vertical_alignment="center"):
        if active is not None:
            st.progress(active.fraction, progress_words(active))
            st.button("Stop", key=f"{names[0]}_cancel", type="tertiary", on_click=active.cancel)
        elif polled:
            st.rerun()
        elif job is not None and job.state is State.CANCELLED:
            st.caption("Stopped. Finished maps are kept; change any setting to continue.")
        else:
            st.caption(hint)


def choose_scale(key: str, over: str) -> bool:
    """Whether maps share one scale, so that magnitudes can be compared `over` them."""
    scale = st.segmented_control(
        "Scale",
        ["per map", "shared"],
        default="per map",
        required=True,
        key=f"{key}_scale",
        help=f"Shared: one scale, so that magnitudes can be compared over {over}.",
        persist_state="session",
    )
    return scale == "shared"


def expand(clicked: ChartPoint) -> None:
    """A click on a panel's corner: show it at full width."""
    if clicked.data is not None:
        session.state().expanded = (int(clicked.data[0]), int(clicked.data[1]))


def panels(
    figure: go.Figure,
    key: str,
    alt: str,
    image_id: str,
    on_click: Callable[[ChartPoint], None] = expand,
    reset: str = "Reset zoom",
) -> None:
    """Draw a chart of panels; the zoom stays for the picture `image_id`, until `reset` is pressed."""
    chart(figure, key=key, alt=alt, revision=image_id, on_click=on_click, reset=reset, wheel=True)


@st.dialog("Full width", width="large")
def full_width(title: str, panel: Panel, size: tuple[int, int], opacity: float) -> None:
    """One panel, as large as the window lets it be."""
    st.markdown(f"**{title}** · {' · '.join(panel.caption.splitlines())}")
    chart(single_figure(panel, size, opacity), key="full_width", alt=title, wheel=True)
