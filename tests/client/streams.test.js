import assert from "node:assert/strict";
import { test } from "node:test";
import { Streams, codePoints } from "../../apps/realtime/client/src/streams.js";
import { World, live, seeded, snapshot } from "./harness.js";

const piece = (delta, offset, more = {}) => ({ messageId: "m1", runId: "r1", agentId: "a1", op: "delta", delta, offset, ...more });
const text = (streams, key = "message:m1") => streams.map.get(key)?.text;
const LETTERS = ["a", "é", "日", "🙂", "𝒳", "\n", "e\u0301", "👩‍💻"];

/** The rule in its simplest form: an array of code points. */
function model(old, delta, offset) {
  if (offset > old.length) return old;
  return [...old.slice(0, offset), ...delta];
}

test("code points are counted, not UTF-16 units", () => {
  assert.equal(codePoints("a🙂b"), 3);
  for (const letter of LETTERS) assert.equal(codePoints(letter), [...letter].length);
});

test("pieces: 0 replaces, the end appends, inside overwrites, beyond is a hole", () => {
  const streams = new Streams();
  streams.piece("message", piece(null, 0, { op: "start" }));
  assert.equal(text(streams), "");
  streams.piece("message", piece("hé🙂", 0));
  streams.piece("message", piece("llo", 3));
  assert.equal(text(streams), "hé🙂llo");
  streams.piece("message", piece("!", 3));
  assert.equal(text(streams), "hé🙂!");
  assert.equal(streams.piece("message", piece("later", 9)), false);
  assert.equal(text(streams), "hé🙂!", "what we have stays");
  streams.piece("message", piece("anew", 0));
  assert.equal(text(streams), "anew");
});

test("property: however a text is split, merged and repeated, it folds to the same", () => {
  for (let seed = 1; seed <= 500; seed += 1) {
    const random = seeded(seed);
    const pick = (n) => Math.floor(random() * n);
    const letters = Array.from({ length: pick(60) }, () => LETTERS[pick(LETTERS.length)]).join("");
    const points = [...letters];
    const raw = [];
    for (let at = 0; at < points.length || !raw.length; ) {
      const size = 1 + pick(7);
      raw.push({ delta: points.slice(at, at + size), offset: at });
      at += size;
    }
    // As `coalescing.merge` does: pieces that follow each other become one.
    const merged = [];
    for (const one of raw) {
      const last = merged.at(-1);
      if (last && random() < 0.5) last.delta = [...last.delta, ...one.delta];
      else merged.push({ ...one, delta: [...one.delta] });
      if (random() < 0.15) merged.push({ ...merged.at(-1), delta: [...merged.at(-1).delta] }); // repeated
      if (random() < 0.1) {
        const so = merged.at(-1);
        merged.push({ delta: points.slice(0, so.offset + so.delta.length), offset: 0 }); // the text so far, as a joiner gets it
      }
    }
    const one = new Streams();
    const other = new Streams();
    for (const { delta, offset } of raw) one.piece("message", piece(delta.join(""), offset));
    for (const { delta, offset } of merged) other.piece("message", piece(delta.join(""), offset));
    assert.equal(text(one), letters, `seed ${seed}`);
    assert.equal(text(other), letters, `seed ${seed}`);
  }
});

test("property: any pieces at all fold as an array of code points would", () => {
  for (let seed = 1; seed <= 500; seed += 1) {
    const random = seeded(seed);
    const pick = (n) => Math.floor(random() * n);
    const streams = new Streams();
    let wanted = [];
    for (let i = 0; i < 25; i += 1) {
      const delta = Array.from({ length: pick(5) }, () => LETTERS[pick(5)]);
      const offset = random() < 0.2 ? 0 : pick(wanted.length + 3);
      const before = wanted;
      wanted = model(wanted, delta.join(""), offset);
      streams.piece("tool_output", { runId: "r", toolCallId: "c", delta: delta.join(""), offset });
      if (before.length || wanted.length) {
        const stream = streams.map.get("tool_output:r:c");
        assert.equal(stream?.text ?? "", wanted.join(""), `seed ${seed} step ${i}`);
        assert.equal(stream?.size ?? 0, wanted.length);
      }
    }
  }
});

