/** The agents: what each does now, how far it is, what it costs, how full its context is; and the way to stop it. */

import { attr, button, h, icon, keyed, show, text } from "../lib/dom.js";
import { money, plural, tokens } from "../lib/time.js";
import { AGENT } from "../lib/words.js";
import { avatar, dialog, meter, setHue, setMeter } from "../lib/ui.js";
import { literal } from "../lib/visible.js";

/** From here on a context is called nearly full. */
const FULL = 0.8;

const ORDER = ["waiting", "stuck", "failed", "running", "spawning", "paused", "idle", "offline", "stopped"];

export class Agents {
  constructor(ctx, place) {
    this.ctx = ctx;
    this.list = h("div.agent-list");
    this.blank = h("div.empty.slim", { hidden: true }, icon("agents"), h("p", null, "No agent has joined yet. They come when the agents-server is connected and the project is in progress."));
    place.replaceChildren(this.list, this.blank);
  }

  update() {
    const { ctx } = this;
    if (!ctx.state) return;
    const agents = [...ctx.agents].sort((a, b) => ORDER.indexOf(a.status) - ORDER.indexOf(b.status) || a.name.localeCompare(b.name));
    keyed(this.list, agents, (agent) => agent.agentId, (agent) => this.#make(agent), (el, agent) => el.view.update(agent));
    show(this.blank, !agents.length);
  }

  #make(agent) {
    const view = new AgentCard(this.ctx, agent);
    view.el.view = view;
    return view.el;
  }
}

class AgentCard {
  constructor(ctx, agent) {
    this.ctx = ctx;
    this.dot = h("span.dot");
    this.status = h("span.agent-status");
    this.activity = h("p.agent-activity.clip");
    this.task = h("button.linkish.clip", { type: "button", onclick: () => ctx.emit("go", { view: "board", taskId: this.agent.taskId }) });
    this.progress = meter("Progress");
    this.cost = h("span.num");
    this.context = h("span.num");
    this.waiting = h("button.linkish", { type: "button", hidden: true, onclick: () => ctx.emit("go", { view: "needs", approvalId: this.approvalId }) }, "Waiting for a decision");
    this.stop = button("", { icon: "stop", kind: "quiet small icon-only", title: "Stop what it does", "aria-label": `Stop ${literal(agent.name)}`, testid: "agent-cancel", onclick: () => this.#cancel() });
    this.talk = ctx.may("feedback.send") && button("", { icon: "chat", kind: "quiet small icon-only", title: `Write to ${literal(agent.name)}`, "aria-label": `Write to ${literal(agent.name)}`, onclick: () => ctx.emit("compose", { agentId: agent.agentId, mode: "steer" }) });
    this.el = h("article.agent-card", { "data-testid": "agent-card", "data-agent-id": agent.agentId, "data-item": "", tabIndex: -1, "aria-label": literal(agent.name) },
      avatar(agent.agentId, literal(agent.name), { agent: true }),
      h("div.agent-main", null,
        h("header.row", null, h("strong.agent-name.clip", null, literal(agent.name)), this.dot, this.status, h("span.grow"), this.talk, this.stop),
        this.activity, this.waiting, this.task, this.progress,
        h("p.agent-facts.muted", null, h("span.clip", null, [agent.role, agent.model].filter(Boolean).join(" · ")), h("span.grow"), this.context, this.cost)));
    setHue(this.el, agent.agentId);
  }

  update(agent) {
    const { ctx } = this;
    const usage = this.#usage(agent.agentId);
    const stamp = `${agent.taskId}|${usage}|${ctx.state.approvals === this.approvals}|${ctx.state.tasks === this.tasks}|${ctx.state.runs === this.runs}`;
    if (this.agent === agent && this.stamp === stamp) return;
    Object.assign(this, { agent, stamp, approvals: ctx.state.approvals, tasks: ctx.state.tasks, runs: ctx.state.runs });
    const [words, tone] = AGENT[agent.status] ?? [agent.status, "hollow"];
    text(this.status, words);
    attr(this.el, "data-status", agent.status);
    this.dot.className = `dot ${tone}`;
    text(this.activity, agent.activity);
    show(this.activity, agent.activity);
    const task = ctx.task(agent.taskId);
    text(this.task, task ? `#${task.number} ${task.title}` : "");
    show(this.task, task);
    show(this.progress, agent.progress !== null && agent.progress !== undefined);
    setMeter(this.progress, agent.progress);
    text(this.cost, usage);
    const part = agent.context?.size ? agent.context.used / agent.context.size : null;
    text(this.context, part === null ? "" : `context ${Math.round(part * 100)} %`);
    attr(this.context, "title", part === null ? null : `${tokens(agent.context.used)} of ${tokens(agent.context.size)} tokens`);
    this.context.classList.toggle("warn-text", part !== null && part >= FULL);
    this.approvalId = ctx.state.approvals.find((one) => one.state === "pending" && one.agentId === agent.agentId)?.approvalId;
    show(this.waiting, this.approvalId);
    show(this.stop, this.#runs(agent.agentId).length && ctx.may("run.cancel"));
  }

  #runs(agentId) {
    return this.ctx.state.runs.filter((run) => run.agentId === agentId && run.status === "running");
  }

  /** What it cost in the runs that are shown here. */
  #usage(agentId) {
    let sum = 0;
    let currency = "USD";
    for (const run of this.ctx.state.runs) {
      const usage = run.agentId === agentId && (this.ctx.live.usage.get(run.runId) ?? run.usage);
      if (usage) [sum, currency] = [sum + Number(usage.totalCost), usage.currency];
    }
    return sum > 0 ? money(sum, currency) : "";
  }

  /** Two ways to stop: after the present step, or at once. */
  async #cancel() {
    const { agent, ctx } = this;
    const reason = h("textarea.input", { rows: 2, placeholder: "Why (optional; the agent reads it)", "aria-label": "Reason" });
    const mode = await dialog(`Stop ${literal(agent.name)}?`, (close) =>
      h("div.dialog-body", null, h("p", null, `It is ${agent.activity ? `working on: ${agent.activity}` : "working"}. ${plural(this.#runs(agent.agentId).length, "run")} will end.`), reason,
        h("div.dialog-actions", null, button("Let it go on", { kind: "quiet", onclick: () => close() }), button("Stop after this step", { testid: "cancel-soft", onclick: () => close("soft") }), button("Stop at once", { kind: "danger", testid: "cancel-hard", onclick: () => close("hard") }))));
    if (!mode) return;
    await ctx.command("cancel", { agentId: agent.agentId, mode, ...(reason.value.trim() ? { reason: reason.value.trim() } : {}) }).catch(() => {});
  }
}
