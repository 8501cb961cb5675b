/**
 * One socket and the decision what to do when it is lost. Knows envelopes only as far as it must (life, hints before a close); rooms,
 * commands and polling are others' business.
 *
 *   disconnected ─start→ connecting ─first answer→ connected
 *        ↑ hidden page       │  ↑______ loss ________│
 *        └───────────────────┤
 *                            ├─ more than `pollAfterFailures` failures, or silence → polling (the socket is tried on) → connected
 *                            ├─ the browser has no network → offline → connecting
 *                            └─ 44xx, or no good login → failed
 *
 * Emits: state · open (socket open, say something) · frame (envelope) · proven (the server answers) · down · fallback · wake
 */

import { Backoff, leastWait, nextMove } from "./backoff.js";
import { Emitter } from "./emitter.js";
import { closeWords } from "./errors.js";
import { Heartbeat } from "./heartbeat.js";

/** A connection that lived this long was good: the next loss starts the backoff anew. Shorter ones could be a loop. Milliseconds. */
const STABLE = 5_000;

/** While polling works there is no hurry to get the socket back. Milliseconds. */
const PROBE_MIN = 5_000;
const PROBE_MAX = 60_000;

/** So many refused logins in a row are final. */
const DENIED = 3;

const OPEN = 1;

export class Connection extends Emitter {
  #o;
  #backoff;
  #probes;
  /** @type {any} */
  #socket = null;
  /** Rises with every attempt and every drop: whatever belongs to an older one is ignored. */
  #turn = 0;
  #active = false;
  #polling = false;
  #proven = false;
  #provenAt = 0;
  #refresh = false;
  #denied = 0;
  #failures = 0;
  #attempts = 0;
  #notBefore = 0;
  #busy = false;
  /** @type {any} */
  #retryTimer = null;
  /** @type {any} */
  #patience = null;
  /** @type {{message: string, retryAfterMs: number|null}|null} */
  #hint = null;
  /** @type {() => void} */
  #unlisten = () => {};

  /** @param {any} options see client.js */
  constructor(options) {
    super();
    this.#o = options;
    const { minReconnectDelay: min, maxReconnectDelay: max, random, timers } = options;
    this.#backoff = new Backoff({ min, max, random });
    this.#probes = new Backoff({ min: Math.max(min, 1_000), max: PROBE_MAX, random });
    this.heartbeat = new Heartbeat({
      timers,
      random,
      ping: () => this._emit("beat", null),
      dead: () => this.drop("The server did not answer."),
    });
    this.state = Object.freeze(
      /** @type {any} */ ({ status: "disconnected", previous: null, reason: "", code: null, retryAt: null, attempts: 0 }),
    );
  }

  /** Whether the socket answers. */
  get proven() {
    return this.#proven;
  }

  get polling() {
    return this.#polling;
  }

  get active() {
    return this.#active;
  }

