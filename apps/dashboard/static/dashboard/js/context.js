/**
 * What every view of the room shares: the room, who looks at it, what they may do, and the way to send a command and tell how it went.
 * Views talk to each other only through its events: `compose` (start a message about something), `go` (show something).
 */

import { atLeast, errorWords, reserveHues } from "./lib/words.js";
import { toast } from "./lib/ui.js";
import { literal } from "./lib/visible.js";

export class RoomContext {
  #listeners = new Map();
  #agents = { state: null, live: "", list: [], map: new Map() };

  /**
   * @param {any} client the AutoCodeClient
   * @param {any} room
   * @param {any} boot what the server rendered into the page: guid, userId, username, role, permissions, readSeq
   */
  constructor(client, room, boot) {
    this.client = client;
    this.room = room;
    this.boot = boot;
    this.guid = boot.guid;
    this.userId = boot.userId;
    this.#mergeAgents();
  }

  get state() {
    return this.room.state;
  }
  get live() {
    return this.room.live;
  }
  get role() {
    return this.room.info?.role ?? this.boot.role;
  }

  /** An archived project is only read; its owner takes it back on the page about it. */
  get archived() {
    return this.state?.project.status === "archived";
  }

  /** Whether this person may do `action` (the names of the server's table of permissions) here and now. */
  may(action) {
    return !this.archived && (this.room.info?.permissions ?? this.boot.permissions).includes(action);
  }

  hasRole(needed) {
    return atLeast(this.role, needed);
  }

  /** The agents with their newest progress. */
  get agents() {
    this.#mergeAgents();
    return this.#agents.list;
  }

  agent(id) {
    this.#mergeAgents();
    return this.#agents.map.get(id);
  }

  agentName(id) {
    return literal(this.agent(id)?.name ?? (id ? "an agent" : "the agents"));
  }

  task(id) {
    return id ? this.state.tasks.find((task) => task.taskId === id) : undefined;
  }
  stage(id) {
    return id ? this.state.stages.find((stage) => stage.stageId === id) : undefined;
  }
  run(id) {
    return id ? this.state.runs.find((run) => run.runId === id) : undefined;
  }

  /** Approvals that wait and that this person may decide, in the order of asking. */
  get waiting() {
    const mine = this.may("approval.decide");
    return this.state.approvals.filter((approval) => approval.state === "pending" && mine && this.hasRole(approval.requiredRole));
  }

  /** Questions of agents that nobody has answered. */
  get questions() {
    return this.state.messages.filter((message) => message.waitingUserResponse);
  }

  /** What needs this person: decisions and, for those who may write, questions. */
  get needs() {
    return this.waiting.length + (this.may("message.post") ? this.questions.length : 0);
  }

  /**
   * Send a command. A refusal is told as a toast (unless `quiet`) and thrown on, so that the caller can keep what was typed.
   * @param {{quiet?: boolean}} [options]
   */
  async command(type, data, { quiet = false } = {}) {
    try {
      return await this.room.send(type, data);
    } catch (error) {
      // Being decided elsewhere is news, not a failure: the card shows it.
      if (!quiet && error.code !== "already_decided") toast(errorWords(error), { tone: "bad" });
      throw error;
    }
  }

  on(name, listener) {
    if (!this.#listeners.has(name)) this.#listeners.set(name, new Set());
    this.#listeners.get(name).add(listener);
  }

  emit(name, detail) {
    for (const listener of this.#listeners.get(name) ?? []) listener(detail);
  }

  /** `live.agents` is filled in place, so the merged list is made anew when its content differs. */
  #mergeAgents() {
    const { state, live } = this.room;
    const agents = state?.agents ?? [];
    let stamp = "";
    for (const update of live.agents.values()) stamp += `${update.agentId}|${update.activity}|${update.progress}|${update.status}|${update.context?.used ?? ""};`;
    const known = this.#agents;
    if (known.state === agents && known.live === stamp) return;
    reserveHues(agents.map((agent) => agent.agentId));
    const list = agents.map((agent) => {
      const update = live.agents.get(agent.agentId);
      if (!update) return agent;
      const { status, taskId, activity, progress, context } = update;
      return { ...agent, status, taskId, activity, progress, context: context ?? agent.context };
    });
    this.#agents = { state: agents, live: stamp, list, map: new Map(list.map((agent) => [agent.agentId, agent])) };
  }
}
