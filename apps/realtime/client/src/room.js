/**
 * A project seen live: its state, exact at `lastSeq`, and what is live besides. Durable events are applied strictly by `seq`, whichever way
 * and however often they come. Knows nothing of sockets; asks its host for a resync or a new join.
 */

import { Batch } from "./batch.js";
import { Emitter } from "./emitter.js";
import { CommandError } from "./errors.js";
import { fold } from "./fold.js";
import { Live } from "./live.js";

/** A hole may close by itself, when frames of two ways cross. Milliseconds. */
const HOLE_WAIT = 100;
/** A replay that follows a join may take this long to begin. Milliseconds. */
const REPLAY_WAIT = 1_000;
/** How long a resync may take before it is asked again, and how often before the room is joined anew. */
const RESYNC_WAIT = 5_000;
const RESYNC_TRIES = 3;
/** What comes before its turn is kept up to this many; the rest is asked for again. */
const ASIDE = 5_000;
const EARLY = 200;
/** A state that cannot be folded is fetched anew at most this often. Milliseconds. */
const MEND_EVERY = 30_000;

/** "Is typing" is said again this often while it lasts, and taken back after this long. Milliseconds. */
const TYPING_EVERY = 2_500;
const TYPING_LASTS = 4_000;

/** Events that a slow reader of the async iterator may leave unread. */
const UNREAD = 10_000;

export class Room extends Emitter {
  #host;
  #timers;
  #batch;
  /** Whether durable events may be applied: between a join (or a poll) and the loss of the way that it came by. */
  #open = false;
  #gone = false;
  #fresh = false;
  /** @type {Map<number, any>} */
  #aside = new Map();
  /** @type {any[]} */
  #early = [];
  #target = 0;
  /** @type {any} */
  #holeTimer = null;
  #tries = 0;
  #rejoins = 0;
  #seenAt = 0;
  #mendedAt = -Infinity;
  /** @type {any} */
  #mendTimer = null;
  #read = 0;
  /** @type {any} */
  #focus = null;
  /** @type {any} */
  #typingTimer = null;
  #typingAt = -Infinity;
  /** @type {any} */
  #ready;

  /**
   * @param {any} host see client.js
   * @param {string} guid
   * @param {{topics?: string[], lastSeq?: number, epoch?: string, snapshot?: any}} [start]
   */
  constructor(host, guid, { topics, lastSeq, epoch, snapshot } = {}) {
    super();
    this.#host = host;
    this.#timers = host.timers;
    this.#batch = new Batch(host.timers, (change) => this._emit("change", change));
    this.guid = guid;
    this.topics = topics;
    this.state = snapshot ?? null;
    this.live = new Live();
    /** @type {any} */
    this.info = null;
    /** @type {string|null} */
    this.epoch = snapshot?.epoch ?? epoch ?? null;
    this.lastSeq = snapshot?.lastSeq ?? lastSeq ?? 0;
    /** @type {any} */
    const deferred = {};
    deferred.promise = new Promise((resolve, reject) => Object.assign(deferred, { resolve, reject }));
    deferred.promise.catch(() => {}); // nobody has to wait for it
    this.#ready = deferred;
  }

  // --- for pages --------------------------------------------------------------------------------------------------

  /** Resolves with the first join, rejects when the room was left or refused before. @returns {Promise<Room>} */
  ready() {
    return this.#ready.promise;
  }

  /** Commands that are not answered yet, oldest first. */
  get pending() {
    return this.#host.pending(this.guid);
  }

