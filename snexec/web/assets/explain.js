// What would become of a signal now, and when each rule sells a position.
import { html } from "/assets/view.js";
import { Mark } from "/assets/figures.js";
import { change, state } from "/assets/store.js";
import { ask } from "/assets/api.js";

const EXAMPLE = '{"symbol": "AAPL", "catalystCategory": "earnings_beat", "catalystTier": 1, "priceAtSignal": 187.2}';

let asked = 0;

async function find(question) {
  const mine = ++asked;
  const set = (values) => {
    if (mine === asked) change({ explained: { ...question, ...values } });
  };
  set({ busy: true });
  try {
    set({ answer: await ask("/api/explain", question) });
  } catch (problem) {
    set({ problem: problem.message });
  }
}

/** Show the rules of a position, and go there. */
export async function explainSymbol(symbol) {
  await find({ signal: symbol });
  document.getElementById("explained")?.focus();
}

function submit(event) {
  event.preventDefault();
  const text = new FormData(event.currentTarget).get("signal").trim();
  if (!text) event.currentTarget.elements.signal.focus();
  else find({ signal: text });
}

export function Explain({ explained }) {
  return html`<section class="card explain">
    <h2>What would become of it</h2>
    <form onSubmit=${submit}>
      <label for="signal">Signal</label>
      <textarea id="signal" name="signal" rows="3" spellcheck="false" autocomplete="off"
        placeholder=${EXAMPLE} aria-describedby="signal-hint"></textarea>
      <p class="hint" id="signal-hint">A line of JSON, or the symbol of a position. Nothing is traded.</p>
      <button type="submit">Explain</button>
    </form>
    <div id="explained" tabindex="-1" aria-live="polite">
      ${explained && html`<${Answer} explained=${explained} />`}
    </div>
  </section>`;
}

function Answer({ explained }) {
  const { answer, problem, busy } = explained;
  if (problem) return html`<p class="problem">${problem}</p>`;
  if (!answer) return busy ? html`<p class="nothing">Asking.</p>` : null;
  return html`<h3 class="foreign">${answer.words}</h3>
    <ul class="gates">${answer.lines.map((line, place) => html`<${Line} key=${place} line=${line} />`)}</ul>`;
}

const RESULTS = { pass: "good", on: "good", stop: "bad", unknown: "wait" };

function Line({ line }) {
  const isOff = line.result === "not set" || line.result === "off";
  const said = [line.reason, line.detail].filter(Boolean).join(": ");
  return html`<li class=${isOff ? "off" : ""}>
    <${Mark} kind=${RESULTS[line.result] ?? "off"}>${line.name}<//>
    <span class="foreign">${said || line.result}</span></li>`;
}
