// Draws a plotly figure where Streamlit mounts the component of `component.py`, and tells Python what the mouse does.
import "./plotly.js" // defines window.Plotly

const { Plotly } = window

// What figures.colours.TEXT_COLOUR is in a figure's JSON: the colour of words in the theme on show.
const TEXT_COLOUR = /"#010203"/g

const AXIS = /^[xy]axis\d*$/

const STYLE = `
.parallax-chart {
  position: relative; width: 100%; height: 100%; display: flex; flex-direction: column; container-type: inline-size;
  background: var(--st-background-color);
}
.parallax-chart-title {
  flex: none; height: 28px; line-height: 28px; font-weight: 600; color: var(--st-text-color);
  overflow: hidden; white-space: nowrap; text-overflow: ellipsis;
}
@container (max-width: 320px) {
  .parallax-chart-title { font-size: 0.75rem; line-height: 14px; white-space: normal; overflow-wrap: anywhere; }
}
.parallax-chart-title:empty { display: none; }
.parallax-chart-title:not(:empty) ~ .parallax-chart-reset { top: 28px; }
.parallax-chart-plot { flex: 1; width: 100%; min-height: 0; border-radius: var(--st-base-radius); }
.parallax-chart-plot:focus-visible { outline: 2px solid var(--st-primary-color); outline-offset: 2px; }
.parallax-chart-reset {
  position: absolute; top: 0; left: 0; z-index: 1; padding: 1px 8px; cursor: pointer; line-height: 1.5;
  font: inherit; font-size: 0.8rem; color: var(--st-text-color); background: var(--st-background-color);
  border: 1px solid var(--st-border-color); border-radius: var(--st-button-radius);
}
.parallax-chart-reset:hover, .parallax-chart-reset:focus-visible {
  color: var(--st-primary-color); border-color: var(--st-primary-color);
}
.parallax-chart-reset:empty { display: none; }`

const FULL_SCREEN_ICON = {
  width: 18,
  height: 18,
  path: "M4 11H2v5h5v-2H4v-3zm-2-4h2V4h3V2H2v5zm12 7h-3v2h5v-5h-2v3zM11 2v2h3v3h2V2h-5z",
}

// A chart for each place that Streamlit gives us; a place stays the same while its component is on the page.
const charts = new Map()

// Called by Streamlit whenever the data or the theme changed. What it returns is called when the component goes, but also
// when newer data came so soon that this call was outdated: only then is the place still on the page.
export function draw(component) {
  const place = component.parentElement
  if (!charts.has(place)) charts.set(place, new Chart(place))
  charts.get(place).update(component)
  return () => setTimeout(() => place.isConnected || charts.get(place)?.remove())
}

class Chart {
  constructor(place) {
    if (!document.getElementById("parallax-chart-style")) {
      const style = document.createElement("style")
      style.id = "parallax-chart-style"
      style.textContent = STYLE
      document.head.append(style)
    }
    this.place = place
    this.box = element("div", "parallax-chart")
    this.title = element("div", "parallax-chart-title")
    this.plot = element("div", "parallax-chart-plot", { role: "img", tabindex: "0" })
    this.button = element("button", "parallax-chart-reset", { type: "button" })
    this.button.onclick = () => this.reset()
    this.plot.onkeydown = (event) => this.press(event)
    this.plot.addEventListener("pointerdown", () => this.hold(["pointerup", "pointercancel"]))
    this.plot.addEventListener("wheel", () => this.hold([], 200), { capture: true, passive: true })
    this.box.append(this.title, this.plot, this.button)
    place.append(this.box)
    this.resizing = new ResizeObserver(() => this.resize())
    this.resizing.observe(this.box)
    this.drawn = null // what is on show: a `wanted()`
  }

  update({ data, setStateValue, setTriggerValue }) {
    this.data = data
    this.setState = setStateValue
    this.trigger = setTriggerValue
    this.plot.setAttribute("aria-label", data.alt)
    this.button.textContent = data.reset
    this.redraw()
  }

  // A figure with a width of its own keeps its size, and is scrolled to.
  resize() {
    if (this.drawn && this.box.clientWidth && this.plot.layout.autosize) Plotly.Plots.resize(this.plot)
  }

  // Draw until what is on show is what is wanted: a newer figure may have come on the way.
  async redraw() {
    if (this.busy) return
    this.busy = true
    try {
      while (!this.removed && this.wanted() !== this.drawn) {
        const [wanted, { figure, revision, title }] = [this.wanted(), this.data]
        const { data, layout } = await this.fetch(figure)
        layout.uirevision = `of ${revision}` // an empty one would keep nothing
        layout.selectionrevision = figure // a selection is of the points of one figure
        if (this.drawn) await load(layout.images) // until then the old pictures stay
        await this.released()
        if (wanted === this.wanted()) await this.show(data, layout, title)
        if (wanted === this.wanted()) [this.drawn, this.shown] = [wanted, figure]
      }
    } finally {
      this.busy = false
    }
  }

  // What came in the middle of a drag or a turn of the wheel would end it, or be undone by it.
  async released() {
    for (let held; held !== this.held; ) await (held = this.held)
  }

  // Stands for all that a drawing depends on.
  wanted() {
    this.theme = themeOf(this.box)
    const { figure, title, revision, toolbar, wheel } = this.data
    return JSON.stringify([figure, title, revision, this.theme, toolbar, wheel])
  }

  async fetch(address) {
    if (this.address !== address) {
      const response = await fetch(address)
      if (!response.ok) throw new Error(`The server does not have the figure ${address}.`)
      ;[this.address, this.json] = [address, await response.text()]
    }
    return JSON.parse(this.json.replaceAll(TEXT_COLOUR, JSON.stringify(this.theme.text)))
  }

