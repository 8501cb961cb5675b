/**
 * The state of a room and how one durable event changes it: `apps/agents/fold.py`, line by line. The parity test holds the two together.
 *
 * Nothing is changed in place: `fold` returns a new state that shares what stayed the same, so a view can compare by identity.
 * Knows neither sockets nor pages.
 */

import { addDecimals } from "./decimal.js";

const MESSAGES = 100;
const RUNS = 30;
const TOOL_CALLS = 60;
const APPROVALS = 30;
const FEEDBACK = 50;
const NOTIFICATIONS = 30;
const ACTIVITY = 60;
const LOGS = 30;

/** Events that the timeline shows as a line of their own. */
const ACTIVITY_TYPES = new Set([
  "project_status_change",
  "project_stage_update",
  "task_created",
  "task_status_changed",
  "task_deleted",
  "tasks_reset",
  "plan_generated",
  "agent_spawned",
  "agent_messages",
  "member_changed",
]);

/**
 * Apply one durable event.
 * @param {any} state a Snapshot
 * @param {{type: string, seq: number, timestamp: string, data: any}} event an envelope with a `seq`
 * @returns {any} the next Snapshot
 * @throws {RangeError} when the event is not the next one
 */
export function fold(state, event) {
  if (event.seq !== state.lastSeq + 1) throw new RangeError(`event ${event.seq} does not follow ${state.lastSeq}`);
  const next = { ...state, lastSeq: event.seq };
  // A type that a newer server knows and we do not still takes its place in the order.
  if (Object.hasOwn(FOLDS, event.type)) FOLDS[event.type](next, event.data, event);
  if (ACTIVITY_TYPES.has(event.type)) {
    const item = { seq: event.seq, type: event.type, timestamp: event.timestamp, data: event.data };
    next.activity = cut([...state.activity, item], ACTIVITY);
  }
  return next;
}

/**
 * The last `size` items and, before them, whatever is still open.
 * @template T
 * @param {T[]} items
 * @param {number} size
 * @param {((item: T) => boolean)} [isOpen]
 */
function cut(items, size, isOpen) {
  if (items.length <= size) return items;
  const newest = items.slice(-size);
  return isOpen ? [...items.slice(0, -size).filter(isOpen), ...newest] : newest;
}

/**
 * @param {any[]} items
 * @param {string} key
 * @param {any} value
 */
function upsert(items, key, value) {
  const wanted = value[key];
  const index = items.findIndex((item) => item[key] === wanted);
  if (index < 0) return [...items, value];
  const copy = items.slice();
  copy[index] = value;
  return copy;
}

/**
 * @param {any[]} items
 * @param {(item: any) => boolean} wanted
 * @param {any} fields
 */
function patch(items, wanted, fields) {
  return items.some(wanted) ? items.map((item) => (wanted(item) ? { ...item, ...fields } : item)) : items;
}

/** Python compares strings by code point, JavaScript by UTF-16 unit: they differ above U+FFFF. @param {string} a @param {string} b */
function compareText(a, b) {
  if (a === b) return 0;
  const left = Array.from(a, (c) => c.codePointAt(0) ?? 0);
  const right = Array.from(b, (c) => c.codePointAt(0) ?? 0);
  for (let i = 0; i < left.length && i < right.length; i += 1) if (left[i] !== right[i]) return left[i] - right[i];
  return left.length - right.length;
}

const byPosition = (/** @type {any} */ a, /** @type {any} */ b) => a.position - b.position || a.number - b.number;

const isRunning = (/** @type {any} */ item) => item.status === "running";
const isPending = (/** @type {any} */ item) => item.state === "pending";

/** @param {any} state @param {any} data @param {any} event */
function message(state, data, event) {
  const agent = event.type === "agent_message";
  const platform = event.type === "platform_message";
  const kind = platform ? "system" : (data.kind ?? "agent");
  const question = agent ? Boolean(data.question) : null;
  const view = {
    messageId: data.messageId,
    source: event.type,
    kind,
    author: data.author ?? null,
    content: data.content ?? "",
    html: data.html ?? "",
    format: platform ? "markdown" : (data.format ?? (event.type === "message" ? "markdown" : "text")),
    replyToId: data.replyToId ?? null,
    runId: data.runId ?? null,
    agentId: data.agentId ?? null,
    hasQuestion: question ?? data.hasQuestion ?? false,
    waitingUserResponse: question ?? data.waitingUserResponse ?? false,
    redacted: data.redacted ?? false,
    durationMs: data.durationMs ?? null,
    platform: data.platform ?? null,
    channelId: data.channelId ?? null,
    externalId: data.externalId ?? null,
    direction: data.direction ?? null,
    attachments: data.attachments ?? [],
    at: event.timestamp,
    seq: event.seq,
  };
  let messages = [...state.messages, view];
  if (view.replyToId && kind === "user") {
    // A person's reply to a question settles it.
    const asked = (/** @type {any} */ item) => item.messageId === view.replyToId && item.waitingUserResponse;
    messages = patch(messages, asked, { waitingUserResponse: false });
  }
  state.messages = cut(messages, MESSAGES);
}

/** @param {any} state @param {any} data */
function task(state, data) {
  state.tasks = upsert(state.tasks, "taskId", data.task).sort(byPosition);
}

/** @param {any} data */
function usageTotals(data) {
  return {
    promptTokens: data.promptTokens,
    completionTokens: data.completionTokens,
    cachedTokens: data.cachedTokens,
    totalTokens: data.totalTokens,
    totalCost: data.totalCost,
    currency: data.currency,
    perModel: data.perModel,
    budget: data.budget ?? null,
  };
}

