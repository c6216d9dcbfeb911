// Follows the daemon: one stream of events, opened again whenever it ends.
import { ask, renewToken } from "/assets/api.js";

const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 3000;
const REST = 60_000; // out of sight: a browser has few connections, the daemon few places
const SILENCE = 15_000; // without a word; nothing may have changed, so it is asked

/**
 * Follow for as long as the page is open.
 *
 * @param heard - {snapshot, feed, back, away, full, turnedAway, seen}: what to call.
 */
export function follow(heard) {
  let source = null;
  let pause = FIRST_PAUSE;
  let watch = 0;
  let wasAway = false;
  let early = null; // events that came before this connection's first snapshot

  function open() {
    source = new EventSource("/api/live");
    early = [];
    source.addEventListener("snapshot", (event) => {
      stillThere();
      heard.snapshot(JSON.parse(event.data));
      if (early?.length) heard.feed(early);
      early = null;
    });
    source.addEventListener("feed", (event) => {
      stillThere();
      const events = JSON.parse(event.data);
      if (early) early.push(...events);
      else heard.feed(events);
    });
    source.addEventListener("full", (event) => {
      const { retryAfter = 5 } = JSON.parse(event.data);
      end();
      heard.full(retryAfter);
      setTimeout(open, retryAfter * 1000);
    });
    source.addEventListener("open", () => opened());
    source.addEventListener("error", () => lost());
    stillThere();
  }

  function end() {
    clearTimeout(watch);
    source.close();
  }

  function stillThere() {
    clearTimeout(watch);
    watch = setTimeout(silent, SILENCE);
  }

  async function silent() {
    const asked = source;
    try {
      await ask("/api/snapshot");
      if (source === asked) stillThere();
    } catch {
      if (source === asked) lost();
    }
  }

  async function opened() {
    pause = FIRST_PAUSE;
    if (!wasAway) return;
    try {
      await renewToken();
      wasAway = false;
      heard.back();
    } catch {
      lost();
    }
  }

  async function lost() {
    end();
    wasAway = true;
    heard.away();
    setTimeout(again, pause);
    pause = Math.min(2 * pause, LONGEST_PAUSE);
  }

  async function again() {
    try {
      await ask("/api/snapshot");
    } catch (problem) {
      if (problem.status === 401 || problem.status === 403) {
        heard.turnedAway(problem.message);
        setTimeout(again, LONGEST_PAUSE);
      } else {
        lost();
      }
      return;
    }
    open();
  }

  let rest = 0;
  let resting = false;
  function restNow() {
    clearTimeout(rest);
    if (resting || source.readyState !== EventSource.OPEN) return;
    resting = true;
    end();
  }
  // A browser has six connections to a host: a seventh page would not even load.
  const tabs = new BroadcastChannel("snexec");
  tabs.addEventListener("message", () => {
    if (document.hidden) restNow();
  });
  tabs.postMessage("one more");
  document.addEventListener("visibilitychange", () => {
    clearTimeout(rest);
    if (document.hidden) {
      rest = setTimeout(restNow, REST);
    } else if (resting) {
      resting = false;
      open();
      heard.seen();
    }
  });
  open();
}
