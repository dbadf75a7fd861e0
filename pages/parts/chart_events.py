"""Hover and click on a plotly chart, which Streamlit itself does not pass on.

An invisible component on the same page listens to the chart's own plotly events (there is no iframe between them)
and hands the point to Python.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

_LISTEN = """
export default function ({ data, setStateValue, setTriggerValue }) {
  const find = () => document.querySelector(`.st-key-${data.chart} .js-plotly-plot`)
  const listen = () => {
    const chart = find()
    if (!chart || !chart.on || chart.parallaxListener === data.token) return
    chart.parallaxListener = data.token
    const place = ({ points: [point] }) => ({ trace: point.curveNumber, point: point.pointNumber ?? point.pointIndex })
    if (data.hover) {
      chart.on("plotly_hover", (event) => setStateValue("hover", place(event)))
    }
    if (data.click) {
      chart.on("plotly_click", (event) => setTriggerValue("click", event.points[0].customdata))
    }
  }
  listen()
  const timer = setInterval(listen, 200)  // plotly may come later, or come anew
  return () => clearInterval(timer)
}
"""

_component = st.components.v2.component("parallax_chart_events", js=_LISTEN)


def on_hover(chart: str, key: str) -> tuple[int, int] | None:
    """(trace, point) last under the mouse on the chart with the key `chart`; reruns the fragment that calls it."""
    result = _component(
        key=key,
        data={"chart": chart, "hover": True, "click": False, "token": key},
        height=1,
        on_hover_change=lambda: None,
    )
    return (result.hover["trace"], result.hover["point"]) if result.hover else None


def on_click(chart: str, key: str, callback: Callable[[Any], None]) -> None:
    """Call `callback(customdata)` when a point of the chart with the key `chart` is clicked."""

    def clicked() -> None:
        if (data := st.session_state[key].click) is not None:
            callback(data)

    _component(
        key=key,
        data={"chart": chart, "hover": False, "click": True, "token": key},
        height=1,
        on_click_change=clicked,
    )
