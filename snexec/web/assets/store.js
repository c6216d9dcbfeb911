// What the page knows, in one object; whoever changes it has the page drawn again.
export const state = {
  snapshot: null,
  heardAt: 0, // when the snapshot came, on the browser's own clock, in milliseconds
  away: null, // {since, why} while the daemon is not heard
  turnedAway: null, // why this browser may not look any more
  feed: [], // the newest first, and where some are missing how many
  trades: { rows: [], older: null, filter: {}, reasons: [], problem: "", busy: false },
  charts: null,
  explained: null,
  dialog: null,
  said: "", // for whoever cannot see what has changed
};

const FEED_BOUND = 200;
let draw = () => {};
let due = false;

export function whenChanged(callback) {
  draw = callback;
}

export function change(values) {
  Object.assign(state, values);
  if (due) return;
  due = true;
  // A timer and not a frame: a page in the background has none.
  setTimeout(() => {
    due = false;
    draw();
  });
}

/** Take events, the oldest first; what is known already is left out, and gaps counted. */
export function addToFeed(events) {
  const run = state.snapshot?.started ?? 0;
  let feed = state.feed;
  for (const event of events) {
    const before = feed[0]?.run === run ? feed[0].seq : null;
    if (before !== null && event.seq <= before) continue;
    const missing = before === null ? 0 : event.seq - before - 1;
    feed = [{ ...event, run, missing }, ...feed];
  }
  change({ feed: feed.slice(0, FEED_BOUND) });
}

/** Seconds since the snapshot came; what only ages is counted on by them. */
export function sinceHeard() {
  return state.away ? 0 : (performance.now() - state.heardAt) / 1000;
}

const SAID_FOR = 8000; // milliseconds
let silence = 0;

/** Say something in words, on the screen and to a screen reader, for a while. */
export function say(text) {
  change({ said: text });
  clearTimeout(silence);
  silence = setTimeout(() => change({ said: "" }), SAID_FOR);
}
