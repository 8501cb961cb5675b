import assert from "node:assert/strict";
import { test } from "node:test";
import { GUID, MemoryStorage, World, said, settle } from "./harness.js";

const OTHER = GUID.replace(/1$/, "2");

async function reconnect(world) {
  await world.advance(500);
  world.socket.accept();
  world.join({ recovered: true, lastSeq: world.room.lastSeq });
}
const reply = (socket, { id }, data = { messageId: "m" }, type = "ack") => socket.say({ type, projectGuid: GUID, data, replyTo: id });
const refuse = (socket, { id }, data) => socket.say({ type: "error", data, replyTo: id });

test("a reply is matched by its id, whatever its type", async () => {
  const { room, socket, client } = await World.inRoom();
  const chat = room.send("chat", { message: "hi" });
  const feedback = room.send("user_feedback", { content: "x", target: {}, mode: "steer" });
  const bare = client.request("subscribe", { topic: "system/stats" });
  assert.equal(socket.last("chat").projectGuid, GUID);
  assert.equal(socket.last("subscribe").projectGuid, null);
  reply(socket, socket.last("subscribe"), { topics: ["system/stats"] }, "subscribed");
  reply(socket, socket.last("user_feedback"), { feedbackId: "f", state: "received" }, "user_feedback_response");
  reply(socket, socket.last("chat"), { messageId: "m1", seq: 1 });
  assert.deepEqual(await chat, { messageId: "m1", seq: 1 });
  assert.equal((await feedback).state, "received");
  assert.deepEqual((await bare).topics, ["system/stats"]);
  assert.deepEqual(room.pending, []);
  assert.equal(room.lastSeq, 0, "a reply is not an event");
});

test("an error rejects with all that it says; an error that answers nothing is an event of the client", async () => {
  const { room, socket, client } = await World.inRoom();
  const errors = [];
  client.on("error", (error) => errors.push(error.code));
  const bad = room.send("create_task", {});
  refuse(socket, socket.last("create_task"), { code: "invalid_field", message: "No title.", field: "title", retryable: false, details: { max: 3 } });
  await assert.rejects(bad, { name: "CommandError", code: "invalid_field", message: "No title.", field: "title", retryable: false, retryAfterMs: null });
  const late = room.send("approval", { approvalId: "a" });
  reply(socket, socket.last("approval"), { by: "bob", decision: "approve" }, "already_decided");
  await assert.rejects(late, (error) => error.code === "already_decided" && error.details.by === "bob");
  socket.say({ type: "error", data: { code: "malformed_json", message: "?" } });
  assert.deepEqual(errors, ["malformed_json"]);
});

test("what is said offline waits, and goes in its order when the room is joined again", async () => {
  const world = await World.inRoom();
  world.socket.closeWith(1006);
  const all = [1, 2, 3].map((n) => world.room.send("chat", { message: `${n}` }));
  assert.deepEqual(world.room.pending.map((c) => [c.data.message, c.state]), [["1", "waiting"], ["2", "waiting"], ["3", "waiting"]]);
  await world.advance(500);
  world.socket.accept();
  assert.equal(world.socket.of("chat").length, 0, "not before the room is joined");
  world.join({ recovered: true });
  assert.deepEqual(world.socket.of("chat").map((e) => e.data.message), ["1", "2", "3"]);
  for (const envelope of world.socket.of("chat")) reply(world.socket, envelope);
  await Promise.all(all);
});

test("unanswered commands go again with the same id after every reconnect, until the answer", async () => {
  const world = await World.inRoom();
  const chat = world.room.send("chat", { message: "once" });
  const { id } = world.socket.last("chat");
  for (let i = 0; i < 4; i += 1) {
    world.socket.closeWith(1006);
    assert.equal(world.room.pending[0].state, "waiting");
    await world.redial();
    world.join({ recovered: true });
    assert.equal(world.socket.last("chat").id, id);
    assert.equal(world.socket.of("chat").length, 1);
  }
  reply(world.socket, { id }, { messageId: "m", duplicate: true });
  assert.equal((await chat).duplicate, true);
  reply(world.socket, { id });
});

test("the same id twice is one command", async () => {
  const { room, socket } = await World.inRoom();
  const one = room.send("chat", { message: "x" }, { id: "k1" });
  assert.equal(room.send("chat", { message: "x" }, { id: "k1" }), one);
  assert.equal(socket.of("chat").length, 1);
});

