// Shows the stack of layers where Streamlit mounts the component of `component.py`, and sends Python every edit.
import { Card, parameters } from "./card.js"
import { Drag } from "./drag.js"
import { SIGNS, button, element, mark, sign, write } from "./marks.js"
import { STYLE } from "./style.js"

const SEND_MS = 60 // a held key makes one edit, not thirty a second
const HELP = "Drag a card, or focus it: Alt+↑ and Alt+↓ move it, Delete removes it, Ctrl+Z undoes."

// A builder for each place that Streamlit gives us. An outdated call is taken back while its place stays.
const builders = new Map()

export function draw(component) {
  const place = component.parentElement
  if (!builders.has(place)) builders.set(place, new Builder(place))
  builders.get(place).update(component)
  return () => setTimeout(() => place.isConnected || builders.get(place)?.remove())
}

class Builder {
  constructor(place) {
    if (!document.getElementById("parallax-stack-style")) {
      document.head.append(element("style", "", { id: "parallax-stack-style" }, STYLE))
    }
    this.place = place
    this.layers = [] // {id, layer} from input to classifier; an edit makes a new list, so that old ones can come back
    this.cards = new Map() // by id
    this.rows = new Map() // by id, or by end
    this.number = 0 // of the last edit
    this.lastId = 0
    this.forget()
    this.build()
  }

  build() {
    this.box = element("div", "parallax-stack")
    this.list = element("ol", "flow")
    this.line = element("div", "line", { "aria-hidden": "true" })
    this.line.hidden = true
    this.ends = { input: this.end("input"), classifier: this.end("classifier") }
    this.adding = element("div", "adding")
    this.where = element("span", "where")
    this.foot = element("div", "foot")
    this.total = element("span", "total")
    this.undoing = button("small", "Undo", sign(SIGNS.undo), () => this.goBack(this.past, this.future, "Undone."))
    this.redoing = button("small", "Redo", sign(SIGNS.redo), () => this.goBack(this.future, this.past, "Done again."))
    this.live = element("div", "spoken", { "aria-live": "polite" })
    this.foot.append(this.total, this.undoing, this.redoing)
    this.box.append(this.list, this.line, this.adding, this.foot, element("div", "help", {}, HELP), this.live)
    this.place.append(this.box)
    this.list.addEventListener("focusin", ({ target }) => this.select(this.idOf(target)))
    this.list.addEventListener("pointerdown", (event) => this.grab(event))
    this.box.addEventListener("keydown", (event) => this.press(event))
  }

  end(name) {
    const card = new Card(name, [], { explain: () => this.trigger("explain", this.rows.get(name).explain) })
    card.element.classList.add("end")
    return card
  }

  update({ data, setStateValue, setTriggerValue }) {
    const first = !this.data
    this.data = data
    this.setState = setStateValue
    this.trigger = setTriggerValue
    const kinds = JSON.stringify(data.kinds)
    if (this.kinds !== kinds) this.offer(kinds)
    const anew = data.number < this.answered // Python has forgotten what it knew: its word holds
    this.answered = data.number
    if (anew || data.number >= this.number) this.accept(data, first)
    this.render()
  }

  // Take over what Python says, which knows the last edit; cards of unchanged layers stay what they are.
  accept({ stack, rows, number }, first) {
    this.number = number
    this.box.classList.remove("waiting")
    this.forced = !alike(stack, this.stack())
    if (this.forced) {
      this.drag?.end(false)
      if (!first) this.past.push(this.layers)
      ;[this.future, this.step, this.selected] = [[], "", undefined]
      this.layers = this.matched(stack)
    }
    const errors = [...this.rows.values()].map(({ error }) => error)
    const keys = ["input", ...this.layers.map(({ id }) => id), "classifier"]
    this.rows = new Map(keys.map((key, at) => [key, rows[at]]))
    const fresh = rows.find(({ error }) => error && !errors.includes(error))
    if (fresh && !first) this.say(`${fresh.title}: ${fresh.error}`)
  }

  // Layers of the same kind at the top and at the bottom are the old ones, with other numbers perhaps.
  matched(stack) {
    const [old, made] = [this.layers, stack.map((layer) => ({ id: 0, layer }))]
    const shorter = Math.min(old.length, made.length)
    const fits = (was, now) => was.layer.kind === now.layer.kind
    let top = 0
    while (top < shorter && fits(old[top], made[top])) made[top].id = old[top++].id
    for (let up = 1; up <= shorter - top && fits(old.at(-up), made.at(-up)); up++) made.at(-up).id = old.at(-up).id
    for (const one of made) one.id ||= ++this.lastId
    return made
  }

