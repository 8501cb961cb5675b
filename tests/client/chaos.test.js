/**
 * A whole server (log, sockets, REST, idempotent commands) that fails in every way the protocol allows, and one promise: the page sees one
 * order, with no gap and no repeat, and each command is carried out once.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { fold } from "../../apps/realtime/client/src/index.js";
import { GUID, World, joinData, live, said, seeded, settle, snapshot } from "./harness.js";

class Server {
  constructor(random) {
    Object.assign(this, { random, epoch: 1, log: [], first: 1, state: snapshot(), answers: new Map(), sockets: new Map(), waiting: [] });
    Object.assign(this, { socketWorks: true, restWorks: true, mute: false, faults: true, carriedOut: new Map() });
  }

  chance(p) {
    return this.faults && this.random() < p;
  }

  // --- sockets
  dialled(socket) {
    queueMicrotask(() => {
      if (!this.socketWorks) return socket.closeWith(1006);
      this.sockets.set(socket, false);
      socket.accept();
    });
  }
  gone(socket) {
    this.sockets.delete(socket);
  }
  cut(code) {
    for (const socket of [...this.sockets.keys()]) {
      this.sockets.delete(socket);
      socket.closeWith(code);
    }
  }
  received(socket, envelope) {
    if (this.mute || this.chance(0.03)) return; // swallowed
    queueMicrotask(() => this.handle(socket, envelope));
  }
  handle(socket, { type, data, id }) {
    if (!this.sockets.has(socket)) return;
    const say = (kind, body, replyTo = id) => socket.say({ type: kind, projectGuid: GUID, data: body, replyTo });
    if (type === "ping") return say("pong", { t: data.t, rooms: this.sockets.get(socket) ? { [GUID]: this.log.length } : {} });
    if (type === "join_project" || type === "resync") {
      this.sockets.set(socket, true);
      const from = type === "resync" ? data.afterSeq : data.lastSeq;
      const good = type === "resync" ? from >= this.first - 1 : this.knows(from, data.epoch);
      if (good && type === "join_project") say("project_joined", this.joined({ recovered: true }));
      if (!good) return say("project_joined", this.joined({ snapshot: this.state }));
      const missed = this.log.slice(from);
      if (missed.length) socket.say(...missed);
    } else if (type === "chat") {
      if (!this.sockets.get(socket)) return say("error", { code: "not_joined", message: "", retryable: false });
      if (this.chance(0.1)) return say("error", { code: "rate_limited", message: "", retryable: true, retryAfterMs: 300 });
      const { reply, event } = this.carryOut(id, data);
      if (this.chance(0.15)) return this.broadcast(event); // the answer is lost
      say("ack", reply);
      this.broadcast(event);
    }
  }
  broadcast(event) {
    if (!event) return;
    for (const [socket, joined] of this.sockets) {
      if (!joined || this.chance(0.1)) continue; // a lost broadcast
      socket.say(event);
      if (this.chance(0.1)) socket.say(event);
      if (this.chance(0.1)) socket.say(this.log[Math.floor(this.random() * this.log.length)]);
    }
  }

  // --- the log
  knows(from, epoch) {
    return epoch === `e${this.epoch}` && from >= this.first - 1 && from <= this.log.length;
  }
  joined(more) {
    return joinData({ epoch: `e${this.epoch}`, lastSeq: this.log.length, ...more });
  }
  append(content) {
    const event = said(this.log.length + 1, content);
    this.log.push(event);
    this.state = fold(this.state, event);
    for (const go of this.waiting.splice(0)) go();
    return event;
  }
  carryOut(id, { message }) {
    if (this.answers.has(id)) return { reply: { ...this.answers.get(id), duplicate: true }, event: null };
    this.carriedOut.set(message, (this.carriedOut.get(message) ?? 0) + 1);
    const event = this.append(message);
    this.answers.set(id, { messageId: event.data.messageId, seq: event.seq });
    return { reply: this.answers.get(id), event };
  }
  newEpoch() {
    // A restore: the log is another one, what it holds stays.
    this.epoch += 1;
    this.log = this.log.slice(0, Math.floor(this.log.length / 2));
    this.first = 1;
    this.state = this.log.reduce(fold, snapshot(0, { epoch: `e${this.epoch}` }));
    this.cut(4103);
    for (const go of this.waiting.splice(0)) go();
  }
  trim() {
    this.first = Math.max(1, this.log.length - 3);
  }

  // --- REST
  async http({ url, method, body }) {
    if (!this.restWorks || this.chance(0.1)) return { status: 502, body: null };
    if (method === "POST") {
      const { reply, event } = this.carryOut(body.id, body.data);
      this.broadcast(event);
      if (this.chance(0.15)) return { status: 502, body: null }; // done, but the answer is lost
      return { status: 200, body: { type: "ack", data: reply, replyTo: body.id } };
    }
    if (url.includes("/snapshot/")) return { status: 200, body: this.joined({ snapshot: this.state }) };
    const query = new URL(url, "http://x").searchParams;
    const [after, epoch, hold] = [Number(query.get("after")), query.get("epoch"), query.get("wait") !== "0"];
    const page = () => {
      const recovered = this.knows(after, epoch);
      const results = recovered ? this.log.slice(after, after + 7) : [];
      return { results, next: null, previous: null, epoch: `e${this.epoch}`, lastSeq: this.log.length, recovered, live: [live("agents_link", { state: "connected" })] };
    };
    if (hold && page().recovered && !page().results.length) {
      await new Promise((resolve) => {
        this.waiting.push(resolve);
        this.clock.setTimeout(resolve, 25_000);
      });
    }
    return { status: 200, body: page() };
  }
}

async function story(seed) {
  const random = seeded(seed);
  const server = new Server(random);
  const world = new World({ seed: seed + 1, server, silentAfter: 2_000, timeout: 3_000 });
  server.clock = world.clock;
  const room = world.client.join(GUID);
  const marks = [];
  room.on("joined", () => marks.push({ epoch: room.epoch, at: room.lastSeq }));
  room.on("event", (envelope) => envelope.seq && marks.push({ epoch: room.epoch, seq: envelope.seq }));
  world.client.connect().catch(() => {});
  const answers = [];
  const texts = [];
  const statuses = new Set();
  for (let step = 0; step < 120; step += 1) {
    await world.advance(random() * 1_500);
    statuses.add(world.client.state.status);
    const dice = random();
    if (dice < 0.3) {
      const text = `chat ${step}`;
      texts.push(text);
      const answer = room.send("chat", { message: text });
      answer.catch(() => {});
      answers.push(answer);
    } else if (dice < 0.6) server.broadcast(server.append(`other ${step}`));
    else if (dice < 0.7) server.cut([1000, 1006, 1011, 4101, 4102, 4104][Math.floor(random() * 6)]);
    else if (dice < 0.76) server.socketWorks = !server.socketWorks;
    else if (dice < 0.8) server.mute = !server.mute;
    else if (dice < 0.84) server.restWorks = !server.restWorks;
    else if (dice < 0.87) server.trim();
    else if (dice < 0.89) server.newEpoch();
    else if (dice < 0.93) world.page.say(random() < 0.5 ? "hidden" : "visible");
    else if (dice < 0.96) world.page.say(random() < 0.5 ? "offline" : "online");
  }
  Object.assign(server, { socketWorks: true, restWorks: true, mute: false, faults: false });
  world.page.say("online");
  world.page.say("visible");
  for (let i = 0; i < 40; i += 1) {
    await world.advance(5_000);
  }
  assert.equal(world.client.state.status, "connected", `seed ${seed}: back on the socket`);
  const outcomes = await Promise.race([Promise.allSettled(answers), settle().then(() => null)]);
  assert.ok(outcomes, `seed ${seed}: every command has an outcome`);

  assert.equal(room.lastSeq, server.log.length, `seed ${seed}: at the top`);
  assert.deepEqual(room.state, server.state, `seed ${seed}: the same state as the server's`);
  for (const [text, times] of server.carriedOut) assert.equal(times, 1, `seed ${seed}: ${text}`);
  outcomes.forEach(({ status, reason }, i) => {
    if (status === "fulfilled") assert.ok(server.carriedOut.has(texts[i]), `seed ${seed}: ${texts[i]}`);
    else assert.ok(["timeout", "rate_limited", "not_joined"].includes(reason.code), `seed ${seed}: ${reason.code}`);
  });
  // In one epoch each event follows the one before, or a join that says where it goes on: never behind what was shown.
  let at = 0;
  let epoch = null;
  for (const mark of marks) {
    if (mark.epoch !== epoch) {
      assert.ok(mark.seq === undefined, `seed ${seed}: a new epoch begins with a join`);
      [at, epoch] = [mark.at, mark.epoch];
    } else if (mark.seq === undefined) {
      assert.ok(mark.at >= at, `seed ${seed}: a join does not go back`);
      at = mark.at;
    } else {
      assert.equal(mark.seq, at + 1, `seed ${seed}: no gap and no repeat`);
      at = mark.seq;
    }
  }
  world.client.close();
  return { statuses, shown: marks.filter((mark) => mark.seq).length, rejected: outcomes.filter((o) => o.status === "rejected").length, sent: texts.length };
}

test("three hundred stories of a bad day", async (t) => {
  const all = new Set();
  const sum = { shown: 0, rejected: 0, sent: 0 };
  for (let seed = 1; seed <= 300; seed += 1) {
    const told = await story(seed);
    for (const status of told.statuses) all.add(status);
    for (const name of Object.keys(sum)) sum[name] += told[name];
  }
  assert.deepEqual([...all].sort(), ["connected", "connecting", "disconnected", "offline", "polling"], "the stories go everywhere");
  t.diagnostic(JSON.stringify(sum));
});
