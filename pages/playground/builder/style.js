const tint = (name) =>
  `.parallax-stack .${name} { color: var(--st-${name}-text-color); background: var(--st-${name}-background-color); }`

export const STYLE = `
.parallax-stack {
  position: relative; container-type: inline-size; width: 100%; font-size: 0.8125rem; line-height: 1.25;
  color: var(--st-text-color); font-family: var(--st-font);
}
.parallax-stack * { box-sizing: border-box; }
.parallax-stack [hidden] { display: none !important; }
.parallax-stack svg { width: 1em; height: 1em; fill: none; stroke: currentColor; stroke-width: 2; }
.parallax-stack button { font: inherit; color: inherit; cursor: pointer; }
.parallax-stack :is(button, .card, input):focus-visible {
  outline: 2px solid var(--st-primary-color); outline-offset: 1px;
}
.parallax-stack button:disabled { cursor: default; opacity: 0.4; }

.parallax-stack .flow { position: relative; margin: 0; padding: 0; list-style: none; }
.parallax-stack .card {
  position: relative; display: grid; align-items: center; column-gap: 8px;
  margin: 0 0 8px; padding: 4px 6px; min-height: 36px; font-size: 0.8125rem; user-select: none;
  grid-template: "handle mark title fields out buttons" auto / 12px 22px minmax(60px, 8.5em) 1fr auto auto;
  background: var(--st-background-color); border: 1px solid var(--st-border-color);
  border-radius: var(--st-base-radius);
}
.parallax-stack .card::before {
  content: ""; position: absolute; left: 36px; bottom: 100%; width: 2px; height: 9px;
  background: var(--st-border-color);
}
.parallax-stack .card:first-child::before { display: none; }
.parallax-stack .card:last-child { margin-bottom: 0; }
.parallax-stack .card.end {
  background: var(--st-secondary-background-color); border-color: transparent; min-height: 32px;
}
.parallax-stack .card.selected { border-color: var(--st-primary-color); box-shadow: 0 0 0 1px var(--st-primary-color); }
.parallax-stack .card.broken { border-color: var(--st-red-color); background: var(--st-red-background-color); }
.parallax-stack .card.dragged {
  z-index: 2; opacity: 0.9; cursor: grabbing; background: var(--st-background-color);
  box-shadow: 0 4px 14px rgb(0 0 0 / 0.25);
}
.parallax-stack .card.dragged::before { display: none; }

.parallax-stack .handle {
  grid-area: handle; display: flex; align-items: center; width: 24px; height: 100%; margin: -4px 0 -4px -6px;
  padding-left: 4px; touch-action: none; cursor: grab; opacity: 0.45;
}
.parallax-stack .handle svg { stroke: none; fill: currentColor; width: 16px; height: 16px; }
.parallax-stack .card:hover .handle { opacity: 0.9; }
.parallax-stack .mark {
  grid-area: mark; display: inline-flex; align-items: center; justify-content: center; flex: none;
  width: 22px; height: 22px; font-size: 14px; border-radius: 5px;
  color: var(--st-gray-text-color); background: var(--st-gray-background-color);
}
.parallax-stack .mark.plain { background: none; color: inherit; }
${["blue", "green", "orange", "yellow", "violet", "red"].map(tint).join("\n")}
.parallax-stack .title { overflow: hidden; white-space: nowrap; text-overflow: ellipsis; font-weight: 600; }
.parallax-stack .card > .title { grid-area: title; }
.parallax-stack .card.end > .title { grid-column-end: fields-end; }
.parallax-stack .fields { grid-area: fields; display: flex; flex-wrap: wrap; gap: 2px 8px; min-width: 0; }
.parallax-stack .field {
  display: flex; flex-direction: column; margin: 0; min-width: 0; font-size: 0.6875rem; line-height: 1.1;
}
.parallax-stack .label { overflow: hidden; white-space: nowrap; text-overflow: ellipsis; opacity: 0.75; }
.parallax-stack .number {
  height: 22px; margin: 0; padding: 0 2px 0 5px; font: inherit; font-size: 0.8125rem; color: inherit;
  background: var(--st-secondary-background-color); border: 1px solid var(--st-border-color); border-radius: 4px;
}
.parallax-stack .number.wrong { border-color: var(--st-red-color); color: var(--st-red-text-color); }
.parallax-stack .number:disabled { opacity: 0.6; }
.parallax-stack .out {
  grid-area: out; display: flex; flex-direction: column; align-items: flex-end; white-space: nowrap; font-size: 0.75rem;
}
.parallax-stack .count { opacity: 0.75; }
.parallax-stack .waiting :is(.out, .total) { opacity: 0.4; transition: opacity 0.2s 0.25s; }
.parallax-stack .buttons { grid-area: buttons; display: flex; gap: 2px; }
.parallax-stack .small {
  display: inline-flex; align-items: center; justify-content: center; width: 24px; height: 24px; padding: 0;
  font-size: 0.8125rem; border: none; border-radius: 50%; background: none; opacity: 0.75;
}
.parallax-stack .small:not(:disabled):hover {
  opacity: 1; color: var(--st-primary-color); background: var(--st-secondary-background-color);
}
.parallax-stack .card.end .small:hover { background: var(--st-background-color); }
.parallax-stack .error {
  grid-column: 2 / -1; font-size: 0.75rem; color: var(--st-red-text-color); overflow-wrap: anywhere;
}
.parallax-stack .error:empty { display: none; }

.parallax-stack .line {
  position: absolute; z-index: 3; left: 0; right: 0; height: 4px; margin-top: -2px; border-radius: 2px;
  background: var(--st-primary-color); pointer-events: none;
}

.parallax-stack .adding { display: flex; flex-wrap: wrap; align-items: center; gap: 6px; margin-top: 10px; }
.parallax-stack .where {
  flex: 1 0 100%; overflow: hidden; white-space: nowrap; text-overflow: ellipsis; font-size: 0.75rem; opacity: 0.75;
}
.parallax-stack .add {
  display: inline-flex; align-items: center; gap: 5px; max-width: 100%; padding: 2px 9px 2px 3px;
  background: var(--st-background-color); border: 1px solid var(--st-border-color);
  border-radius: var(--st-button-radius);
}
.parallax-stack .add .title { font-weight: 400; }
.parallax-stack .add:not(:disabled):hover { color: var(--st-primary-color); border-color: var(--st-primary-color); }
.parallax-stack .foot { display: flex; align-items: center; gap: 4px; margin-top: 8px; }
.parallax-stack .total { flex: 1; min-width: 0; font-weight: 600; overflow-wrap: anywhere; }
.parallax-stack .help { margin-top: 2px; font-size: 0.75rem; opacity: 0.75; }
.parallax-stack .spoken {
  position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap;
}
.parallax-stack.disabled .handle { visibility: hidden; }

@container (max-width: 620px) {
  .parallax-stack .card {
    grid-template:
      "handle mark title out buttons" auto
      ". fields fields fields fields" auto / 12px 22px minmax(40px, 1fr) auto auto;
  }
  .parallax-stack .out { flex-direction: row; }
  .parallax-stack .count:not(:empty)::before { content: " · "; white-space: pre; }
  .parallax-stack .field { flex-direction: row; align-items: center; gap: 4px; }
  .parallax-stack .card.end > .title { grid-column-end: title-end; }
  .parallax-stack .number { height: 20px; }
  .parallax-stack .small { height: 20px; }
}
@container (max-width: 400px) {
  .parallax-stack .card { column-gap: 6px; padding: 3px 4px 4px 6px; }
  .parallax-stack .card::before { left: 34px; }
  .parallax-stack .out { flex-direction: column; font-size: 0.6875rem; line-height: 1.1; }
  .parallax-stack .count:not(:empty)::before { content: none; }
  .parallax-stack .fields:has(> :nth-child(3)) { flex-wrap: nowrap; gap: 6px; }
  .parallax-stack .fields:has(> :nth-child(3)) .field { flex-direction: column; align-items: stretch; gap: 0; }
  .parallax-stack .buttons { gap: 0; }
}
`
