// The drawn signs: one for each kind of layer that we know, in its colour, and those on buttons.

const dot = (x, y) => `M${x - 2} ${y}a2 2 0 1 0 4 0a2 2 0 1 0-4 0`

const KINDS = {
  input: ["plain", "M3 5h18v14H3zM4 18l5-7 4 4 3-3 4 6"],
  convolution: ["blue", "M4 4h16v16H4zM4 9.3h16M4 14.7h16M9.3 4v16M14.7 4v16"],
  relu: ["green", "M3 17h9l8-11"],
  max_pool: ["orange", "M3 3h12v12H3zM16 16h5v5h-5z"],
  dropout: ["gray", `${dot(6, 7)}${dot(18, 17)}M16 5l4 4m0-4l-4 4M4 15l4 4m0-4l-4 4`],
  batch_norm: ["yellow", "M3 19c5 0 5-13 9-13s4 13 9 13"],
  residual: ["violet", "M2 18h20M6 18c0-14 12-14 12 0M15 14l3 4 3-4"],
  fully_connected: [
    "red",
    `${dot(4, 6)}${dot(4, 18)}${dot(20, 6)}${dot(20, 18)}M4 6h16M4 18h16M4 6l16 12M4 18L20 6`,
  ],
  classifier: ["plain", "M5 20V11M12 20V4M19 20v-6"],
}

export const SIGNS = {
  handle: `${dot(9, 5)}${dot(15, 5)}${dot(9, 12)}${dot(15, 12)}${dot(9, 19)}${dot(15, 19)}`,
  remove: "M6 6l12 12M18 6L6 18",
  undo: "M8 5L4 9l4 4M4 9h10a5 5 0 0 1 0 10h-4",
  redo: "M16 5l4 4-4 4M20 9H10a5 5 0 0 0 0 10h4",
}

// The sign of a kind on its colour; a kind that came later than this list is a plain circle.
export function mark(kind) {
  const [colour, path] = Object.hasOwn(KINDS, kind) ? KINDS[kind] : ["gray", "M5 12a7 7 0 1 0 14 0a7 7 0 1 0-14 0"]
  const made = element("span", `mark ${colour}`, { "aria-hidden": "true" })
  made.append(sign(path))
  return made
}

export function sign(path) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", "svg")
  made.setAttribute("viewBox", "0 0 24 24")
  const line = document.createElementNS("http://www.w3.org/2000/svg", "path")
  line.setAttribute("d", path)
  made.append(line)
  return made
}

// Words of any origin go through `textContent` and attributes only.
export function element(tag, className, attributes = {}, text = "") {
  const made = document.createElement(tag)
  made.className = className
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value)
  if (text) made.textContent = text
  return made
}

export function button(className, label, content, press) {
  const made = element("button", className, { type: "button", "aria-label": label, title: label })
  made.append(content)
  made.onclick = press
  return made
}

// Set what differs only: a screen reader tells of what is set.
export function write(target, text) {
  if (target.textContent !== text) target.textContent = text
}
