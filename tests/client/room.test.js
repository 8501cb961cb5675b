import assert from "node:assert/strict";
import { test } from "node:test";
import { GUID, World, live, said, settle, snapshot } from "./harness.js";

const seqs = (world) => {
  const seen = [];
  world.room.on("event", (envelope) => envelope.seq && seen.push(envelope.seq));
  return seen;
};

test("a first join brings a snapshot; one room for one guid", async () => {
  const world = await World.inRoom({}, { snapshot: snapshot(4), lastSeq: 4 });
  const { room } = world;
  assert.equal(world.client.join(GUID), room);
  await room.ready();
  assert.deepEqual([room.lastSeq, room.epoch, room.state.lastSeq], [4, "e1", 4]);
  assert.equal(room.info.role, "contributor");
  assert.equal(room.info.snapshot, undefined);
  assert.deepEqual(world.sockets[0].last("join_project").data, {});
});

test("a snapshot from the page is the cursor of the first join", async () => {
  const world = await World.inRoom({ start: { snapshot: snapshot(7), topics: ["tasks"] } }, { recovered: true, lastSeq: 8 });
  assert.deepEqual(world.socket.last("join_project").data, { lastSeq: 7, epoch: "e1", topics: ["tasks"] });
  world.socket.say(said(8));
  assert.equal(world.room.state.lastSeq, 8);
  assert.equal(world.socket.of("resync").length, 0);
});

test("durable events: next is folded, seen is dropped, a batch is taken in order", async () => {
  const world = await World.inRoom();
  const seen = seqs(world);
  world.socket.say(said(1), said(2), said(2), said(1), said(3));
  assert.deepEqual(seen, [1, 2, 3]);
  assert.deepEqual(world.room.state.messages.map((m) => m.content), ["n1", "n2", "n3"]);
});

test("a hole: what came early is kept, what is missing is asked for, each is shown once", async () => {
  const world = await World.inRoom();
  const seen = seqs(world);
  world.socket.say(said(1), said(3), said(4));
  assert.deepEqual(seen, [1]);
  await world.advance(100);
  assert.deepEqual(world.socket.last("resync").data, { afterSeq: 1 });
  world.socket.say(said(2), said(3), said(4), said(5));
  assert.deepEqual(seen, [1, 2, 3, 4, 5]);
  await world.advance(20_000);
  assert.equal(world.socket.of("resync").length, 1);
});

test("a hole that closes by itself is not asked for", async () => {
  const world = await World.inRoom();
  world.socket.say(said(2));
  await world.advance(50);
  world.socket.say(said(1));
  await world.advance(20_000);
  assert.equal(world.room.lastSeq, 2);
  assert.equal(world.socket.of("resync").length, 0);
});

test("a hole that a resync does not close: joined anew, and at last from a snapshot", async () => {
  const world = await World.inRoom();
  const seen = seqs(world);
  world.socket.say(said(1), said(5));
  await world.advance(100 + 3 * 5_000);
  assert.equal(world.socket.of("resync").length, 3);
  assert.deepEqual(world.socket.last("join_project").data, { lastSeq: 1, epoch: "e1" });
  world.join({ recovered: true, lastSeq: 5 });
  await world.advance(1_000 + 4 * 5_000);
  assert.deepEqual(world.socket.last("join_project").data, {}, "the second time without a cursor");
  world.join({ snapshot: snapshot(5), reason: "too_many" });
  world.socket.say(said(5), said(6));
  assert.deepEqual(seen, [1, 6]);
  assert.equal(world.room.state.lastSeq, 6);
});

test("resync may be answered by a snapshot", async () => {
  const world = await World.inRoom();
  const changes = [];
  world.room.on("change", (change) => changes.push(change));
  await world.advance(16);
  world.socket.say(said(1), said(9));
  await world.advance(100);
  world.join({ snapshot: snapshot(8), lastSeq: 9, reason: "too_many" });
  await world.advance(16);
  assert.equal(world.room.state.lastSeq, 9, "the event that was kept aside follows the snapshot");
  assert.equal(changes.at(-1).reset, true);
  assert.deepEqual(changes.at(-1).events.map((e) => e.seq), [9]);
});