  // The buttons that add a layer; fields may be others too, so that cards are made anew.
  offer(kinds) {
    this.kinds = kinds
    for (const { element } of this.cards.values()) element.remove()
    this.cards.clear()
    this.adders = Object.entries(this.data.kinds).map(([kind, { title }]) => {
      const made = button("add", `Add ${title}`, mark(kind), () => this.add(kind))
      made.append(element("span", "title", {}, title))
      return made
    })
    this.adding.replaceChildren(this.where, ...this.adders)
  }

  stack() {
    return this.layers.map(({ layer }) => layer)
  }

  // An edit: shown at once, and sent. Steps of one name in a row are undone together.
  change(layers, words, step = "", delay = SEND_MS) {
    if (this.data.disabled) return
    if (!step || step !== this.step) this.past.push(this.layers)
    ;[this.step, this.future] = [step, []]
    this.replace(layers, words, delay)
  }

  goBack(from, to, words) {
    if (this.data.disabled || !from.length) return
    to.push(this.layers)
    this.step = ""
    this.forced = true
    this.replace(from.pop(), words, SEND_MS)
    if ([null, document.body].includes(document.activeElement)) this.adders[0]?.focus() // its card is gone
  }

  replace(layers, words, delay) {
    this.layers = layers
    this.number += 1
    this.box.classList.add("waiting")
    for (const { note } of this.cards.values()) write(note, "")
    if (words) this.say(words)
    this.send(delay)
    this.render()
  }

  send(delay) {
    clearTimeout(this.timer)
    const now = () => {
      this.timer = null
      this.setState("edit", { number: this.number, stack: this.stack() })
    }
    this.timer = setTimeout(now, delay)
    this.flush = () => {
      if (this.timer) clearTimeout(this.timer), now()
    }
  }

  forget() {
    ;[this.past, this.future, this.step, this.flush] = [[], [], "", () => {}]
  }

  set(id, field, value, delay) {
    const layers = [...this.layers]
    const at = this.at(id)
    layers[at] = { id, layer: { ...layers[at].layer, [field.name]: value } }
    this.change(layers, "", `${field.name} of ${id}`, delay)
  }

  add(kind) {
    const { fields } = this.data.kinds[kind]
    const layer = { kind, ...Object.fromEntries(fields.map(({ name, default: usual }) => [name, usual])) }
    const at = this.at(this.selected) + 1 || this.layers.length
    const id = ++this.lastId
    this.selected = id
    const layers = this.layers.toSpliced(at, 0, { id, layer })
    this.change(layers, `${this.titleOf({ layer })} added as layer ${at + 1} of ${layers.length}.`)
  }

  take(id) {
    const [at, { element }] = [this.at(id), this.cards.get(id)]
    const [inside, title] = [element.contains(document.activeElement), this.titleOf(this.layers[at], id)]
    const layers = this.layers.toSpliced(at, 1)
    this.change(layers, `${title} removed. ${layers.length} ${layers.length === 1 ? "layer is" : "layers are"} left.`)
    const next = layers[Math.min(at, layers.length - 1)]
    if (inside) (next ? this.cards.get(next.id).element : this.adders[0])?.focus()
  }

  move(id, to) {
    const at = this.at(id)
    if (to === at || to < 0 || to >= this.layers.length) return
    const layers = this.layers.toSpliced(at, 1).toSpliced(to, 0, this.layers[at])
    this.change(layers, `${this.titleOf(this.layers[at], id)} moved to place ${to + 1} of ${layers.length}.`)
  }

  at(id) {
    return this.layers.findIndex((one) => one.id === id)
  }

  idOf(target) {
    const card = target.closest(".card")
    return this.layers.find(({ id }) => this.cards.get(id)?.element === card)?.id
  }

  titleOf({ layer }, id) {
    return (this.rows.get(id)?.title || this.data.kinds[layer.kind]?.title) ?? layer.kind
  }

  select(id) {
    if (this.selected === id) return
    this.selected = id
    this.step = ""
    this.render()
  }

  grab(event) {
    const id = this.idOf(event.target)
    const [onHandle, onBody] = [event.target.closest(".handle"), !event.target.closest("label, button")]
    if (!id) return this.select(undefined)
    if (this.data.disabled || event.button || !(onHandle || (onBody && event.pointerType === "mouse"))) return
    const card = this.cards.get(id).element
    const others = [...this.list.children].filter((element) => element !== card)
    this.drag = new Drag({ event, card, list: this.list, line: this.line, others, drop: (to) => this.move(id, to) })
  }

