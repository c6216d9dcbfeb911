// The page of one daemon: what it hears is put into the store, and drawn from there.
import { html, render } from "/assets/view.js";
import { addToFeed, change, say, state, whenChanged } from "/assets/store.js";
import { clock, words } from "/assets/format.js";
import { follow } from "/assets/live.js";
import { firstTrades, newTrades } from "/assets/trades.js";
import { lookAtCharts } from "/assets/charts.js";
import { App } from "/assets/app.js";

const root = document.getElementById("app");
const TRADES_PAUSE = 700; // after an event, so that a burst is one question
const CHARTS_EACH = 60_000;
const CHARTS_LEAST = 10_000; // between two looks
const TICK = 1000; // what only ages is counted on by the page itself
// After these a row, or what was won today, may be another one.
const CHANGES_ROWS = new Set([
  "placed", "fill", "partial_fill", "rejected", "refused", "settled", "exit_fill",
  "closed", "external", "split",
]);

root.replaceChildren();
whenChanged(() => {
  render(html`<${App} state=${state} />`, root);
  document.title = title();
});

function title() {
  const { snapshot, away } = state;
  if (!snapshot) return document.title;
  const parts = [snapshot.kind, "snexec"];
  if (away) parts.push("away");
  else if (snapshot.halt) parts.push("halted");
  return parts.join(" \u00B7 ");
}

/** Call something once for all that is asked for within a while, and not too often. */
function gathered(callback, pause, least = 0) {
  let timer = 0;
  let last = -Infinity;
  return () => {
    const wait = Math.max(pause, last + least - performance.now());
    timer ||= setTimeout(() => {
      timer = 0;
      last = performance.now();
      callback();
    }, wait);
  };
}

const soonTrades = gathered(newTrades, TRADES_PAUSE);
const soonCharts = gathered(lookAtCharts, TRADES_PAUSE, CHARTS_LEAST);

let version = null;

function sayWhatChanged(before, now) {
  if (!before) return;
  if (before.halt && !now.halt) say("Resumed: signals are bought again.");
  if (!before.halt && now.halt) say(`Halted: ${now.halt.reason}`);
  if (before.state !== now.state) say(`The bot is ${words(now.state)}.`);
  if (before.kind !== now.kind) say(`It trades in another mode now: ${now.kind.toLowerCase()}.`);
}

follow({
  snapshot(snapshot) {
    if (version !== null && version !== snapshot.version && !state.dialog) {
      location.reload(); // another snexec, with a page of its own
      return;
    }
    version = snapshot.version;
    sayWhatChanged(state.snapshot, snapshot);
    change({ snapshot, heardAt: performance.now(), away: null, turnedAway: null });
  },
  feed(events) {
    addToFeed(events);
    const changesRows = events.some((each) => CHANGES_ROWS.has(each.event));
    if (changesRows) soonTrades();
    if (changesRows || events.some((each) => each.event === "skipped")) soonCharts();
  },
  back() {
    change({ away: null, turnedAway: null });
    say("The daemon is back.");
    soonTrades();
    soonCharts();
  },
  away() {
    if (state.away && !state.away.full) return;
    change({ away: { since: Date.now() / 1000 } });
    say(`The daemon is away since ${clock(Date.now() / 1000)}.`);
  },
  full(seconds) {
    change({ away: { since: Date.now() / 1000, full: seconds } });
  },
  seen() {
    soonTrades();
    soonCharts();
  },
  turnedAway(why) {
    change({ turnedAway: why });
  },
});
firstTrades();
soonCharts();
setInterval(() => {
  if (!document.hidden && !state.away) soonCharts();
}, CHARTS_EACH);
setInterval(() => {
  if (!document.hidden && !state.away) change({});
}, TICK);