test("silence on a living connection: asked again twice, then by a new connection, then told", async () => {
  const world = await World.inRoom({}, { heartbeat: { intervalMs: 500_000, graceMs: 500_000 } });
  const chat = assert.rejects(world.room.send("chat", { message: "x" }), { code: "timeout", retryable: true });
  await world.advance(30_000);
  assert.equal(world.client.state.status, "connecting");
  await world.redial();
  world.join({ recovered: true, heartbeat: { intervalMs: 500_000, graceMs: 500_000 } });
  await world.advance(30_000);
  assert.deepEqual(world.sockets.map((socket) => socket.of("chat").length), [3, 3]);
  assert.equal(new Set(world.sockets.flatMap((socket) => socket.of("chat").map((e) => e.id))).size, 1);
  await chat;
});

test("rate_limited and retryable refusals are tried again after retryAfterMs, and nothing overtakes", async () => {
  const world = await World.inRoom();
  const { room, socket } = world;
  const one = room.send("chat", { message: "1" });
  refuse(socket, socket.last("chat"), { code: "rate_limited", message: "wait", retryable: true, retryAfterMs: 2_000 });
  const two = room.send("chat", { message: "2" });
  await world.advance(1_999);
  assert.equal(socket.of("chat").length, 1);
  await world.advance(252);
  assert.deepEqual(socket.of("chat").map((e) => e.data.message), ["1", "1", "2"]);
  for (const envelope of socket.of("chat").slice(1)) reply(socket, envelope);
  await Promise.all([one, two]);
});

test("a refusal that stays is told after six tries; with queue: false at once", async () => {
  const world = await World.inRoom({}, { heartbeat: { intervalMs: 5e6, graceMs: 5e6 } });
  const { room, socket } = world;
  const chat = assert.rejects(room.send("chat", { message: "1" }), { code: "agents_unavailable" });
  let answered = 0;
  for (let i = 0; i < 200; i += 1) {
    for (; answered < socket.of("chat").length; answered += 1) refuse(socket, socket.of("chat")[answered], { code: "agents_unavailable", retryable: true });
    await world.advance(1_000);
  }
  await chat;
  assert.equal(answered, 7);
  const now = assert.rejects(room.send("chat", { message: "2" }, { queue: false }), { code: "rate_limited", retryAfterMs: 9 });
  refuse(socket, socket.last("chat"), { code: "rate_limited", retryable: true, retryAfterMs: 9 });
  await now;
});

test("queue: false is now or never", async () => {
  const world = await World.inRoom();
  const sent = assert.rejects(world.room.send("cancel", {}, { queue: false }), { code: "connection_lost", retryable: true });
  world.socket.closeWith(1006);
  await sent;
  await assert.rejects(world.room.send("cancel", {}, { queue: false }), { code: "not_connected" });
  await reconnect(world);
  assert.equal(world.socket.of("cancel").length, 0);
  const silent = assert.rejects(world.room.send("cancel", {}, { queue: false, timeout: 300 }), { code: "timeout" });
  await world.advance(300);
  await silent;
});

test("a time limit and an AbortSignal end the waiting", async () => {
  const world = await World.inRoom();
  world.socket.closeWith(1006);
  const limit = assert.rejects(world.room.send("chat", {}, { timeout: 50 }), { code: "timeout" });
  const controller = new AbortController();
  const aborted = assert.rejects(world.room.send("chat", {}, { signal: controller.signal }), { code: "aborted" });
  controller.abort();
  await world.advance(50);
  await Promise.all([limit, aborted]);
  await assert.rejects(world.room.send("chat", {}, { signal: controller.signal }), { code: "aborted" });
  await reconnect(world);
  assert.equal(world.socket.of("chat").length, 0);
});

test("the queue is bounded, and a command too large for a frame never costs the connection", async () => {
  const world = await World.inRoom({ maxQueue: 3 });
  world.socket.closeWith(1006);
  for (let i = 0; i < 3; i += 1) world.room.send("chat", { message: `${i}` }).catch(() => {});
  await assert.rejects(world.room.send("chat", { message: "4" }), { code: "queue_full" });
  await assert.rejects(world.room.send("chat", { message: "é".repeat(33_000) }), { code: "too_large" });
});

