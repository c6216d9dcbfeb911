// Numbers in columns, won and lost, and the state of a thing: sign and shape, then colour.
import { html } from "/assets/view.js";
import { direction, signedDollars, signedPercent } from "/assets/format.js";

const decimalsOf = (text) => {
  const point = text.lastIndexOf(".");
  return point < 0 ? -1 : text.length - point - 1;
};

/** Return a function that shows a column's texts with their decimal points in line. */
export function column(texts) {
  const most = Math.max(-1, ...texts.map(decimalsOf));
  return (text) => {
    const missing = most - decimalsOf(text);
    if (missing <= 0) return html`<span class="n">${text}</span>`;
    // The point itself is narrower than a figure.
    const point = decimalsOf(text) < 0 ? 1 : 0;
    const room = `calc(${missing - point}ch + ${point * 0.28}em)`;
    return html`<span class="n" style=${{ paddingInlineEnd: room }}>${text}</span>`;
  };
}

const TURNS = {
  1: ["gain", "\u25B2"],
  "-1": ["loss", "\u25BC"],
  0: ["even", ""],
};

/** An amount that was won or lost. */
export function Won({ value, percent, big }) {
  const [kind, arrow] = TURNS[direction(value)];
  return html`<span class=${`won ${kind} ${big ? "big" : ""}`}
    >${arrow && html`<span class="arrow" aria-hidden="true">${arrow}</span>`}<span class="n">${signedDollars(value)}</span
    >${percent !== undefined && percent !== null
      && html` <span class="n below">${signedPercent(percent)}</span>`}</span>`;
}

const SHAPES = { good: "\u25CF", wait: "\u25D0", bad: "\u25B2", off: "\u25CB" };

/** A word with a shape that says whether it is well. */
export function Mark({ kind, children }) {
  return html`<span class=${`mark ${kind}`}
    ><span class="shape" aria-hidden="true">${SHAPES[kind]}</span>${children}</span>`;
}

/** The one row of a table that has none. */
export function Empty({ children }) {
  return html`<tr role="row" class="none"><td role="cell" colspan="12" class="nothing">${children}</td></tr>`;
}