  /** @param {string} type @param {any} [data] @param {any} [options] @returns {Promise<any>} the data of the reply */
  send(type, data = {}, options = {}) {
    if (this.#gone) return Promise.reject(leftError());
    return this.#host.request(type, data, { ...options, guid: this.guid });
  }

  leave() {
    if (!this.#gone) this.#host.leave(this);
  }

  /** @param {number} seq up to where this person has read */
  markRead(seq) {
    if (seq > this.#read && this.#host.fire(this.guid, "mark_read", { seq })) this.#read = seq;
  }

  /** @param {boolean} on call it with every key: it is sent now and then, and taken back by itself */
  typing(on = true) {
    const now = this.#timers.now();
    this.#timers.clearTimeout(this.#typingTimer);
    if (on) {
      this.#typingTimer = this.#timers.setTimeout(() => this.typing(false), TYPING_LASTS);
      if (now - this.#typingAt < TYPING_EVERY) return;
      if (this.#host.fire(this.guid, "typing", { on: true })) this.#typingAt = now;
    } else if (this.#typingAt > -Infinity) {
      this.#typingAt = -Infinity;
      this.#host.fire(this.guid, "typing", { on: false });
    }
  }

  /** @param {string[]} panes what this person looks at @param {string|null} [agentId] */
  focus(panes, agentId = null) {
    this.#focus = agentId ? { panes, agentId } : { panes };
    this.#host.fire(this.guid, "focus", this.#focus);
  }

  /** All envelopes of the room from now on, each once and durable ones in order; ends when the room is left. */
  async *[Symbol.asyncIterator]() {
    /** @type {any[]} */
    const unread = [];
    let wake = () => {};
    const stops = [
      this.on("event", (envelope) => {
        unread.push(envelope);
        wake();
      }),
      this.on("left", () => wake()),
    ];
    try {
      while (true) {
        if (unread.length > UNREAD) throw new Error("The reader of this room is too slow.");
        while (unread.length) yield unread.shift();
        if (this.#gone) return;
        await new Promise((resolve) => {
          wake = () => resolve(undefined);
        });
      }
    } finally {
      for (const stop of stops) stop();
    }
  }

  // --- for the client ---------------------------------------------------------------------------------------------

  /** Whether commands of this room may go. */
  get _open() {
    return this.#open && !this.#gone;
  }

  /** Where to go on, or null when a snapshot is needed. */
  get _cursor() {
    return this.epoch !== null && !this.#fresh ? { lastSeq: this.lastSeq, epoch: this.epoch } : null;
  }

  /** The way is gone, or a join is under way: what comes now has to wait. */
  _close() {
    this.#open = false;
    this.#timers.clearTimeout(this.#holeTimer);
    this.#holeTimer = null;
    // "Is typing" ends with the connection on the server too.
    this.#typingAt = -Infinity;
  }

  /** The next join asks for a snapshot. */
  _forget() {
    this.#fresh = true;
  }

  /** @param {any} data of `project_joined`, or the REST snapshot, which is the same */
  _joined(data) {
    if (this.#gone) return;
    const { snapshot, live = [], ...info } = data;
    const epoch = snapshot?.epoch ?? data.epoch ?? this.epoch;
    if (!snapshot && this.epoch !== null && epoch !== this.epoch) {
      // Our events belong to another log: nothing of it may be mixed.
      if (this.state !== null) {
        this.#mend();
        return;
      }
      this.lastSeq = data.lastSeq ?? 0;
      this.#aside.clear();
    } else if (!snapshot && this.epoch === null) {
      this.lastSeq = data.lastSeq ?? 0;
    }
    const back = snapshot && this.state && snapshot.lastSeq < this.lastSeq;
    const otherLog = epoch !== this.epoch || (back && data.reason === "epoch_changed");
    // An answer that lags behind must not show anything twice.
    const reset = Boolean(snapshot) && (!back || otherLog || this.#fresh);
    if (reset) {
      if (otherLog) {
        this.#target = 0;
        this.#aside.clear();
      }
      this.state = snapshot;
      this.lastSeq = snapshot.lastSeq;
      this.#fresh = false;
      this.#batch.reset();
    }
    this.epoch = epoch;
    this.info = info;
    this.live.joined(data, reset);
    this.#batch.live({ type: "project_joined", projectGuid: this.guid, data: info });
    this._resume();
    for (const envelope of live) this._receive(envelope);
    this._expect(data.lastSeq ?? 0, REPLAY_WAIT);
    this.#ready.resolve(this);
    this._emit("joined", info);
    if (this.#focus) this.#host.fire(this.guid, "focus", this.#focus);
  }

  /** The way is open at our own cursor. */
  _resume() {
    this.#open = true;
    const early = this.#early;
    this.#early = [];
    this.#drain();
    for (const envelope of early) this._receive(envelope);
  }

  /** @param {any} page of the long poll @returns {boolean} false: the cursor is no good, fetch a snapshot */
  _polled(page) {
    if (page.recovered === false || (page.epoch && page.epoch !== this.epoch)) {
      this.#fresh = true;
      return false;
    }
    if (!this.#open) this._resume();
    for (const envelope of page.results ?? []) this._receive(envelope);
    for (const envelope of page.live ?? []) this._receive(envelope);
    this.#ready.resolve(this);
    return true;
  }

  /** @param {any} envelope */
  _receive(envelope) {
    if (this.#gone) return;
    if (!Number.isInteger(envelope.seq)) return this.#receiveLive(envelope);
    if (envelope.seq <= this.lastSeq) return; // seen
    if (this.#open && envelope.seq === this.lastSeq + 1) {
      this.#apply(envelope);
      this.#drain();
      return;
    }
    if (this.#aside.size < ASIDE) this.#aside.set(envelope.seq, envelope);
    if (this.#open) this._expect(envelope.seq);
  }

  /** Somebody knows of an event that we do not have. @param {number} seq @param {number} [wait] how long it may take by itself */
  _expect(seq, wait = HOLE_WAIT) {
    if (seq <= this.lastSeq || !this.#open) return;
    this.#target = Math.max(this.#target, seq);
    if (this.#holeTimer === null) this.#armHole(wait);
  }

  /** @param {string} reason @param {string} [code] */
  _left(reason, code = "left") {
    if (this.#gone) return;
    this._close();
    this.#gone = true;
    this.#batch.cancel();
    for (const timer of [this.#typingTimer, this.#mendTimer]) this.#timers.clearTimeout(timer);
    this.#aside.clear();
    this.#ready.reject(leftError(reason, code));
    this._emit("left", { reason, code });
  }

  // --- inside -----------------------------------------------------------------------------------------------------

  /** @param {any} envelope */
  #receiveLive(envelope) {
    if (!this.#open) {
      if (this.#early.length < EARLY) this.#early.push(envelope);
      return;
    }
    try {
      this.live.apply(envelope, this.state);
    } catch (error) {
      this.#host.debug("live", envelope.type, error);
      return;
    }
    this.#batch.live(envelope);
    this._emit("event", envelope);
  }

  /** @param {any} envelope the next one */
  #apply(envelope) {
    const { seq } = envelope;
    try {
      if (this.state) this.state = fold(this.state, envelope);
      this.live.settle(envelope);
    } catch (error) {
      // Our picture is not exact any more: say nothing wrong for long, take a new one.
      this.#host.debug("fold", envelope.type, error);
      if (this.state && this.state.lastSeq < seq) this.state = { ...this.state, lastSeq: seq };
      this.#mend();
    }
    this.lastSeq = seq;
    this.#batch.event(envelope);
    this._emit("event", envelope);
  }

  #mend() {
    this.#fresh = true;
    if (this.#mendTimer !== null) return;
    const wait = this.#mendedAt + MEND_EVERY - this.#timers.now();
    this.#mendTimer = this.#timers.setTimeout(() => {
      this.#mendTimer = null;
      if (!this.#fresh || this.#gone) return;
      this.#mendedAt = this.#timers.now();
      this.#host.rejoin(this);
    }, Math.max(wait, 0));
  }

  #drain() {
    for (let next; this.#open && (next = this.#aside.get(this.lastSeq + 1)); ) {
      this.#aside.delete(next.seq);
      this.#apply(next);
    }
    for (const [seq] of this.#aside) if (seq <= this.lastSeq) this.#aside.delete(seq);
    for (const [seq] of this.#aside) this.#target = Math.max(this.#target, seq);
    if (this.lastSeq >= this.#target) {
      this.#timers.clearTimeout(this.#holeTimer);
      this.#holeTimer = null;
      this.#tries = this.#rejoins = 0;
    } else if (this.#open && this.#holeTimer === null) {
      this.#armHole(HOLE_WAIT);
    }
  }

  /** @param {number} wait */
  #armHole(wait) {
    const from = this.lastSeq;
    this.#holeTimer = this.#timers.setTimeout(() => {
      this.#holeTimer = null;
      if (!this.#open || this.lastSeq >= this.#target) return;
      // A long replay is on its way: only a standstill is a hole.
      if (this.lastSeq > from && !this.#aside.size) return this.#armHole(wait);
      if (this.lastSeq > this.#seenAt) this.#tries = 0;
      this.#seenAt = this.lastSeq;
      this.#tries += 1;
      if (this.#tries <= RESYNC_TRIES) {
        this.#host.fire(this.guid, "resync", { afterSeq: this.lastSeq });
        this.#armHole(RESYNC_WAIT);
        return;
      }
      this.#tries = 0;
      this.#rejoins += 1;
      // The log itself seems to lack what was promised: the second time, believe a snapshot.
      if (this.#rejoins > 1) this.#fresh = true;
      this.#target = 0;
      this.#host.rejoin(this);
    }, wait);
  }
}

/** @param {string} [message] @param {string} [code] */
function leftError(message = "The room was left.", code = "left") {
  return new CommandError({ code, message });
}
