"""Hover and click on a plotly chart, which Streamlit itself does not pass on.

An invisible component on the same page listens to the chart's own plotly events (there is no iframe between them)
and hands the point to Python.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

_LISTEN = """
export default function ({ key, data, setStateValue, setTriggerValue }) {
  const send = (event) => {
    if (data.event === "relayout") {
      if (/axis\\d*\\.(auto)?range/.test(Object.keys(event))) zoomed()  // else it was resized
      return
    }
    const [{ curveNumber, pointNumber, pointIndex, customdata }] = event.points
    const point = { trace: curveNumber, point: pointNumber ?? pointIndex, data: customdata ?? null }
    if (data.event === "hover") setStateValue("hover", point)
    else setTriggerValue("click", point)
  }
  const find = () => document.querySelector(`.st-key-${data.chart} .js-plotly-plot`)
  const zoomed = () => {  // once the gesture is over
    clearTimeout(window.parallaxZoom)
    window.parallaxZoom = setTimeout(() => {
      const { xaxis, yaxis } = find()?._fullLayout ?? {}
      if (xaxis) setStateValue("zoom", { x: [...xaxis.range], y: [...yaxis.range] })
    }, 500)
  }
  const listen = () => {
    const chart = find()
    if (!chart?.on) return
    chart.parallax ??= {}
    const first = !chart.parallax[key]
    if (first) chart.on(`plotly_${data.event}`, (event) => chart.parallax[key](event))
    chart.parallax[key] = send  // the latest run's, so that no listener piles up
    const resting = data.event === "hover" && chart._hoverdata  // a mouse that came before the listener moves no more
    if (first && resting?.length) send({ points: resting })
  }
  listen()
  const timer = setInterval(listen, 200)  // plotly may come later, or come anew
  return () => clearInterval(timer)
}
"""

_component = st.components.v2.component("parallax_chart_events", js=_LISTEN)


def on_hover(chart: str, key: str) -> tuple[int, int] | None:
    """(trace, point) last under the mouse on the chart with the key `chart`; reruns the fragment that calls it."""
    result = _component(key=key, data={"chart": chart, "event": "hover"}, height=1, on_hover_change=lambda: None)
    return (result.hover["trace"], result.hover["point"]) if result.hover else None


def on_click(chart: str, key: str, callback: Callable[[int, int, Any], None]) -> None:
    """Call `callback(trace, point, customdata)` when a point of the chart with the key `chart` is clicked."""

    def clicked() -> None:
        if (place := st.session_state[key].click) is not None:
            callback(place["trace"], place["point"], place["data"])

    _component(key=key, data={"chart": chart, "event": "click"}, height=1, on_click_change=clicked)


def on_zoom(chart: str, key: str) -> tuple[list[float], list[float]] | None:
    """Ranges (x, y) that a person panned or zoomed the first axes to; reruns the fragment that calls it.

    Streamlit makes a chart anew whenever its figure changes: draw these ranges, or the zoom is lost.
    """
    result = _component(key=key, data={"chart": chart, "event": "relayout"}, height=1, on_zoom_change=lambda: None)
    return (result.zoom["x"], result.zoom["y"]) if result.zoom else None
