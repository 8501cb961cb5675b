/** A clock that tests move, a socket without a network, a page, and a server that keeps a log: enough to see every promise of the client. */

import { AutoCodeClient } from "../../apps/realtime/client/src/index.js";

export const GUID = "0192f000-0000-7000-8000-000000000001";
export const T0 = 1_700_000_000_000;

/** Small, seeded, good enough (mulberry32). */
export function seeded(seed) {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** Lets all promises that can go on go on. */
export async function settle() {
  for (let i = 0; i < 3; i += 1) await new Promise((resolve) => setImmediate(resolve));
}

export class Clock {
  constructor() {
    this.time = T0;
    this.next = 1;
    this.timers = new Map();
    this.setTimeout = (fn, ms) => {
      this.timers.set(this.next, { at: this.time + ms, fn, id: this.next });
      return this.next++;
    };
    this.clearTimeout = (id) => this.timers.delete(id);
    this.now = () => this.time;
  }

  async advance(ms) {
    const end = this.time + ms;
    await settle();
    while (true) {
      const due = [...this.timers.values()].filter((t) => t.at <= end).sort((a, b) => a.at - b.at || a.id - b.id)[0];
      if (!due) break;
      this.timers.delete(due.id);
      this.time = Math.max(this.time, due.at);
      due.fn();
      await settle();
    }
    this.time = end;
  }
}

export class FakePage {
  constructor() {
    this.isHidden = false;
    this.isOnline = true;
    this.fns = new Set();
  }
  hidden = () => this.isHidden;
  online = () => this.isOnline;
  listen = (fn) => {
    this.fns.add(fn);
    return () => this.fns.delete(fn);
  };
  say(what) {
    if (what === "hidden" || what === "visible") this.isHidden = what === "hidden";
    else this.isOnline = what === "online";
    for (const fn of [...this.fns]) fn(what);
  }
}

export class MemoryStorage {
  constructor() {
    this.map = new Map();
  }
  getItem = (key) => this.map.get(key) ?? null;
  setItem = (key, value) => void this.map.set(key, String(value));
  removeItem = (key) => void this.map.delete(key);
}

/** One WebSocket. The test plays the server: `accept`, `say`, `closeWith`, and reads `sent`. */
export class FakeSocket {
  constructor(url, protocols, world) {
    Object.assign(this, { url, protocols, world, readyState: 0, sent: [], closed: null });
  }
  send(text) {
    if (this.readyState !== 1) throw new Error("not open");
    const envelope = JSON.parse(text);
    this.sent.push(envelope);
    this.world.server?.received(this, envelope);
  }
  close(code) {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.closed = code ?? 1005;
    this.world.server?.gone(this);
  }
  accept() {
    this.readyState = 1;
    this.onopen?.({});
  }
  say(...envelopes) {
    if (this.readyState !== 1) return;
    this.onmessage?.({ data: JSON.stringify(envelopes.length === 1 ? envelopes[0] : envelopes) });
  }
  closeWith(code, reason = "") {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.onclose?.({ code, reason });
  }
  of(type) {
    return this.sent.filter((envelope) => envelope.type === type);
  }
  last(type) {
    return this.of(type).at(-1);
  }
}

/** Everything that one client sees of the world. */
export class World {
  constructor({ seed = 1, server = null, ...options } = {}) {
    this.clock = new Clock();
    this.page = options.page ?? new FakePage();
    this.storage = options.storage ?? new MemoryStorage();
    this.sockets = [];
    this.requests = [];
    this.server = server;
    this.states = [];
    /** Replaced by tests: (url, init) → {status, body} or a promise of it. */
    this.answer = () => ({ status: 503, body: null });
    const world = this;
    const WebSocket = class extends FakeSocket {
      constructor(url, protocols) {
        super(url, protocols, world);
        world.sockets.push(this);
        world.server?.dialled(this);
      }
    };
    this.client = new AutoCodeClient({
      url: "ws://test/ws/",
      restUrl: "/api/v1",
      csrfToken: "csrf",
      random: options.random ?? seeded(seed),
      WebSocket,
      fetch: (url, init) => this.#fetch(url, init),
      timers: this.clock,
      ...options,
      page: this.page,
      storage: this.storage,
    });
    this.client.on("state", (state) => this.states.push(state));
  }

  get socket() {
    return this.sockets.at(-1);
  }

  get statuses() {
    return this.states.map((state) => state.status).filter((status, i, all) => status !== all[i - 1]);
  }

  advance(ms) {
    return this.clock.advance(ms);
  }

  async #fetch(url, init) {
    const request = { url, ...init, body: init.body && JSON.parse(init.body) };
    this.requests.push(request);
    const aborted = new Promise((_, reject) => {
      if (init.signal.aborted) reject(new Error("aborted"));
      init.signal.addEventListener("abort", () => reject(new Error("aborted")));
    });
    aborted.catch(() => {});
    const { status, body, headers = {} } = await Promise.race([this.server ? this.server.http(request) : this.answer(url, request), aborted]);
    return {
      ok: status >= 200 && status < 300,
      status,
      headers: { get: (name) => headers[name] ?? null },
      json: async () => {
        if (body === null) throw new SyntaxError("no JSON");
        return structuredClone(body);
      },
    };
  }

  /** Wait for the next attempt, however long the backoff has become, and let it through. */
  async redial() {
    for (let i = 0; i < 700 && this.socket.readyState !== 0; i += 1) await this.advance(100);
    this.socket.accept();
  }

  /** A client that is connected and in one room. */
  static async inRoom(options = {}, joined = {}) {
    const world = new World(options);
    world.room = world.client.join(GUID, options.start);
    world.client.connect().catch(() => {});
    await settle();
    world.socket.accept();
    world.join(joined);
    await settle();
    return world;
  }

  /** Answer the last join. */
  join(data = {}) {
    const { id } = this.socket.last("join_project");
    this.socket.say(joinReply(id, data));
  }
}