/** @param {any} state @param {any} data */
function done(state, data) {
  const { status, stopReason, error, toolCalls, usage, durationMs, finishedAt } = data;
  const fields = { status, stopReason, error, toolCalls, usage, durationMs, finishedAt };
  state.runs = cut(patch(state.runs, (run) => run.runId === data.runId, fields), RUNS, isRunning);
  const total = state.usage;
  state.usage = {
    promptTokens: total.promptTokens + usage.promptTokens,
    completionTokens: total.completionTokens + usage.completionTokens,
    totalTokens: total.totalTokens + usage.totalTokens,
    totalCost: addDecimals(total.totalCost, usage.totalCost),
    currency: usage.currency,
    runs: total.runs + 1,
  };
}

/** @param {any} state @param {any} data @param {any} event */
function feedback(state, data, event) {
  const known = state.feedback.find((/** @type {any} */ item) => item.feedbackId === data.feedbackId);
  if (!known && data.state !== "received") return; // older than the window
  const view = { ...data.feedback, seq: known ? known.seq : event.seq };
  state.feedback = cut(upsert(state.feedback, "feedbackId", view), FEEDBACK);
}

/** Shown elsewhere (presence and the REST list, the activity list), but part of the order. */
function nothing() {}

/** @type {Record<string, (state: any, data: any, event: any) => void>} */
const FOLDS = {
  project_updated(state, data) {
    state.project = data.project;
  },
  project_status_change(state, data) {
    state.project = { ...state.project, status: data.status, statusReason: data.reason };
  },
  project_stage_update(state, data) {
    state.stages = upsert(state.stages, "stageId", data.stage).sort(
      (a, b) => a.position - b.position || compareText(a.stageId, b.stageId),
    );
  },
  project_message: message,
  agent_message: message,
  message,
  thinking: message,
  platform_message: message,
  task_created: task,
  task_updated: task,
  task_status_changed: task,
  task_deleted(state, data) {
    state.tasks = state.tasks.filter((/** @type {any} */ item) => item.taskId !== data.taskId);
  },
  tasks_reset(state, data) {
    let tasks = [...state.tasks];
    for (const item of data.tasks) tasks = upsert(tasks, "taskId", item);
    state.tasks = tasks.sort(byPosition);
  },
  plan_generated(state, data) {
    state.plan = data.plan;
  },
  file_locks_update(state, data) {
    state.locks = { version: data.version, locks: data.locks };
  },
  log(state, data, event) {
    const log = { runId: null, toolCallId: null, ...data };
    state.logs = cut([...state.logs, { seq: event.seq, at: event.timestamp, log }], LOGS);
  },
  notification(state, data, event) {
    const view = { userId: null, expiresAt: null, ...data, at: event.timestamp, seq: event.seq };
    state.notifications = cut([...state.notifications, view], NOTIFICATIONS);
  },
  member_changed: nothing,
  agent_spawned(state, data) {
    state.agents = upsert(state.agents, "agentId", data.agent);
  },
  agent_status_update(state, data) {
    const { status, taskId, activity, progress, context = null } = data;
    const fields = { status, taskId, activity, progress, context };
    state.agents = patch(state.agents, (agent) => agent.agentId === data.agentId, fields);
  },
  agent_messages: nothing,
  run_started(state, data, event) {
    const view = {
      runId: data.runId,
      agentId: data.agentId,
      status: "running",
      trigger: data.trigger,
      taskId: data.taskId,
      startedAt: data.startedAt,
      finishedAt: null,
      stopReason: "",
      error: null,
      toolCalls: null,
      usage: null,
      durationMs: null,
      seq: event.seq,
    };
    state.runs = cut([...state.runs, view], RUNS, isRunning);
  },
  done,
  tool_start(state, data, event) {
    const view = {
      approvalId: null,
      startedAt: "",
      ...data,
      status: "running",
      result: "",
      resultSize: 0,
      truncated: false,
      error: null,
      diff: null,
      durationMs: null,
      seq: event.seq,
    };
    state.toolCalls = cut([...state.toolCalls, view], TOOL_CALLS, isRunning);
  },
  tool_end(state, data) {
    const { status, result, resultSize, truncated, error = null, diff = null, durationMs } = data;
    const fields = { status, result, resultSize, truncated, error, diff, durationMs };
    const wanted = (/** @type {any} */ call) => call.runId === data.runId && call.toolCallId === data.toolCallId;
    state.toolCalls = cut(patch(state.toolCalls, wanted, fields), TOOL_CALLS, isRunning);
  },
  usage(state, data) {
    state.runs = patch(state.runs, (run) => run.runId === data.runId, { usage: usageTotals(data) });
  },
  approval_needed(state, data, event) {
    const view = {
      requestedAt: "",
      ...data,
      state: "pending",
      source: null,
      by: null,
      reason: "",
      editedArgs: null,
      decidedAt: null,
      appliedAt: null,
      seq: event.seq,
    };
    state.approvals = cut([...state.approvals, view], APPROVALS, isPending);
  },
  approval_resolved(state, data) {
    const { source, by, reason, editedArgs, decidedAt, appliedAt = null } = data;
    const fields = { state: data.state, source, by, reason, editedArgs, decidedAt, appliedAt };
    const wanted = (/** @type {any} */ approval) => approval.approvalId === data.approvalId;
    state.approvals = cut(patch(state.approvals, wanted, fields), APPROVALS, isPending);
  },
  user_feedback_response: feedback,
};

/** The types that `fold` knows, for the parity test. */
export const FOLDED_TYPES = Object.keys(FOLDS);
