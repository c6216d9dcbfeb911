// The page's parts, and where they stand.
import { html } from "/assets/view.js";
import { Banner } from "/assets/banner.js";
import { Charts } from "/assets/charts.js";
import { Dialog } from "/assets/dialogs.js";
import { Explain } from "/assets/explain.js";
import { Feed } from "/assets/feed.js";
import { Notices } from "/assets/notices.js";
import { Positions } from "/assets/positions.js";
import { Health, Totals, Outcomes } from "/assets/today.js";
import { Trades } from "/assets/trades.js";

export function App({ state }) {
  const { snapshot } = state;
  if (!snapshot) {
    return html`<main class="before">
      <h1>snexec</h1>
      <p role="status">${state.turnedAway ?? (state.away
        ? waiting(state.away) : "Looking at the daemon.")}</p>
    </main>`;
  }
  return html`
    <a class="skip" href="#main">Skip to what is shown</a>
    <${Banner} snapshot=${snapshot} away=${state.away} />
    <main id="main" tabindex="-1" class=${state.away ? "stale" : ""}>
      <${Notices} state=${state} />
      <${Totals} snapshot=${snapshot} />
      <div class="columns">
        <div class="wide">
          <${Positions} snapshot=${snapshot} away=${state.away} />
          <${Charts} charts=${state.charts} />
        </div>
        <div class="narrow">
          <${Health} snapshot=${snapshot} />
          <${Outcomes} today=${snapshot.today} />
          <${Explain} explained=${state.explained} />
          <${Feed} feed=${state.feed} />
        </div>
        <${Trades} trades=${state.trades} snapshot=${snapshot} />
      </div>
    </main>
    <footer>
      <p>snexec ${snapshot.version}. Times are New York's, as the trading day is.</p>
      <nav aria-label="More"><a href="/healthz">Health</a> <a href="/metrics">Metrics</a></nav>
    </footer>
    <p class="said" role="status">${state.said}</p>
    ${state.dialog && html`<${Dialog} key=${state.dialog.key} dialog=${state.dialog} snapshot=${snapshot} />`}
  `;
}

function waiting({ full }) {
  return full
    ? `Too many look at it already. Trying again each ${full} s.`
    : "The daemon is away. Trying again; this page comes back by itself.";
}
