// Draws numbers as cells of a grid, in their colours.

// The window's outline shows on white, black, red and blue.
const OUTLINE = "#E69F00"
const [RED, WHITE, BLUE] = [[178, 24, 43], [247, 247, 247], [33, 102, 172]]

// Draw values (null: none there) as cells, and a frame [row, column, height, width] around some; cells after `reached`
// are left out. Cells that do not depend on what is under the mouse are kept as a picture, by the name `kept`.
export function grid(canvas, values, [rows, columns], ink, { frame, kept, reached, ...looks }) {
  const width = Math.round(canvas.clientWidth * devicePixelRatio)
  if (!width) return
  const side = width / columns
  const height = Math.round(side * rows)
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height })
  canvas.style.aspectRatio = `${columns} / ${rows}`
  const edge = (place) => Math.round(place * side)
  const style = getComputedStyle(canvas)
  const name = [kept, width, height, style.color].join()
  let picture = pictures.get(canvas)
  if (picture?.name !== name || !kept) {
    const context = new OffscreenCanvas(width, height).getContext("2d")
    cells(context, values, columns, ink, edge, style, looks)
    if (side / devicePixelRatio >= 5) lines(context, rows, columns, edge, width, height)
    pictures.set(canvas, (picture = { name, image: context.canvas }))
  }
  const context = canvas.getContext("2d")
  context.clearRect(0, 0, width, height)
  context.drawImage(picture.image, 0, 0)
  if (reached !== undefined) {
    const [row, column] = [Math.floor(reached / columns), reached % columns]
    context.clearRect(edge(column + 1), edge(row), width, edge(row + 1) - edge(row))
    context.clearRect(0, edge(row + 1), width, height)
  }
  if (frame) outline(context, frame, edge)
}

// The last picture of each canvas.
const pictures = new WeakMap()

function cells(context, values, columns, ink, edge, style, { numbers = false, striped = false, empty = "" }) {
  const line = style.getPropertyValue("--st-border-color").trim()
  context.textAlign = "center"
  context.textBaseline = "middle"
  const words = numbers ? labels(values, empty) : []
  if (numbers) context.font = fitting(context, words, context.canvas.width / columns, style.fontFamily)
  values.forEach((value, i) => {
    const [y, x] = [Math.floor(i / columns), i % columns]
    const box = [edge(x), edge(y), edge(x + 1) - edge(x), edge(y + 1) - edge(y)]
    if (value === null) striped && hatch(context, box, line)
    else {
      context.fillStyle = `rgb(${ink(value)})`
      context.fillRect(...box)
    }
    if (!numbers) return
    context.fillStyle = value === null ? style.color : lightness(ink(value)) > 140 ? "#111" : "#fff"
    context.fillText(words[i], box[0] + box[2] / 2, box[1] + box[3] / 2)
  })
}

function lines(context, rows, columns, edge, width, height) {
  context.strokeStyle = "rgba(128, 128, 128, 0.45)"
  context.lineWidth = 1
  context.beginPath()
  for (let x = 1; x < columns; x++) context.rect(edge(x), 0, 0, height)
  for (let y = 1; y < rows; y++) context.rect(0, edge(y), width, 0)
  context.stroke()
}

function outline(context, [row, column, height, width], edge) {
  const box = [edge(column), edge(row), edge(column + width) - edge(column), edge(row + height) - edge(row)]
  for (const [colour, thick] of [["black", 4], [OUTLINE, 2]]) {
    context.strokeStyle = colour
    context.lineWidth = thick * devicePixelRatio
    context.strokeRect(...box)
  }
}

// Stripes, for zeros that are not the image's own.
function hatch(context, [x, y, width, height], colour) {
  context.save()
  context.beginPath()
  context.rect(x, y, width, height)
  context.clip()
  context.strokeStyle = colour
  context.lineWidth = devicePixelRatio
  const gap = 4 * devicePixelRatio
  context.beginPath()
  for (let at = Math.floor((x + y) / gap) * gap; at < x + y + width + height; at += gap) {
    context.moveTo(at - y, y)
    context.lineTo(at - y - height, y + height)
  }
  context.stroke()
  context.restore()
}

// Grey from black to white where no value is negative, else red over white to blue.
export function inkOf(values) {
  const largest = Math.max(...values)
  if (Math.min(...values) < 0) return diverging(values)
  return (value) => Array(3).fill(Math.round(255 * (largest ? value / largest : 0)))
}

export function diverging(values) {
  const largest = Math.max(...Array.from(values, Math.abs)) || 1
  return (value) => {
    const share = Math.min(1, Math.abs(value) / largest)
    return WHITE.map((white, i) => Math.round(white + share * ((value < 0 ? BLUE : RED)[i] - white)))
  }
}

const lightness = ([red, green, blue]) => 0.299 * red + 0.587 * green + 0.114 * blue

// Two digits of the largest are enough within a cell.
function labels(values, empty) {
  const digits = Math.max(0, digitsFor(values.filter((value) => value !== null)) - 1)
  return Array.from(values, (value) => (value === null ? empty : value === 0 ? "0" : signed(value.toFixed(digits))))
}

function fitting(context, words, side, family) {
  context.font = `100px ${family}`
  const widest = Math.max(...words.map((word) => context.measureText(word).width))
  return `${Math.min(0.42 * side, (0.86 * side * 100) / widest, 16 * devicePixelRatio)}px ${family}`
}

// Digits after the point so that the largest shows three in all.
export function digitsFor(values) {
  const largest = Math.max(...Array.from(values, Math.abs))
  return largest > 0 ? Math.min(8, Math.max(0, 2 - Math.floor(Math.log10(largest)))) : 2
}

export const signed = (number) => (Number(number) === 0 ? number.replace("-", "") : number.replace("-", "−"))
