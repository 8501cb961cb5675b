/** Times, durations, money and counts as people read them. The elements that keep themselves up to date stand in `ticking.js`. */

import { h } from "./dom.js";

export const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** The server's clock minus ours, milliseconds: a wrong clock here must not make an approval look expired. */
let skew = 0;
export function setSkew(ms) {
  skew = Number.isFinite(ms) ? ms : 0;
}
export const now = () => Date.now() + skew;
export const millis = (iso) => (iso ? Date.parse(iso) : NaN);

const exactFormat = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const clockFormat = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const dayFormat = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });

export const exact = (iso) => (iso ? exactFormat.format(new Date(iso)) : "");
export const clock = (iso) => (iso ? clockFormat.format(new Date(iso)) : "");

/** "just now", "4 min ago", "3 h ago", "5 Mar". */
export function ago(iso) {
  const gone = now() - millis(iso);
  if (!Number.isFinite(gone)) return "";
  if (gone < 45 * SECOND) return "just now";
  if (gone < HOUR) return `${Math.max(1, Math.round(gone / MINUTE))} min ago`;
  if (gone < DAY) return `${Math.round(gone / HOUR)} h ago`;
  if (gone < 2 * DAY) return "yesterday";
  return dayFormat.format(new Date(iso));
}

/** "0.4 s", "3.2 s", "48 s", "2 min 10 s", "1 h 5 min". */
export function duration(ms) {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return "";
  if (ms < 10 * SECOND) return `${(ms / SECOND).toFixed(1)} s`;
  if (ms < MINUTE) return `${Math.round(ms / SECOND)} s`;
  if (ms < HOUR) {
    const seconds = Math.round((ms % MINUTE) / SECOND);
    return `${Math.floor(ms / MINUTE)} min${seconds ? ` ${seconds} s` : ""}`;
  }
  return `${Math.floor(ms / HOUR)} h ${Math.round((ms % HOUR) / MINUTE)} min`;
}

/** "4:12" until then; empty when it is over. */
export function left(iso) {
  const rest = millis(iso) - now();
  if (!(rest > 0)) return "";
  if (rest > DAY) return `${Math.floor(rest / DAY)} d`;
  if (rest > HOUR) return `${Math.floor(rest / HOUR)} h ${Math.floor((rest % HOUR) / MINUTE)} min`;
  const seconds = Math.ceil(rest / SECOND);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

/** Money is a decimal string on the wire; two digits, three while it is only some cents. */
export function money(value, currency = "USD") {
  const amount = Number(value ?? 0);
  const digits = amount > 0 && amount < 0.1 ? 3 : 2;
  try {
    return new Intl.NumberFormat(undefined, { style: "currency", currency, currencyDisplay: "narrowSymbol", minimumFractionDigits: digits, maximumFractionDigits: digits }).format(amount);
  } catch {
    return `${amount.toFixed(digits)} ${currency}`;
  }
}

/** 812 · 12.4 k · 1.3 M */
export function tokens(count) {
  if (count < 1000) return String(count ?? 0);
  if (count < 1_000_000) return `${(count / 1000).toFixed(count < 100_000 ? 1 : 0)} k`;
  return `${(count / 1_000_000).toFixed(1)} M`;
}

export const bytes = (n) => (n < 1024 ? `${n} B` : n < 1024 * 1024 ? `${(n / 1024).toFixed(1)} KB` : `${(n / 1048576).toFixed(1)} MB`);
export const plural = (n, one, many = `${one}s`) => `${n} ${n === 1 ? one : many}`;

export const timeAgo = (iso) => h("ac-time", { at: iso ?? "" });