test("reconnect, recovered: what was missed follows, and the state goes on", async () => {
  const world = await World.inRoom();
  const seen = seqs(world);
  world.socket.say(said(1), said(2));
  const { state } = world.room;
  world.socket.closeWith(1006);
  await world.advance(500);
  world.socket.accept();
  world.socket.say(said(5)); // live, before the answer to the join
  assert.equal(world.room.lastSeq, 2);
  world.join({ recovered: true, lastSeq: 5 });
  world.socket.say(said(3), said(4));
  assert.deepEqual(seen, [1, 2, 3, 4, 5]);
  assert.equal(world.room.state.messages[0], state.messages[0]);
});

test("a replay that was promised and does not come is asked for", async () => {
  const world = await World.inRoom({ start: { snapshot: snapshot(2) } }, { recovered: true, lastSeq: 4 });
  await world.advance(999);
  assert.equal(world.socket.of("resync").length, 0);
  await world.advance(1);
  assert.deepEqual(world.socket.last("resync").data, { afterSeq: 2 });
});

test("a long replay on its way is not asked for again", async () => {
  const world = await World.inRoom({ start: { snapshot: snapshot(0) } }, { recovered: true, lastSeq: 40 });
  for (let seq = 1; seq <= 40; seq += 1) {
    world.socket.say(said(seq));
    await world.advance(300);
  }
  assert.equal(world.socket.of("resync").length, 0);
});

test("a snapshot swallows the events that stood before it in the same frame", async () => {
  const world = await World.inRoom();
  const changes = [];
  await world.advance(16);
  world.room.on("change", (change) => changes.push(change));
  world.socket.say(said(1), said(2));
  world.join({ snapshot: snapshot(5), lastSeq: 5 });
  world.socket.say(said(6));
  await world.advance(16);
  assert.deepEqual(changes.map(({ reset, events }) => [reset, events.map((e) => e.seq)]), [[true, [6]]]);
});

test("reconnect, not recovered: the snapshot replaces the state", async () => {
  for (const reason of ["epoch_changed", "trimmed", "too_many"]) {
    const world = await World.inRoom();
    world.socket.say(said(1), said(2));
    world.room.live.streams.set("x", {});
    world.socket.closeWith(1006);
    await world.advance(500);
    world.socket.accept();
    const epoch = reason === "epoch_changed" ? "e2" : "e1";
    const lastSeq = reason === "epoch_changed" ? 1 : 40;
    world.join({ reason, epoch, snapshot: snapshot(lastSeq, { epoch }), lastSeq });
    assert.deepEqual([world.room.epoch, world.room.lastSeq, world.room.state.messages.length, world.room.live.streams.size], [epoch, lastSeq, 0, 0]);
    world.socket.say(said(lastSeq + 1));
    assert.equal(world.room.state.lastSeq, lastSeq + 1);
  }
});

test("recovered, but in another epoch: nothing is mixed, a snapshot is taken", async () => {
  const world = await World.inRoom();
  world.socket.say(said(1));
  world.socket.closeWith(1006);
  await world.advance(500);
  world.socket.accept();
  world.join({ recovered: true, epoch: "e2", lastSeq: 2 });
  world.socket.say(said(2, "of another log"));
  await world.advance(1);
  assert.equal(world.room.lastSeq, 1);
  assert.deepEqual(world.socket.last("join_project").data, {});
  world.join({ epoch: "e2", snapshot: snapshot(2, { epoch: "e2" }), lastSeq: 2 });
  assert.deepEqual([world.room.epoch, world.room.lastSeq], ["e2", 2]);
});

test("a snapshot that lags behind us shows nothing twice", async () => {
  const world = await World.inRoom();
  const seen = seqs(world);
  world.socket.say(said(1), said(2), said(3));
  world.join({ snapshot: snapshot(1), lastSeq: 3 });
  world.socket.say(said(2), said(3), said(4));
  assert.deepEqual(seen, [1, 2, 3, 4]);
});

test("a log that is shorter than what we have seen is another log, whatever its name", async () => {
  const world = await World.inRoom();
  world.socket.say(said(1), said(2), said(3), said(9));
  world.join({ snapshot: snapshot(1), lastSeq: 1, reason: "epoch_changed" });
  assert.equal(world.room.state.lastSeq, 1);
  world.socket.say(said(2, "anew"));
  assert.equal(world.room.state.messages.at(-1).content, "anew");
  await world.advance(20_000);
  assert.equal(world.socket.of("resync").length, 0);
});

