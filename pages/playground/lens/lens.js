// The lens of `component.py`: input, window, kernel and output of a layer, and what a cell of the output adds up.
import { digitsFor, diverging, grid, inkOf, signed } from "./grid.js"

const STYLE = `
.parallax-lens { container-type: inline-size; width: 100%; color: var(--st-text-color); font: 0.875rem var(--st-font); }
.parallax-lens-grid {
  display: grid; gap: 0.25rem 1.5rem; align-items: start;
  grid-template-areas: "input window output" "input kernel output";
  grid-template-columns: minmax(0, 5fr) minmax(0, 3fr) minmax(0, 5fr); grid-template-rows: auto 1fr;
}
.parallax-lens figure { margin: 0; min-width: 0; }
.parallax-lens figcaption { line-height: 1.75rem; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.parallax-lens figcaption small { opacity: 0.75; font-size: 0.75rem; margin-left: 0.5rem; }
.parallax-lens canvas { display: block; width: 100%; border-radius: 2px; }
.parallax-lens [data-part="output"] canvas { cursor: crosshair; touch-action: pan-y; }
.parallax-lens canvas:focus-visible { outline: 2px solid var(--st-primary-color); outline-offset: 2px; }
.parallax-lens :is([data-part="window"], [data-part="kernel"]) canvas { max-width: 12rem; }
.parallax-lens figure > :is(button, select) { margin-top: 0.4rem; }
.parallax-lens-line { margin: 0.5rem 0 0; font-variant-numeric: tabular-nums; min-height: 1.4em; line-height: 1.4; }
.parallax-lens-line b { font-weight: 600; }
.parallax-lens-note { margin: 0.25rem 0 0; font-size: 0.75rem; opacity: 0.75; }
.parallax-lens-note:empty { display: none; }
.parallax-lens :is(button, select) {
  padding: 0 0.5rem; font: 0.8rem/1.6 var(--st-font); color: var(--st-text-color); cursor: pointer; max-width: 100%;
  background: var(--st-background-color); border: 1px solid var(--st-border-color);
  border-radius: var(--st-button-radius);
}
.parallax-lens :is(button, select):is(:hover, :focus-visible) {
  color: var(--st-primary-color); border-color: var(--st-primary-color);
}
@container (max-width: 520px) {
  .parallax-lens-grid {
    gap: 0.5rem; grid-template-areas: "input output" "window kernel"; grid-template-rows: auto;
    grid-template-columns: minmax(0, 1fr) minmax(0, 1fr);
  }
  .parallax-lens [data-part="window"] small { display: none; }
}`

const ARROWS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }

// A sweep takes so long at most, and so long per cell where these are few.
const SWEEP_MS = 8000
const CELL_MS = 150

// A lens for each place that Streamlit gives us; a place stays the same while its component is on the page.
const lenses = new Map()

export function draw(component) {
  const place = component.parentElement
  if (!lenses.has(place)) lenses.set(place, new Lens(place))
  lenses.get(place).update(component.data)
  return () => setTimeout(() => place.isConnected || lenses.get(place)?.remove())
}

class Lens {
  constructor(place) {
    if (!document.getElementById("parallax-lens-style")) {
      document.head.append(element("style", { id: "parallax-lens-style" }, STYLE))
    }
    this.place = place
    this.box = element("div", { class: "parallax-lens" })
    const grid = element("div", { class: "parallax-lens-grid" })
    this.parts = {}
    for (const part of ["input", "window", "kernel", "output"]) {
      const figure = element("figure", { "data-part": part, style: `grid-area: ${part}` })
      const caption = element("figcaption")
      const canvas = element("canvas", { role: "img" })
      figure.append(caption, canvas)
      grid.append(figure)
      this.parts[part] = { figure, caption, canvas }
    }
    this.chooser = element("select", { "aria-label": "Channel of the input" })
    this.chooser.onchange = () => this.paint()
    this.button = element("button", { type: "button" })
    this.button.onclick = () => (this.sweep === undefined ? this.play() : this.stop())
    this.line = element("p", { class: "parallax-lens-line", "aria-live": "polite" })
    this.note = element("p", { class: "parallax-lens-note" })
    this.parts.input.figure.append(this.chooser)
    this.parts.output.figure.append(this.button)
    this.box.append(grid, this.line, this.note)
    place.append(this.box)
    this.listen()
    this.resizing = new ResizeObserver(() => this.values && this.paint())
    this.resizing.observe(this.box)
  }

