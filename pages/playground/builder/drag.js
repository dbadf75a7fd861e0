// A card that follows the mouse, a finger or a pen, and the line that shows where it would come to lie.

const START_PX = 4
const EDGE_PX = 60 // so near to the edge of the window the page scrolls
const SCROLL_PX = 9 // in a frame

export class Drag {
  // `others` are the elements around which the card can lie: the input, the other layers, the classifier.
  constructor({ event, card, list, line, others, drop }) {
    Object.assign(this, { card, list, line, others, drop, y: event.clientY })
    this.start = this.y - list.getBoundingClientRect().top
    card.setPointerCapture(event.pointerId)
    this.listening = new AbortController()
    const options = { signal: this.listening.signal, capture: true }
    const on = (target, name, handle) => target.addEventListener(name, handle, options)
    on(card, "pointermove", (moved) => this.move(moved.clientY))
    on(card, "pointerup", () => this.end(true))
    on(card, "pointercancel", () => this.end(false))
    on(card, "lostpointercapture", () => this.end(false))
    on(window, "keydown", (pressed) => {
      if (pressed.key !== "Escape") return
      pressed.stopPropagation()
      this.end(false)
    })
  }

  move(y) {
    this.y = y
    const { top } = this.list.getBoundingClientRect()
    const shift = y - top - this.start
    if (!this.moving && Math.abs(shift) < START_PX) return
    if (!this.moving) {
      this.moving = true
      this.card.classList.add("dragged")
      this.line.hidden = false
      this.scroll(scrollerOf(this.list))
    }
    this.card.style.translate = `0 ${shift}px`
    const places = this.others.map((element) => element.getBoundingClientRect())
    const layers = places.slice(1, -1)
    this.place = layers.filter((place) => (place.top + place.bottom) / 2 < y).length
    this.line.style.top = `${(places[this.place].bottom + places[this.place + 1].top) / 2 - top}px`
  }

  scroll(scroller) {
    if (this.listening.signal.aborted) return
    const towards = this.y < EDGE_PX ? -1 : this.y > window.innerHeight - EDGE_PX ? 1 : 0
    if (towards) {
      scroller.scrollBy(0, towards * SCROLL_PX)
      this.move(this.y)
    }
    requestAnimationFrame(() => this.scroll(scroller))
  }

  end(dropped) {
    if (this.listening.signal.aborted) return
    this.listening.abort()
    this.card.classList.remove("dragged")
    this.card.style.translate = ""
    this.line.hidden = true
    if (dropped && this.moving) this.drop(this.place)
  }
}

function scrollerOf(element) {
  for (let at = element.parentElement; at; at = at.parentElement) {
    const scrolls = /auto|scroll/.test(getComputedStyle(at).overflowY)
    if (scrolls && at.scrollHeight > at.clientHeight) return at
  }
  return document.scrollingElement
}
