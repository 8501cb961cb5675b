import assert from "node:assert/strict";
import { test } from "node:test";
import { GUID, World, joinData, live, said, settle, snapshot } from "./harness.js";

const never = () => new Promise(() => {});
const page = (events, more = {}) => ({ status: 200, body: { results: events, next: null, previous: null, epoch: "e1", lastSeq: events.at(-1)?.seq ?? 0, recovered: true, live: [], ...more } });

/** A world whose sockets are all refused, until polling. */
async function polling(options = {}, answer = never) {
  const world = new World(options);
  world.answer = answer;
  world.room = world.client.join(GUID, options.start);
  world.client.connect().catch(() => {});
  await settle();
  for (let i = 0; i < 4; i += 1) {
    world.socket.closeWith(1006);
    if (i < 3) await world.advance(5_000);
  }
  await settle();
  return world;
}

test("three failures are not enough, the fourth goes over to polling", async () => {
  const world = new World();
  world.answer = never;
  world.client.join(GUID);
  const ready = world.client.connect();
  await settle();
  for (let i = 1; i <= 3; i += 1) {
    world.socket.closeWith(1006);
    assert.equal(world.client.state.status, "connecting", `failure ${i}`);
    await world.advance(5_000);
  }
  world.socket.closeWith(1006);
  assert.equal(world.client.state.status, "polling");
  await ready;
  assert.match(world.requests[0].url, /^\/api\/v1\/projects\/.*\/snapshot\/$/);
});

test("a success in between starts the count anew", async () => {
  const world = await World.inRoom();
  for (let round = 0; round < 3; round += 1) {
    for (let i = 0; i < 4; i += 1) {
      world.socket.closeWith(1006); // the first one is a loss, not a failed attempt
      await world.advance(5_000);
    }
    world.socket.accept();
    world.join({ recovered: true });
    await world.advance(6_000);
  }
  assert.ok(!world.statuses.includes("polling"));
});

test("a socket that opens and stays silent: polling at once", async () => {
  const world = new World();
  world.answer = never;
  world.client.join(GUID);
  world.client.connect().catch(() => {});
  await settle();
  world.socket.accept();
  await world.advance(9_999);
  assert.equal(world.client.state.status, "connecting");
  await world.advance(1);
  assert.equal(world.client.state.status, "polling");
  assert.equal(world.requests.length, 1);
});

test("restUrl: null never polls", async () => {
  const world = new World({ restUrl: null });
  world.client.join(GUID);
  world.client.connect().catch(() => {});
  await settle();
  for (let i = 0; i < 8; i += 1) {
    world.socket.closeWith(1006);
    await world.advance(9_900);
  }
  assert.deepEqual(world.statuses, ["connecting"]);
});

test("a snapshot first, then long polls at the cursor; live parts come along", async () => {
  const pages = [page([said(4), said(5)], { live: [live("agents_link", { state: "down" }), live("presence_state", { members: [{ userId: "u2" }] })] })];
  const world = await polling({}, (url) => {
    if (url.endsWith("/snapshot/")) return { status: 200, body: joinData({ snapshot: snapshot(3), lastSeq: 3, recovered: undefined }) };
    return pages.shift() ?? never();
  });
  const { room } = world;
  await room.ready();
  assert.equal(room.info.role, "contributor");
  assert.deepEqual([room.lastSeq, room.live.link.state, [...room.live.presence.keys()][0]], [5, "down", "u2"]);
  const query = new URL(world.requests[1].url, "http://x").searchParams;
  assert.deepEqual(Object.fromEntries(query), { after: "3", epoch: "e1", limit: "500", wait: "25" });
  assert.equal(new URL(world.requests[2].url, "http://x").searchParams.get("after"), "5");
  assert.equal(world.requests[1].credentials, "same-origin");
});

