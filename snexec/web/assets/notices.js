// What the operator must know before anything else on the page.
import { html } from "/assets/view.js";
import { clock, when } from "/assets/format.js";

export function Notices({ state }) {
  const { snapshot, away, turnedAway } = state;
  const { halt, exits } = snapshot;
  // Another program's rows are never ours to sell, which is no news.
  const blocked = snapshot.positions.filter(
    (each) => each.blockedBy && each.state !== "foreign" && each.state !== "closing",
  );
  return html`<div class="notices">
    ${turnedAway && html`<section class="notice bad"><h2>Not allowed any more</h2>
      <p>${turnedAway}</p></section>`}
    ${away && !turnedAway && html`<section class="notice away">
      <h2>${away.full ? "Others look already" : "The daemon is away"}</h2>
      <p>${away.full
        ? `So many pages are open that this one has no place. It tries again each ${away.full} s.`
        : `Not heard since ${clock(away.since)}; what is shown is from then. This page tries again and comes back by itself.`}</p>
    </section>`}
    ${halt && html`<section class="notice halt">
      <h2>Halted</h2>
      <p><strong class="foreign">${halt.reason}</strong></p>
      <p>${halt.all ? "No order leaves, exits are halted too" : "Nothing is bought, exits go on"},
        since ${when(halt.since)}${halt.by ? `, by ${halt.by}` : ""}.</p>
    </section>`}
    ${exits?.blind && html`<section class="notice bad"><h2>No price counts</h2>
      <p>Nothing is sold by price until prices come again; rules of time and a close go on.</p></section>`}
    ${exits?.unwatched > 0 && html`<section class="notice bad"><h2>Unwatched</h2>
      <p>No rule looks at ${exits.unwatched} of the open positions: exits are off for them.</p></section>`}
    ${blocked.map((each) => html`<section class="notice bad" key=${each.id}>
      <h2>${each.symbol} ${each.state === "watched" ? "is not sold by price" : "cannot be sold"}</h2><p class="foreign">${each.blockedBy}</p></section>`)}
    ${Object.entries(snapshot.problems ?? {}).map(([part, what]) => html`<section class="notice bad" key=${part}>
      <h2>${sentence(part)}</h2><p class="foreign">${what}</p></section>`)}
  </div>`;
}

function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
