/** Thin lines for what happened besides runs and words: tasks, plans, stages, agents, members, agents' mail, warnings. */

import { attr, button, h, icon, text } from "../lib/dom.js";
import { clock, exact, plural, timeAgo } from "../lib/time.js";
import { PLAN, PROJECT, STAGE, TASK } from "../lib/words.js";
import { literal } from "../lib/visible.js";
import { foldsLines } from "./model.js";

const lower = (words) => words.charAt(0).toLowerCase() + words.slice(1);
const task = (data) => `#${data.task?.number ?? data.number ?? ""} ${data.task?.title ?? data.title ?? ""}`.trim();

/** type → [icon, sentence]. Agents and people are named, never numbered. */
const SAY = {
  project_status_change: (d) => ["mark", `${d.by?.name ?? "AutoCode"} set the project to “${lower(PROJECT[d.status]?.[0] ?? d.status)}”${d.reason ? `: ${d.reason}` : ""}`],
  project_stage_update: (d) => ["plan", `${d.stage.name} is ${STAGE[d.stage.status]?.[0] ?? d.stage.status}${d.stage.failedReason ? `: ${d.stage.failedReason}` : d.stage.summary && d.stage.status === "done" ? `: ${d.stage.summary}` : ""}`],
  task_created: (d) => ["board", `Task ${task(d)} was added`],
  task_status_changed: (d) => [TASK[d.to]?.[1] ?? "board", `Task ${task(d)} moved to ${lower(TASK[d.to]?.[0] ?? d.to)}${d.reason ? `: ${d.reason}` : ""}`],
  task_deleted: (d) => ["delete", `Task ${task(d)} was deleted`],
  tasks_reset: (d) => ["history", `${plural(d.count, "task")} went back to “to do”`],
  plan_generated: (d) => ["plan", `Plan “${d.plan.title}”, version ${d.plan.version}: ${lower(PLAN[d.plan.state]?.[0] ?? d.plan.state)}, ${plural(d.plan.items.length, "step")}`],
  agent_spawned: (d) => ["agents", `${literal(d.agent.name)} joined${d.agent.role ? ` as ${d.agent.role}` : ""}${d.agent.model ? ` (${d.agent.model})` : ""}`],
  member_changed: (d) => ["people", d.role === null ? `${d.username} is no longer a member` : d.previous ? `${d.username} is now ${d.role}` : `${d.username} joined as ${d.role}`],
};

/** What many lines of one kind become. */
const MANY = {
  task_created: (n) => `${n} tasks were added`,
  task_status_changed: (n) => `${n} tasks moved`,
  agent_spawned: (n) => `${n} agents joined`,
  project_stage_update: (n) => `${n} changes of stages`,
  agent_messages: (n) => `${n} messages among the agents`,
  member_changed: (n) => `${n} changes of members`,
};

/** A run of lines of one kind: each for itself while there are few, one that opens when there are many. */
export class Lines {
  constructor(ctx) {
    this.ctx = ctx;
    this.el = h("div.lines");
    this.count = 0;
  }

  update(entry) {
    if (entry.items.length === this.count && this.last === entry.items[this.count - 1]) return;
    const fold = foldsLines(entry) && MANY[entry.type];
    if (!fold || !this.details) {
      this.el.replaceChildren();
      this.count = 0;
    }
    if (fold && !this.details) {
      this.label = h("span");
      this.list = h("div");
      this.details = h("details.line-fold", null, h("summary.line", null, icon("chevron", "turn"), this.label), this.list);
    }
    if (fold) {
      text(this.label, fold(entry.items.length));
      if (!this.details.isConnected) this.el.append(this.details);
    } else this.details = null;
    const place = fold ? this.list : this.el;
    // Lines never change, so only new ones are drawn; a trimmed window starts over.
    if (entry.items[this.count - 1] !== this.last) {
      place.replaceChildren();
      this.count = 0;
    }
    for (const item of entry.items.slice(this.count)) place.append(lineOf(this.ctx, item));
    this.count = entry.items.length;
    this.last = entry.items[this.count - 1];
  }
}

function lineOf(ctx, item) {
  if (item.type === "agent_messages") return h("div.mail-list", null, item.data.messages.map((mail) => mailLine(ctx, mail)));
  const [name, words] = SAY[item.type]?.(item.data) ?? ["mark", item.type.replaceAll("_", " ")];
  const el = h("p.line", { title: exact(item.timestamp) }, icon(name), h("span", null, words), h("time.num", null, clock(item.timestamp)));
  attr(el, "data-line", item.type);
  const taskId = item.data.task?.taskId;
  if (taskId) el.append(button("Open", { kind: "quiet small line-open", onclick: () => ctx.emit("go", { view: "board", taskId }) }));
  return el;
}

const MAIL = { query: "asks", reply: "answers", broadcast: "tells everyone" };

/** Mail among agents: who to whom and about what; the text opens. */
function mailLine(ctx, mail) {
  const to = mail.toAgentId ? ` ${ctx.agentName(mail.toAgentId)}` : "";
  const words = `${ctx.agentName(mail.fromAgentId)} ${MAIL[mail.kind] ?? "writes to"}${mail.kind === "broadcast" ? "" : to}: ${mail.subject || mail.content.slice(0, 80)}`;
  return h("details.line-fold.mail", null, h("summary.line", null, icon("reply"), h("span", null, words), h("time.num", null, clock(mail.at))), h("p.mail-text", null, mail.content));
}

/** A warning or an error from an agent's log. */
export function logLine({ log, at }) {
  const bad = log.level === "error";
  const [first, ...rest] = log.lines;
  const line = [icon("warn"), h("span.sr-only", null, bad ? "Error: " : "Warning: "), h("span.mono", null, literal(first ?? "")), h("time.num", null, timeAgo(at))];
  if (!rest.length) return h(`p.line.log${bad ? ".bad" : ".warn"}`, null, line);
  return h(`details.line-fold.log${bad ? ".bad" : ".warn"}`, null, h("summary.line.log", null, line), h("pre.log-lines", { tabindex: 0 }, literal(log.lines.join("\n"))));
}
