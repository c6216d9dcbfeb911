// What happens, the newest first, in the words of `snexec events`.
import { html } from "/assets/view.js";
import { clock, dollars, number, plural, price, shares, signedDollars, words } from "/assets/format.js";

const KINDS = {
  fill: "good", partial_fill: "good", exit_fill: "good", closed: "good", resume: "good",
  rejected: "bad", refused: "bad", halt: "bad", exit_refused: "bad", exit_blocked: "bad",
  exits_blind: "bad", oversold: "bad",
  skipped: "off",
};

export function Feed({ feed }) {
  return html`<section class="card feed">
    <h2>Events</h2>
    ${feed.length === 0
      ? html`<p class="nothing">Nothing has happened yet.</p>`
      : html`<div class="scroll" tabindex="0" role="group" aria-label="Events, newest first"><ol>
        ${feed.map((event) => html`<li key=${`${event.run}/${event.seq}`} class=${KINDS[event.event] ?? "plain"}>
          <time datetime=${event.at}>${clock(event.at)}</time>
          <p>${event.symbol && html`<strong>${event.symbol}</strong> `}
            <span class="what">${words(event.event)}</span> <span class="foreign">${describe(event)}</span>
            ${event.missing > 0 && html`<span class="foreign">(${plural(event.missing, "event")} before it left out)</span>`}</p>
        </li>`)}
      </ol></div>`}
  </section>`;
}

const at = (amount, paid) => {
  const text = number(amount) === null ? "" : `${shares(amount)} shares`;
  return number(paid) === null ? text : `${text} at ${price(paid)}`;
};

const why = (event) => event.text ?? words(event.reason ?? "");

/** Say of an event what its name does not. */
function describe(event) {
  const reason = words(event.reason ?? "");
  switch (event.event) {
    case "placed":
      return number(event.notional) === null ? "" : dollars(event.notional);
    case "fill":
      return at(event.shares, event.entryPrice);
    case "partial_fill":
      return `${at(event.shares, event.entryPrice)} so far`;
    case "refused":
      return event.httpStatus ? `${event.reason} (HTTP ${event.httpStatus})` : reason;
    case "settled":
      return event.status === "missed" ? `missed: ${reason}` : at(event.shares, event.entryPrice);
    case "exit":
    case "exit_placed":
      return why(event);
    case "exit_fill":
      return at(event.shares, event.exitPrice);
    case "closed": {
      const won = number(event.pnl) === null ? "" : `, ${signedDollars(event.pnl)}`;
      return `${number(event.exitPrice) === null ? "" : `at ${price(event.exitPrice)} `}(${why(event)})${won}`;
    }
    case "stream":
      return [event.state, event.mode].filter(Boolean).join(", ");
    case "mode":
      return event.mode ?? "";
    case "split":
      return `${event.ratio} for 1`;
    default:
      return event.message ?? event.problem ?? event.rests ?? (event.reason ? String(event.reason) : "");
  }
}
