// The head of the page: which money, in which state, and the switch.
import { html } from "/assets/view.js";
import { Mark } from "/assets/figures.js";
import { clock } from "/assets/format.js";
import { sinceHeard } from "/assets/store.js";
import { openDialog } from "/assets/dialogs.js";

const MONEY = {
  SIMULATED: "the built-in exchange; nothing is traded",
  PAPER: "Alpaca's paper account; no real money",
  LIVE: "real money",
};

const STATES = {
  running: ["good", "buying"],
  paused: ["wait", "paused"],
  stopped: ["bad", "stopped"],
  disabled: ["bad", "disabled"],
};

function doing({ halt, phase, state }) {
  if (halt) return ["bad", "halted"];
  if (phase !== "taking") return ["wait", phase];
  return STATES[state] ?? ["wait", state];
}

export function Banner({ snapshot, away }) {
  const [kind, word] = doing(snapshot);
  return html`<header class=${`banner ${snapshot.kind.toLowerCase()}`}>
    <div class="rail" aria-hidden="true"></div>
    <div class="head">
      <h1>snexec</h1>
      <p class="money"><strong>${snapshot.kind}</strong> <span>${MONEY[snapshot.kind]}</span></p>
      <p class="doing">
        <${Mark} kind=${kind}>${word}<//>
        <span class="time">${away ? `as of ${clock(snapshot.at)}` : clock(snapshot.at + sinceHeard())}</span>
      </p>
      ${snapshot.actions !== false && html`<p class="switch">
        ${snapshot.halt
          ? html`<button class="strong" disabled=${!!away}
              onClick=${() => openDialog("resume")}>Resume</button>`
          : html`<button class="danger" disabled=${!!away}
              onClick=${() => openDialog("halt")}>Halt</button>`}
      </p>`}
    </div>
  </header>`;
}