test("log lines are appended, each level by itself, the newest are kept", () => {
  const streams = new Streams();
  for (let i = 0; i < 300; i += 1) streams.piece("log", { runId: "r1", source: "pytest", level: "info", lines: [`l${i}`] });
  streams.piece("log", { runId: "r1", source: "pytest", level: "debug", lines: ["x"] });
  const log = streams.map.get("log:r1::pytest:info");
  assert.deepEqual([log.lines.length, log.lines.at(-1), streams.map.size], [200, "l299", 2]);
});

const durable = (seq, type, data) => ({ ...live(type, data), seq, timestamp: "2026-01-01T00:00:00.000Z" });
const ended = { messageId: "m1", runId: "r1", agentId: "a1", role: "assistant", op: "end", content: "Hello.", html: "<p>Hello.</p>", final: true, author: null };

test("the durable end removes the stream and adds the message in one change", async () => {
  const world = await World.inRoom();
  const { room, socket } = world;
  const seen = [];
  await world.advance(16);
  room.on("change", () => seen.push([room.live.streams.size, room.state.messages.length]));
  socket.say(live("message", piece("Hel", 0)));
  await world.advance(16);
  socket.say(live("message", piece("lo", 3)), durable(1, "message", ended));
  await world.advance(16);
  assert.deepEqual(seen, [[1, 0], [0, 1]]);
  socket.say(live("message", piece("lo", 0)));
  assert.equal(room.live.streams.size, 0, "a piece behind its own end does not bring the text back");
});

test("thinking, tool output and done end their streams; one id may be both message and thinking", async () => {
  const world = await World.inRoom();
  const { room, socket } = world;
  socket.say(
    live("message", piece("a", 0)),
    live("thinking", piece("b", 0)),
    live("tool_output", { runId: "r1", toolCallId: "c1", delta: "x", offset: 0 }),
    live("tool_output", { runId: "r2", toolCallId: "c1", delta: "y", offset: 0 }),
  );
  assert.deepEqual([...room.live.streams.keys()], ["message:m1", "thinking:m1", "tool_output:r1:c1", "tool_output:r2:c1"]);
  assert.deepEqual([...room.live.streams.values()].map((s) => [s.kind, s.text]), [["message", "a"], ["thinking", "b"], ["tool_output", "x"], ["tool_output", "y"]]);
  socket.say(durable(1, "thinking", { ...ended, final: true }));
  socket.say(durable(2, "tool_end", { runId: "r1", toolCallId: "c1", status: "success", success: true, result: "", resultSize: 0, truncated: false, durationMs: 1 }));
  assert.deepEqual([...room.live.streams.keys()], ["message:m1", "tool_output:r2:c1"]);
  socket.say(durable(3, "run_started", { runId: "r1", agentId: "a1", trigger: { kind: "chat" }, taskId: null, startedAt: "t" }));
  const usage = { promptTokens: 1, completionTokens: 1, cachedTokens: 0, totalTokens: 2, totalCost: "0.10", currency: "USD", perModel: [], budget: null };
  socket.say(live("usage", { runId: "r1", ...usage }));
  socket.say(durable(4, "done", { runId: "r1", status: "cancelled", stopReason: "", error: null, toolCalls: {}, usage, durationMs: 1, finishedAt: "t" }));
  assert.deepEqual([...room.live.streams.keys()], ["tool_output:r2:c1"]);
  assert.equal(room.live.usage.size, 0);
  socket.say(live("message", piece("late", 0, { messageId: "m2" })), live("usage", { runId: "r1", ...usage }));
  assert.deepEqual([room.live.streams.size, room.live.usage.size], [1, 0], "nothing of a run that has ended");
});

test("after a reconnect the text goes on; after a snapshot it starts anew", async () => {
  const world = await World.inRoom();
  world.socket.say(live("message", piece("abc", 0)));
  world.socket.closeWith(1006);
  await world.advance(500);
  world.socket.accept();
  world.join({ recovered: true });
  world.socket.say(live("message", piece("zz", 9)));
  assert.equal(world.room.live.streams.get("message:m1").text, "abc");
  world.socket.say(live("message", piece("abcdefghizz", 0)));
  assert.equal(world.room.live.streams.get("message:m1").text, "abcdefghizz");
  world.join({ snapshot: snapshot(3), reason: "too_many" });
  assert.equal(world.room.live.streams.size, 0);
});