  start() {
    if (this.#active) return;
    this.#active = true;
    this.#polling = false;
    this.#failures = this.#attempts = this.#denied = this.#notBefore = 0;
    this.#backoff.reset();
    this.#unlisten = this.#o.page.listen((/** @type {string} */ what) => this.#changed(what));
    this.#attempt();
  }

  /** The page ends it. */
  stop() {
    this.#end("disconnected", "Closed by the page.", null);
  }

  /** Trying again will not help. @param {string} reason @param {number|null} [code] */
  fail(reason, code = null) {
    this.#end("failed", reason, code);
  }

  /** Give up this socket, as lost. A half-open one may take minutes to report its end. @param {string} reason */
  drop(reason) {
    if (this.#socket) this.#lost(1006, { words: reason });
  }

  /** @param {any} envelope @returns {boolean} whether it was handed to an open socket */
  send(envelope) {
    if (this.#socket?.readyState !== OPEN) return false;
    this.#socket.send(JSON.stringify(envelope));
    return true;
  }

  /** What the poller finds: the other way works, or neither does. @param {boolean} works @param {string} [reason] */
  pollResult(works, reason = "") {
    if (!this.#polling) return;
    if (works && this.state.status !== "polling") this.#set("polling", { reason: "The socket does not work; going on by polling." });
    if (!works && this.state.status !== "offline") this.#set("offline", { reason: reason || "The server cannot be reached." });
  }

  // --- one attempt ------------------------------------------------------------------------------------------------

  async #attempt() {
    this.#o.timers.clearTimeout(this.#retryTimer);
    this.#retryTimer = null;
    if (!this.#active || this.#socket || this.#busy) return;
    if (!this.#o.page.online()) return void this.#pause();
    const turn = (this.#turn += 1);
    this.#attempts += 1;
    if (!this.#polling) this.#set("connecting", { reason: this.state.reason });
    const protocols = ["autocode.v1"];
    if (this.#o.getToken) {
      let token;
      this.#busy = true;
      try {
        token = await this.#o.getToken({ refresh: this.#refresh });
      } catch {
        if (turn === this.#turn) this.#lost(1006, { words: "The login could not be renewed." });
        return;
      } finally {
        if (turn === this.#turn) this.#busy = false;
      }
      if (turn !== this.#turn) return;
      if (!token && this.#refresh) return void this.fail("Please log in again.");
      this.#refresh = false;
      if (token) protocols.push(`autocode.jwt.${token}`);
    }
    this.#open(turn, protocols);
  }

  /** @param {number} turn @param {string[]} protocols */
  #open(turn, protocols) {
    const { timers, timeout, WebSocket } = this.#o;
    let socket;
    try {
      socket = new WebSocket(this.#o.url, protocols);
    } catch (error) {
      return this.#lost(1006, { words: String(error) });
    }
    this.#socket = socket;
    const mine = () => turn === this.#turn;
    socket.onopen = () => {
      if (!mine()) return;
      timers.clearTimeout(this.#patience);
      // A proxy may accept the upgrade and then swallow everything: only an answer proves the way.
      this.#patience = timers.setTimeout(() => mine() && this.#lost(1006, { silent: true }), this.#o.silentAfter);
      this._emit("open", null);
    };
    socket.onmessage = (/** @type {any} */ event) => mine() && this.#read(event.data, mine);
    socket.onclose = (/** @type {any} */ event) => mine() && this.#lost(event.code ?? 1006, { words: event.reason });
    socket.onerror = () => {}; // a close always follows, and says as much
    this.#patience = timers.setTimeout(() => mine() && this.#lost(1006, { words: "The server did not answer." }), timeout);
  }

  /** @param {any} text @param {() => boolean} mine */
  #read(text, mine) {
    let frame;
    try {
      frame = JSON.parse(text);
    } catch {
      this.#o.debug("not JSON", text);
      return;
    }
    this.heartbeat.frame();
    for (const envelope of Array.isArray(frame) ? frame : [frame]) {
      if (!mine()) return;
      if (!envelope || typeof envelope.type !== "string") continue;
      this.#note(envelope);
      this._emit("frame", envelope);
    }
  }

  /** @param {any} envelope */
  #note({ type, data, replyTo }) {
    if (type === "server_draining" || (type === "error" && !replyTo)) {
      // The last word before a close: why, and how long to stay away. It proves nothing, or a server that refuses everybody
      // would be hammered.
      this.#hint = { message: data?.message ?? "", retryAfterMs: data?.retryAfterMs ?? null };
      return;
    }
    if (this.#hint && type !== "pong") this.#hint = null;
    if (this.#proven) return;
    this.#o.timers.clearTimeout(this.#patience);
    this.#proven = true;
    this.#provenAt = this.#o.timers.now();
    this.#polling = false;
    this.#failures = this.#attempts = this.#denied = 0;
    this.#probes.reset();
    this.heartbeat.start();
    this.#set("connected");
    this._emit("proven", null);
  }

  // --- a loss -----------------------------------------------------------------------------------------------------

  /** @param {number} code @param {{silent?: boolean, words?: string}} [why] */
  #lost(code, { silent = false, words = "" } = {}) {
    const { timers, page, pollAfterFailures, canPoll } = this.#o;
    const hint = this.#hint;
    const proven = this.#proven;
    if (proven && timers.now() - this.#provenAt >= STABLE) this.#backoff.reset();
    this.#clear();
    this._emit("down", null);
    if (!this.#active) return;
    const reason = hint?.message || words || closeWords(code);
    const move = nextMove(code);
    if (move === "stop") return this.fail(reason, code);
    if (move === "token") {
      this.#denied += 1;
      if (!this.#o.getToken || this.#denied > DENIED) return this.fail(reason, code);
      this.#refresh = true;
    }
    if (!proven && move === "reconnect") this.#failures += 1;
    const fallback = !this.#polling && canPoll && page.online() && (silent || this.#failures > pollAfterFailures);
    if (fallback) {
      this.#polling = true;
      this.#set("polling", { reason: "The socket does not work; going on by polling.", code });
    }
    const least = leastWait(code, hint?.retryAfterMs ?? null);
    this.#notBefore = timers.now() + least;
    const wait = this.#polling ? Math.max(least, PROBE_MIN) + this.#probes.next() : least + this.#backoff.next();
    this.#schedule(wait, reason, code);
    if (fallback) this._emit("fallback", null);
  }

  /** @param {number} wait @param {string} reason @param {number|null} code */
  #schedule(wait, reason, code) {
    if (this.#pause()) return;
    this.#retryTimer = this.#o.timers.setTimeout(() => {
      this.#retryTimer = null;
      if (!this.#pause()) this.#attempt();
    }, wait);
    if (!this.#polling) this.#set("connecting", { reason, code, retryAt: this.#o.timers.now() + wait });
  }

  /** Nobody looks, or there is no network: no loop of attempts until that changes. @returns {boolean} */
  #pause() {
    const { page } = this.#o;
    if (!page.online()) {
      this.#set("offline", { reason: "The browser has no network." });
      return true;
    }
    if (!page.hidden()) return false;
    if (!this.#polling) this.#set("disconnected", { reason: "The page is in the background." });
    return true;
  }

  /** @param {string} what visible, hidden, online or offline */
  #changed(what) {
    if (!this.#active || what === "hidden") return;
    // The computer may have slept, or changed its network: the socket can be dead without knowing.
    if (this.#proven) return this.heartbeat.probe();
    if (what === "offline") {
      this.#o.timers.clearTimeout(this.#retryTimer);
      this.#retryTimer = null;
      if (!this.#socket) this.#pause();
      return;
    }
    this._emit("wake", null);
    if (this.#socket || this.#busy) return;
    this.#backoff.reset();
    this.#probes.reset();
    if (!this.#polling) this.#failures = this.#attempts = 0;
    this.#o.timers.clearTimeout(this.#retryTimer);
    this.#retryTimer = null;
    // A server that asked for time still gets it.
    const wait = this.#notBefore - this.#o.timers.now();
    if (wait > 0) this.#schedule(wait, this.state.reason, this.state.code);
    else this.#attempt();
  }

  // --- small things -----------------------------------------------------------------------------------------------

  /** @param {string} status @param {string} reason @param {number|null} code */
  #end(status, reason, code) {
    const was = this.#active;
    this.#active = false;
    this.#polling = false;
    this.#o.timers.clearTimeout(this.#retryTimer);
    this.#unlisten();
    this.#clear(1000);
    if (!was && this.state.status === status) return;
    this.#set(status, { reason, code });
    this._emit("down", null);
  }

  /** @param {number} [code] */
  #clear(code) {
    this.#turn += 1;
    this.#busy = this.#proven = false;
    this.#hint = null;
    this.#o.timers.clearTimeout(this.#patience);
    this.heartbeat.stop();
    const socket = this.#socket;
    this.#socket = null;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = socket.onerror = null;
    try {
      socket.close(code);
    } catch {
      // It is closed already.
    }
  }

  /** @param {string} status @param {{reason?: string, code?: number|null, retryAt?: number|null}} [more] */
  #set(status, { reason = "", code = null, retryAt = null } = {}) {
    const old = this.state;
    const previous = old.status === status ? old.previous : old.status;
    this.state = Object.freeze({ status, previous, reason, code, retryAt, attempts: this.#attempts });
    this._emit("state", this.state);
  }
}
