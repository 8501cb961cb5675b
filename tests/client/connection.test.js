import assert from "node:assert/strict";
import { test } from "node:test";
import { Backoff, leastWait, nextMove } from "../../apps/realtime/client/src/backoff.js";
import { FakePage, GUID, T0, World, joinReply, live, said, seeded, settle } from "./harness.js";

test("the range of a close code decides what the client does", () => {
  const moves = {
    1000: "reconnect", 1001: "reconnect", 1006: "reconnect", 1009: "reconnect", 1011: "reconnect", 1012: "reconnect",
    4101: "reconnect", 4102: "reconnect", 4103: "reconnect", 4104: "reconnect", 4105: "reconnect", 4199: "reconnect",
    4201: "wait", 4202: "wait", 4299: "wait", 4301: "token", 4302: "token", 4399: "token",
    4400: "stop", 4401: "stop", 4403: "stop", 4408: "stop", 4409: "stop", 4410: "stop", 4499: "stop", 4500: "reconnect",
  };
  for (const [code, move] of Object.entries(moves)) assert.equal(nextMove(Number(code)), move, code);
  assert.equal(leastWait(4201, null), 5_000);
  assert.equal(leastWait(4201, 700), 700);
  assert.equal(leastWait(4101, 1_200), 1_200);
  assert.equal(leastWait(1006, null), 0);
  assert.equal(leastWait(4201, 1e12), 3_600_000);
});

