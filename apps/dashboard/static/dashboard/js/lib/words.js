/** The words and the colour names of every state. State is never colour alone, so the word comes first. Pure. */

export const PROJECT = {
  draft: ["Draft", "hollow"],
  inProgress: ["In progress", "ok"],
  waitingUser: ["Waiting for you", "warn"],
  paused: ["Paused", "hollow"],
  done: ["Done", "ok"],
  failed: ["Failed", "bad"],
  cancelled: ["Cancelled", "hollow"],
  archived: ["Archived", "hollow"],
};

export const STAGE = {
  pending: ["not started", ""],
  inProgress: ["in progress", "accent"],
  waitingUser: ["waiting for you", "warn"],
  paused: ["paused", ""],
  done: ["done", "ok"],
  failed: ["failed", "bad"],
  skipped: ["skipped", ""],
};

export const AGENT = {
  spawning: ["Starting", "hollow"],
  idle: ["Idle", "hollow"],
  running: ["Working", "ok"],
  waiting: ["Waiting", "warn"],
  paused: ["Paused", "hollow"],
  stuck: ["Stuck", "bad"],
  offline: ["Offline", "hollow"],
  stopped: ["Stopped", "hollow"],
  failed: ["Failed", "bad"],
};

export const RUN = {
  running: ["working", "accent"],
  completed: ["done", ""],
  failed: ["failed", "bad"],
  cancelled: ["cancelled", "warn"],
  timedOut: ["ran out of time", "bad"],
  rejected: ["rejected", "warn"],
};

export const CALL = {
  running: ["running", "accent"],
  success: ["done", ""],
  error: ["failed", "bad"],
  denied: ["not allowed", "warn"],
  cancelled: ["cancelled", "warn"],
  timedOut: ["ran out of time", "bad"],
  abandoned: ["abandoned", "warn"],
};

export const RISK = {
  unknown: ["Unknown risk", "warn"],
  low: ["Low risk", "ok"],
  medium: ["Medium risk", "warn"],
  high: ["High risk", "bad"],
  critical: ["Critical risk", "bad"],
};

export const APPROVAL = {
  pending: ["Needs a decision", "warn"],
  approved: ["Approved", "ok"],
  rejected: ["Rejected", "bad"],
  edited: ["Approved with changes", "ok"],
  expired: ["Expired", ""],
  cancelled: ["No longer needed", ""],
  superseded: ["Replaced by a newer request", ""],
};

export const FEEDBACK = {
  received: ["Received", "info"],
  forwarded: ["Sent to the agents", "info"],
  delivered: ["Delivered", "info"],
  consumed: ["Read", "info"],
  applied: ["Applied", "ok"],
  rejected: ["Not taken up", "bad"],
  expired: ["Too late", "warn"],
  failed: ["Could not be delivered", "bad"],
};

/** The ordinary way of feedback; the short words stand in the receipt. */
export const FEEDBACK_WAY = [
  ["received", "received"],
  ["forwarded", "sent"],
  ["delivered", "delivered"],
  ["consumed", "read"],
  ["applied", "applied"],
];

export const TASK = {
  todo: ["To do", "empty"],
  doing: ["Doing", "play"],
  blocked: ["Blocked", "warn"],
  review: ["Review", "search"],
  done: ["Done", "check"],
  cancelled: ["Cancelled", "cross"],
};
export const TASK_ORDER = ["todo", "doing", "blocked", "review", "done", "cancelled"];

export const PRIORITY = { low: ["Low", ""], normal: ["Normal", ""], high: ["High", "warn"], urgent: ["Urgent", "bad"] };

export const PLAN = { draft: ["Draft", ""], inReview: ["In review", "warn"], approved: ["Approved", "ok"], superseded: ["Replaced", ""] };

export const MODE = {
  chat: ["Message", "Everyone in the room sees it; the agents read it as conversation."],
  steer: ["Steer", "Reaches the agent at its next step, without stopping it."],
  queue: ["After this run", "Waits until the agent has finished what it does now."],
  interrupt: ["Interrupt", "Stops what the agent does now and starts with this."],
};

export const ROLES = ["viewer", "contributor", "approver", "maintainer", "owner"];
export const atLeast = (role, needed) => ROLES.indexOf(role) >= ROLES.indexOf(needed || "viewer");

/** "Coder-1" → "C1", "Ada Lovelace" → "AL", "bob" → "B". */
export function initials(name) {
  const parts = String(name || "?").split(/[\s._-]+/).filter(Boolean);
  const first = (part) => Array.from(part)[0]; // a letter may take two units
  return (parts.length > 1 ? first(parts[0]) + first(parts[parts.length - 1]) : first(parts[0] ?? "?")).toUpperCase();
}

/** Hues of a room's agents, kept apart from each other; in the order in which the agents joined, so the same for everybody. */
const reserved = new Map();

export function reserveHues(ids) {
  for (const id of ids) {
    if (reserved.has(id)) continue;
    const near = (hue) => [...reserved.values()].some((one) => Math.min(Math.abs(one - hue), 360 - Math.abs(one - hue)) < 28);
    let hue = hueOf(id);
    // Beyond a dozen no circle has room; then two may be alike.
    for (let tries = 0; near(hue) && tries < 12; tries += 1) hue = (hue + 47) % 360;
    reserved.set(id, hue);
  }
}

/** A stable hue for an id. Neighbouring hashes fall far apart: multiples of the golden angle. */
export function hueOf(id) {
  if (reserved.has(id)) return reserved.get(id);
  let hash = 2166136261;
  for (const char of String(id)) hash = Math.imul(hash ^ char.codePointAt(0), 16777619);
  return Math.round((((hash >>> 0) % 233) * 137.508) % 360);
}

/** What failed, in words; the server's own sentence is used where it has one. */
export function errorWords(error) {
  const words = {
    conflict: "Somebody changed this in the meantime. It now shows the newest state; please look and try again.",
    already_decided: "This was already decided.",
    stale: "The request has changed since you opened it. Please read it again.",
    expired: "The time for this is over.",
    forbidden: "Your role does not allow this.",
    not_found: "It is not there any more.",
    rate_limited: "That was a little too fast. Please wait a moment.",
    timeout: "AutoCode did not answer in time. Please try again.",
    agents_unavailable: "The agents are not connected right now.",
    queue_full: "Too many messages are waiting already.",
    too_large: "This is too long to send.",
  };
  return words[error?.code] ?? error?.message ?? "That did not work. Please try again.";
}
