// Amounts, prices and times as the page shows them. Amounts come as decimal text.
const MINUS = "\u2212"; // read out as "minus", and as wide as a plus
export const NOTHING = "\u2013";

const PLAIN = new Map();

function grouped(value, fewest, most) {
  const key = `${fewest}/${most}`;
  if (!PLAIN.has(key)) {
    const digits = { minimumFractionDigits: fewest, maximumFractionDigits: most };
    PLAIN.set(key, new Intl.NumberFormat("en-US", digits));
  }
  return PLAIN.get(key).format(value);
}

/** Return a finite number, or null: an amount may be missing. */
export function number(value) {
  if (value === null || value === undefined || value === "") return null;
  const found = Number(value);
  return Number.isFinite(found) ? found : null;
}

/** $1,234.50 */
export function dollars(value) {
  const found = number(value);
  if (found === null) return NOTHING;
  return `${found < 0 ? MINUS : ""}$${grouped(Math.abs(found), 2, 2)}`;
}

/** +$1.23, −$4.50; nothing won and nothing lost has no sign. */
export function signedDollars(value) {
  const found = number(value);
  if (found === null) return NOTHING;
  return `${signOf(found, 2)}$${grouped(Math.abs(found), 2, 2)}`;
}

/** +1.23 % */
export function signedPercent(value) {
  const found = number(value);
  if (found === null) return NOTHING;
  return `${signOf(found, 2)}${grouped(Math.abs(found), 2, 2)} %`;
}

function signOf(value, decimals) {
  const shown = Number(value.toFixed(decimals));
  if (shown === 0) return "";
  return shown < 0 ? MINUS : "+";
}

/** Return 1, -1 or 0: what an amount of dollars is once it is shown to the cent. */
export function direction(value) {
  const found = number(value);
  return found === null ? 0 : Math.sign(Number(found.toFixed(2)));
}

/** A price to the cent, or with what it needs where it is small. */
export function price(value) {
  const found = number(value);
  if (found === null) return NOTHING;
  if (Math.abs(found) >= 1) return grouped(found, 2, 2);
  return grouped(found, 2, Math.abs(found) >= 0.01 ? 4 : 9);
}

/** Shares, to six decimals, or nine where there are few. */
export function shares(value) {
  const found = number(value);
  if (found === null) return NOTHING;
  return grouped(found, 0, Math.abs(found) >= 0.0001 ? 6 : 9);
}

export function count(value) {
  const found = number(value);
  return found === null ? NOTHING : grouped(found, 0, 0);
}

/** A time that something took: 0.84 ms, 12.3 ms, 1,204 ms. */
export function milliseconds(value) {
  const found = number(value);
  if (found === null) return NOTHING;
  const decimals = found < 1 ? 2 : found < 100 ? 1 : 0;
  return `${grouped(found, decimals, decimals)} ms`;
}

/** A length of time in its two largest units: 3h 12m. */
export function duration(seconds) {
  const found = number(seconds);
  if (found === null) return NOTHING;
  const whole = Math.max(0, Math.floor(found));
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m`;
  if (whole < 86400) {
    return `${Math.floor(whole / 3600)}h ${Math.floor((whole % 3600) / 60)}m`;
  }
  return `${Math.floor(whole / 86400)}d ${Math.floor((whole % 86400) / 3600)}h`;
}

export const ZONE = "America/New_York"; // the trading day's

const TIME = new Intl.DateTimeFormat("en-GB", {
  timeZone: ZONE, hour: "2-digit", minute: "2-digit", second: "2-digit",
});
const DAY = new Intl.DateTimeFormat("en-CA", {
  timeZone: ZONE, year: "numeric", month: "2-digit", day: "2-digit",
});

/** Return a Date of unix seconds, or of what a row or an event has; null for none. */
export function moment(value) {
  if (value === null || value === undefined || value === "") return null;
  const found = new Date(typeof value === "number" ? value * 1000 : value);
  return Number.isNaN(found.getTime()) ? null : found;
}

/** The time of day in New York. */
export function clock(value) {
  const found = moment(value);
  return found === null ? NOTHING : TIME.format(found);
}

/** The time of day in New York, and the date unless it is today. */
export function when(value) {
  const found = moment(value);
  if (found === null) return NOTHING;
  const day = DAY.format(found);
  const time = TIME.format(found);
  return day === DAY.format(new Date()) ? time : `${day} ${time}`;
}

/** symbol_open and inFlight in words. */
export function words(name) {
  const spaced = String(name).replaceAll("_", " ");
  return spaced.replace(/[a-z][A-Z]/g, (pair) => `${pair[0]} ${pair[1].toLowerCase()}`);
}

export function plural(many, one) {
  return `${count(many)} ${one}${number(many) === 1 ? "" : "s"}`;
}
