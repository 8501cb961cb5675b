/** One run of an agent as a group: open while it lives, one line when it is done, with the agent's last word under it. */

import { attr, fill, h, icon, keyed, show, text } from "../lib/dom.js";
import { duration, money, plural } from "../lib/time.js";
import { RUN } from "../lib/words.js";
import { avatar, setBadge, setHue } from "../lib/ui.js";
import { ApprovalLine } from "./approval_line.js";
import { ToolCall } from "./call.js";
import { logLine } from "./lines.js";
import { RunText, ThinkingText } from "./message.js";
import { literal } from "../lib/visible.js";

export class RunGroup {
  #open;

  constructor(ctx, entry) {
    this.ctx = ctx;
    // One that was finished when the page opened starts folded; one that finishes before our eyes stays as it is.
    this.#open = entry.run.status === "running" && entry.last;
    this.name = h("strong.agent-name");
    this.what = h("span.clip.run-what");
    this.sum = h("span.clip.run-sum");
    this.status = h("span.badge");
    this.time = h("span.call-time.num");
    this.head = h("button.run-head", { type: "button", onclick: () => this.toggle() }, icon("chevron", "turn"), avatar(entry.run.agentId ?? "", ctx.agentName(entry.run.agentId), { agent: true, small: true }), this.name, this.what, this.sum, h("span.grow"), this.status, this.time);
    this.parts = h("div.run-parts");
    this.el = h("article.run", { "data-item": "", tabIndex: -1, "data-run": entry.run.runId }, this.head, this.parts);
    setHue(this.el, entry.run.agentId ?? "");
  }

  toggle(on = !this.#open) {
    this.#open = on;
    this.#draw();
  }

  /** Fold when it is done and nobody looks at it; the caller keeps the page still. @returns whether it folded */
  foldAway() {
    if (!this.#open || this.entry.run.status === "running" || this.touched) return false;
    this.#open = false;
    this.#draw();
    return true;
  }

  update(entry) {
    this.entry = entry;
    const { run } = entry;
    const agent = this.ctx.agent(run.agentId);
    const task = this.ctx.task(run.taskId);
    text(this.name, literal(agent?.name ?? "Agent"));
    const what = task ? `#${task.number} ${task.title}` : TRIGGER[run.trigger?.kind] ?? "";
    text(this.what, entry.continued ? `continues${what ? ` · ${what}` : ""}` : what);
    const [words, tone] = RUN[run.status] ?? [run.status, ""];
    setBadge(this.status, words, tone);
    show(this.status, entry.last && run.status !== "completed");
    text(this.time, entry.last && run.durationMs ? duration(run.durationMs) : "");
    attr(this.el, "data-status", run.status);
    this.el.classList.toggle("live", run.status === "running" && entry.last);
    this.#draw();
  }

  #draw() {
    const { entry } = this;
    attr(this.head, "aria-expanded", String(this.#open));
    this.el.classList.toggle("folded", !this.#open);
    text(this.sum, this.#open ? "" : summary(entry));
    const parts = this.#open ? entry.parts : kept(entry);
    keyed(this.parts, parts, (part) => part.key, (part) => this.#make(part), (el, part) => el.view.update(part));
    fill(this.errorPlace(), entry.run.error, () => (entry.last && entry.run.error ? h("p.note.bad", null, entry.run.error.message || entry.run.error.code) : []));
    show(this.parts, parts.length);
  }

  errorPlace() {
    this.error ??= this.el.appendChild(h("div.run-error"));
    return this.error;
  }

  #make(part) {
    const view = this.#view(part);
    view.el.view = view;
    view.el.classList.add("arrive");
    return view.el;
  }

  #view(part) {
    if (part.kind === "call") return new ToolCall(this.ctx, part.value);
    if (part.kind === "thinking") return new ThinkingText();
    if (part.kind === "approval") return new ApprovalLine(this.ctx, part.value);
    if (part.kind === "log") return { el: logLine(part.value), update() {} };
    return new RunText(this.ctx);
  }
}

const TRIGGER = { chat: "answers a message", feedback: "follows feedback", task: "works on a task", plan: "works on the plan", agent: "asked by another agent" };

/** What a folded run still shows: its last word, an open question, and what somebody must decide. */
function kept({ parts }) {
  const texts = parts.filter((part) => part.kind === "text");
  const last = texts[texts.length - 1];
  return parts.filter((part) => part === last || part.value?.waitingUserResponse || (part.kind === "approval" && part.value.state === "pending"));
}

/** "6 steps · ran pytest · 3 files changed · $0.04" */
function summary({ parts, run, last }) {
  const calls = parts.filter((part) => part.kind === "call").map((part) => part.value);
  const files = new Set(calls.flatMap((call) => (call.diff?.files ?? []).map((file) => file.path)));
  const ran = calls.filter((call) => call.kind === "execute").pop();
  const failed = calls.filter((call) => call.status === "error").length;
  return [
    calls.length && plural(calls.length, "step"),
    ran && `ran ${String(ran.title || ran.tool).slice(0, 40)}`,
    files.size && `${plural(files.size, "file")} changed`,
    failed && `${failed} failed`,
    last && run.usage && Number(run.usage.totalCost) > 0 && money(run.usage.totalCost, run.usage.currency),
  ].filter(Boolean).join(" · ");
}
