/**
 * From a snapshot to what the timeline shows: chapters (stages) of entries in the order of the log. Pure, and cheap enough for every frame.
 *
 * A run is one group that gathers its calls and texts. Whatever people say (a message, feedback), a new chapter and the unread line end
 * all open groups: what a run does afterwards stands below, in a group that continues it. So the order of cause and effect
 * can be read from top to bottom, and nothing new appears above what was read.
 */

/** How many thin lines of one kind in a row become one that can be opened. */
const FOLD_LINES = 4;

/**
 * @param {any} state Snapshot
 * @param {{streams: Map<string, any>, readSeq: number, older?: any[]}} with_ `readSeq` places the unread line; `older`: messages before the window
 * @returns {{key: string, stage: any, entries: any[]}[]}
 */
export function chaptersOf(state, { streams, readSeq, older = [] }) {
  const items = flat(state, older);
  const boundaries = stageBoundaries(state, items);
  const runs = new Map(state.runs.map((run) => [run.runId, run]));
  const builder = new Builder(runs, state);
  let unread = readSeq <= 0 || readSeq >= state.lastSeq;
  for (const item of items) {
    while (boundaries.length && boundaries[0].seq <= item.seq) builder.chapter(boundaries.shift());
    if (!unread && item.seq > readSeq) {
      builder.unread(readSeq);
      unread = true;
    }
    builder.add(item);
  }
  for (const boundary of boundaries) builder.chapter(boundary);
  for (const stream of streams.values()) builder.stream(stream);
  // A run that was interrupted before it did anything is shown only where it goes on.
  for (const chapter of builder.chapters) chapter.entries = chapter.entries.filter((entry) => entry.kind !== "run" || entry.parts.length || entry.last);
  return builder.chapters.filter((chapter) => chapter.entries.length || chapter.stage);
}

/** Everything that has a place in the order, oldest first. */
function flat(state, older) {
  const items = [];
  const push = (kind, value, at, runId = null) => items.push({ kind, seq: value.seq, at, runId, value });
  for (const message of older) push("message", message, message.at, message.runId);
  for (const message of state.messages) push("message", message, message.at, message.runId);
  for (const run of state.runs) push("start", run, run.startedAt, run.runId);
  for (const call of state.toolCalls) push("call", call, call.startedAt, call.runId);
  for (const approval of state.approvals) push("approval", approval, approval.requestedAt, approval.runId);
  for (const feedback of state.feedback) push("feedback", feedback, feedback.createdAt);
  for (const log of state.logs) push("log", log, log.at, log.log.runId);
  for (const event of state.activity) push("line", event, event.timestamp);
  return items.sort((a, b) => a.seq - b.seq);
}

const begins = (item) => item.kind === "line" && item.value.type === "project_stage_update" && item.value.data.stage.status === "inProgress" && item.value.data.previous !== "inProgress";

/** Where chapters begin. The event says it exactly; where it left the window the stage's own start time does. */
function stageBoundaries(state, items) {
  const found = [];
  const covered = new Set();
  for (const item of items) {
    if (!begins(item)) continue;
    const { stage, previous } = item.value.data;
    // Coming back from a pause or a question is not a new chapter.
    if (previous === "waitingUser" || previous === "paused") continue;
    covered.add(stage.stageId);
    found.push({ seq: item.seq, stageId: stage.stageId });
  }
  for (const stage of state.stages) {
    if (!stage.startedAt || covered.has(stage.stageId)) continue;
    const start = Date.parse(stage.startedAt);
    const first = items.find((item) => Date.parse(item.at) >= start);
    if (first) found.push({ seq: first.seq - 0.5, stageId: stage.stageId });
  }
  found.sort((a, b) => a.seq - b.seq);
  // Of several that would begin at the same place (all older than the window) only the last can be seen; and a stage that
  // is said to begin again while it goes on does not begin a second chapter.
  return found.filter((one, index) => found[index + 1]?.seq !== one.seq).filter((one, index, kept) => kept[index - 1]?.stageId !== one.stageId);
}

class Builder {
  chapters = [{ key: "start", stage: null, entries: [] }];
  #open = new Map();
  #seen = new Set();
  #break = 0;

  constructor(runs, state) {
    this.runs = runs;
    this.stages = new Map(state.stages.map((stage) => [stage.stageId, stage]));
  }

