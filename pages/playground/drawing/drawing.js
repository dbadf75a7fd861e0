// A canvas for a digit, where Streamlit mounts the component of `component.py`; after a stroke Python gets its greys.

const STYLE = `
.parallax-drawing { width: 100%; max-width: 280px; }
.parallax-drawing-board { position: relative; width: 100%; aspect-ratio: 1; }
.parallax-drawing-board canvas {
  position: absolute; inset: 0; width: 100%; height: 100%; box-sizing: border-box; background: black; cursor: crosshair;
  border: 1px solid var(--st-border-color); border-radius: var(--st-base-radius); touch-action: none; user-select: none;
}
.parallax-drawing-board canvas:focus-visible { outline: 2px solid var(--st-primary-color); outline-offset: 2px; }
.parallax-drawing-hint {
  position: absolute; inset: 0; display: flex; flex-direction: column; align-items: center; justify-content: center;
  gap: 0.25rem; padding: 1rem; text-align: center; color: #c8cdd2; font: 1rem var(--st-font); pointer-events: none;
}
.parallax-drawing-hint small { font-size: 0.75rem; color: #9aa2aa; }
.parallax-drawing-hint[hidden] { display: none; }
.parallax-drawing-buttons { display: flex; gap: 0.5rem; margin-top: 0.5rem; }
.parallax-drawing-buttons button {
  flex: 1; padding: 0.25rem 0.5rem; font: 0.875rem/1.5 var(--st-font); color: var(--st-text-color); cursor: pointer;
  background: var(--st-background-color); border: 1px solid var(--st-border-color);
  border-radius: var(--st-button-radius);
}
.parallax-drawing-buttons button:is(:hover, :focus-visible):enabled {
  color: var(--st-primary-color); border-color: var(--st-primary-color);
}
.parallax-drawing-buttons button:disabled { opacity: 0.4; cursor: default; }`

// Width of the pen, and a step of the arrow keys, as shares of the side.
const PEN = 0.08
const STEP = 0.04

const ARROWS = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] }

// A board for each place that Streamlit gives us; a place stays the same while its component is on the page.
const boards = new Map()

export function draw(component) {
  const place = component.parentElement
  if (!boards.has(place)) boards.set(place, new Board(place, component.data))
  boards.get(place).send = (drawing) => component.setStateValue("drawing", drawing)
  return () => setTimeout(() => place.isConnected || boards.get(place)?.remove())
}

class Board {
  // What Python holds is shown to begin with only: later it lags behind the hand.
  constructor(place, { label, side, strokes }) {
    if (!document.getElementById("parallax-drawing-style")) {
      document.head.append(element("style", { id: "parallax-drawing-style" }, STYLE))
    }
    Object.assign(this, { place, side, strokes: [...strokes], pen: null })
    this.canvas = element("canvas", { tabindex: "0", role: "img", "aria-label": label })
    this.hint = element("div", { class: "parallax-drawing-hint" })
    const keys = "or by keyboard: Space sets and lifts the pen, arrows move it"
    this.hint.append(element("span", {}, label), element("small", {}, keys))
    this.undo = element("button", { type: "button" }, "Undo")
    this.clear = element("button", { type: "button" }, "Clear")
    const board = element("div", { class: "parallax-drawing-board" })
    board.append(this.canvas, this.hint)
    const buttons = element("div", { class: "parallax-drawing-buttons" })
    buttons.append(this.undo, this.clear)
    this.box = element("div", { class: "parallax-drawing" })
    this.box.append(board, buttons)
    place.append(this.box)
    this.listen()
    this.resizing = new ResizeObserver(() => this.paint())
    this.resizing.observe(this.canvas)
  }

  listen() {
    const { canvas } = this
    canvas.onpointerdown = (event) => {
      if (event.button !== 0 || this.pointer !== undefined) return
      this.lift()
      this.pointer = event.pointerId
      canvas.setPointerCapture(event.pointerId)
      this.strokes.push([this.placeOf(event)])
      this.paint()
    }
    canvas.onpointermove = (event) => {
      if (event.pointerId !== this.pointer) return
      const events = event.getCoalescedEvents?.() ?? []
      for (const one of events.length ? events : [event]) this.lead(this.placeOf(one))
      this.paint()
    }
    canvas.onpointerup = canvas.onpointercancel = (event) => {
      if (event.pointerId !== this.pointer) return
      this.pointer = undefined
      this.tell()
    }
    canvas.onkeydown = (event) => this.press(event)
    canvas.onblur = () => this.lift()
    this.undo.onclick = () => this.change(() => this.strokes.pop())
    this.clear.onclick = () => this.change(() => (this.strokes = []))
  }