export function snapshot(lastSeq = 0, more = {}) {
  return {
    project: { guid: GUID, name: "To-do", description: "", brief: "", status: "draft", statusReason: "", createdAt: "2026-01-01T00:00:00.000Z" },
    epoch: "e1",
    lastSeq,
    stages: [],
    messages: [],
    tasks: [],
    plan: null,
    locks: { version: 0, locks: [] },
    agents: [],
    runs: [],
    toolCalls: [],
    approvals: [],
    feedback: [],
    notifications: [],
    activity: [],
    logs: [],
    usage: { promptTokens: 0, completionTokens: 0, totalTokens: 0, totalCost: "0", currency: "USD", runs: 0 },
    ...more,
  };
}

export function joinData(data = {}) {
  const recovered = data.recovered ?? false;
  return {
    epoch: "e1",
    lastSeq: data.snapshot?.lastSeq ?? 0,
    recovered,
    role: "contributor",
    permissions: [],
    userId: "u1",
    username: "ada",
    readSeq: 0,
    presence: [],
    link: null,
    heartbeat: { intervalMs: 27_000, graceMs: 10_000 },
    ...(!recovered && { reason: "first_join", snapshot: snapshot() }),
    ...data,
  };
}

export function joinReply(replyTo, data = {}) {
  return { type: "project_joined", projectGuid: GUID, data: joinData(data), replyTo };
}

/** A durable event that says its own number. */
export function said(seq, content = `n${seq}`) {
  return {
    type: "project_message",
    projectGuid: GUID,
    seq,
    timestamp: "2026-01-01T00:00:00.000Z",
    id: `ev-${seq}`,
    data: {
      messageId: `m${seq}`,
      kind: "user",
      author: { kind: "person", id: "u1", name: "Ada", role: "" },
      content,
      html: "",
      format: "text",
      replyToId: null,
      runId: null,
      agentId: null,
      hasQuestion: false,
      waitingUserResponse: false,
      attachments: [],
    },
  };
}

export function live(type, data) {
  return { type, projectGuid: GUID, data };
}
