/**
 * The way without a socket: one long poll a room at the same cursor, commands by POST. Rooms do not notice the difference.
 */

import { Backoff } from "./backoff.js";
import { Rest, RestError } from "./rest.js";

/** How long the server may hold a poll, in seconds. */
const WAIT = 25;
const LIMIT = 500;

/** A browser opens about six HTTP/1.1 connections to a server; with more rooms than this, polls may not hold them. */
const HELD = 3;

/** Between two empty answers, in milliseconds: a server that does not hold a poll must not be asked in a loop. */
const PAUSE = 1_000;
const PAUSE_MANY = 3_000;

export class Poller {
  #o;
  #host;
  #rest;
  /** @type {AbortController|null} */
  #abort = null;
  /** @type {Map<any, AbortController>} */
  #rooms = new Map();
  /** @type {Set<() => void>} */
  #sleepers = new Set();

  /**
   * @param {any} options see client.js
   * @param {{result: (works: boolean, reason?: string) => void, denied: (reason: string) => void,
   *   lost: (room: any, error: any) => void, joined: (room: any, data: any) => void, queue: () => any}} host
   */
  constructor(options, host) {
    this.#o = options;
    this.#host = host;
    this.#rest = new Rest(options);
  }

  get running() {
    return this.#abort !== null;
  }

  /** @param {Iterable<any>} rooms */
  start(rooms) {
    if (this.running) return;
    this.#abort = new AbortController();
    for (const room of rooms) this.add(room);
  }

  stop() {
    this.#abort?.abort();
    this.#abort = null;
    for (const abort of this.#rooms.values()) abort.abort();
    this.#rooms.clear();
    this.wake();
  }

  /** Whoever waits before the next try goes on now. */
  wake() {
    for (const go of [...this.#sleepers]) go();
  }

  /** @param {any} room */
  add(room) {
    if (!this.running || this.#rooms.has(room)) return;
    const abort = new AbortController();
    this.#rooms.set(room, abort);
    this.#loop(room, abort.signal);
  }

  /** @param {any} room */
  remove(room) {
    this.#rooms.get(room)?.abort();
    this.#rooms.delete(room);
  }

  /** Carry out one command of the queue. @param {any} entry */
  async post(entry) {
    const { id, guid, type, data } = entry;
    const queue = this.#host.queue();
    try {
      const reply = await this.#rest.call("POST", `/projects/${guid}/commands/`, {
        body: { type, data, id },
        headers: { "Idempotency-Key": id },
      });
      queue.settle({ ...reply, replyTo: id });
    } catch (error) {
      if (!(error instanceof RestError)) throw error;
      // A way that does not work says nothing about the command; it is tried again with the same id, by whichever way there is then.
      if (!error.answered) return queue.undelivered(entry, error.error.retryAfterMs);
      if (error.denied) {
        queue.undelivered(entry, null);
        return this.#host.denied(error.message);
      }
      queue.refused(entry, error.error);
    }
  }

  /** Said once, not waited for. @param {string} guid @param {string} type @param {any} data */
  fire(guid, type, data) {
    this.#rest.call("POST", `/projects/${guid}/commands/`, { body: { type, data } }).catch(() => {});
  }

  // --- inside -----------------------------------------------------------------------------------------------------

  /** @param {any} room @param {AbortSignal} signal */
  async #loop(room, signal) {
    const { minReconnectDelay: min, maxReconnectDelay: max, random } = this.#o;
    const backoff = new Backoff({ min: Math.max(min, PAUSE), max, random });
    while (!signal.aborted) {
      const asked = this.#o.timers.now();
      try {
        const more = room._cursor ? await this.#page(room, signal) : await this.#snapshot(room, signal);
        if (signal.aborted) return;
        backoff.reset();
        const pause = this.#rooms.size > HELD ? PAUSE_MANY : PAUSE;
        if (!more && this.#o.timers.now() - asked < pause) await this.#sleep(pause, signal);
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof RestError)) this.#o.debug("poll", error);
        else if (error.denied) return this.#host.denied(error.message);
        else if (error.answered && [403, 404].includes(error.status)) return this.#host.lost(room, error.error);
        else this.#host.result(false, error.message);
        const least = error instanceof RestError ? (error.error.retryAfterMs ?? 0) : 0;
        await this.#sleep(least + backoff.next(), signal);
      }
    }
  }

  /** @param {any} room @param {AbortSignal} signal @returns {Promise<boolean>} whether to go on at once */
  async #snapshot(room, signal) {
    const data = await this.#rest.call("GET", `/projects/${room.guid}/snapshot/`, { signal });
    if (signal.aborted) return false;
    this.#host.result(true);
    this.#host.joined(room, { recovered: false, ...data });
    return true;
  }

  /** @param {any} room @param {AbortSignal} signal @returns {Promise<boolean>} whether to go on at once */
  async #page(room, signal) {
    const { lastSeq, epoch } = room._cursor;
    // The first one is not held: whether this way works at all must be known now.
    const wait = this.#rooms.size > HELD || !room._open ? 0 : WAIT;
    const query = new URLSearchParams({ after: lastSeq, epoch, limit: String(LIMIT), wait: String(wait) });
    const timeout = wait * 1_000 + this.#o.timeout;
    const page = await this.#rest.call("GET", `/projects/${room.guid}/events/?${query}`, { signal, timeout });
    // The socket is back, or the room was left: whoever took over has the cursor now.
    if (signal.aborted) return false;
    this.#host.result(true);
    const first = !room._open;
    const good = room._polled(page);
    // A cursor that was refused is followed by a snapshot at once.
    return !good || first || (page.results ?? []).length > 0;
  }

  /** @param {number} ms @param {AbortSignal} signal @returns {Promise<void>} */
  #sleep(ms, signal) {
    return new Promise((resolve) => {
      const go = () => {
        this.#o.timers.clearTimeout(timer);
        this.#sleepers.delete(go);
        signal.removeEventListener("abort", go);
        resolve();
      };
      const timer = this.#o.timers.setTimeout(go, ms);
      this.#sleepers.add(go);
      signal.addEventListener("abort", go);
    });
  }
}
