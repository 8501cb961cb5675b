/** How long to wait, and what a close code asks for. Pure. */

/** Exponential backoff with full jitter, the very first wait included: a thousand clients that lose one server at the same moment must
 * not come back at the same moment. */
export class Backoff {
  /** @param {{min: number, max: number, random: () => number}} options milliseconds */
  constructor({ min, max, random }) {
    this.min = min;
    this.max = max;
    this.random = random;
    this.attempts = 0;
  }

  /** @returns {number} milliseconds, uniform in [0, min(max, min · 2^n)) */
  next() {
    // 2 ** 30 is far above any max; without the bound a long night would reach Infinity.
    const ceiling = Math.min(this.max, this.min * 2 ** Math.min(this.attempts, 30));
    this.attempts += 1;
    return this.random() * ceiling;
  }

  reset() {
    this.attempts = 0;
  }
}

/** A server that overloads and says no time is left alone for this long, in milliseconds. */
export const OVERLOAD_WAIT = 5_000;

/** No hint of a server holds us back longer than this, in milliseconds (an hour): beyond it is a mistake. */
const LONGEST_HINT = 3_600_000;

/**
 * The range of a close code carries the decision (protocol, section 5). Everything outside 42xx–44xx, 1000 by the server included, is a loss.
 * @param {number} code
 * @returns {"reconnect"|"wait"|"token"|"stop"}
 */
export function nextMove(code) {
  if (code >= 4400 && code <= 4499) return "stop";
  if (code >= 4300 && code <= 4399) return "token";
  if (code >= 4200 && code <= 4299) return "wait";
  return "reconnect";
}

/**
 * @param {number} code
 * @param {number|null} retryAfterMs what the last frame before the close said
 * @returns {number} the least wait in milliseconds; jitter comes on top
 */
export function leastWait(code, retryAfterMs) {
  const hint = Number.isFinite(retryAfterMs) ? Math.min(Math.max(Number(retryAfterMs), 0), LONGEST_HINT) : null;
  if (nextMove(code) === "wait") return hint ?? OVERLOAD_WAIT;
  return hint ?? 0;
}