test("pong: a higher position than ours is asked for; a room that the server has forgotten is joined again", async () => {
  const world = await World.inRoom();
  world.socket.say({ type: "pong", data: { rooms: { [GUID]: 3 } } });
  await world.advance(1_000);
  assert.deepEqual(world.socket.last("resync").data, { afterSeq: 0 });
  world.socket.say(said(1), said(2), said(3));
  const joins = world.socket.of("join_project").length;
  world.socket.say({ type: "pong", data: { rooms: {} } });
  assert.equal(world.socket.of("join_project").length, joins + 1);
  assert.deepEqual(world.socket.last("join_project").data, { lastSeq: 3, epoch: "e1" });
});

test("unknown types of a newer server are passed on, and count", async () => {
  const world = await World.inRoom();
  world.socket.say({ ...said(1), type: "hologram", data: { x: 1 } }, said(2));
  assert.equal(world.room.state.lastSeq, 2);
  assert.equal(world.room.state.messages.length, 1);
  world.socket.say(live("smell", {}), { type: "toString", projectGuid: GUID, seq: 3, data: {} });
  assert.equal(world.room.state.lastSeq, 3);
});

test("an event that cannot be folded: the order holds, and a new snapshot is taken, not in a loop", async () => {
  const world = await World.inRoom();
  world.socket.say({ ...said(1), type: "task_created", data: {} }, said(2));
  assert.equal(world.room.lastSeq, 2);
  await world.advance(1);
  assert.deepEqual(world.socket.last("join_project").data, {});
  assert.equal(world.socket.of("join_project").length, 2);
  world.join({ snapshot: snapshot(2) });
  world.socket.say({ ...said(3), type: "task_created", data: {} });
  await world.advance(20_000);
  assert.equal(world.socket.of("join_project").length, 2);
});

test("changes are told at most once a frame, with all that came since", async () => {
  const frames = [];
  const world = new World();
  world.clock.requestAnimationFrame = (fn) => frames.push(fn);
  const room = world.client.join(GUID);
  const changes = [];
  room.on("change", (change) => changes.push(change));
  world.client.connect().catch(() => {});
  await settle();
  world.socket.accept();
  world.join();
  for (let seq = 1; seq <= 50; seq += 1) world.socket.say(said(seq));
  world.socket.say(live("coordination_update", { agents: [] }));
  assert.equal(frames.length, 1);
  assert.equal(changes.length, 0);
  frames[0]();
  assert.equal(changes.length, 1);
  assert.equal(changes[0].reset, true);
  assert.equal(changes[0].events.length, 50);
  assert.deepEqual(changes[0].live.map((e) => e.type), ["project_joined", "coordination_update"]);
  await world.advance(2_000);
  assert.equal(changes.length, 1, "nothing new, nothing told");
  world.socket.say(said(51));
  await world.advance(1_000);
  assert.equal(changes.length, 2, "a hidden page gets no frames, but is told");
  assert.deepEqual(changes[1].events.map((e) => e.seq), [51]);
  frames[1]();
  assert.equal(changes.length, 2);
});

test("without animation frames: a timer of 16 ms", async () => {
  const world = await World.inRoom();
  const changes = [];
  world.room.on("change", (change) => changes.push(change));
  await world.advance(16);
  world.socket.say(said(1));
  world.socket.say(said(2));
  await world.advance(15);
  assert.equal(changes.length, 1);
  await world.advance(1);
  assert.equal(changes.length, 2);
});

test("a listener that throws stops nobody", async (t) => {
  const world = await World.inRoom();
  const errors = [];
  t.mock.method(console, "error", (error) => errors.push(error.message));
  world.room.on("event", () => {
    throw new Error("page bug");
  });
  const seen = seqs(world);
  world.socket.say(said(1), said(2));
  assert.deepEqual(seen, [1, 2]);
  assert.equal(errors.length, 2);
});

