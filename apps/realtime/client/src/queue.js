/**
 * Commands and their answers. A command keeps its id until it is answered, however often it is sent and by whichever way: the server carries
 * an id out once. What is not answered survives the loss of the socket, and in `storage` the reload of the page.
 *
 * Knows nothing of sockets: `deliver(command)` hands one over, `settle(envelope)` brings an answer.
 */

import { Backoff } from "./backoff.js";
import { CommandError } from "./errors.js";
import { newId } from "./platform.js";

/** The server's limit for a frame, in bytes: a larger command would cost the connection each time it is sent. */
const FRAME = 65_536;

/** How often a command is sent again after a retryable refusal, and how often into silence before the connection is held to be broken. */
const TRIES = 6;
const SILENT_TRIES = 3;

/** Answers that are refusals though they are not `error` frames. */
const REFUSALS = new Set(["already_decided", "stale", "expired"]);

const encoder = new TextEncoder();

export class CommandQueue {
  #o;
  /** In the order of their making. @type {any[]} */
  #entries = [];
  /** @type {any} */
  #timer = null;
  /** @type {string|null} */
  #key = null;

  /**
   * @param {{timers: any, random: () => number, storage: any, maxQueue: number, timeout: number,
   *   ready: () => boolean, window: () => number, allowed: (entry: any) => boolean, deliver: (entry: any) => boolean,
   *   changed: (what: any) => void, stuck: () => void, notJoined: (guid: string) => void}} options
   */
  constructor(options) {
    this.#o = options;
  }

