/** What happened in a room since the page last drew it, told at most once a frame. */

/** Hidden pages get no animation frames, but must not pile up work either. Milliseconds. */
const HIDDEN_WAIT = 1_000;
const FRAME = 16;

export class Batch {
  #timers;
  #flush;
  /** @type {any} */
  #timer = null;
  /** @type {any} */
  #frame = null;
  #due = false;
  #reset = false;
  /** @type {any[]} */
  #events = [];
  /** @type {any[]} */
  #live = [];

  /**
   * @param {import("./platform.js").Timers} timers
   * @param {(change: {reset: boolean, events: any[], live: any[]}) => void} flush
   */
  constructor(timers, flush) {
    this.#timers = timers;
    this.#flush = flush;
  }

  /** The state was replaced: what came before is in it. */
  reset() {
    this.#reset = true;
    this.#events = [];
    this.#arm();
  }

  /** @param {any} envelope a durable event, folded */
  event(envelope) {
    this.#events.push(envelope);
    this.#arm();
  }

  /** @param {any} envelope without a `seq` */
  live(envelope) {
    this.#live.push(envelope);
    this.#arm();
  }

  cancel() {
    this.#timers.clearTimeout(this.#timer);
    if (this.#frame !== null) this.#timers.cancelAnimationFrame?.(this.#frame);
    this.#timer = this.#frame = null;
    this.#due = false;
  }

  #arm() {
    if (this.#due) return;
    this.#due = true;
    const frames = this.#timers.requestAnimationFrame;
    if (frames) this.#frame = frames(() => this.#tell());
    this.#timer = this.#timers.setTimeout(() => this.#tell(), frames ? HIDDEN_WAIT : FRAME);
  }

  #tell() {
    if (!this.#due) return;
    this.cancel();
    const change = { reset: this.#reset, events: this.#events, live: this.#live };
    this.#reset = false;
    this.#events = [];
    this.#live = [];
    this.#flush(change);
  }
}
