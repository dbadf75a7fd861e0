"""The last drawing of a chart, shown until the next one is there.

Streamlit makes a chart anew whenever its figure changes, and the place of a large one stays empty for up to half a
second each time: pictures that form before one's eyes would blink. A script on the page keeps a copy of what each chart
drew last, and lays it over the place while that is empty. It serves charts that stand alone in a container with a key.
"""

from __future__ import annotations

import streamlit as st

_KEEP = """
const SETTLED_MS = 80  // plotly is through, and a drag moves on
const LONGEST_MS = 3000  // a chart that is not there by then will not come

export default function () {
  if (window.parallaxDrawings) return
  const drawings = window.parallaxDrawings = new Map()  // of each container: {svgs, box, cover}

  const copy = (place, plot) => {
    const [outer, inner] = [place, plot].map((element) => element.getBoundingClientRect())
    const box = { left: inner.left - outer.left, top: inner.top - outer.top, width: inner.width, height: inner.height }
    const svgs = [...plot.querySelectorAll(".main-svg")].map((svg) => svg.cloneNode(true))
    if (!drawings.has(place)) drawings.set(place, { cover: null })
    Object.assign(drawings.get(place), { svgs, box })
  }
  const watch = (place, plot) => {
    if (plot.parallaxWatched || !plot.on || plot.querySelector("canvas")) return  // what a canvas shows is not copied
    let timer
    const settle = () => {
      clearTimeout(timer)
      timer = setTimeout(() => plot.offsetParent && copy(place, plot), SETTLED_MS)
    }
    plot.parallaxWatched = true
    for (const event of ["plotly_afterplot", "plotly_relayout"]) plot.on(event, settle)
    settle()
  }
  const cover = (place, drawing) => {  // once, until the chart was drawn again
    const sheet = document.createElement("div")
    const style = document.createElement("style")
    style.textContent = "svg { position: absolute; top: 0; left: 0 }"
    sheet.attachShadow({ mode: "closed" }).append(style, ...drawing.svgs)  // apart from the page's own styles and ids
    sheet.ariaHidden = "true"
    Object.assign(sheet.style, { position: "absolute", pointerEvents: "none", overflow: "hidden" })
    for (const side in drawing.box) sheet.style[side] = `${drawing.box[side]}px`
    place.style.position = "relative"
    place.append(sheet)
    drawing.cover = sheet
    setTimeout(() => sheet.remove(), LONGEST_MS)
  }
  const tend = () => {
    const drawn = new Set()
    for (const plot of document.querySelectorAll("[class*=st-key-] > .stElementContainer .js-plotly-plot")) {
      if (!plot.offsetParent || !plot.querySelector(".main-svg .subplot")) continue
      const place = plot.closest(".stElementContainer").parentElement
      drawn.add(place)
      watch(place, plot)
    }
    for (const [place, drawing] of drawings) {
      const awaited = place.querySelector("[data-testid=stFullScreenFrame]")
      if (!place.isConnected) drawings.delete(place)
      else if (!drawn.has(place) && !drawing.cover && awaited) cover(place, drawing)
      else if (drawing.cover && (drawn.has(place) || !awaited)) {
        const sheet = drawing.cover
        drawing.cover = null
        requestAnimationFrame(() => requestAnimationFrame(() => sheet.remove()))
      }
    }
  }
  new MutationObserver(tend).observe(document.body, { childList: true, subtree: true })
}
"""

_component = st.components.v2.component("parallax_last_drawing", js=_KEEP)


def keep() -> None:
    """Keep every chart's last drawing in sight; once per page."""
    _component(key="last_drawing", height=1)
