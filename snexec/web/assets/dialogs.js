// Confirmations: what is about to happen, and a button that repeats the words.
import { Component, createRef, html } from "/assets/view.js";
import { change, say, state } from "/assets/store.js";
import { act } from "/assets/api.js";
import { dollars, number, plural, shares } from "/assets/format.js";

let opened = 0;

export function openDialog(kind, more = {}) {
  change({ dialog: { kind, key: ++opened, ...more } });
}

const worth = (rows) => rows.reduce(
  (sum, row) => sum + (number(row.shares) ?? 0) * (number(row.price ?? row.entry) ?? 0), 0);

/** Return what a confirmation says and does, of what is true now. */
function plan(dialog, snapshot) {
  const ours = snapshot.positions.filter((row) => row.state !== "foreign");
  const money = (rows) => (snapshot.kind !== "SIMULATED" && rows.some((row) => row.mode === "live")
    ? ", for real money" : "");
  switch (dialog.kind) {
    case "halt":
      return {
        words: "Halt",
        text: "Nothing is bought any more until it is resumed. What is held is sold by its rules as before.",
        field: { name: "reason", label: "Reason", required: true },
        send: ({ reason }) => act("halt", { reason }),
        done: "Halted: nothing is bought.",
        to: ".switch button",
      };
    case "resume":
      return {
        words: "Resume",
        text: `Signals are bought again. The halt was: ${snapshot.halt?.reason ?? "over already"}`,
        send: () => act("resume", {}),
        done: "Resumed: signals are bought again.",
        to: ".switch button",
      };
    case "close": {
      const row = ours.find((each) => each.symbol === dialog.symbol);
      return {
        words: `Close ${dialog.symbol}`,
        text: row
          ? `${shares(row.shares)} shares, worth about ${dollars(worth([row]))}, are sold at the market${money([row])}.`
          : `${dialog.symbol} is not held any more.`,
        over: !row,
        send: () => act("close", { symbol: dialog.symbol }),
        done: `${dialog.symbol} is being sold.`,
        to: ".positions", // its button goes with it
        danger: true,
      };
    }
    default:
      return {
        words: "Close all",
        text: ours.length
          ? `${plural(ours.length, "position")}, worth about ${dollars(worth(ours))}, ${ours.length === 1 ? "is" : "are"} sold at the market${money(ours)}: ${ours.map((row) => row.symbol).join(", ")}.`
          : "Nothing is held any more.",
        over: ours.length === 0,
        word: snapshot.closeAllWord,
        send: (fields) => act("close", { all: true, ...fields }),
        done: "All is being sold.",
        to: ".positions",
        danger: true,
      };
  }
}

/** Say what became of a close: its rows may be refused one by one. */
function outcome(answer, done) {
  const refused = (answer.rows ?? []).filter((row) => row.state === "refused");
  if (!refused.length) return done;
  return `Not sold: ${refused.map((row) => `${row.symbol}: ${row.error}`).join("; ")}`;
}

export class Dialog extends Component {
  constructor(props) {
    super(props);
    this.box = createRef();
    this.state = { busy: false, problem: "", typed: "" };
    this.before = document.activeElement;
  }

  componentDidMount() {
    this.box.current.showModal();
  }

  leave = (focus) => {
    const place = focus && document.querySelector(focus);
    const back = place || (this.before?.isConnected ? this.before : document.getElementById("main"));
    this.box.current?.close();
    change({ dialog: null });
    setTimeout(() => {
      (back.isConnected ? back : document.getElementById("main")).focus();
    }, 50);
  };

  submit = async (event, planned) => {
    event.preventDefault();
    if (this.state.busy || planned.over) return;
    const given = Object.fromEntries(new FormData(event.currentTarget));
    this.setState({ busy: true, problem: "" });
    try {
      const answer = await planned.send(given);
      say(outcome(answer, planned.done));
      this.leave(planned.to);
    } catch (problem) {
      this.setState({ busy: false, problem: problem.message });
    }
  };

  render({ dialog, snapshot }, { busy, problem, typed }) {
    const planned = plan(dialog, snapshot);
    const ready = !busy && !planned.over && (!planned.word || typed.trim() === planned.word);
    return html`<dialog ref=${this.box} aria-labelledby="dialog-head" aria-describedby="dialog-text"
        onCancel=${(event) => { event.preventDefault(); this.leave(); }}>
      <form onSubmit=${(event) => this.submit(event, planned)}>
        <h2 id="dialog-head">${planned.words}?</h2>
        <p id="dialog-text">${planned.text}</p>
        ${planned.field && html`<label>${planned.field.label}
          <input name=${planned.field.name} required=${planned.field.required} maxlength="200"
            autocomplete="off" autofocus /></label>`}
        ${planned.word && html`<label for="word">Type <kbd>${planned.word}</kbd></label>
          <input id="word" name="word" autocomplete="off" spellcheck="false" autofocus
            value=${typed} onInput=${(event) => this.setState({ typed: event.currentTarget.value })} />`}
        ${problem && html`<p class="problem" role="alert">${problem}</p>`}
        <p class="choice">
          <button type="button" class="quiet" onClick=${() => this.leave()}>Cancel</button>
          <button type="submit" class=${planned.words === "Resume" ? "strong" : "danger"}
            disabled=${!ready}>${planned.words}</button>
        </p>
      </form>
    </dialog>`;
  }
}
