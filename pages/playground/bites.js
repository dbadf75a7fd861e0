// A "?" that opens a few sentences and a picture, where Streamlit mounts the component of `bites.py`.

const STYLE = `
button {
  width: 1.4rem; height: 1.4rem; padding: 0; border-radius: 50%; cursor: pointer; font: 600 0.8rem/1 var(--st-font);
  color: var(--st-text-color); background: var(--st-background-color); border: 1px solid var(--st-border-color);
}
button:is(:hover, :focus-visible) { color: var(--st-primary-color); border-color: var(--st-primary-color); }
[popover] {
  position: fixed; inset: auto; margin: 0; box-sizing: border-box; width: min(20rem, calc(100vw - 1rem));
  padding: 0.75rem 1rem; border: 1px solid var(--st-border-color); border-radius: var(--st-base-radius);
  color: var(--st-text-color); background: var(--st-background-color); box-shadow: 0 4px 16px rgb(0 0 0 / 0.2);
  font: 0.875rem/1.5 var(--st-font);
}
h4 { margin: 0 0 0.5rem; font: 600 1rem/1.4 var(--st-heading-font, var(--st-font)); }
p { margin: 0.5rem 0 0; }
svg { display: block; width: 100%; height: auto; }`

// Pixels between the button, the bite and the window's edge.
const GAP_PX = 8

const bites = new Map()

export function draw(component) {
  const place = component.parentElement
  if (!bites.has(place)) bites.set(place, new Bite(place))
  bites.get(place).update(component.data)
  return () => setTimeout(() => place.isConnected || bites.delete(place))
}

class Bite {
  constructor(place) {
    this.button = element("button", { type: "button" }, "?")
    this.card = element("div", { popover: "auto" })
    this.title = element("h4")
    this.picture = element("div")
    this.text = element("p")
    this.card.append(this.title, this.picture, this.text)
    this.button.popoverTargetElement = this.card
    this.card.addEventListener("toggle", ({ newState }) => {
      const change = newState === "open" ? "addEventListener" : "removeEventListener"
      for (const event of ["scroll", "resize"]) window[change](event, this.follow, true)
      if (newState === "open") this.follow()
    })
    place.append(element("style", {}, STYLE), this.button, this.card)
  }

  update({ title, text, picture, inline }) {
    if (inline) {
      this.button.hidden = this.title.hidden = true
      this.card.removeAttribute("popover")
    }
    this.button.setAttribute("aria-label", `What is this? ${title}`)
    this.title.textContent = title
    this.text.textContent = text
    if (this.shown !== picture) this.picture.innerHTML = this.shown = picture // a file of ours
  }

  // Below the button, or above it where there is more room; within the window.
  follow = () => {
    const button = this.button.getBoundingClientRect()
    const { offsetWidth: width, offsetHeight: height, style } = this.card
    const below = button.bottom + GAP_PX
    const fits = below + height <= innerHeight - GAP_PX || button.top < innerHeight - button.bottom
    style.top = `${Math.max(GAP_PX, fits ? below : button.top - GAP_PX - height)}px`
    style.left = `${Math.max(GAP_PX, Math.min(button.left, innerWidth - GAP_PX - width))}px`
  }
}

function element(tag, attributes = {}, text = "") {
  const made = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value)
  made.textContent = text
  return made
}
