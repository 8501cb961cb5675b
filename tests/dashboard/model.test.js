/** What the timeline makes of a snapshot, and what the diff makes of a patch. */

import assert from "node:assert/strict";
import test from "node:test";

const js = "../../apps/dashboard/static/dashboard/js/";
const { chaptersOf, countAfter, summaryAfter } = await import(`${js}timeline/model.js`);
const { parsePatch } = await import(`${js}timeline/diff.js`);
const { plain } = await import(`${js}timeline/terminal.js`);
const { hueOf, initials, reserveHues } = await import(`${js}lib/words.js`);

const at = (seq) => new Date(Date.UTC(2026, 0, 1, 0, 0, seq)).toISOString();
const run = (seq, runId, more = {}) => ({ seq, runId, agentId: "a", status: "running", startedAt: at(seq), trigger: { kind: "task" }, taskId: null, ...more });
const call = (seq, runId, toolCallId) => ({ seq, runId, toolCallId, agentId: "a", startedAt: at(seq), status: "success", kind: "read" });
const said = (seq, more = {}) => ({ seq, messageId: `m${seq}`, kind: "user", source: "project_message", at: at(seq), runId: null, content: "hi", ...more });
const stageEvent = (seq, stageId, status, previous) => ({ seq, type: "project_stage_update", timestamp: at(seq), data: { stage: { stageId, status }, previous } });

function state(parts = {}) {
  const whole = { stages: [], messages: [], runs: [], toolCalls: [], approvals: [], feedback: [], activity: [], logs: [], ...parts };
  const lists = [whole.messages, whole.runs, whole.toolCalls, whole.approvals, whole.feedback, whole.activity, whole.logs];
  return { lastSeq: Math.max(0, ...lists.flat().map((item) => item.seq)), ...whole };
}

const entries = (snapshot, more = {}) => chaptersOf(snapshot, { streams: new Map(), readSeq: 0, ...more }).flatMap((chapter) => chapter.entries);
const shape = (list) => list.map((entry) => (entry.kind === "run" ? `run(${entry.parts.map((part) => part.seq)})${entry.continued ? "+" : ""}` : `${entry.kind}@${entry.seq}`));

test("a run gathers its calls, also when two runs go on at once", () => {
  const list = entries(state({ runs: [run(1, "r"), run(2, "s")], toolCalls: [call(3, "r", "x"), call(4, "s", "x"), call(5, "r", "y")] }));
  assert.deepEqual(shape(list), ["run(3,5)", "run(4)"]);
});

test("what somebody says stands before what the run does after it", () => {
  const list = entries(state({ runs: [run(1, "r")], toolCalls: [call(2, "r", "x"), call(4, "r", "y")], messages: [said(3)] }));
  assert.deepEqual(shape(list), ["run(2)", "message@3", "run(4)+"]);
  assert.deepEqual(list.filter((entry) => entry.kind === "run").map((entry) => entry.last), [false, true]);
});

test("the unread line divides even a run", () => {
  const list = entries(state({ runs: [run(1, "r")], toolCalls: [call(2, "r", "x"), call(3, "r", "y")] }), { readSeq: 2 });
  assert.deepEqual(shape(list), ["run(2)", "unread@2", "run(3)+"]);
});

test("there is no unread line when all is read, or when nothing ever was", () => {
  const snapshot = state({ messages: [said(1), said(2)] });
  for (const readSeq of [0, 2]) assert.ok(!entries(snapshot, { readSeq }).some((entry) => entry.kind === "unread"));
});

test("a stage that begins opens a chapter; coming back from a question does not", () => {
  const stages = [{ stageId: "p", startedAt: at(1) }, { stageId: "b", startedAt: at(4) }];
  const activity = [stageEvent(1, "p", "inProgress", "pending"), stageEvent(2, "p", "waitingUser", "inProgress"), stageEvent(3, "p", "inProgress", "waitingUser"), stageEvent(4, "b", "inProgress", "pending")];
  const chapters = chaptersOf(state({ stages, activity, messages: [said(5)] }), { streams: new Map(), readSeq: 0 });
  assert.deepEqual(chapters.map((chapter) => chapter.stage.stageId), ["p", "b"]);
});

