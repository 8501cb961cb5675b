/** What a room knows besides its log: presence, growing texts, the newest progress. Never stored, rebuilt at every join. Pure. */

import { Streams } from "./streams.js";

const STREAMED = new Set(["message", "thinking", "tool_output", "log"]);

export class Live {
  /** @type {Streams} */
  #streams = new Streams();

  constructor() {
    /** @type {Map<string, any>} userId → member */
    this.presence = new Map();
    /** @type {Map<string, any>} agentId → the newest `agent_status_update` that is not yet in the state */
    this.agents = new Map();
    /** @type {Map<string, any>} runId → the newest `usage` of a run that has not ended */
    this.usage = new Map();
    /** @type {any} */
    this.coordination = null;
    /** @type {any} */
    this.link = null;
  }

  get streams() {
    return this.#streams.map;
  }

  /**
   * @param {any} data of `project_joined`
   * @param {boolean} reset the state was replaced
   */
  joined(data, reset) {
    // After a replay our texts are right as far as they go, and their ends are in the replay. After a snapshot an end may be missed.
    if (reset) this.#streams = new Streams();
    else this.#streams.forgetLogs();
    this.presence = new Map((data.presence ?? []).map((/** @type {any} */ member) => [member.userId, member]));
    this.agents = new Map();
    this.usage = new Map();
    this.coordination = null;
    if (data.link !== undefined) this.link = data.link;
  }

  /**
   * An envelope without a `seq`.
   * @param {any} envelope
   * @param {any} state the Snapshot, to know what has ended already
   */
  apply({ type, data }, state) {
    if (STREAMED.has(type)) {
      if (!hasEnded(type, data, state)) this.#streams.piece(type, data);
    } else if (type === "presence_state") {
      this.presence = new Map(data.members.map((/** @type {any} */ member) => [member.userId, member]));
    } else if (type === "presence_diff") {
      const presence = new Map(this.presence);
      for (const member of data.left ?? []) presence.delete(member?.userId ?? member);
      for (const member of data.joined ?? []) presence.set(member.userId, member);
      this.presence = presence;
    } else if (type === "agent_status_update") {
      this.agents.set(data.agentId, data);
    } else if (type === "usage") {
      if (!runEnded(data.runId, state)) this.usage.set(data.runId, data);
    } else if (type === "coordination_update") {
      this.coordination = data;
    } else if (type === "agents_link") {
      this.link = data;
    }
  }

  /** A durable event was folded: what it settles is not live any more. @param {any} envelope */
  settle({ type, data }) {
    if (type === "agent_status_update") this.agents.delete(data.agentId);
    else if (type === "usage" || type === "done") this.usage.delete(data.runId);
    this.#streams.end(type, data);
  }
}

/** @param {string} runId @param {any} state */
function runEnded(runId, state) {
  const run = state?.runs.find((/** @type {any} */ item) => item.runId === runId);
  return Boolean(run && run.status !== "running");
}

/**
 * Pieces travel on another path than the log. One that comes behind its own end must not bring the text back.
 * @param {string} type @param {any} data @param {any} state
 */
function hasEnded(type, data, state) {
  if (!state || type === "log") return false;
  if (runEnded(data.runId, state)) return true;
  if (type !== "tool_output") {
    return state.messages.some((/** @type {any} */ item) => item.messageId === data.messageId && item.source === type);
  }
  const call = state.toolCalls.find(
    (/** @type {any} */ item) => item.runId === data.runId && item.toolCallId === data.toolCallId,
  );
  return Boolean(call && call.status !== "running");
}