  listen() {
    const { canvas } = this.parts.output
    canvas.tabIndex = 0
    canvas.onpointerdown = (event) => {
      this.stop()
      this.point(event)
    }
    canvas.onpointermove = (event) => this.sweep === undefined && this.point(event)
    canvas.onkeydown = (event) => {
      const step = ARROWS[event.key]
      if (!step || event.ctrlKey || event.metaKey || event.altKey) return
      event.preventDefault()
      this.stop()
      this.select(this.cell.map((place, axis) => place + step[axis]))
    }
  }

  // What is on show stays until newer values are here.
  async update(data) {
    this.wanted = data.values
    if (this.address !== data.values) {
      const response = await fetch(data.values)
      if (!response.ok) throw new Error(`The server does not have the values ${data.values}.`)
      const values = new Float32Array(await response.arrayBuffer())
      if (this.wanted !== data.values) return
      const before = this.data
      ;[this.address, this.values, this.data] = [data.values, values, data]
      this.stop()
      this.take(before)
    }
    this.paint()
  }

  take(before) {
    const { data, values } = this
    const [inputSize, outputSize] = [area(data.input.shape), area(data.output.shape)]
    const n = data.channels.length
    this.maps = data.channels.map((_, i) => values.subarray(i * inputSize, (i + 1) * inputSize))
    const kernels = values.subarray(n * inputSize, values.length - outputSize)
    this.kernels = data.channels.map((_, i) => kernels.subarray(i * data.size ** 2, (i + 1) * data.size ** 2))
    this.output = values.subarray(values.length - outputSize)
    // Zeros around the image, where its end is in sight.
    this.edges = [0, 1].map((axis) => {
      const [low, high] = [data.input.first[axis], data.input.first[axis] + data.input.shape[axis]]
      return [low === 0 ? -data.padding : low, high === data.input.whole[axis] ? high + data.padding : high]
    })
    const same = before && String(before.output.whole) === String(data.output.whole) && this.cell
    this.cell = inside(same || data.strongest.map((place, axis) => place - data.output.first[axis]), data.output.shape)
    const chosen = this.chooser.value
    const words = (name, i) => `channel ${name}${i ? "" : ", the strongest"}`
    const options = data.channels.map((name, i) => element("option", { value: name }, words(name, i)))
    this.chooser.replaceChildren(...options)
    if (same && data.channels.map(String).includes(chosen)) this.chooser.value = chosen
    this.caption()
  }

  caption() {
    const { data, parts } = this
    const pooling = data.mode === "max_pool"
    const size = (side) => `${side.whole[0]} × ${side.whole[1]}`
    parts.input.caption.replaceChildren("Input", small(size(data.input)))
    parts.window.caption.replaceChildren("Window", small(pooling ? "its maximum is framed" : "what the kernel lies on"))
    parts.kernel.caption.replaceChildren("× Kernel", small("red +, blue −"))
    parts.output.caption.replaceChildren("Output", small(size(data.output)))
    this.named(parts.input, `Input, ${size(data.input)} cells`)
    this.named(parts.output, `Output, ${size(data.output)} cells. Arrow keys move the window.`)
    parts.kernel.figure.hidden = pooling
    this.chooser.hidden = data.of_channels === 1
    this.button.textContent = "▶ Play"
    const parted = Object.entries({ input: data.input, output: data.output })
      .filter(([, side]) => String(side.shape) !== String(side.whole))
      .map(([name, side]) => `${side.shape.join(" × ")} cells of the ${name}`)
    const notes = parted.length ? [`the ${parted.join(" and ")} around the strongest answer`] : []
    const n = data.channels.length
    if (n < data.of_channels) notes.push(`the ${n} strongest of ${data.of_channels} channels`)
    this.note.textContent = notes.length ? `Shown: ${notes.join("; ")}. The sums are of all.` : ""
  }

  named({ canvas }, words) {
    canvas.setAttribute("aria-label", words)
  }

  point(event) {
    const box = this.parts.output.canvas.getBoundingClientRect()
    const parts = [(event.clientY - box.top) / box.height, (event.clientX - box.left) / box.width]
    if (this.values) this.select(parts.map((part, axis) => Math.floor(part * this.data.output.shape[axis])))
  }

  select(cell) {
    const kept = inside(cell, this.data.output.shape)
    if (String(kept) === String(this.cell)) return
    this.cell = kept
    this.soon ??= requestAnimationFrame(() => this.paint()) // a mouse moves more often than the screen shows
  }

