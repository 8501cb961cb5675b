/** What needs this person, first and always: decisions, then questions of agents. What others may decide is said, not offered. */

import { fill, h, icon, keyed, show, text } from "../lib/dom.js";
import { timeAgo } from "../lib/time.js";
import { plural } from "../lib/time.js";
import { announce, avatar, setHue } from "../lib/ui.js";
import { ApprovalCard } from "./approval.js";
import { literal } from "../lib/visible.js";

/** How long a decided card stays at least, so that who was about to decide sees what happened. Milliseconds. */
const LINGER = 8_000;

export class Needs {
  #lingering = new Map();
  #known = new Set();

  constructor(ctx, place) {
    this.ctx = ctx;
    this.count = h("span.badge.count");
    this.list = h("div.needs-list");
    this.rest = h("p.muted.needs-rest", { hidden: true });
    this.blank = h("p.needs-empty", null, icon("check"), h("span", null, "Nothing waits for you."));
    place.replaceChildren(h("header.panel-head", null, h("h2", null, "Needs you"), this.count), this.list, this.blank, this.rest);
  }

  update() {
    const { ctx } = this;
    if (!ctx.state) return;
    const waiting = ctx.waiting;
    for (const approval of waiting) this.#lingering.set(approval.approvalId, Infinity);
    const shown = ctx.state.approvals.filter((approval) => waiting.includes(approval) || this.#lingers(approval));
    // In the order of asking, and a decided card keeps its place while it stays: none may slide under a hand that is about to press.
    shown.sort((a, b) => a.seq - b.seq);
    const questions = ctx.may("message.post") ? ctx.questions : [];
    const items = [...shown.map((approval) => ({ key: `a:${approval.approvalId}`, approval })), ...questions.map((message) => ({ key: `q:${message.messageId}`, message }))];
    keyed(this.list, items, (item) => item.key, (item) => this.#make(item), (el, item) => item.approval && el.view.update(item.approval));
    const count = waiting.length + questions.length;
    text(this.count, count);
    show(this.count, count);
    this.count.classList.toggle("warn", count > 0);
    show(this.blank, !items.length);
    this.#others(waiting);
    this.#tell(items);
  }

  card(approvalId) {
    return this.list.querySelector(`[data-approval-id="${CSS.escape(approvalId)}"]`);
  }

  /** A card that was here when it was decided stays a moment, and longer while somebody's hand is on it. */
  #lingers(approval) {
    const until = this.#lingering.get(approval.approvalId);
    if (until === undefined || approval.state === "pending") return false;
    if (until === Infinity) {
      this.#lingering.set(approval.approvalId, Date.now() + LINGER);
      setTimeout(() => this.update(), LINGER + 50);
      return true;
    }
    if (Date.now() < until) return true;
    if (this.list.matches(":hover")) {
      setTimeout(() => this.update(), 1000);
      return true;
    }
    this.#lingering.delete(approval.approvalId);
    return false;
  }

  #make(item) {
    if (!item.approval) return this.#question(item.message);
    const view = new ApprovalCard(this.ctx, item.approval);
    view.el.view = view;
    return view.el;
  }

  #question(message) {
    const name = literal(message.author?.name ?? "An agent");
    const el = h("button.question-card", { type: "button", "data-item": "", onclick: () => this.ctx.emit("go", { view: "room", messageId: message.messageId, answer: true }) }, h("span.row", null, avatar(message.agentId ?? "", name, { agent: true, small: true }), h("strong.agent-name", null, name), h("span.muted", null, "asks"), h("span.grow"), timeAgo(message.at)), h("span.question-text", null, message.content));
    setHue(el, message.agentId ?? "");
    return el;
  }

  /** Approvals that wait for somebody with more rights. */
  #others(waiting) {
    const others = this.ctx.state.approvals.filter((approval) => approval.state === "pending" && !waiting.includes(approval));
    show(this.rest, others.length);
    fill(this.rest, others.map((one) => one.approvalId).join(), () => (others.length ? `${plural(others.length, "decision")} ${others.length === 1 ? "waits" : "wait"} for someone with more rights (${[...new Set(others.map((one) => one.requiredRole))].join(", ")}).` : []));
  }

  #tell(items) {
    const fresh = items.filter((item) => !this.#known.has(item.key));
    if (this.#known.size && fresh.length) announce(fresh.length === 1 ? `Needs you: ${fresh[0].approval?.title ?? fresh[0].message.content.slice(0, 80)}` : `${fresh.length} new things need you`);
    for (const item of items) this.#known.add(item.key);
    this.#known.add("");
  }
}