test("a chapter whose beginning left the window is placed by the stage's own time", () => {
  const stages = [{ stageId: "p", startedAt: at(1) }, { stageId: "b", startedAt: at(2) }];
  const chapters = chaptersOf(state({ stages, messages: [said(10), said(11)] }), { streams: new Map(), readSeq: 0 });
  assert.deepEqual(chapters.map((chapter) => [chapter.stage.stageId, chapter.entries.length]), [["b", 2]]);
});

test("a text keeps its key when its stream ends, so that its element stays", () => {
  const stream = { kind: "message", runId: "r", agentId: "a", messageId: "t", text: "Hel", seq: 1 };
  const before = entries(state({ runs: [run(1, "r")] }), { streams: new Map([["message:t", stream]]) });
  const after = entries(state({ runs: [run(1, "r")], messages: [said(2, { messageId: "t", kind: "agent", source: "message", runId: "r" })] }));
  assert.equal(before[0].key, after[0].key);
  assert.equal(before[0].parts[0].key, after[0].parts[0].key);
});

test("keys do not change when old items leave the window", () => {
  const calls = [call(2, "r", "x"), call(3, "r", "y"), call(4, "r", "z")];
  const keys = (toolCalls) => entries(state({ runs: [run(1, "r")], toolCalls })).map((entry) => entry.key);
  assert.deepEqual(keys(calls), keys(calls.slice(1)));
});

test("what came after a cursor is counted and told in words", () => {
  const snapshot = state({ runs: [run(5, "r")], toolCalls: [call(6, "r", "x")], messages: [said(2), said(7)] });
  assert.equal(countAfter(snapshot, 4), 2);
  assert.deepEqual(summaryAfter(snapshot, 4), ["1 run", "1 tool call", "1 message"]);
});

test("a patch is read by its counts: a removed line may look like a header", () => {
  const [file] = parsePatch("--- a/x.sql\n+++ b/x.sql\n@@ -1,3 +1,2 @@\n keep\n--- a comment\n-gone\n+new\n");
  assert.equal(file.path, "x.sql");
  assert.deepEqual(file.lines.slice(1).map((line) => [line.sign, line.text, line.before, line.after]), [[" ", "keep", 1, 1], ["-", "-- a comment", 2, null], ["-", "gone", 3, null], ["+", "new", null, 2]]);
});

test("a patch of several files, with one new and one deleted", () => {
  const files = parsePatch("diff --git a/a b/a\n--- /dev/null\n+++ b/a\n@@ -0,0 +1 @@\n+x\n\\ No newline at end of file\ndiff --git a/b b/b\n--- a/b\n+++ /dev/null\n@@ -1 +0,0 @@\n-y\n");
  assert.deepEqual(files.map((file) => [file.path, file.lines.length]), [["a", 2], ["b", 2]]);
});

test("a patch that is none, or is cut off, draws what there is", () => {
  assert.deepEqual(parsePatch(""), []);
  assert.deepEqual(parsePatch("Binary files differ"), []);
  assert.equal(parsePatch("--- a/x\n+++ b/x\n@@ -1,9 +1,9 @@\n one\n")[0].lines.length >= 2, true);
});

test("a terminal's colours and its progress bars are taken out", () => {
  assert.equal(plain("\u001b[32mok\u001b[0m\r\n 10 %\r 90 %\r100 %\ndone"), "ok\n100 %\ndone");
});

test("agents of a room get hues that can be told apart", () => {
  const ids = ["coder-1", "coder-2", "planner", "tester", "review-1", "docs-1"];
  reserveHues(ids);
  const hues = ids.map(hueOf).sort((a, b) => a - b);
  for (let i = 1; i < hues.length; i += 1) assert.ok(hues[i] - hues[i - 1] >= 28);
});

test("initials", () => {
  assert.deepEqual(["Coder-1", "Ada Lovelace", "bob", "", "🦀 crab"].map(initials), ["C1", "AL", "B", "?", "🦀C"]);
});