test("a cursor that is no good, or another epoch, brings a snapshot", async () => {
  for (const bad of [{ recovered: false, reason: "trimmed" }, { epoch: "e2" }]) {
    const queue = [page([said(9)], bad)];
    const world = await polling({ start: { snapshot: snapshot(3) } }, (url) => {
      if (url.endsWith("/snapshot/")) return { status: 200, body: joinData({ snapshot: snapshot(8, { epoch: "e2" }), epoch: "e2", lastSeq: 8 }) };
      return queue.shift() ?? never();
    });
    assert.deepEqual([world.room.lastSeq, world.room.epoch], [8, "e2"]);
  }
});

test("a server that does not hold polls is not asked in a loop", async () => {
  const world = await polling({ start: { snapshot: snapshot(3) } }, () => page([], { lastSeq: 3 }));
  await world.advance(20_000);
  assert.ok(world.requests.length <= 25, `${world.requests.length} requests in 20 s`);
});

test("commands go by POST, in order, with their id as the key, and their replies come back", async () => {
  const world = await polling({ start: { snapshot: snapshot(0) } }, (url, request) => {
    if (request.method !== "POST") return world.requests.length > 1 ? never() : page([]);
    if (request.body.data.message === "bad") return { status: 400, body: { error: { code: "invalid_field", message: "No.", field: "message" } } };
    return { status: 200, body: { type: "ack", data: { messageId: request.body.data.message }, replyTo: request.body.id } };
  });
  const all = ["1", "2", "3"].map((message) => world.room.send("chat", { message }));
  assert.equal(world.requests.filter((r) => r.method === "POST").length, 1, "one after the other");
  assert.deepEqual((await Promise.all(all)).map((data) => data.messageId), ["1", "2", "3"]);
  await assert.rejects(world.room.send("chat", { message: "bad" }), { code: "invalid_field", field: "message" });
  const [first] = world.requests.filter((r) => r.method === "POST");
  assert.equal(first.url, `/api/v1/projects/${GUID}/commands/`);
  assert.equal(first.headers["Idempotency-Key"], first.body.id);
  assert.equal(first.headers["X-CSRFToken"], "csrf");
  assert.deepEqual(Object.keys(first.body).sort(), ["data", "id", "type"]);
  world.room.typing(true);
  world.room.focus(["x"]);
  world.room.markRead(3);
  await settle();
  assert.equal(world.requests.at(-1).body.type, "mark_read");
});

test("a POST that gets no answer goes again with the same id; a refusal of the moment too", async () => {
  const answers = [{ status: 502, body: null }, { status: 429, body: { error: { code: "rate_limited", message: "w", retryable: true, retryAfterMs: 700 } } }];
  const world = await polling({ start: { snapshot: snapshot(0) } }, (url, request) => {
    if (request.method !== "POST") return world.requests.length > 1 ? never() : page([]);
    return answers.shift() ?? { status: 200, body: { type: "ack", data: {}, replyTo: request.body.id } };
  });
  const chat = world.room.send("chat", { message: "x" });
  await world.advance(4_000);
  await chat;
  const posts = world.requests.filter((r) => r.method === "POST");
  assert.equal(posts.length, 3);
  assert.equal(new Set(posts.map((r) => r.body.id)).size, 1);
});

test("back to the socket when it answers, at the same position; nothing twice, nothing lost", async () => {
  const pages = [page([said(1), said(2)])];
  let held;
  const world = await polling({ start: { snapshot: snapshot(0) } }, () => pages.shift() ?? new Promise((resolve) => (held = resolve)));
  const seen = [];
  world.room.on("event", (e) => e.seq && seen.push(e.seq));
  assert.equal(world.room.lastSeq, 2);
  const before = world.sockets.length;
  await world.advance(4_999);
  assert.equal(world.sockets.length, before, "no hurry while polling works");
  await world.advance(6_001);
  assert.equal(world.sockets.length, before + 1);
  world.socket.accept();
  assert.equal(world.socket.of("join_project").length, 0, "an open socket is not enough");
  assert.equal(world.client.state.status, "polling");
  world.socket.say({ type: "pong", data: { rooms: {} }, replyTo: world.socket.last("ping").id });
  assert.equal(world.client.state.status, "connected");
  assert.deepEqual(world.socket.last("join_project").data, { lastSeq: 2, epoch: "e1" });
  held(page([said(3)]));
  await settle();
  world.join({ recovered: true, lastSeq: 4 });
  world.socket.say(said(3), said(4));
  assert.deepEqual(seen, [3, 4]);
  const asked = world.requests.length;
  await world.advance(60_000);
  assert.equal(world.requests.length, asked, "polling has ended");
});