  /**
   * @param {string} type
   * @param {any} data
   * @param {any} [options]
   * @returns {Promise<any>}
   */
  add(type, data, { guid = null, id = newId(), timeout, signal, queue = true, internal = false } = {}) {
    const twin = this.#entries.find((entry) => entry.id === id);
    if (twin?.promise) return twin.promise;
    const refuse = this.#refusal(type, data, id, queue, signal);
    if (refuse) return Promise.reject(refuse);
    const entry = this.#entry({ id, guid, type, data, at: this.#o.timers.now() }, { queue, internal });
    entry.promise = new Promise((resolve, reject) => Object.assign(entry, { resolve, reject }));
    if (twin) this.#entries[this.#entries.indexOf(twin)] = entry; // a restored one got its owner back
    else this.#entries.push(entry);
    const limit = timeout ?? (queue ? 0 : this.#o.timeout);
    if (limit > 0) {
      entry.limit = this.#o.timers.setTimeout(() => this.#reject(entry, timedOut()), limit);
    }
    if (signal) {
      entry.onabort = () => this.#reject(entry, new CommandError({ code: "aborted", message: "Cancelled by the page." }));
      signal.addEventListener("abort", entry.onabort, { once: true });
      entry.signal = signal;
    }
    this.flush();
    if (!queue && entry.state === "waiting" && this.#entries.includes(entry)) {
      this.#reject(entry, new CommandError({ code: "not_connected", message: "Not connected.", retryable: true }));
    }
    this.#changed(entry);
    return entry.promise;
  }

  /** Send what may be sent, oldest first. */
  flush() {
    this.#o.timers.clearTimeout(this.#timer);
    if (!this.#o.ready()) return;
    const now = this.#o.timers.now();
    let room = this.#o.window() - this.#entries.filter((entry) => entry.state === "sent" && entry.queue).length;
    const held = new Set();
    let wake = Infinity;
    for (const entry of [...this.#entries]) {
      if (entry.state !== "waiting" || !this.#entries.includes(entry)) continue;
      if (entry.queue && (room <= 0 || held.has(entry.guid))) continue;
      if (entry.due > now) {
        // What was said later in the same room must not overtake it.
        held.add(entry.guid);
        wake = Math.min(wake, entry.due);
        continue;
      }
      if (!this.#o.allowed(entry)) continue;
      entry.state = "sent";
      entry.sends += 1;
      if (!this.#o.deliver(entry)) {
        entry.state = "waiting";
        break;
      }
      if (entry.queue) {
        room -= 1;
        this.#listen(entry);
        this.#changed(entry);
      }
    }
    if (wake < Infinity) this.#timer = this.#o.timers.setTimeout(() => this.flush(), Math.max(wake - now, 1));
  }

  /** @param {any} envelope with `replyTo` @returns {boolean} whether somebody waited for it */
  settle(envelope) {
    const entry = this.#entries.find((item) => item.id === envelope.replyTo);
    if (!entry) return false;
    const { type, data } = envelope;
    if (type === "error") this.refused(entry, CommandError.from(data));
    else if (REFUSALS.has(type)) this.#reject(entry, CommandError.from({ code: type, details: data, ...data }));
    else this.#resolve(entry, data);
    return true;
  }

  /** @param {any} entry @param {CommandError} error */
  refused(entry, error) {
    if (!this.#entries.includes(entry)) return;
    const again = error.retryable || error.code === "rate_limited" || (error.code === "not_joined" && entry.guid);
    if (!entry.queue || !again || entry.refusals >= TRIES) return this.#reject(entry, error);
    entry.refusals += 1;
    this.#later(entry, error.retryAfterMs);
    if (error.code === "not_joined") this.#o.notJoined(entry.guid);
    this.flush();
  }

  /** The way there is broken, which is no answer: try on, without counting. @param {any} entry @param {number|null} [waitMs] */
  undelivered(entry, waitMs = null) {
    if (!this.#entries.includes(entry) || entry.state !== "sent") return;
    this.#later(entry, waitMs);
    this.flush();
  }

  /** The socket is gone: what it carried and was not answered goes again. */
  disconnected() {
    for (const entry of [...this.#entries]) {
      if (entry.state !== "sent" || entry.via !== "socket") continue;
      if (entry.queue) this.#wait(entry);
      else this.#reject(entry, new CommandError({ code: "connection_lost", message: "The connection was lost.", retryable: true }));
    }
  }

  /** @param {string} [guid] @returns {{id: string, guid: string|null, type: string, data: any, state: "waiting"|"sent", at: number}[]} */
  pending(guid) {
    return this.#entries
      .filter((entry) => !entry.internal && (guid === undefined || entry.guid === guid))
      .map(({ id, guid: room, type, data, state, at }) => ({ id, guid: room, type, data, state, at }));
  }

  /** @param {CommandError} error @param {string} [guid] only those of this room */
  rejectAll(error, guid) {
    for (const entry of [...this.#entries]) if (guid === undefined || entry.guid === guid) this.#reject(entry, error);
  }

  /** Whose unsent messages are kept in `storage`: never shown to, nor sent for, anybody else. @param {string|null} userId */
  setUser(userId) {
    const key = userId ? `autocode:queue:${userId}` : null;
    if (key === this.#key) return;
    const other = this.#key !== null;
    this.#key = null; // so that the former user's storage stays as it is
    if (other) this.rejectAll(new CommandError({ code: "closed", message: "Somebody else has logged in." }));
    this.#key = key;
    for (const saved of this.#load()) {
      if (this.#entries.some((entry) => entry.id === saved.id)) continue;
      this.#entries.push(this.#entry(saved, { queue: true, internal: false, restored: true }));
    }
    this.#entries.sort((a, b) => a.at - b.at);
    if (this.#entries.length) this.#changed(null);
    this.flush();
  }

  // --- inside -----------------------------------------------------------------------------------------------------

  /** @param {any} command @param {any} flags */
  #entry(command, flags) {
    const backoff = new Backoff({ min: 1_000, max: 30_000, random: this.#o.random });
    return { ...command, restored: false, ...flags, state: "waiting", due: 0, sends: 0, refusals: 0, silences: 0, via: "socket", backoff };
  }

  /** @param {string} type @param {any} data @param {string} id @param {boolean} queue @param {AbortSignal|undefined} signal */
  #refusal(type, data, id, queue, signal) {
    if (signal?.aborted) return new CommandError({ code: "aborted", message: "Cancelled by the page." });
    // 200 bytes for the rest of the envelope.
    if (encoder.encode(JSON.stringify({ type, data, id })).length > FRAME - 200) {
      return new CommandError({ code: "too_large", message: "The message is too large." });
    }
    if (queue && this.#entries.filter((entry) => entry.queue).length >= this.#o.maxQueue) {
      return new CommandError({ code: "queue_full", message: "Too many messages wait to be sent.", retryable: true });
    }
    return null;
  }

  /** Silence on a living connection: ask again with the same id, then by a new connection, but not for ever. @param {any} entry */
  #listen(entry) {
    this.#o.timers.clearTimeout(entry.silence);
    if (entry.via !== "socket") return;
    entry.silence = this.#o.timers.setTimeout(() => {
      entry.silences += 1;
      if (entry.silences >= 2 * SILENT_TRIES) return this.#reject(entry, timedOut());
      if (entry.silences === SILENT_TRIES) return this.#o.stuck();
      this.#wait(entry);
      this.flush();
    }, this.#o.timeout);
  }

  /** @param {any} entry @param {number|null} waitMs */
  #later(entry, waitMs) {
    this.#wait(entry);
    // The server's word is the least; a little spread on top, so that a whole room does not come back at once.
    const wait = waitMs === null ? 250 + entry.backoff.next() : waitMs + 250 * this.#o.random();
    entry.due = this.#o.timers.now() + wait;
  }

  /** @param {any} entry */
  #wait(entry) {
    this.#o.timers.clearTimeout(entry.silence);
    entry.state = "waiting";
    this.#changed(entry);
  }

  /** @param {any} entry @param {any} data */
  #resolve(entry, data) {
    if (!this.#remove(entry)) return;
    entry.resolve?.(data);
    this.#changed(entry, { data });
    this.flush();
  }

  /** @param {any} entry @param {CommandError} error */
  #reject(entry, error) {
    if (!this.#remove(entry)) return;
    entry.reject?.(error);
    this.#changed(entry, { error });
    this.flush();
  }

  /** @param {any} entry */
  #remove(entry) {
    const index = this.#entries.indexOf(entry);
    if (index < 0) return false;
    this.#entries.splice(index, 1);
    this.#o.timers.clearTimeout(entry.silence);
    this.#o.timers.clearTimeout(entry.limit);
    entry.signal?.removeEventListener("abort", entry.onabort);
    return true;
  }

  /** @param {any} entry @param {{data?: any, error?: CommandError}|null} [outcome] */
  #changed(entry, outcome = null) {
    if (entry?.internal) return;
    this.#save();
    this.#o.changed({
      guid: entry?.guid ?? null,
      pending: this.pending(),
      command: entry ? { id: entry.id, type: entry.type, data: entry.data, restored: entry.restored } : null,
      outcome,
    });
  }

  #save() {
    if (!this.#key) return;
    const kept = this.#entries.filter((entry) => entry.queue && !entry.internal);
    try {
      if (!kept.length) this.#o.storage?.removeItem(this.#key);
      else this.#o.storage?.setItem(this.#key, JSON.stringify(kept.map(({ id, guid, type, data, at }) => ({ id, guid, type, data, at }))));
    } catch {
      // Full or forbidden: the queue still works, it only does not survive a reload.
    }
  }

  /** @returns {any[]} */
  #load() {
    try {
      const saved = JSON.parse(this.#o.storage?.getItem(this.#key) ?? "[]");
      return Array.isArray(saved) ? saved.filter((item) => item?.id && item.type).slice(0, this.#o.maxQueue) : [];
    } catch {
      return [];
    }
  }
}

function timedOut() {
  return new CommandError({ code: "timeout", message: "The server did not answer in time.", retryable: true });
}
