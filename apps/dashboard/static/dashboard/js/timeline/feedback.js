/** Feedback in the timeline and its receipt: received → sent → delivered → read → applied, and what it changed. */

import { attr, fill, h, icon, text } from "../lib/dom.js";
import { exact, plural, timeAgo } from "../lib/time.js";
import { FEEDBACK, FEEDBACK_WAY, MODE } from "../lib/words.js";
import { avatar, setBadge } from "../lib/ui.js";

const ENDS_BADLY = new Set(["rejected", "expired", "failed"]);

export class Feedback {
  constructor(ctx, item) {
    this.ctx = ctx;
    const mine = item.author.id === ctx.userId;
    this.words = h("div.prose.plain", null, item.content);
    this.state = h("span.badge", { "data-testid": "feedback-state" });
    this.way = h("ol.receipt", { "aria-label": "What became of it" });
    this.note = h("p.receipt-note");
    this.effects = h("ul.effects");
    this.el = h(
      `article.message.feedback${mine ? ".mine" : ""}`,
      { "data-testid": "feedback-item", "data-feedback-id": item.feedbackId, "data-item": "", tabIndex: -1 },
      avatar(item.author.id, item.author.name),
      h("div.message-main", null,
        h("header", null, h("strong", null, mine ? "You" : item.author.name), h("span.muted", null, `to ${item.target.agentId ? ctx.agentName(item.target.agentId) : "the agents"} · ${MODE[item.mode]?.[0].toLowerCase() ?? item.mode}`), timeAgo(item.createdAt)),
        targetChip(ctx, item.target), this.words,
        h("div.receipt-row", null, this.state, this.way), this.note, this.effects),
    );
  }

  update(item) {
    if (this.item === item) return;
    this.item = item;
    const [words, tone] = FEEDBACK[item.state] ?? [item.state, ""];
    setBadge(this.state, words, tone);
    attr(this.el, "data-state", item.state);
    fill(this.way, `${item.state}${item.steps.length}`, () => this.#steps(item));
    const agent = item.byRunId && this.ctx.run(item.byRunId)?.agentId;
    const reader = item.state === "consumed" && agent ? `${this.ctx.agentName(agent)} has read it. ` : "";
    text(this.note, reader + (item.note ?? ""));
    fill(this.effects, item.effects.length, () => this.#effects(item));
  }

  /** Every step of the ordinary way, done or still open; a bad end replaces what did not happen. */
  #steps(item) {
    const reached = new Map(item.steps.map((step) => [step.state, step]));
    const bad = ENDS_BADLY.has(item.state);
    const furthest = FEEDBACK_WAY.findLastIndex(([state]) => reached.has(state));
    const steps = FEEDBACK_WAY.filter((_, index) => !bad || index <= furthest).map(([state, word], index) => {
      const step = reached.get(state);
      const done = index <= furthest;
      return h(`li${done ? ".done" : ""}`, { title: step ? exact(step.at) : "" }, done && icon("check"), h("span", null, word));
    });
    if (bad) steps.push(h("li.bad", null, icon("cross"), h("span", null, FEEDBACK[item.state][0].toLowerCase())));
    return steps;
  }

  #effects(item) {
    if (!item.effects.length) return [];
    const go = { task: (ref) => ({ view: "board", taskId: ref }), plan: () => ({ view: "plan" }), file: (ref) => ({ view: "room", path: ref }), run: (ref) => ({ view: "room", runId: ref }), stage: (ref) => ({ view: "room", stageId: ref }) };
    return [h("li.muted", null, `${plural(item.effects.length, "change")}:`), ...item.effects.map((effect) => h("li", null, h("button.linkish", { type: "button", onclick: () => this.ctx.emit("go", go[effect.kind]?.(effect.ref) ?? { view: "room" }) }, effect.label || effect.ref)))];
  }
}

/** What feedback is about, as a chip; nothing when it is about the work as a whole. */
export function targetChip(ctx, target) {
  const words = targetWords(ctx, target);
  return words ? h("p.target-chip", null, icon("reply"), h("span.clip", null, `about ${words}`)) : null;
}

export function targetWords(ctx, target) {
  if (target.path) return `${target.path}${target.line ? `:${target.line}` : ""}`;
  if (target.toolCallId) {
    const call = ctx.state.toolCalls.find((one) => one.runId === target.runId && one.toolCallId === target.toolCallId);
    return call ? call.title || call.tool : "a step";
  }
  if (target.taskId) return ctx.task(target.taskId) ? `#${ctx.task(target.taskId).number} ${ctx.task(target.taskId).title}` : "a task";
  if (target.stageId) return `the stage ${ctx.stage(target.stageId)?.name ?? ""}`.trim();
  if (target.planId) return "the plan";
  if (target.messageId) {
    const message = ctx.state.messages.find((one) => one.messageId === target.messageId);
    return message ? `“${message.content.slice(0, 60)}${message.content.length > 60 ? "…" : ""}”` : "a message";
  }
  return target.runId ? "a run" : "";
}
