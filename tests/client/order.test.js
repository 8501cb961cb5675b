import assert from "node:assert/strict";
import { test } from "node:test";
import { GUID, World, said, seeded, settle } from "./harness.js";

const seqs = (world) => {
  const seen = [];
  world.room.on("event", (envelope) => envelope.seq && seen.push(envelope.seq));
  return seen;
};

test("for await gives each event once and ends when the room is left", async () => {
  const world = await World.inRoom();
  const seen = [];
  const reader = (async () => {
    for await (const envelope of world.room) seen.push(envelope.seq);
  })();
  await settle();
  world.socket.say(said(1), said(2), said(3));
  await settle();
  world.room.leave();
  await reader;
  assert.deepEqual(seen, [1, 2, 3]);
});

test("order under a random mess: duplicates, holes and swaps never reach the page", async () => {
  for (let seed = 1; seed <= 40; seed += 1) {
    const random = seeded(seed);
    const world = await World.inRoom({ seed });
    const seen = seqs(world);
    const top = 60;
    let answered = 0;
    const answer = () => {
      const asks = world.socket.of("resync");
      for (; answered < asks.length; answered += 1) {
        const { afterSeq } = asks[answered].data;
        for (let seq = afterSeq + 1; seq <= top; seq += 1) world.socket.say(said(seq));
      }
    };
    const order = Array.from({ length: top }, (_, i) => i + 1);
    for (let i = 0; i < top; i += 1) {
      const j = Math.min(top - 1, i + Math.floor(random() * 4));
      [order[i], order[j]] = [order[j], order[i]];
    }
    for (const seq of order) {
      if (random() < 0.1) continue;
      world.socket.say(said(seq));
      if (random() < 0.2) world.socket.say(said(Math.max(1, seq - Math.floor(random() * 5))));
      if (random() < 0.1) {
        await world.advance(150);
        answer();
      }
    }
    world.socket.say({ type: "pong", data: { rooms: { [GUID]: top } } });
    for (let i = 0; i < 5; i += 1) {
      await world.advance(1_500);
      answer();
    }
    assert.deepEqual(seen, Array.from({ length: top }, (_, i) => i + 1), `seed ${seed}`);
    assert.equal(world.room.state.lastSeq, top);
    world.client.close();
  }
});
