"""A plotly figure on a page: hover, click, selection, a zoom that outlives new figures, full screen, the page's theme.

`st.plotly_chart` gives no hover, and makes a chart anew whenever its figure changes: the zoom is lost, and the place
blinks. This one draws with `Plotly.react` (`chart.js`). The figure travels by the route of `pages.server.content`, so
that a run which changes nothing sends a line.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import plotly
import plotly.graph_objects as go
import streamlit as st
from plotly.io.json import to_json_plotly

from figures.panel_grid import PlainFigure
from pages.server import assets, content

_DEFAULT_HEIGHT_PX = 450

#: Height of a title, as in `chart.js`.
_TITLE_PX = 28

_component = st.components.v2.component(
    "parallax_chart",
    js=assets.component_js(
        Path(__file__).with_name("chart.js"), plotly=Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    ),
    isolate_styles=False,  # plotly's own styles are the page's
)


@dataclass(frozen=True)
class ChartPoint:
    """A point of a figure: the numbers of its trace and of itself in it, and its customdata."""

    trace: int
    number: int
    data: Any


@dataclass(frozen=True)
class Drawing:
    """A figure ready to be shown, as JSON; its height in pixels."""

    json: bytes
    height_px: int


def drawing(figure: go.Figure | PlainFigure) -> Drawing:
    """A figure as what `chart` shows: do it outside of a fragment that runs often."""
    parts = figure.to_dict() if isinstance(figure, go.Figure) else figure
    layout = {name: value for name, value in parts["layout"].items() if name != "template"}  # the page has a theme
    height_px = layout.get("height", _DEFAULT_HEIGHT_PX)
    if "width" not in layout:
        layout.pop("height", None)  # the chart fills its place
    return Drawing(to_json_plotly({"data": parts["data"], "layout": layout}).encode(), round(height_px))


def chart(
    figure: go.Figure | PlainFigure | Drawing,
    *,
    key: str,
    alt: str,
    on_click: Callable[[ChartPoint], None] | None = None,
    on_select: Callable[[list[ChartPoint]], None] | None = None,
    on_hover: Literal["rerun"] | None = None,
    title: str = "",
    revision: str = "",
    reset: str = "",
    toolbar: bool = True,
    wheel: bool = False,
) -> ChartPoint | None:
    """Draw a figure, or what changed of it; events run the fragment that this is called in.

    Returns the point of the figure that was last under the mouse, if that is listened to and there was one.

    Args:
        figure: it lets the page's theme choose its colours: `figures.colours.TEXT_COLOUR` stands for that of words.
        key: the chart's name on the page, also in CSS: `.st-key-KEY`.
        alt: what the chart shows, for people who do not see it.
        on_click: gets the point that was clicked, before the run.
        on_select: gets the points in a box or a lasso, before the run.
        on_hover: "rerun" to run whenever another point comes under the mouse; else nothing is returned.
        title: what the figure is of, above it; it changes together with the figure.
        revision: figures of one revision keep what a person has zoomed to.
        reset: the words on a button that takes the zoom back, as a double click does; none without words.
        toolbar: whether plotly's buttons show while the mouse is over the chart, or that for full screen only.
        wheel: whether the mouse wheel zooms.
    """
    shown = figure if isinstance(figure, Drawing) else drawing(figure)

    def clicked() -> None:
        if on_click is not None and (place := st.session_state[key].click) is not None:
            on_click(ChartPoint(*place))

    def selected() -> None:
        if on_select is not None and (places := st.session_state[key].select) is not None:
            on_select([ChartPoint(*place) for place in places])

    address = content.put(shown.json, "json")
    result = _component(
        key=key,
        height=shown.height_px + (_TITLE_PX if title else 0),
        data={
            "figure": address,
            "alt": alt,
            "title": title,
            "revision": revision,
            "reset": reset,
            "toolbar": toolbar,
            "wheel": wheel,
            "events": {"click": on_click is not None, "select": on_select is not None, "hover": on_hover is not None},
        },
        on_click_change=clicked,
        on_select_change=selected,
        on_hover_change=lambda: None,
    )
    hover = result.hover if on_hover is not None else None
    return ChartPoint(*hover["point"]) if hover and hover["figure"] == address else None
