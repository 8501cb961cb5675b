/** Knows whether the other side still lives. Any frame counts as life. */

/** Used until `project_joined` brings the server's own figures, in milliseconds. */
const INTERVAL = 27_000;
const GRACE = 10_000;

/** How long a connection may take to answer after the computer woke up or changed its network, in milliseconds. */
const PROBE = 5_000;

export class Heartbeat {
  #timers;
  #random;
  #ping;
  #dead;
  /** @type {any} */
  #pingTimer = null;
  /** @type {any} */
  #deadTimer = null;
  /** @type {any} */
  #probeTimer = null;
  #last = 0;
  #running = false;

  /** @param {{timers: import("./platform.js").Timers, random: () => number, ping: () => void, dead: () => void}} options */
  constructor({ timers, random, ping, dead }) {
    this.#timers = timers;
    this.#random = random;
    this.#ping = ping;
    this.#dead = dead;
    this.interval = INTERVAL;
    this.grace = GRACE;
  }

  /** @param {{intervalMs?: number, graceMs?: number}|undefined} figures */
  configure(figures) {
    if (!(Number(figures?.intervalMs) > 0)) return;
    this.interval = Number(figures?.intervalMs);
    this.grace = Number(figures?.graceMs) > 0 ? Number(figures?.graceMs) : GRACE;
    if (this.#running) this.start();
  }

  start() {
    this.stop();
    this.#running = true;
    this.#last = this.#timers.now();
    this.#armPing();
    this.#armDead();
  }

  stop() {
    this.#running = false;
    for (const timer of [this.#pingTimer, this.#deadTimer, this.#probeTimer]) this.#timers.clearTimeout(timer);
    this.#probeTimer = null;
  }

  frame() {
    this.#last = this.#timers.now();
    if (this.#probeTimer === null) return;
    this.#timers.clearTimeout(this.#probeTimer);
    this.#probeTimer = null;
  }

  /** Browsers slow down chains of timers in hidden pages to one a minute, but not a timer that was set by a message: so the next ping is
   * timed from the answer to the last. */
  pong() {
    if (this.#running) this.#armPing();
  }

  /** Ask now, and do not wait long for the answer. */
  probe() {
    if (!this.#running || this.#probeTimer !== null) return;
    this.#probeTimer = this.#timers.setTimeout(() => this.#dead(), PROBE);
    this.#ping();
  }

  #armPing() {
    this.#timers.clearTimeout(this.#pingTimer);
    // ±10 %, so that thousands of pages do not tick together.
    const wait = this.interval * (0.9 + 0.2 * this.#random());
    this.#pingTimer = this.#timers.setTimeout(() => {
      this.#ping();
      if (this.#running) this.#armPing();
    }, wait);
  }

  #armDead() {
    this.#timers.clearTimeout(this.#deadTimer);
    const wait = this.#last + this.interval + this.grace - this.#timers.now();
    this.#deadTimer = this.#timers.setTimeout(() => {
      if (this.#timers.now() - this.#last >= this.interval + this.grace) this.#dead();
      else this.#armDead();
    }, Math.max(wait, 1));
  }
}
