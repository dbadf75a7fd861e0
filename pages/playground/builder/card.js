// A card in the flow: the input, a layer, or the classifier.
import { SIGNS, button, element, mark, sign, write } from "./marks.js"

const TYPING_MS = 250 // until a number counts as typed

export class Card {
  // `actions` are those of a layer: change, flush, moving, explain, remove; an end of the flow has `explain` only.
  constructor(kind, fields, actions) {
    this.actions = actions
    this.fields = fields
    this.element = element("li", "card")
    this.title = element("span", "title")
    this.inputs = fields.map((field) => this.input(field))
    this.shape = element("span", "shape")
    this.count = element("span", "count")
    this.error = element("div", "error")
    this.note = element("div", "error", { role: "status" })
    const out = element("span", "out")
    out.append(this.shape, this.count)
    const numbers = element("span", "fields")
    numbers.append(...this.inputs.map((input) => input.parentElement))
    this.buttons = element("span", "buttons")
    this.explain = button("small", "Explain", "?", actions.explain)
    this.buttons.append(this.explain)
    this.element.append(mark(kind), this.title, numbers, out, this.buttons, this.error, this.note)
    if (actions.remove) this.makeLayer()
  }

  makeLayer() {
    this.handle = element("span", "handle", { "aria-hidden": "true", title: "Drag to move" })
    this.handle.append(sign(SIGNS.handle))
    this.remove = button("small", "Remove", sign(SIGNS.remove), this.actions.remove)
    this.buttons.append(this.remove)
    this.element.prepend(this.handle)
    this.element.tabIndex = 0
    this.element.setAttribute("aria-keyshortcuts", "Alt+ArrowUp Alt+ArrowDown Delete")
  }

  input(field) {
    const label = element("label", "field", { title: field.help || field.title })
    const { low, high, step } = field
    const input = element("input", "number", { type: "number", min: low, max: high, step, "data-field": field.name })
    const digits = Math.max(...[low, high, step, field.default].map((number) => String(number).length))
    input.style.width = `calc(${digits}ch + 26px)`
    label.append(element("span", "label", {}, field.title), input)
    input.oninput = () => this.typed(field, input)
    input.onchange = () => this.finish(field, input)
    input.onblur = () => this.finish(field, input)
    input.addEventListener("wheel", () => input.blur(), { passive: true }) // it scrolls the page, and turns no number
    return input
  }

  typed(field, input) {
    const value = input.valueAsNumber
    const good = allowed(field, value)
    input.classList.toggle("wrong", !good)
    write(this.note, good ? "" : `${field.title}: ${range(field)}.`)
    if (good && value !== this.layer[field.name]) this.actions.change(field, value, TYPING_MS)
  }

  // What is no allowed number becomes the nearest one, or what it was, and that is said.
  finish(field, input) {
    if (this.actions.moving()) return // it only seems to leave
    const value = input.valueAsNumber
    if (!allowed(field, value)) {
      const now = Number.isFinite(value) ? nearest(field, value) : this.value(field)
      input.value = now
      input.classList.remove("wrong")
      if (now !== this.value(field)) this.actions.change(field, now, 0)
      const was = Number.isFinite(value) ? `${value} became ${now}` : `it is ${now} again`
      write(this.note, `${field.title}: ${range(field)}; ${was}.`)
    }
    this.actions.flush()
  }

  value(field) {
    return this.layer[field.name] ?? field.default
  }

  // `forced` also overwrites the field that is being typed in.
  show(layer, row, { label, explains, disabled, forced }) {
    this.layer = layer
    write(this.title, label)
    this.title.title = label
    for (const [at, field] of this.fields.entries()) {
      const [input, text] = [this.inputs[at], String(this.value(field))]
      input.disabled = disabled
      if (input.value === text || (!forced && input === document.activeElement)) continue
      input.value = text
      input.classList.toggle("wrong", !allowed(field, this.value(field)))
    }
    this.explain.hidden = !explains
    name(this.explain, `Explain ${label}`)
    if (this.remove) {
      name(this.remove, `Remove ${label}`)
      this.remove.disabled = disabled
    }
    write(this.shape, row?.shape ?? "")
    write(this.count, row?.shape ? parameters(row.parameters) : "")
    write(this.error, row?.error ?? "")
    this.element.classList.toggle("broken", Boolean(row?.error))
  }
}

export function parameters(count) {
  return `${count.toLocaleString("en")} ${count === 1 ? "parameter" : "parameters"}`
}

function name(target, label) {
  target.title = label
  target.setAttribute("aria-label", label)
}

function whole({ low, high, step, default: usual }) {
  return [low, high, step, usual].every(Number.isInteger)
}

function allowed(field, value) {
  return Number.isFinite(value) && nearest(field, value) === value
}

function nearest(field, value) {
  const { low, high, step } = field
  const inside = Math.min(high, Math.max(low, value))
  if (!whole(field)) return inside
  return low + step * Math.min(Math.round((inside - low) / step), Math.floor((high - low) / step))
}

function range(field) {
  const { low, high, step } = field
  const steps = whole(field) && step !== 1 ? ` in steps of ${step}` : ""
  return `${whole(field) ? "a whole number" : "a number"} from ${low} to ${high}${steps}`
}