  get #entries() {
    return this.chapters[this.chapters.length - 1].entries;
  }

  chapter({ seq, stageId }) {
    this.#cut(seq);
    this.chapters.push({ key: `${stageId}@${Math.ceil(seq)}`, stage: this.stages.get(stageId), entries: [] });
  }

  unread(seq) {
    this.#cut(seq);
    this.#entries.push({ kind: "unread", key: `unread@${seq}`, seq });
  }

  #cut(seq) {
    this.#open.clear();
    this.#break = seq;
  }

  add(item) {
    if (item.kind === "start") this.#group(item.value, item.seq);
    else if (item.kind === "line") this.#line(item);
    else if (item.runId && this.#inRun(item)) this.#group(this.#run(item), item.seq).parts.push(part(item));
    else {
      if (item.kind === "feedback" || (item.kind === "message" && item.value.kind !== "system")) this.#cut(item.seq);
      this.#entries.push({ kind: item.kind, key: keyOf(item), seq: item.seq, value: item.value });
    }
  }

  /** A person's words are never tucked into a run, even when they belong to one. */
  #inRun(item) {
    return item.kind !== "message" || item.value.kind === "agent";
  }

  #run(item) {
    return this.runs.get(item.runId) ?? { runId: item.runId, agentId: item.value.agentId ?? null, status: "completed", startedAt: item.at, trigger: { kind: "" }, trimmed: true };
  }

  #group(run, seq) {
    let group = this.#open.get(run.runId);
    if (!group) {
      group = { kind: "run", key: `run:${run.runId}@${this.#break}`, seq, run, parts: [], continued: this.#seen.has(run.runId), last: true };
      for (const chapter of group.continued ? this.chapters : []) {
        for (const entry of chapter.entries) if (entry.run === run) entry.last = false;
      }
      this.#open.set(run.runId, group);
      this.#seen.add(run.runId);
      this.#entries.push(group);
    }
    return group;
  }

  #line(item) {
    // The head of the chapter says it already, and the track says which stages there are.
    const { type, data } = item.value;
    if (begins(item) && data.previous !== "waitingUser" && data.previous !== "paused") return;
    if (type === "project_stage_update" && (data.stage.status === "pending" || data.previous === data.stage.status)) return;
    const before = this.#entries[this.#entries.length - 1];
    if (before?.kind === "lines" && before.type === item.value.type) before.items.push(item.value);
    else this.#entries.push({ kind: "lines", key: `line:${item.seq}`, seq: item.seq, type: item.value.type, items: [item.value] });
  }

  /** A text that grows belongs at the end of its run; output belongs to its call, which asks for it by key. */
  stream(stream) {
    if (stream.kind !== "message" && stream.kind !== "thinking") return;
    const run = this.runs.get(stream.runId) ?? { runId: stream.runId, agentId: stream.agentId, status: "running", trigger: { kind: "" }, trimmed: true };
    this.#group(run, Infinity).parts.push({ kind: stream.kind === "thinking" ? "thinking" : "text", key: `m:${stream.messageId}`, seq: Infinity, stream });
  }
}

function part(item) {
  const { kind, value, seq } = item;
  if (kind === "message") return { kind: value.source === "thinking" ? "thinking" : "text", key: `m:${value.messageId}`, seq, value };
  return { kind, key: keyOf(item), seq, value };
}

function keyOf({ kind, value, seq }) {
  if (kind === "message") return `m:${value.messageId}`;
  if (kind === "call") return `c:${value.runId}:${value.toolCallId}`;
  if (kind === "approval") return `a:${value.approvalId}`;
  if (kind === "feedback") return `f:${value.feedbackId}`;
  return `${kind}:${seq}`;
}

export const foldsLines = (entry) => entry.items.length >= FOLD_LINES;

/** How many things came after `seq`: for the button that counts what is below. */
export function countAfter(state, seq) {
  let count = 0;
  for (const list of [state.messages, state.toolCalls, state.approvals, state.feedback, state.activity]) {
    for (let i = list.length - 1; i >= 0 && list[i].seq > seq; i -= 1) count += 1;
  }
  return count;
}

/** What happened since a person last looked, as short phrases; computed from their own cursor. */
export function summaryAfter(state, seq) {
  const after = (list) => list.filter((item) => item.seq > seq);
  const calls = after(state.toolCalls);
  const files = new Set(calls.flatMap((call) => (call.diff?.files ?? []).map((file) => file.path)));
  const people = after(state.messages).filter((message) => message.kind === "user").length + after(state.feedback).length;
  const moved = after(state.activity).filter((event) => event.type === "task_status_changed").length;
  const decided = state.approvals.filter((approval) => approval.seq > seq && approval.state !== "pending").length;
  const phrases = [
    [after(state.runs).length, "run", "runs"],
    [calls.length, "tool call", "tool calls"],
    [files.size, "file changed", "files changed"],
    [people, "message", "messages"],
    [moved, "task moved", "tasks moved"],
    [decided, "decision", "decisions"],
  ];
  return phrases.filter(([n]) => n > 0).map(([n, one, many]) => `${n} ${n === 1 ? one : many}`);
}
