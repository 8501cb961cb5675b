/** For test_fold_parity.py: one JSON line in ({snapshot, events, every}), one JSON line out (the states after every n-th event). */

import { readFileSync } from "node:fs";
import { FOLDED_TYPES, fold } from "../../apps/realtime/client/src/fold.js";

// Not readline: it takes U+2028 inside a string for the end of the line.
for (const line of readFileSync(0, "utf8").split("\n").filter(Boolean)) {
  const { snapshot, events, every } = JSON.parse(line);
  if (!events) {
    console.log(JSON.stringify(FOLDED_TYPES));
    continue;
  }
  const before = JSON.stringify(snapshot);
  const states = [];
  let state = snapshot;
  for (const [index, event] of events.entries()) {
    state = fold(state, event);
    if ((index + 1) % every === 0 || index + 1 === events.length) states.push(state);
  }
  if (JSON.stringify(snapshot) !== before) throw new Error("fold changed its argument");
  console.log(JSON.stringify(states));
}
