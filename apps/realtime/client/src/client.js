/** The one object of a page: a connection, its rooms, its commands, and polling when the socket does not work. */

import { Backoff } from "./backoff.js";
import { Connection } from "./connection.js";
import { Emitter } from "./emitter.js";
import { CommandError, ConnectionError } from "./errors.js";
import { defaultPage, defaultStorage, defaultTimers, defaultUrl, newId } from "./platform.js";
import { Poller } from "./polling.js";
import { CommandQueue } from "./queue.js";
import { Room } from "./room.js";

/** Unanswered commands on the way at once: enough to be fast, few enough for the server's limit of a burst. */
const IN_FLIGHT = 16;

/** `pong` may overtake the broadcast of an event by about this long, in milliseconds. */
const PATIENCE = 1_000;

/** Answers to a join that trying again does not change. */
const FINAL = new Set(["not_found", "forbidden", "invalid_field", "invalid_message", "unknown_type"]);

export class AutoCodeClient extends Emitter {
  /** @type {any} */
  #o;
  #connection;
  /** @type {CommandQueue} */
  #queue;
  /** @type {Poller} */
  #poller;
  /** @type {Map<string, Room>} */
  #rooms = new Map();
  /** Rooms for which a join was sent on this socket. @type {Map<Room, Backoff>} */
  #asked = new Map();
  #socketOpen = false;
  #host;