  // The title changes with the figure that it names, and not before.
  async show(data, layout, title) {
    if (this.removed) return
    this.title.textContent = this.title.title = title
    layout.template = templateOf(this.theme)
    layout.autosize = layout.width === undefined
    const axes = Object.entries(layout).filter(([name]) => AXIS.test(name))
    const given = structuredClone(Object.fromEntries(axes))
    await Plotly.react(this.plot, data, layout, this.config())
    this.given = ranges(this.plot, given)
    if (!this.listening) this.listen()
  }

  // The same object as long as the settings are the same: plotly starts from scratch for another.
  config() {
    const settings = `${this.data.toolbar} ${this.data.wheel}`
    if (this.settings === settings) return this.configured
    this.settings = settings
    const fullScreen = { name: "full screen", title: "Full screen", icon: FULL_SCREEN_ICON, click: () => this.enlarge() }
    return (this.configured = {
      displaylogo: false,
      doubleClick: false, // plotly's own way back knows the ranges of the first figure only
      scrollZoom: this.data.wheel,
      showAxisDragHandles: false, // they would lie over the corner of a neighbouring panel
      ...(this.data.toolbar ? { modeBarButtonsToAdd: [fullScreen] } : { modeBarButtons: [[fullScreen]] }),
    })
  }

  listen() {
    this.listening = true
    const { plot } = this
    const tell = (name, send) => (event) => this.data.events[name] && event?.points && send(event.points.map(pointOf))
    const hover = tell("hover", ([point]) => this.setState("hover", { point, figure: this.shown }))
    let selecting = false // plotly also tells of the old selection when it draws it anew
    plot.on("plotly_hover", hover)
    plot.on("plotly_click", tell("click", ([point]) => this.trigger("click", point)))
    plot.on("plotly_selecting", () => (selecting = true))
    plot.on("plotly_selected", (event) => {
      if (selecting) tell("select", (points) => this.trigger("select", points))(event)
      selecting = false
    })
    plot.on("plotly_doubleclick", () => this.reset())
    // On a busy page plotly takes two clicks for far apart: it looks at the clock when it gets to them. The browser counts right.
    plot.addEventListener("click", ({ detail }) => detail === 2 && this.reset())
    if (plot._hoverdata) hover({ points: plot._hoverdata }) // a mouse that was there first moves no more
  }

  // The ranges that the figure came with.
  async reset() {
    await this.released()
    if (this.given) Plotly.relayout(this.plot, structuredClone(this.given)) // plotly writes a zoom into what it got
  }

  enlarge() {
    if (document.fullscreenElement) document.exitFullscreen()
    else this.box.requestFullscreen()
  }

  press(event) {
    if (event.target !== this.plot || event.ctrlKey || event.metaKey || event.altKey) return
    if (event.key === "Home") this.reset()
    else if (event.key === "f") this.enlarge()
    else return
    event.preventDefault()
  }

  // Let no new figure in before one of the events, or before the time is up: plotly keeps a zoom a moment later.
  hold(events, ms = Infinity) {
    this.held = new Promise((release) => {
      const later = () => setTimeout(release, 0)
      for (const event of events) window.addEventListener(event, later, { once: true })
      if (ms < Infinity) setTimeout(release, ms)
    })
  }

  remove() {
    this.removed = true
    this.resizing.disconnect()
    Plotly.purge(this.plot)
    this.box.remove()
    charts.delete(this.place)
  }
}

// Wait until all pictures are there, so that they come with the figure and not after it.
function load(images = []) {
  const sources = [...new Set(images.map(({ source }) => source))]
  return Promise.allSettled(sources.map((src) => Object.assign(new Image(), { src }).decode()))
}

function element(tag, className, attributes = {}) {
  const made = document.createElement(tag)
  made.className = className
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value)
  return made
}

// As `ChartPoint` takes it: trace, number, customdata.
function pointOf({ curveNumber, pointNumber, pointIndex, customdata }) {
  return [curveNumber, pointNumber ?? pointIndex, customdata ?? null]
}

// What takes every axis of a plot back to where `axes` have it; one that follows another goes with it.
function ranges(plot, axes) {
  const back = {}
  for (const name of Object.keys(plot._fullLayout).filter((key) => AXIS.test(key))) {
    const axis = axes[name] ?? {}
    if (axis.matches) continue
    if (axis.range) back[`${name}.range`] = axis.range
    else back[`${name}.autorange`] = axis.autorange ?? true
  }
  return back
}

function themeOf(box) {
  const style = getComputedStyle(box)
  const value = (name) => style.getPropertyValue(`--st-${name}`).trim()
  return {
    text: value("text-color"),
    background: value("background-color"),
    line: value("border-color-light"),
    border: value("border-color"),
    font: value("font"),
    colours: value("chart-categorical-colors").split(","),
  }
}

// The look of Streamlit's own charts, as a plotly template: what a figure says itself goes before.
function templateOf({ text, background, line, border, font, colours }) {
  const small = { color: text, size: 12 }
  const axis = {
    automargin: true,
    ticklabelstandoff: 4,
    gridcolor: line,
    zerolinecolor: border,
    linecolor: border,
    tickfont: small,
    title: { font: { color: text, size: 14 } },
  }
  return {
    layout: {
      colorway: colours,
      font: { color: text, family: font, size: 12 },
      hoverlabel: { bgcolor: background, bordercolor: border, font: { color: text, family: font, size: 12 } },
      legend: { font: small },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: border, activecolor: text },
      paper_bgcolor: background,
      plot_bgcolor: background,
      xaxis: { ...axis, showgrid: false },
      yaxis: axis,
    },
  }
}