test("probes that fail leave polling alone, and get rarer", async () => {
  const world = await polling({ start: { snapshot: snapshot(0) }, random: () => 0.999 }, never);
  const { room } = world;
  let probes = 0;
  for (let i = 0; i < 600; i += 1) {
    await world.advance(1_000);
    if (world.socket.readyState === 0) {
      probes += 1;
      world.socket.closeWith(1006);
    }
  }
  assert.ok(probes >= 8 && probes <= 20, `${probes} probes in ten minutes`);
  assert.ok(room);
  assert.deepEqual(world.statuses.filter((s) => s === "connecting").length, 1);
});

test("neither way works: offline, and polling again as soon as it does", async () => {
  let up = false;
  const world = await polling({ start: { snapshot: snapshot(0) } }, () => (up ? never() : { status: 502, body: null }));
  assert.equal(world.client.state.status, "offline");
  up = true;
  world.answer = () => page([], { lastSeq: 0 });
  await world.advance(30_000);
  assert.equal(world.client.state.status, "polling");
});

test("401: a new token once, then failed; a session login that is refused with 403 as well", async () => {
  const asked = [];
  const world = await polling(
    { start: { snapshot: snapshot(0) }, getToken: async ({ refresh }) => (asked.push(refresh), refresh ? "new" : "old") },
    (url, { headers }) => (headers.Authorization === "Bearer new" ? never() : { status: 401, body: { error: { code: "token_expired", message: "Expired." } } }),
  );
  assert.equal(world.client.state.status, "polling");
  assert.equal(asked.at(-1), true);

  const denied = await polling({ start: { snapshot: snapshot(0) } }, () => ({ status: 403, body: { error: { code: "not_authenticated", message: "Please log in." } } }));
  assert.equal(denied.client.state.status, "failed");
  assert.equal(denied.client.state.reason, "Please log in.");
  const asks = denied.requests.length;
  await denied.advance(120_000);
  assert.equal(denied.requests.length, asks);
});

test("a room that is not ours (any more) is left; a proxy's 404 page is not an answer", async () => {
  const world = await polling({}, () => ({ status: 404, body: { error: { code: "not_found", message: "Nothing here." } } }));
  await assert.rejects(world.room.ready(), { code: "not_found", message: "Nothing here." });
  const proxy = await polling({}, () => ({ status: 404, body: null }));
  assert.equal(proxy.client.rooms.length, 1);
});

test("many rooms do not hold the few connections of a browser", async () => {
  const world = await polling({ start: { snapshot: snapshot(0) } }, () => page([], { lastSeq: 0 }));
  for (let i = 2; i <= 6; i += 1) world.client.join(GUID.replace(/1$/, String(i)), { snapshot: snapshot(0) });
  await world.advance(1_000);
  const waits = world.requests.slice(-5).map((r) => new URL(r.url, "http://x").searchParams.get("wait"));
  assert.deepEqual(waits, ["0", "0", "0", "0", "0"]);
});

test("a room joined or left while polling is polled, or not", async () => {
  const world = await polling({ start: { snapshot: snapshot(0) } }, (url) => (url.includes("snapshot") ? { status: 200, body: joinData({ snapshot: snapshot(2) }) } : never()));
  const other = world.client.join(GUID.replace(/1$/, "7"));
  await other.ready();
  await settle();
  assert.equal(other.lastSeq, 2);
  const signal = world.requests.at(-1).signal;
  other.leave();
  assert.equal(signal.aborted, true);
  world.client.close();
  assert.ok(world.requests.every((request) => request.method !== "GET" || request.url.includes("snapshot") || request.signal.aborted));
});