  // No point nearer to the last than a thirtieth of the pen: a slow hand would fill the line to the server with them.
  lead([x, y]) {
    const stroke = this.strokes.at(-1)
    const [lastX, lastY] = stroke.at(-1)
    if (Math.hypot(x - lastX, y - lastY) > PEN / 30) stroke.push([x, y])
  }

  // From 0 to 1 within the canvas, to a thousandth.
  placeOf(event) {
    const { left, top, width, height } = this.canvas.getBoundingClientRect()
    return [(event.clientX - left) / width, (event.clientY - top) / height].map(rounded)
  }

  change(act) {
    if (this.pointer !== undefined) return
    this.pen = null
    act()
    this.tell()
  }

  // Space sets the pen and lifts it, arrows move it.
  press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || this.pointer !== undefined) return
    if (event.key === " ") {
      if (this.pen?.down) this.lift()
      else {
        this.pen = { at: this.pen?.at ?? [0.5, 0.2], down: true }
        this.strokes.push([this.pen.at])
      }
    } else if (ARROWS[event.key]) {
      const [x, y] = this.pen?.at ?? [0.5, 0.2]
      const [right, down] = ARROWS[event.key]
      this.pen = { at: [inside(x + right), inside(y + down)], down: this.pen?.down ?? false }
      if (this.pen.down) this.strokes.at(-1).push(this.pen.at)
    } else if (event.key === "Escape" && this.pen) this.lift()
    else return
    event.preventDefault()
    this.paint()
  }

  lift() {
    if (!this.pen?.down) return
    this.pen.down = false
    this.tell()
  }

  tell() {
    this.paint()
    this.send(this.strokes.length ? { greys: this.greys(), strokes: this.strokes } : null)
  }

  paint() {
    const size = Math.round(this.canvas.clientWidth * devicePixelRatio)
    if (this.canvas.width !== size) this.canvas.width = this.canvas.height = size
    const context = this.canvas.getContext("2d")
    brush(context, this.strokes, size)
    if (this.pen && document.activeElement === this.canvas) {
      context.fillStyle = this.pen.down ? "#E69F00" : "#56B4E9"
      context.beginPath()
      context.arc(this.pen.at[0] * size, this.pen.at[1] * size, (PEN / 3) * size, 0, 7)
      context.fill()
    }
    this.hint.hidden = this.strokes.length > 0 || this.pen !== null
    this.undo.disabled = this.clear.disabled = this.strokes.length === 0
  }

  // Each grey is the mean of 4 × 4 pixels, in base64.
  greys() {
    const { side } = this
    const large = new OffscreenCanvas(4 * side, 4 * side).getContext("2d")
    brush(large, this.strokes, 4 * side)
    const { data } = large.getImageData(0, 0, 4 * side, 4 * side)
    const sums = new Float32Array(side * side)
    for (let y = 0; y < 4 * side; y++) {
      for (let x = 0; x < 4 * side; x++) sums[(y >> 2) * side + (x >> 2)] += data[4 * (y * 4 * side + x)]
    }
    return btoa(String.fromCharCode(...sums.map((sum) => Math.round(sum / 16))))
  }

  remove() {
    this.resizing.disconnect()
    this.box.remove()
    boards.delete(this.place)
  }
}

// White strokes on black, round at their ends.
function brush(context, strokes, size) {
  context.fillStyle = "black"
  context.fillRect(0, 0, size, size)
  context.strokeStyle = "white"
  context.lineWidth = PEN * size
  context.lineCap = context.lineJoin = "round"
  for (const stroke of strokes) {
    const points = stroke.map(([x, y]) => [x * size, y * size])
    context.beginPath()
    context.moveTo(...points[0])
    // Curves through the middles of what the hand was seen to do: no corners where the mouse was fast.
    for (let i = 1; i < points.length - 1; i++) {
      const [[x, y], [nextX, nextY]] = [points[i], points[i + 1]]
      context.quadraticCurveTo(x, y, (x + nextX) / 2, (y + nextY) / 2)
    }
    context.lineTo(...points.at(-1))
    context.stroke()
  }
}

const rounded = (part) => Math.round(part * 1000) / 1000
const inside = (part) => rounded(Math.min(1, Math.max(0, part)))

function element(tag, attributes = {}, text = "") {
  const made = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value)
  made.textContent = text
  return made
}
