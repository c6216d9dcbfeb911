// What is held, and where each position stands between its stop and its target.
import { html } from "/assets/view.js";
import { Empty, Mark, Won, column } from "/assets/figures.js";
import { NOTHING, duration, number, price, shares, when } from "/assets/format.js";
import { sinceHeard } from "/assets/store.js";
import { openDialog } from "/assets/dialogs.js";
import { explainSymbol } from "/assets/explain.js";

const STATES = {
  watched: "good", closing: "wait", buying: "wait", blocked: "bad", unwatched: "off", foreign: "off",
};

export function Positions({ snapshot, away }) {
  const rows = snapshot.positions;
  const acts = snapshot.actions !== false;
  const isOurs = rows.some((row) => row.state !== "foreign");
  return html`<section class="card positions" tabindex="-1">
    <div class="top"><h2>Positions</h2>
      ${acts && isOurs && html`<button class="danger quiet" disabled=${!!away}
        onClick=${() => openDialog("close-all")}>Close all</button>`}</div>
    <${Table} rows=${rows} acts=${acts} away=${away} />
  </section>`;
}

function Table({ rows, acts, away }) {
  const held = column(rows.map((row) => shares(row.shares)));
  const entry = column(rows.map((row) => price(row.entry)));
  const last = column(rows.map((row) => price(row.price)));
  const mixed = new Set(rows.map((row) => row.mode)).size > 1;
  const since = sinceHeard();
  return html`<div class="scroll"><table role="table">
    <caption class="sr">Positions</caption>
    <thead role="rowgroup"><tr role="row">
      <th role="columnheader" scope="col">Position</th>
      ${mixed && html`<th role="columnheader" scope="col">Mode</th>`}
      <th role="columnheader" scope="col" class="num">Shares</th>
      <th role="columnheader" scope="col" class="num">Entry</th>
      <th role="columnheader" scope="col" class="num">Price</th>
      <th role="columnheader" scope="col" class="num">P&L</th>
      <th role="columnheader" scope="col" class="limits">Stop and target</th>
      <th role="columnheader" scope="col" class="num">Held</th>
      <th role="columnheader" scope="col">State</th>
      <th role="columnheader" scope="col"><span class="sr">What to do</span></th>
    </tr></thead>
    <tbody role="rowgroup">
      ${rows.length === 0 && html`<${Empty}>Nothing is held.<//>`}
      ${rows.map((row) => html`<tr role="row" key=${row.id} class=${row.state}>
        <th role="rowheader" scope="row" class="name">${row.symbol}</th>
        ${mixed && html`<td role="cell" data-name="Mode">${row.mode ?? NOTHING}</td>`}
        <td role="cell" class="num shares" data-name="Shares">${held(shares(row.shares))}</td>
        <td role="cell" class="num entry" data-name="Entry">${entry(price(row.entry))}</td>
        <td role="cell" class=${`num price ${later(row.priceAgeSec, since) > OLD ? "old" : ""}`} data-name="Price"
          title=${age(later(row.priceAgeSec, since))}>${last(price(row.price))}</td>
        <td role="cell" class="num pnl" data-name="P&L"><${Won} value=${row.pnl} percent=${row.pnlPct} /></td>
        <td role="cell" class="limits" data-name="Stop and target"><${Limits} row=${row} /></td>
        <td role="cell" class="num held" data-name="Held" title=${`since ${when(row.openedAt)}`}>
          <span>${duration(later(row.ageSec, since))}${left(later(row.timeLeftSec, -since))}</span></td>
        <td role="cell" class="state" data-name="State"><${Mark} kind=${STATES[row.state] ?? "wait"}>${row.state}<//></td>
        <td role="cell" class="do">
          <button class="quiet" aria-label=${`Rules for ${row.symbol}`}
            onClick=${() => explainSymbol(row.symbol)}>Rules</button>
          ${acts && row.state !== "foreign" && html`<button class="quiet danger" disabled=${!!away || row.state === "closing"}
            onClick=${() => openDialog("close", { symbol: row.symbol })}>Close ${row.symbol}</button>`}
        </td>
      </tr>`)}
    </tbody>
  </table></div>`;
}

const OLD = 30;

function later(seconds, since) {
  const found = number(seconds);
  return found === null ? null : found + since;
}

function age(seconds) {
  return seconds === null ? null : `${duration(seconds)} old`;
}

function left(seconds) {
  if (seconds === null) return null;
  return html` <span class="below">${seconds <= 0 ? "due" : `${duration(seconds)} left`}</span>`;
}

/** The stop, the target, and between them a line with the entry and the price. */
function Limits({ row }) {
  const [stop, target] = [number(row.stop), number(row.target)];
  const [entry, now] = [number(row.entry), number(row.price)];
  if (stop === null && target === null) return NOTHING;
  const known = [stop, target, entry, now].filter((each) => each !== null);
  const low = stop ?? Math.min(...known) * 0.99;
  const high = target ?? Math.max(...known) * 1.01;
  const at = (value) => `${5 + 90 * Math.min(1, Math.max(0, (value - low) / (high - low)))}%`;
  const turn = now === null || now === entry ? "even" : now > entry ? "gain" : "loss";
  return html`<span class="range">
    <span class="n stop"><span class="sr">stop </span>${price(row.stop)}</span>
    <svg height="14" aria-hidden="true" class=${turn}>
      <line class="all" x1="5%" x2="95%" y1="7" y2="7" />
      ${entry !== null && html`<line class="entry" x1=${at(entry)} x2=${at(entry)} y1="2" y2="12" />`}
      ${now !== null && entry !== null && html`<line class="way" x1=${at(entry)} x2=${at(now)} y1="7" y2="7" />`}
      ${now !== null && html`<circle cx=${at(now)} cy="7" r="3.5" />`}
    </svg>
    <span class="n target"><span class="sr">target </span>${price(row.target)}</span>
  </span>`;
}
