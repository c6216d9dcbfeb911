// Today in figures, what became of its signals, and how the daemon is.
import { html } from "/assets/view.js";
import { Mark, Won } from "/assets/figures.js";
import { clock, count, dollars, duration, number, plural, words } from "/assets/format.js";
import { sinceHeard } from "/assets/store.js";

const sum = (values) => values.reduce((all, each) => all + each, 0);

export function Totals({ snapshot }) {
  const { today, positions } = snapshot;
  const worth = sum(positions.map(
    (each) => (number(each.shares) ?? 0) * (number(each.price ?? each.entry) ?? 0)));
  const { skipped = 0, refused = 0 } = today.signals;
  return html`<section class="totals">
    <h2 class="sr">Today in figures</h2>
    <dl>
      <div><dt>Realised today</dt><dd><${Won} value=${today.realised} big /></dd>
        <dd class="more">${today.closed ? `${count(today.closed)} closed, ${count(today.won)} won` : "nothing closed yet"}</dd></div>
      <div><dt>Open P&L</dt><dd><${Won} value=${today.open} big /></dd>
        <dd class="more">${plural(positions.length, "position")}${worth > 0 ? `, worth ${dollars(worth)}` : ""}</dd></div>
      <div><dt>Orders today</dt><dd class="big">${count(today.orders)}</dd>
        <dd class="more">${dollars(today.dollars)} ordered</dd></div>
      <div><dt>Signals today</dt><dd class="big">${count(sum(Object.values(today.signals)))}</dd>
        <dd class="more">${count(skipped)} skipped${refused ? `, ${count(refused)} refused` : ""}</dd></div>
    </dl>
  </section>`;
}

/** What became of the day's signals, as bars of one scale. */
export function Outcomes({ today }) {
  const given = Object.entries(today.signals).filter(([, many]) => many);
  const reasons = Object.entries(today.reasons).sort(([, one], [, other]) => other - one);
  const most = Math.max(1, ...given.map(([, many]) => many));
  return html`<section class="card outcomes">
    <h2>What became of signals</h2>
    ${given.length === 0 && html`<p class="nothing">None came today.</p>`}
    <dl class="bars">
      ${given.map(([name, many]) => html`<div key=${name} class=${`bar ${name}`}>
        <dt>${words(name)}</dt><dd><span class="n">${count(many)}</span></dd>
        <dd class="line" aria-hidden="true"><span style=${{ width: `${(100 * many) / most}%` }}></span></dd>
      </div>`)}
    </dl>
    ${reasons.length > 0 && html`<h3>Skipped for</h3>
      <dl class="pairs">${reasons.map(([name, many]) => html`<div key=${name}>
        <dt><code>${name}</code></dt><dd><span class="n">${count(many)}</span></dd></div>`)}</dl>`}
  </section>`;
}

const MARKET = { true: ["good", "open"], false: ["wait", "closed"], null: ["off", "not asked"] };
const LEASE = {
  active: ["good", "this daemon has it"],
  standby: ["wait", "another daemon has it"],
};

function parts({ stream, market, lease, writer, budget }) {
  const changes = market.changesAt ? `, until ${clock(market.changesAt).slice(0, 5)}` : "";
  const [open, word] = MARKET[market.open];
  const waits = writer.pending ? `, ${plural(writer.pending, "change")} waiting` : "";
  const least = budget.limit * 0.1;
  return [
    ["Stream", stream.state === "authorized" ? "good" : "wait", words(stream.state)],
    ["Market", open, `${word}${market.open === null ? "" : changes}`],
    ...(LEASE[lease] ? [["Account lease", ...LEASE[lease]]] : []),
    ["Database", writer.healthy ? "good" : "bad", `${writer.healthy ? "healthy" : "cannot write"}${waits}`],
    ["Requests left", budget.left > least ? "good" : "wait",
      `${count(Math.floor(budget.left))} of ${count(budget.limit)} a minute`],
  ];
}

function exitParts(exits) {
  if (!exits) return [["Exits", "off", "off"]];
  const held = ["watched", "closing", "blocked", "unwatched"].filter((name) => exits[name]);
  const doing = held.map((name) => `${exits[name]} ${name}`).join(", ") || "nothing is held";
  const seconds = number(exits.priceAgeSec);
  const age = seconds === null ? "" : `, ${duration(seconds + sinceHeard())} old`;
  return [
    ["Exits", exits.blocked || exits.unwatched ? "bad" : "good", doing],
    ...(exits.source ? [["Prices", exits.blind ? "bad" : "good", `${words(exits.source)}${age}`]] : []),
  ];
}

/** How the daemon is: each part with a word, and a shape before it. */
export function Health({ snapshot }) {
  const all = [...parts(snapshot), ...exitParts(snapshot.exits)];
  return html`<section class="card health">
    <h2>The daemon</h2>
    <dl class="pairs">
      ${all.map(([name, kind, said]) => html`<div key=${name}><dt>${name}</dt>
        <dd><${Mark} kind=${kind}>${said}<//></dd></div>`)}
    </dl>
  </section>`;
}