test("backoff doubles under full jitter, the first wait included", () => {
  const high = new Backoff({ min: 500, max: 30_000, random: () => 0.999999 });
  const waits = Array.from({ length: 9 }, () => Math.round(high.next()));
  assert.deepEqual(waits, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
  const random = seeded(7);
  const bins = [0, 0, 0, 0, 0];
  for (let i = 0; i < 1_000; i += 1) bins[Math.floor(new Backoff({ min: 500, max: 30_000, random }).next() / 100)] += 1;
  assert.ok(Math.max(...bins) < 3 * 200, `a thousand clients come back spread: ${bins}`);
});

test("connect: disconnected, connecting, and connected only when the server answers", async () => {
  const world = new World();
  assert.equal(world.client.state.status, "disconnected");
  const connected = world.client.connect();
  await settle();
  assert.equal(world.client.state.status, "connecting");
  assert.deepEqual(world.socket.protocols, ["autocode.v1"]);
  world.socket.accept();
  assert.equal(world.client.state.status, "connecting", "an open socket proves nothing");
  const ping = world.socket.last("ping");
  world.socket.say({ type: "pong", data: { t: ping.data.t, serverTime: new Date(T0).toISOString(), rooms: {} }, replyTo: ping.id });
  await connected;
  assert.deepEqual({ ...world.client.state }, { status: "connected", previous: "connecting", reason: "", code: null, retryAt: null, attempts: 0 });
  world.client.close();
  assert.equal(world.socket.closed, 1000);
  assert.deepEqual(world.statuses, ["connecting", "connected", "disconnected"]);
});

for (const code of [1000, 1001, 1006, 1011, 4101, 4102, 4103, 4104, 4105]) {
  test(`${code}: reconnects at the cursor`, async () => {
    const world = await World.inRoom();
    world.socket.say(said(1));
    await world.advance(6_000);
    world.socket.closeWith(code);
    const { status, retryAt, reason, previous } = world.client.state;
    assert.equal(status, "connecting");
    assert.equal(previous, "connected");
    assert.ok(reason);
    assert.ok(retryAt >= world.clock.time && retryAt <= world.clock.time + 500);
    await world.advance(500);
    assert.equal(world.sockets.length, 2);
    world.socket.accept();
    assert.deepEqual(world.socket.last("join_project").data, { lastSeq: 1, epoch: "e1" });
  });
}

for (const code of [4201, 4202]) {
  test(`${code}: stays away at least as long as the last frame says, even when the page wakes up`, async () => {
    const world = await World.inRoom();
    world.socket.say({ type: "error", data: { code: "unavailable", message: "Too busy.", retryable: true, retryAfterMs: 8_000 } });
    world.socket.closeWith(code);
    assert.equal(world.client.state.reason, "Too busy.");
    world.page.say("visible");
    await world.advance(7_900);
    assert.equal(world.sockets.length, 1);
    await world.advance(700);
    assert.equal(world.sockets.length, 2);
  });
}

test("server_draining: comes back in the server's own time, and says so", async () => {
  const world = await World.inRoom();
  const notices = [];
  world.client.on("notice", (notice) => notices.push(notice));
  world.socket.say({ type: "server_draining", data: { retryAfterMs: 3_000 } });
  world.socket.closeWith(4101);
  assert.deepEqual(notices, [{ type: "server_draining", retryAfterMs: 3_000 }]);
  await world.advance(2_999);
  assert.equal(world.sockets.length, 1);
  await world.advance(501);
  assert.equal(world.sockets.length, 2);
});

test("43xx: a new token, then the socket again; the token rides in a subprotocol, never in the URL", async () => {
  const asked = [];
  const world = new World({ getToken: async (how) => (asked.push(how.refresh), `t${asked.length}`) });
  world.client.join(GUID);
  world.client.connect().catch(() => {});
  await settle();
  assert.deepEqual(world.socket.protocols, ["autocode.v1", "autocode.jwt.t1"]);
  assert.equal(world.socket.url, "ws://test/ws/");
  world.socket.accept();
  world.socket.closeWith(4301);
  await world.advance(500);
  assert.deepEqual(asked, [false, true]);
  assert.deepEqual(world.socket.protocols, ["autocode.v1", "autocode.jwt.t2"]);
});

test("43xx for ever, without a way to get a token, or with none to be had: failed", async () => {
  const stubborn = new World({ getToken: () => "same", random: () => 0 });
  stubborn.client.connect().catch(() => {});
  for (let i = 0; i < 4; i += 1) {
    await stubborn.advance(1);
    stubborn.socket.closeWith(4301);
  }
  assert.equal(stubborn.client.state.status, "failed");
  const none = await World.inRoom();
  none.socket.closeWith(4302);
  assert.equal(none.client.state.status, "failed");
  const gone = new World({ getToken: ({ refresh }) => (refresh ? null : "t") });
  gone.client.connect().catch(() => {});
  await settle();
  gone.socket.closeWith(4301);
  await gone.advance(500);
  assert.equal(gone.client.state.status, "failed");
});

for (const code of [4400, 4401, 4403, 4408, 4409, 4410, 4499]) {
  test(`${code}: stops, and says why`, async () => {
    const world = await World.inRoom();
    world.socket.closeWith(code);
    const { status, reason, code: told, retryAt } = world.client.state;
    assert.deepEqual([status, told, retryAt], ["failed", code, null]);
    assert.match(reason, /\.$/);
    await world.advance(600_000);
    world.page.say("visible");
    world.page.say("online");
    assert.equal(world.sockets.length, 1);
    await assert.rejects(world.client.ready(), { name: "ConnectionError", code });
    world.client.connect().catch(() => {});
    await settle();
    assert.equal(world.sockets.length, 2, "connect() starts anew");
  });
}

test("the last error frame is the reason that people see", async () => {
  const world = await World.inRoom();
  world.socket.say({ type: "error", data: { code: "forbidden", message: "You were removed from this server." } });
  world.socket.closeWith(4403);
  assert.equal(world.client.state.reason, "You were removed from this server.");
});

test("token_expiring: the live socket gets a new token", async () => {
  const world = await World.inRoom({ getToken: ({ refresh }) => (refresh ? "new" : "old") });
  world.socket.say({ type: "token_expiring", data: { expiresAt: "2026-01-01T00:00:00.000Z" } });
  await settle();
  assert.deepEqual(world.socket.last("authenticate").data, { token: "new" });
});

test("a hidden page does not try in a loop, and tries at once when it is seen", async () => {
  const world = await World.inRoom();
  world.page.say("hidden");
  world.socket.closeWith(1006);
  assert.equal(world.client.state.status, "disconnected");
  await world.advance(3_600_000);
  assert.equal(world.sockets.length, 1);
  world.page.say("visible");
  await settle();
  assert.equal(world.sockets.length, 2);
  assert.equal(world.client.state.attempts, 1);
});

test("a page that hides while it waits for the next try pauses too", async () => {
  const world = await World.inRoom();
  world.socket.closeWith(1006);
  world.page.say("hidden");
  await world.advance(60_000);
  assert.equal(world.sockets.length, 1);
});

test("offline: no tries without a network, one at once when it is back", async () => {
  const world = await World.inRoom();
  world.page.isOnline = false;
  world.socket.closeWith(1006);
  assert.equal(world.client.state.status, "offline");
  await world.advance(600_000);
  assert.equal(world.sockets.length, 1);
  world.page.say("online");
  await settle();
  assert.equal(world.sockets.length, 2);
});

test("waking up asks a socket whether it still lives, and does not wait long", async () => {
  const world = await World.inRoom();
  const before = world.socket.of("ping").length;
  world.page.say("visible");
  assert.equal(world.socket.of("ping").length, before + 1);
  await world.advance(5_000);
  assert.equal(world.client.state.status, "connecting");
});

test("heartbeat: a ping every interval ± 10 %, and any frame is life", async () => {
  const world = await World.inRoom();
  const first = world.socket;
  for (let i = 0; i < 40; i += 1) {
    await world.advance(10_000);
    first.say(live("agents_link", { state: "connected" }));
  }
  assert.equal(world.sockets.length, 1);
  const pings = first.of("ping").length;
  assert.ok(pings >= 400_000 / 29_700 - 1 && pings <= 400_000 / 24_300 + 1, `${pings} pings in 400 s`);
});

test("heartbeat: no frame for interval + grace is a dead socket", async () => {
  const world = await World.inRoom();
  await world.advance(36_999);
  assert.equal(world.client.state.status, "connected");
  await world.advance(2);
  assert.equal(world.client.state.status, "connecting");
  assert.notEqual(world.sockets[0].closed, null);
  world.sockets[0].onmessage?.({ data: JSON.stringify(said(1)) });
  assert.equal(world.room.lastSeq, 0, "what a dropped socket still says is not heard");
});

test("heartbeat: the server's figures hold", async () => {
  const world = await World.inRoom({}, { heartbeat: { intervalMs: 1_000, graceMs: 500 } });
  await world.advance(1_101);
  assert.equal(world.socket.of("ping").length, 1);
  await world.advance(400);
  assert.equal(world.client.state.status, "connecting");
});

test("a server that accepts, refuses and closes is not hammered", async () => {
  const world = new World({ restUrl: null, random: () => 0.999 });
  world.client.connect().catch(() => {});
  for (let i = 0; i < 200; i += 1) {
    await world.advance(1_000);
    if (world.socket.readyState === 0) {
      world.socket.accept();
      world.socket.say({ type: "error", data: { code: "unavailable", message: "No.", retryable: true } });
      world.socket.closeWith(1011);
    }
  }
  assert.ok(world.sockets.length < 15, `${world.sockets.length} attempts in 200 s`);
});

test("connections that live for a moment only do not reset the backoff", async () => {
  const world = new World({ restUrl: null, random: () => 0.999 });
  world.client.join(GUID);
  world.client.connect().catch(() => {});
  for (let i = 0; i < 200; i += 1) {
    await world.advance(1_000);
    if (world.socket.readyState !== 0) continue;
    world.socket.accept();
    world.join();
    world.socket.closeWith(4102);
  }
  assert.ok(world.sockets.length < 15, `${world.sockets.length} attempts in 200 s`);
});

test("a socket that never opens is given up", async () => {
  const world = new World();
  world.client.connect().catch(() => {});
  await world.advance(10_000);
  assert.equal(world.sockets[0].closed !== null, true);
  await world.advance(500);
  assert.equal(world.sockets.length, 2);
});

test("ready(timeout), and close() while it waits", async () => {
  const world = new World();
  const late = assert.rejects(world.client.ready(100), /in time/);
  await world.advance(100);
  await late;
  const closed = assert.rejects(world.client.connect(), { name: "ConnectionError" });
  world.client.close();
  await closed;
});

test("a random walk: never two live sockets, never a try while hidden, offline or failed", async () => {
  for (let seed = 1; seed <= 60; seed += 1) {
    const random = seeded(seed);
    const page = new FakePage();
    const walker = new World({ seed, page });
    walker.client.join(GUID);
    walker.client.connect().catch(() => {});
    const codes = [1000, 1006, 1011, 4101, 4102, 4201];
    for (let step = 0; step < 60; step += 1) {
      const before = walker.sockets.length;
      const asleep = page.isHidden || !page.isOnline;
      await walker.advance(random() * 4_000);
      if (asleep) assert.equal(walker.sockets.length, before, `seed ${seed} step ${step}`);
      assert.ok(walker.sockets.filter((socket) => socket.readyState < 2).length <= 1, `seed ${seed} step ${step}`);
      const { socket } = walker;
      const dice = random();
      if (dice < 0.35 && socket.readyState === 0) socket.accept();
      else if (dice < 0.6 && socket.readyState === 1 && socket.last("join_project")) walker.join();
      else if (dice < 0.8) socket.closeWith(codes[Math.floor(random() * codes.length)]);
      else page.say(["hidden", "visible", "offline", "online"][Math.floor(random() * 4)]);
    }
    page.say("online");
    page.say("visible");
    for (let i = 0; i < 30 && walker.client.state.status !== "connected"; i += 1) {
      await walker.advance(5_000);
      if (walker.socket.readyState === 0) walker.socket.accept();
      const join = walker.socket.last("join_project") ?? walker.socket.last("ping");
      if (walker.socket.readyState === 1) walker.socket.say(join.type === "ping" ? { type: "pong", data: {}, replyTo: join.id } : joinReply(join.id));
      await settle();
    }
    assert.equal(walker.client.state.status, "connected", `seed ${seed} ends connected`);
    walker.client.close();
  }
});