  /** @param {any} [options] see `ClientOptions` in types.d.ts */
  constructor(options = {}) {
    super();
    const o = (this.#o = withDefaults(options));
    this.#connection = new Connection(o);
    this.#queue = new CommandQueue({
      ...o,
      ready: () => this.#socketOpen || this.#poller.running,
      window: () => (this.#connection.proven ? IN_FLIGHT : 1),
      allowed: (entry) => this.#allowed(entry),
      deliver: (entry) => this.#deliver(entry),
      changed: (what) => this._emit("queue", what),
      stuck: () => this.#connection.drop("The server did not answer."),
      notJoined: (guid) => this.#rejoin(this.#rooms.get(guid)),
    });
    this.#poller = new Poller(o, {
      result: (works, reason) => this.#connection.pollResult(works, reason),
      denied: (reason) => this.#connection.fail(reason || "Please log in again.", 401),
      lost: (room, error) => this.#remove(room, error.message, error.code),
      joined: (room, data) => this.#joined(room, data),
      queue: () => this.#queue,
    });
    this.#host = {
      timers: o.timers,
      debug: o.debug,
      pending: (/** @type {string} */ guid) => this.#queue.pending(guid),
      request: (/** @type {string} */ type, /** @type {any} */ data, /** @type {any} */ more) => this.request(type, data, more),
      fire: (/** @type {string} */ guid, /** @type {string} */ type, /** @type {any} */ data) => this.#fire(guid, type, data),
      rejoin: (/** @type {Room} */ room) => this.#rejoin(room),
      leave: (/** @type {Room} */ room) => this.#leave(room),
    };
    this.#wire();
    /** Round trip of the last ping, in milliseconds. @type {number|null} */
    this.latency = null;
    /** The server's clock minus ours, in milliseconds. */
    this.clockSkew = 0;
    if (o.userId) this.#queue.setUser(String(o.userId));
  }

  /** {status, previous, reason, code, retryAt, attempts} */
  get state() {
    return this.#connection.state;
  }

  get rooms() {
    return [...this.#rooms.values()];
  }

  get pending() {
    return this.#queue.pending();
  }

  /** Start, and stay connected until `close`. @returns {Promise<AutoCodeClient>} see `ready` */
  connect() {
    this.#connection.start();
    return this.ready();
  }

  /** End it. What is not sent yet stays in the queue (and in the storage) for the next `connect`. */
  close() {
    this.#connection.stop();
  }

  /**
   * Resolves when the server answers, by socket or by polling.
   * @param {number} [timeout] milliseconds; none: as long as it takes
   * @returns {Promise<AutoCodeClient>}
   * @throws {ConnectionError} failed or closed, or the time is over
   */
  ready(timeout) {
    return new Promise((resolve, reject) => {
      /** @type {any} */
      let timer = null;
      const look = () => {
        const { status, reason, code } = this.state;
        if (status === "connected" || status === "polling") end(() => resolve(this));
        else if (status === "failed" || !this.#connection.active) end(() => reject(new ConnectionError(reason || "Closed.", code)));
      };
      const stop = this.on("state", look);
      const end = (/** @type {() => void} */ how) => {
        stop();
        this.#o.timers.clearTimeout(timer);
        how();
      };
      if (timeout !== undefined) {
        timer = this.#o.timers.setTimeout(() => end(() => reject(new ConnectionError("Not connected in time."))), timeout);
      }
      // Before `connect` it may wait; a failure is known at once.
      if (this.#connection.active || this.state.status === "failed") look();
    });
  }

  /**
   * @param {string} guid
   * @param {{topics?: string[], lastSeq?: number, epoch?: string, snapshot?: any}} [start]
   * @returns {Room} the same one for the same project
   */
  join(guid, start) {
    const known = this.#rooms.get(guid);
    if (known) return known;
    const room = new Room(this.#host, guid, start);
    this.#rooms.set(guid, room);
    if (this.#socketOpen && (this.#connection.proven || !this.#connection.polling)) this.#join(room);
    else this.#poller.add(room);
    return room;
  }

  /**
   * Send a command.
   * @param {string} type
   * @param {any} [data]
   * @param {{guid?: string|null, id?: string, timeout?: number, signal?: AbortSignal, queue?: boolean}} [options]
   * @returns {Promise<any>} the data of the reply
   * @throws {CommandError}
   */
  request(type, data = {}, { guid, id, timeout, signal, queue } = {}) {
    return this.#queue.add(type, data, { guid, id, timeout, signal, queue });
  }

  /** Whose unsent messages are kept over a reload. @param {string|null} userId */
  setUser(userId) {
    this.#queue.setUser(userId);
  }

  // --- wiring -----------------------------------------------------------------------------------------------------

  #wire() {
    const connection = this.#connection;
    connection.on("state", (state) => {
      if (["failed", "disconnected"].includes(state.status) && !connection.active) this.#poller.stop();
      this._emit("state", state);
    });
    connection.on("open", () => {
      this.#socketOpen = true;
      // While polling works, only an answer moves the rooms over; otherwise the joins themselves are the question.
      if (connection.polling || this.#rooms.size === 0) this.#ping();
      else for (const room of this.#rooms.values()) this.#join(room);
    });
    connection.on("proven", () => {
      this.#poller.stop();
      for (const room of this.#rooms.values()) this.#join(room);
      this.#queue.flush();
    });
    connection.on("down", () => {
      const joined = this.#asked.size > 0;
      this.#socketOpen = false;
      this.#asked.clear();
      // A probe that fails must not disturb rooms that go on by polling.
      if (joined || !connection.polling) for (const room of this.#rooms.values()) room._close();
      this.#queue.disconnected();
    });
    connection.on("fallback", () => {
      this.#poller.start(this.#rooms.values());
      this.#queue.flush();
    });
    connection.on("wake", () => this.#poller.wake());
    connection.on("beat", () => this.#ping());
    connection.on("frame", (envelope) => this.#frame(envelope));
  }

  #ping() {
    this.#connection.send({ type: "ping", projectGuid: null, data: { t: this.#o.timers.now() }, id: newId() });
  }

  /** @param {any} envelope */
  #frame(envelope) {
    this.#o.debug("in", envelope);
    this._emit("message", envelope);
    const { type, replyTo, projectGuid, data = {} } = envelope;
    const room = this.#rooms.get(projectGuid);
    if (type === "error") {
      if (!replyTo || !this.#queue.settle(envelope)) this._emit("error", { ...data, replyTo: replyTo ?? null, projectGuid: projectGuid ?? null });
      return;
    }
    if (type === "pong") this.#pong(data);
    else if (type === "project_joined") this.#joined(room, data);
    else if (type === "project_left") {
      // An answer is about our own leaving; the room may have been joined again since.
      if (room && !replyTo) this.#remove(room, "You no longer have access to this project.", "forbidden");
    } else if (type === "authenticated") this.#queue.setUser(data.userId ?? null);
    else if (type === "token_expiring" || type === "server_draining") {
      this._emit("notice", { ...data, type });
      if (type === "token_expiring") this.#renew();
    } else if (room && (Number.isInteger(envelope.seq) || !replyTo)) room._receive(envelope);
    if (replyTo) this.#queue.settle(envelope);
  }

  /** @param {any} data */
  #pong({ t, serverTime, rooms }) {
    this.#connection.heartbeat.pong();
    const now = this.#o.timers.now();
    if (Number.isFinite(t)) {
      this.latency = now - t;
      const server = Date.parse(serverTime);
      if (Number.isFinite(server)) this.clockSkew = server - (t + this.latency / 2);
    }
    if (!rooms) return;
    for (const room of this.#rooms.values()) {
      if (!room._open) continue;
      // The server carries on about rooms that it believes we are in.
      if (Object.hasOwn(rooms, room.guid)) room._expect(rooms[room.guid], PATIENCE);
      else this.#rejoin(room);
    }
  }

  async #renew() {
    if (!this.#o.getToken) return;
    try {
      const token = await this.#o.getToken({ refresh: true });
      if (token) await this.#queue.add("authenticate", { token }, { internal: true, queue: false });
    } catch (error) {
      // The server closes with 43xx in its time, and then a new login is a must.
      this.#o.debug("renew", error);
    }
  }

  // --- rooms ------------------------------------------------------------------------------------------------------

  /** @param {Room} room */
  #join(room) {
    if (!this.#socketOpen || this.#asked.has(room)) return;
    const { minReconnectDelay, maxReconnectDelay, random } = this.#o;
    this.#asked.set(room, new Backoff({ min: Math.max(minReconnectDelay, 500), max: maxReconnectDelay, random }));
    this.#askJoin(room);
  }

  /** @param {Room} room */
  #askJoin(room) {
    room._close();
    const data = { ...room._cursor, ...(room.topics && { topics: room.topics }) };
    const backoff = this.#asked.get(room);
    this.#queue.add("join_project", data, { guid: room.guid, internal: true, queue: false }).catch((error) => {
      if (this.#rooms.get(room.guid) !== room || this.#asked.get(room) !== backoff) return;
      if (FINAL.has(error.code)) return this.#remove(room, error.message, error.code);
      if (error.code === "timeout") return this.#connection.drop("The server did not answer.");
      const wait = (error.retryAfterMs ?? 0) + (backoff?.next() ?? 0);
      this.#o.timers.setTimeout(() => this.#asked.get(room) === backoff && this.#askJoin(room), wait);
    });
  }

  /** @param {Room|undefined} room */
  #rejoin(room) {
    if (!room || this.#rooms.get(room.guid) !== room) return;
    // By polling the loop itself finds that the cursor is gone.
    if (!this.#connection.proven) return;
    // A join is under way already.
    if (!room._open && room._cursor) return;
    this.#asked.delete(room);
    this.#join(room);
  }

  /** @param {Room|undefined} room @param {any} data */
  #joined(room, data) {
    this.#connection.heartbeat.configure(data.heartbeat);
    if (data.userId) this.#queue.setUser(String(data.userId));
    if (!room) return;
    room._joined(data);
    this.#queue.flush();
  }

  /** @param {Room} room */
  #leave(room) {
    this.#connection.send({ type: "leave_project", projectGuid: room.guid, data: {}, id: newId() });
    this.#remove(room, "The room was left.", "left");
  }

  /** @param {Room} room @param {string} reason @param {string} code */
  #remove(room, reason, code) {
    this.#rooms.delete(room.guid);
    this.#asked.delete(room);
    this.#poller.remove(room);
    room._left(reason, code);
    this.#queue.rejectAll(new CommandError({ code, message: reason }), room.guid);
  }

  // --- commands ---------------------------------------------------------------------------------------------------

  /** @param {any} entry @returns {boolean} */
  #allowed(entry) {
    if (entry.internal) return this.#socketOpen;
    const room = this.#rooms.get(entry.guid);
    // A POST needs no joined room.
    if (!this.#connection.proven) return this.#poller.running && entry.guid !== null && Boolean(room || !entry.restored);
    if (room) return room._open;
    // From before a reload, for a room that this page has not opened (yet): it waits for it.
    return !entry.restored;
  }

  /** @param {any} entry */
  #deliver(entry) {
    const { id, guid, type, data } = entry;
    this.#o.debug("out", { type, guid, data });
    if (!entry.internal && !this.#connection.proven) {
      entry.via = "post";
      this.#poller.post(entry);
      return true;
    }
    entry.via = "socket";
    return this.#connection.send({ type, projectGuid: guid, data, id });
  }

  /** Never queued, never answered. @param {string} guid @param {string} type @param {any} data */
  #fire(guid, type, data) {
    if (this.#connection.proven) {
      if (!this.#rooms.get(guid)?._open) return false;
      return this.#connection.send({ type, projectGuid: guid, data, id: newId() });
    }
    // A read mark outlives the moment; who types and looks where does not, and is not worth a request.
    if (!this.#poller.running || type !== "mark_read") return false;
    this.#poller.fire(guid, type, data);
    return true;
  }
}

/** @param {any} options @returns {any} */
function withDefaults(options) {
  const { debug = false } = options;
  const fetch = options.fetch ?? globalThis.fetch?.bind(globalThis);
  const restUrl = options.restUrl === undefined ? "/api/v1" : options.restUrl;
  const socket = options.WebSocket ?? globalThis.WebSocket;
  const o = {
    url: defaultUrl(),
    getToken: null,
    csrfToken: null,
    userId: null,
    minReconnectDelay: 500,
    maxReconnectDelay: 30_000,
    timeout: 10_000,
    maxQueue: 200,
    pollAfterFailures: 3,
    silentAfter: 10_000,
    random: Math.random,
    ...Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)),
    storage: options.storage === undefined ? defaultStorage() : options.storage,
    timers: options.timers ?? defaultTimers(),
    page: options.page ?? defaultPage(),
    WebSocket: socket,
    fetch,
    restUrl: restUrl?.replace(/\/+$/, ""),
    canPoll: Boolean(restUrl !== null && fetch),
    debug: typeof debug === "function" ? debug : debug ? console.debug.bind(console, "[autocode]") : () => {},
  };
  if (!o.url) throw new TypeError("AutoCodeClient needs a url outside a page.");
  if (!o.WebSocket) throw new TypeError("AutoCodeClient needs a WebSocket.");
  return o;
}