  press(event) {
    const [id, { key, target }] = [this.idOf(event.target), event]
    const typing = target.matches("input")
    const up = { ArrowUp: -1, ArrowDown: 1 }[key]
    const command = event.ctrlKey || event.metaKey
    if (id && event.altKey && up) this.move(id, this.at(id) + up)
    else if (typing || event.altKey) return
    else if (command && key === "z") this.undoing.click()
    else if (command && (key === "Z" || key === "y")) this.redoing.click()
    else if (command) return
    else if (id && key === "Delete") this.take(id)
    else if (id && up && target.matches(".card")) this.cards.get(this.layers[this.at(id) + up]?.id)?.element.focus()
    else if (key === "Escape") this.select(undefined)
    else return
    event.preventDefault()
    event.stopPropagation()
  }

  render() {
    const { disabled, explains } = this.data
    for (const [id, { element }] of this.cards) if (this.at(id) < 0) element.remove(), this.cards.delete(id)
    if (this.at(this.selected) < 0) this.selected = undefined
    for (const { id, layer } of this.layers) if (!this.cards.has(id)) this.cards.set(id, this.card(id, layer))
    this.order([this.ends.input, ...this.layers.map(({ id }) => this.cards.get(id)), this.ends.classifier])
    for (const [at, one] of this.layers.entries()) {
      const [card, label] = [this.cards.get(one.id), this.titleOf(one, one.id)]
      const known = this.data.kinds[one.layer.kind] !== undefined
      card.show(one.layer, this.rows.get(one.id), { label, explains: explains && known, disabled, forced: this.forced })
      card.element.setAttribute("aria-label", `${label}, layer ${at + 1} of ${this.layers.length}`)
      card.element.classList.toggle("selected", one.id === this.selected)
    }
    for (const [name, card] of Object.entries(this.ends)) {
      const row = this.rows.get(name)
      card.show({}, row, { label: row?.title ?? "", explains: explains && Boolean(row?.explain) })
    }
    this.forced = false
    this.showFoot()
  }

  showFoot() {
    const { disabled } = this.data
    const [rows, after] = [[...this.rows.values()], this.layers[this.at(this.selected)]]
    write(this.where, after ? `Add after ${this.titleOf(after, after.id)}:` : "Add at the end:")
    const broken = rows.find(({ error }) => error)
    const sum = rows.reduce((total, row) => total + row.parameters, 0)
    write(this.total, broken ? `No total: the stack breaks at ${broken.title}` : `Total: ${parameters(sum)}`)
    for (const adder of this.adders) adder.disabled = disabled
    this.undoing.disabled = disabled || !this.past.length
    this.redoing.disabled = disabled || !this.future.length
    this.box.classList.toggle("disabled", disabled)
  }

  card(id, layer) {
    return new Card(layer.kind, this.data.kinds[layer.kind]?.fields ?? [], {
      change: (field, value, delay) => this.set(id, field, value, delay),
      flush: () => this.flush(),
      moving: () => this.moving,
      explain: () => this.trigger("explain", layer.kind),
      remove: () => this.take(id),
    })
  }

  // Bring the cards into order; they slide, and what has the focus keeps it.
  order(cards) {
    const elements = cards.map(({ element }) => element)
    if (elements.every((element, at) => this.list.children[at] === element)) return
    const there = elements.filter(({ isConnected }) => isConnected)
    const tops = new Map(there.map((element) => [element, element.offsetTop]))
    const held = document.activeElement
    this.moving = true
    for (const [at, element] of elements.entries()) {
      if (this.list.children[at] !== element) this.list.insertBefore(element, this.list.children[at] ?? null)
    }
    if (held !== document.activeElement && this.list.contains(held)) held.focus({ preventScroll: true })
    this.moving = false
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return
    for (const [element, top] of tops) {
      const by = top - element.offsetTop
      if (by) element.animate({ transform: [`translateY(${by}px)`, "none"] }, { duration: 150, easing: "ease-out" })
    }
  }

  say(words) {
    this.live.replaceChildren(element("span", "", {}, words))
  }

  remove() {
    this.drag?.end(false)
    clearTimeout(this.timer)
    this.box.remove()
    builders.delete(this.place)
  }
}

// Whether two stacks are the same, in whatever order the fields of a layer are.
function alike(one, other) {
  const flat = (layer) => Object.entries(layer).sort(([a], [b]) => (a < b ? -1 : 1))
  return JSON.stringify(one.map(flat)) === JSON.stringify(other.map(flat))
}
