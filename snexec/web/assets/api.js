// What the page asks of the daemon, and how it has something done.
const tokenTag = () => document.querySelector('meta[name="snexec-token"]');

/** What the daemon answered that is not what was asked for. */
export class Refused extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

async function read(response) {
  const text = await response.text();
  let answer = null;
  try {
    answer = JSON.parse(text);
  } catch {
    answer = null;
  }
  if (!response.ok || answer === null) {
    const why = answer?.error || text.slice(0, 300) || `HTTP ${response.status}`;
    throw new Refused(why, response.status);
  }
  return answer;
}

async function reach(path, options = {}) {
  try {
    return await fetch(path, { signal: AbortSignal.timeout(options.patience ?? 10_000), ...options });
  } catch {
    throw new Refused("the daemon does not answer: it is away, or very busy", 0);
  }
}

/** Return the answer to a question; empty parameters are left out. */
export async function ask(path, parameters = {}) {
  return read(await reach(path + query(parameters)));
}

export function query(parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value);
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

/** Take the token of the daemon that answers now; another one made the page's. */
export async function renewToken() {
  const response = await reach("/");
  const text = await response.text();
  if (!response.ok) throw new Refused(text.slice(0, 300), response.status);
  const page = new DOMParser().parseFromString(text, "text/html");
  const found = page.querySelector('meta[name="snexec-token"]');
  if (found) tokenTag().content = found.content;
}

/** Have something done; a token that a restart made old is renewed once. */
export async function act(name, body) {
  const send = () => reach(`/api/${name}`, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Snexec-Token": tokenTag().content },
    body: JSON.stringify(body),
    patience: 60_000, // an answer comes once each sell is on the disk
  });
  const before = tokenTag().content;
  let response = await send();
  if (response.status === 403) {
    await renewToken();
    if (tokenTag().content !== before) response = await send();
  }
  return read(response);
}
