// The rows of the database: filters, pages, and the same as CSV.
import { html } from "/assets/view.js";
import { Empty, Won, column } from "/assets/figures.js";
import { NOTHING, price, shares, when, words } from "/assets/format.js";
import { change, state } from "/assets/store.js";
import { ask, query } from "/assets/api.js";

const PAGE = innerWidth < 760 ? 12 : 25; // a card takes the room of four rows

function now(values) {
  change({ trades: { ...state.trades, ...values } });
}

/** Load the first page of what the filter lets through. */
export async function firstTrades(filter = state.trades.filter) {
  now({ filter, busy: true });
  await load({}, (answer) => ({ rows: answer.trades, older: answer.older }));
}

/** Load what is new, and keep the older pages that are there. */
export async function newTrades() {
  await load({}, (answer) => {
    const fresh = new Map(answer.trades.map((row) => [row.id, row]));
    const last = answer.trades.at(-1);
    const known = state.trades.rows.findIndex((row) => row.id === last?.id);
    if (known < 0 || answer.older === null) {
      return { rows: answer.trades, older: answer.older };
    }
    const kept = state.trades.rows.slice(known + 1).filter((row) => !fresh.has(row.id));
    return { rows: [...answer.trades, ...kept], older: kept.length ? state.trades.older : answer.older };
  });
}

async function olderTrades() {
  now({ busy: true });
  await load({ before: state.trades.older }, (answer) => ({
    rows: [...state.trades.rows, ...answer.trades], older: answer.older,
  }));
}

async function load(more, merged) {
  const { filter } = state.trades;
  try {
    const answer = await ask("/api/trades", { ...filter, ...more, limit: PAGE });
    if (state.trades.filter !== filter) return; // another one is asked for by now
    const reasons = answer.reasons ?? state.trades.reasons;
    now({ ...merged(answer), reasons, problem: "", busy: false });
  } catch (problem) {
    if (state.trades.filter === filter) now({ problem: problem.message, busy: false });
  }
}

export function Trades({ trades, snapshot }) {
  const { rows, older, filter, reasons, problem, busy } = trades;
  return html`<section class="card trades">
    <div class="top"><h2>Trades</h2>
      <a class="button quiet" href=${`/api/trades.csv${query(filter)}`} download>CSV</a></div>
    <${Filter} filter=${filter} reasons=${reasons} />
    ${problem && html`<p class="problem">${problem}</p>`}
    <${Table} rows=${rows} mode=${snapshot.mode} empty=${busy ? "Looking."
      : Object.values(filter).some(Boolean) ? "No trade is like that." : "No trades yet."} />
    ${older && html`<p class="end"><button class="quiet" aria-disabled=${busy}
      onClick=${() => busy || olderTrades()}>Older</button></p>`}
  </section>`;
}

function Filter({ filter, reasons }) {
  const set = (name) => (event) => {
    firstTrades({ ...state.trades.filter, [name]: event.currentTarget.value.trim() });
  };
  const choice = (name, label, values) => html`<label>${label}
    <select value=${filter[name] ?? ""} onChange=${set(name)}>
      <option value="">any</option>
      ${values.map((value) => html`<option key=${value} value=${value}>${words(value)}</option>`)}
    </select></label>`;
  return html`<form class="filter" onSubmit=${(event) => event.preventDefault()}>
    <label>Symbol <input name="symbol" value=${filter.symbol ?? ""} onInput=${set("symbol")}
      autocomplete="off" autocapitalize="characters" spellcheck="false" size="8" maxlength="15" /></label>
    ${choice("status", "Status", ["open", "closed", "missed"])}
    ${choice("reason", "Why", reasons)}
    ${choice("mode", "Mode", ["paper", "live"])}
  </form>`;
}

function Table({ rows, mode, empty }) {
  const held = column(rows.map((row) => shares(row.shares)));
  const entry = column(rows.map((row) => price(row.entry)));
  const exit = column(rows.map((row) => price(row.exit)));
  const mixed = rows.some((row) => row.mode !== mode);
  return html`<div class="scroll" tabindex="0" role="group" aria-label="Trades, newest first">
  <table role="table">
    <caption class="sr">Trades</caption>
    <thead role="rowgroup"><tr role="row">
      <th role="columnheader" scope="col">Time</th>
      <th role="columnheader" scope="col">Symbol</th>
      ${mixed && html`<th role="columnheader" scope="col">Mode</th>`}
      <th role="columnheader" scope="col">Status</th>
      <th role="columnheader" scope="col" class="num">Shares</th>
      <th role="columnheader" scope="col" class="num">Entry</th>
      <th role="columnheader" scope="col" class="num">Exit</th>
      <th role="columnheader" scope="col" class="num">P&L</th>
      <th role="columnheader" scope="col">Why</th>
      <th role="columnheader" scope="col">News</th>
    </tr></thead>
    <tbody role="rowgroup">
      ${rows.length === 0 && html`<${Empty}>${empty}<//>`}
      ${rows.map((row) => html`<tr role="row" key=${row.id} class=${row.status}>
        <td role="cell" class="time" data-name="Time"><time>${when(row.createdAt)}</time></td>
        <th role="rowheader" scope="row" class="name">${row.symbol}</th>
        ${mixed && html`<td role="cell" data-name="Mode">${row.mode ?? NOTHING}</td>`}
        <td role="cell" class="state" data-name="Status">${row.status}</td>
        <td role="cell" class="num shares" data-name="Shares">${held(shares(row.shares))}</td>
        <td role="cell" class="num entry" data-name="Entry">${entry(price(row.entry))}</td>
        <td role="cell" class="num exit" data-name="Exit">${exit(price(row.exit))}</td>
        <td role="cell" class="num pnl" data-name="P&L">${row.pnl === null || row.pnl === undefined
          ? NOTHING : html`<${Won} value=${row.pnl} percent=${row.pnlPct} />`}</td>
        <td role="cell" class="why" data-name="Why">${row.reason ? words(row.reason) : NOTHING}</td>
        <td role="cell" class="id" data-name="News" title=${[row.catalyst, row.signalId].filter(Boolean).join(", ")}>
          ${row.catalyst ? words(row.catalyst) : NOTHING}</td>
      </tr>`)}
    </tbody>
  </table></div>`;
}