  // Slide the window over the image once; cells that it has not come to yet are empty.
  play() {
    const [back, n, [, columns]] = [this.cell, this.output.length, this.data.output.shape]
    const start = performance.now()
    const duration = Math.min(SWEEP_MS, n * CELL_MS)
    this.line.setAttribute("aria-live", "off")
    this.button.textContent = "■ Stop"
    const step = (now) => {
      const share = Math.max(0, now - start) / duration // a frame's time may lie before the click's
      this.reached = Math.min(n - 1, Math.floor(share * n))
      if (share >= 1) return this.stop(back)
      this.cell = [Math.floor(this.reached / columns), this.reached % columns]
      this.paint()
      this.sweep = requestAnimationFrame(step)
    }
    this.sweep = requestAnimationFrame(step)
  }

  stop(cell = this.cell) {
    if (this.sweep === undefined) return
    cancelAnimationFrame(this.sweep)
    ;[this.sweep, this.reached, this.cell] = [undefined, undefined, cell]
    this.line.setAttribute("aria-live", "polite")
    this.button.textContent = "▶ Play"
    this.paint()
  }

  paint() {
    cancelAnimationFrame(this.soon)
    this.soon = undefined
    const { data, maps, edges } = this
    const channel = Math.max(0, this.chooser.selectedIndex)
    const kernel = this.kernels[channel]
    const { size, stride, padding } = data
    const ink = inkOf(maps[channel])
    const first = this.cell.map((place, axis) => (place + data.output.first[axis]) * stride - padding)
    const valueAt = (row, column) => {
      const [y, x] = [row - data.input.first[0], column - data.input.first[1]]
      const [height, width] = data.input.shape
      return y < 0 || x < 0 || y >= height || x >= width ? null : maps[channel][y * width + x]
    }
    const block = ([top, left], [height, width]) =>
      Array.from({ length: height * width }, (_, i) => valueAt(top + Math.floor(i / width), left + (i % width)))
    const seen = block(first, [size, size])
    const shape = edges.map(([low, high]) => high - low)
    const all = block([edges[0][0], edges[1][0]], shape)
    const frame = [first[0] - edges[0][0], first[1] - edges[1][0], size, size]
    grid(this.parts.input.canvas, all, shape, ink, { frame, striped: true, kept: `${this.address} ${channel}` })
    const largest = data.mode === "max_pool" ? seen.indexOf(Math.max(...seen.filter((value) => value !== null))) : -1
    const marked = largest < 0 ? undefined : [Math.floor(largest / size), largest % size, 1, 1]
    const empty = data.mode === "max_pool" ? "" : "0"
    grid(this.parts.window.canvas, seen, [size, size], ink, { numbers: true, frame: marked, striped: true, empty })
    if (kernel.length) grid(this.parts.kernel.canvas, [...kernel], [size, size], diverging(kernel), { numbers: true })
    grid(this.parts.output.canvas, this.output, data.output.shape, inkOf(this.output), {
      frame: [...this.cell, 1, 1],
      kept: this.address,
      reached: this.reached,
    })
    this.say(seen, kernel)
  }

  say(seen, kernel) {
    const { data, cell } = this
    const value = this.output[cell[0] * data.output.shape[1] + cell[1]]
    const sum = value - data.bias
    const part = seen.reduce((total, seenValue, i) => total + (seenValue ?? 0) * (kernel[i] ?? 0), 0)
    const digits = digitsFor([...this.output, data.bias])
    const number = (of) => signed(of.toFixed(digits))
    const answer = element("b", {}, number(value))
    if (data.mode === "max_pool") this.line.replaceChildren("Maximum of the window = ", answer)
    else {
      const within = data.of_channels > 1 ? ` (this channel ${number(part)})` : ""
      this.line.replaceChildren(`Σ window × kernel = ${number(sum)}${within} + bias ${number(data.bias)} = `, answer)
    }
  }

  remove() {
    this.stop()
    cancelAnimationFrame(this.soon)
    this.resizing.disconnect()
    this.box.remove()
    lenses.delete(this.place)
  }
}

const area = ([rows, columns]) => rows * columns
const inside = (cell, shape) => cell.map((place, axis) => Math.min(shape[axis] - 1, Math.max(0, place)))
const small = (words) => element("small", {}, words)

function element(tag, attributes = {}, text = "") {
  const made = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value)
  made.textContent = text
  return made
}