test("presence, link, coordination and progress are live parts", async () => {
  const world = await World.inRoom({}, { presence: [{ userId: "u1", username: "ada" }], link: { state: "down" } });
  const { room, socket } = world;
  assert.deepEqual([...room.live.presence.keys()], ["u1"]);
  assert.equal(room.live.link.state, "down");
  socket.say(live("presence_diff", { joined: [{ userId: "u2" }, { userId: "u3" }], left: ["u1"] }));
  assert.deepEqual([...room.live.presence.keys()], ["u2", "u3"]);
  socket.say(live("presence_state", { members: [{ userId: "u9" }] }));
  assert.deepEqual([...room.live.presence.keys()], ["u9"]);
  socket.say(live("agents_link", { state: "connected" }), live("coordination_update", { stats: {} }));
  assert.equal(room.live.link.state, "connected");
  assert.ok(room.live.coordination);
  const progress = { agentId: "a1", status: "running", previous: null, taskId: null, activity: "x", progress: 0.5 };
  socket.say(live("agent_status_update", progress), live("usage", { runId: "r1", totalTokens: 5 }));
  assert.equal(room.live.agents.get("a1").progress, 0.5);
  assert.equal(room.live.usage.get("r1").totalTokens, 5);
  socket.say({ ...live("agent_status_update", { ...progress, status: "idle" }), seq: 1, timestamp: "t" });
  assert.equal(room.live.agents.size, 0, "the state has caught up");
});

test("leave: nothing more of the room; a new join is a new room", async () => {
  const world = await World.inRoom();
  const left = [];
  const seen = seqs(world);
  world.room.on("left", (why) => left.push(why));
  world.room.leave();
  assert.ok(world.socket.last("leave_project"));
  world.socket.say(said(1));
  assert.deepEqual([left, seen], [[{ reason: "The room was left.", code: "left" }], []]);
  await assert.rejects(world.room.send("chat", { message: "x" }), { code: "left" });
  assert.notEqual(world.client.join(GUID), world.room);
});

test("removed by the server, or refused at the join: left, with the reason", async () => {
  const world = await World.inRoom();
  const why = new Promise((resolve) => world.room.on("left", resolve));
  const waiting = assert.rejects(world.room.send("chat", { message: "x" }), { code: "forbidden" });
  world.socket.say({ type: "project_left", projectGuid: GUID, data: { reason: "removed" } });
  assert.equal((await why).code, "forbidden");
  await waiting;

  const other = new World();
  const room = other.client.join(GUID);
  other.client.connect().catch(() => {});
  await settle();
  other.socket.accept();
  other.socket.say({ type: "error", data: { code: "not_found", message: "Nothing here." }, replyTo: other.socket.last("join_project").id });
  await assert.rejects(room.ready(), { code: "not_found" });
  assert.equal(other.client.state.status, "connected", "the connection itself is good");
});

test("a join that is refused for the moment is tried again", async () => {
  const world = new World();
  const room = world.client.join(GUID);
  world.client.connect().catch(() => {});
  await settle();
  world.socket.accept();
  world.socket.say({ type: "error", data: { code: "rate_limited", message: "…", retryable: true, retryAfterMs: 2_000 }, replyTo: world.socket.last("join_project").id });
  await world.advance(1_999);
  assert.equal(world.socket.of("join_project").length, 1);
  await world.advance(502);
  assert.equal(world.socket.of("join_project").length, 2);
  world.join();
  await room.ready();
});

test("typing is throttled and taken back by itself; focus is said again after a reconnect; marks only rise", async () => {
  const world = await World.inRoom();
  const { room } = world;
  for (let i = 0; i < 10; i += 1) {
    room.typing(true);
    await world.advance(300);
  }
  assert.deepEqual(world.socket.of("typing").map((e) => e.data.on), [true, true]);
  await world.advance(4_000);
  assert.deepEqual(world.socket.of("typing").map((e) => e.data.on), [true, true, false]);
  room.typing(false);
  assert.equal(world.socket.of("typing").length, 3);
  room.markRead(5);
  room.markRead(3);
  assert.deepEqual(world.socket.of("mark_read").map((e) => e.data.seq), [5]);
  room.focus(["tasks"], "a1");
  world.socket.closeWith(1006);
  room.typing(true);
  await world.advance(500);
  world.socket.accept();
  world.join({ recovered: true });
  assert.deepEqual(world.socket.last("focus").data, { panes: ["tasks"], agentId: "a1" });
  assert.equal(world.socket.of("typing").length, 0);
});