test("no more than sixteen unanswered commands are on the way", async () => {
  const { room, socket } = await World.inRoom();
  const all = Array.from({ length: 40 }, (_, n) => room.send("chat", { message: `${n}` }));
  assert.equal(socket.of("chat").length, 16);
  reply(socket, socket.of("chat")[0]);
  assert.equal(socket.of("chat").length, 17);
  for (let i = 1; i < 40; i += 1) reply(socket, socket.of("chat")[i]);
  await Promise.all(all);
  assert.deepEqual(socket.of("chat").map((e) => e.data.message), Array.from({ length: 40 }, (_, n) => `${n}`));
});

test("a reload keeps what was not answered, for the same person in the same tab only", async () => {
  const storage = new MemoryStorage();
  const before = await World.inRoom({ storage });
  before.socket.closeWith(1006);
  before.room.send("chat", { message: "kept" }, { id: "k1" });
  before.client.request("chat", { message: "other room" }, { id: "k2", guid: OTHER });
  before.room.send("cancel", {}, { queue: false }).catch(() => {});
  assert.equal(JSON.parse(storage.getItem("autocode:queue:u1")).length, 2);

  const stranger = await World.inRoom({ storage }, { userId: "u2" });
  await stranger.advance(10);
  assert.deepEqual(stranger.room.pending, []);
  assert.equal(stranger.socket.of("chat").length, 0);
  stranger.room.send("chat", { message: "mine" });
  assert.equal(JSON.parse(storage.getItem("autocode:queue:u1")).length, 2);

  const after = new World({ storage, userId: "u1" });
  const outcomes = [];
  after.client.on("queue", ({ command, outcome }) => outcome && outcomes.push([command.id, command.restored, outcome.data]));
  after.room = after.client.join(GUID);
  assert.deepEqual(after.room.pending.map((c) => [c.id, c.state]), [["k1", "waiting"]]);
  after.client.connect().catch(() => {});
  await settle();
  after.socket.accept();
  after.join();
  assert.deepEqual(after.socket.of("chat").map((e) => e.id), ["k1"], "another room's waits until that room is open");
  reply(after.socket, { id: "k1" });
  assert.deepEqual(outcomes, [["k1", true, { messageId: "m" }]]);
  assert.deepEqual(JSON.parse(storage.getItem("autocode:queue:u1")).map((c) => c.id), ["k2"]);
});

test("a storage that is full or forbidden loses the reload only", async () => {
  const broken = { getItem: () => { throw new Error("no"); }, setItem: () => { throw new Error("full"); }, removeItem: () => { throw new Error("no"); } };
  const { room, socket } = await World.inRoom({ storage: broken });
  const chat = room.send("chat", { message: "x" });
  reply(socket, socket.last("chat"));
  await chat;
});

test("not_joined: the room is joined again and the command goes again", async () => {
  const world = await World.inRoom();
  const chat = world.room.send("chat", { message: "x" });
  refuse(world.socket, world.socket.last("chat"), { code: "not_joined", message: "Join first.", retryable: false });
  assert.equal(world.socket.of("join_project").length, 2);
  world.join({ recovered: true });
  await world.advance(1_300);
  assert.equal(world.socket.of("chat").length, 2);
  reply(world.socket, world.socket.last("chat"));
  await chat;
});

test("queue events tell what waits; leaving rejects what waits", async () => {
  const world = await World.inRoom();
  const seen = [];
  world.client.on("queue", ({ guid, pending }) => seen.push([guid, pending.map((c) => c.state).join()]));
  world.socket.closeWith(1006);
  const chat = assert.rejects(world.room.send("chat", { message: "x" }), { code: "left" });
  assert.deepEqual(seen, [[GUID, "waiting"]]);
  await reconnect(world);
  assert.deepEqual(seen.at(-1), [GUID, "sent"]);
  world.room.leave();
  await chat;
  assert.deepEqual(world.client.pending, []);
});

test("a reply that is also an event is both", async () => {
  const { room, socket } = await World.inRoom();
  const chat = room.send("chat", { message: "x" });
  socket.say({ ...said(1), replyTo: socket.last("chat").id });
  assert.equal((await chat).messageId, "m1");
  assert.equal(room.lastSeq, 1);
});
