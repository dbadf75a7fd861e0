"""Panels of maps over an image: how they are drawn, the chart of them, and one of them at full width."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import streamlit as st

from common.escape import markdown
from figures.maps import colour_map
from figures.panel_grid import Panel, PlainFigure, single_figure
from pages.shared import cache, session
from pages.shared.chart.component import ChartPoint, chart
from pages.shared.page_state import PageState
from pages.shared.session import kept
from pages.shared.widgets import segments

#: How to read a chart of panels, where there is nothing better to say.
ZOOM_HINT = "Scroll over a panel to zoom, drag to pan; all panels zoom together."

OVERLAY, MAP, IMAGE = "overlay", "map", "image"


@dataclass(frozen=True)
class ViewOptions:
    """How maps are drawn: over the image, alone, or not at all; with a colour scale for each map or a shared one."""

    view: str = OVERLAY
    shared: bool = False
    opacity: float = 0.8

    @property
    def strength(self) -> float:
        """The opacity of what lies in front in a panel."""
        return self.opacity if self.view == OVERLAY else 1.0

    def behind(self, page_state: PageState, side_px: int) -> str:
        """The address of what lies behind a map: the image, in grey under an overlay; "" for nothing."""
        return "" if self.view == MAP else page_state.address(side_px, in_grey=self.view == OVERLAY)

    def in_front(self, key: str, place: Callable[[], np.ndarray], signed: bool, scale: float) -> str:
        """The address of the map (h, w) that `place` gives, in colours; "" where only the image is on show.

        `key` stands for the map and its size.
        """
        if self.view == IMAGE:
            return ""
        overlay = self.view == OVERLAY
        return cache.drawn(f"{key} {scale} {overlay}", lambda: colour_map(place(), signed, scale, overlay))


def choose_view(key: str, over: str) -> ViewOptions:
    """How to draw, all of it instant, into the row of the caller; see `choose_scale` for `over`."""
    view = segments("View", [OVERLAY, MAP, IMAGE], f"{key}_view")
    shared = choose_scale(key, over)
    opacity = st.slider(
        "Opacity", 0, 100, 80, 5, format="%d %%", width=160, disabled=view != OVERLAY, **kept(f"{key}_opacity")
    )
    return ViewOptions(view, shared, opacity / 100)


def choose_scale(key: str, over: str) -> bool:
    """Whether maps share one scale, so that magnitudes can be compared `over` them."""
    words = f"Shared: one scale, so that magnitudes can be compared over {over}."
    return segments("Scale", ["per map", "shared"], f"{key}_scale", help=words) == "shared"


def remember_click(clicked: ChartPoint) -> None:
    """A click on a panel's corner: what it carries is for this run."""
    if clicked.data is not None:
        session.state().clicked = tuple(clicked.data)


def panels(figure: PlainFigure, key: str, alt: str, zoomed_on: str, title: str = "") -> tuple | None:
    """Draw a chart of panels, under its title; the zoom stays for the image `zoomed_on`, until it is reset.

    Returns what the corner carries that was clicked before this run, `None` if none was.
    """
    reset = "Reset zoom"
    chart(figure, key=key, alt=alt, title=title, revision=zoomed_on, reset=reset, wheel=True, on_click=remember_click)
    state = session.state()
    clicked, state.clicked = state.clicked, None
    return clicked


@st.dialog("Full width", width="large")
def full_width(title: str, panel: Panel, size: tuple[int, int], opacity: float) -> None:
    """One panel, as large as the window lets it be."""
    st.markdown(f"**{markdown(title)}** · {markdown(' · '.join(panel.caption.splitlines()))}")
    chart(single_figure(panel, size, opacity), key="full_width", alt=title, wheel=True)
