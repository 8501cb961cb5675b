/**
 * An approval card: what exactly would happen, how dangerous it is and why, who asks, how long there is, and the decision.
 *
 * The decision carries the digest of the arguments that were shown, so nobody approves what they did not read. A decision taken elsewhere
 * replaces the buttons as soon as its event arrives, whatever was open here.
 */

import { attr, button, fill, h, icon, show, text } from "../lib/dom.js";
import { exact, timeAgo } from "../lib/time.js";
import { APPROVAL, errorWords, RISK } from "../lib/words.js";
import { announce, avatar, badge, setBadge, setHue } from "../lib/ui.js";
import { literal } from "../lib/visible.js";
import { argsView } from "../timeline/call.js";
import { diffView } from "../timeline/diff.js";
import { decisionForm, rememberFields, rememberSelect } from "./decision.js";

const LOUD = new Set(["high", "critical", "unknown"]);
const KIND = { tool: "wants to use a tool", command: "wants to run a command", plan: "asks for approval of a plan", budget: "asks for more budget", input: "asks you to choose" };

export class ApprovalCard {
  constructor(ctx, approval) {
    this.ctx = ctx;
    this.approval = null;
    this.left = h("ac-left.left.num", { at: approval.expiresAt ?? "" });
    this.state = h("span.badge");
    this.what = h("div.approval-what");
    this.actions = h("div.approval-actions");
    this.form = h("div.approval-form");
    this.problem = h("p.error-text", { role: "alert", hidden: true });
    this.outcome = h("p.approval-outcome", { hidden: true });
    const name = ctx.agentName(approval.agentId);
    const [risk, tone] = RISK[approval.risk] ?? RISK.unknown;
    this.el = h(
      "article.approval.arrive",
      { "data-testid": "approval-card", "data-approval-id": approval.approvalId, "data-risk": approval.risk, "data-item": "", tabIndex: -1, "aria-label": `${name} ${KIND[approval.kind] ?? "asks"}: ${approval.title}` },
      h("header", null, avatar(approval.agentId ?? "", name, { agent: true, small: true }), h("p.grow", null, h("strong.agent-name", null, name), ` ${KIND[approval.kind] ?? "asks"}`)),
      h("h3.approval-title", null, literal(approval.title || approval.tool)),
      h("div.row.wrap.approval-facts", null, h("span.row", null, icon("shield"), badge(risk, tone)), this.state, approval.expiresAt && this.left, h("span.muted", null, timeAgo(approval.requestedAt))),
      this.what, this.problem, this.actions, this.form, this.outcome,
    );
    setHue(this.el, approval.agentId ?? "");
  }

  update(approval) {
    const sending = this.#pending();
    if (this.approval === approval && this.sending === sending) return;
    this.approval = approval;
    this.sending = sending;
    fill(this.what, approval.argsDigest, () => this.#what(approval));
    const open = approval.state === "pending";
    const [words, tone] = APPROVAL[approval.state];
    setBadge(this.state, words, tone);
    show(this.state, !open);
    show(this.left, open && approval.expiresAt);
    attr(this.el, "data-state", approval.state);
    if (open) this.#buttons(approval, sending);
    else this.#decided(approval);
  }

  /** Start a decision from outside: the keys `a` and `r`. */
  start(decision) {
    if (this.approval?.state !== "pending" || this.sending || !this.#allows(decision)) return;
    this.#choose(decision);
  }

  #what(approval) {
    const limit = approval.reasons.length ? h("ul.reasons", null, approval.reasons.map((reason) => h("li", null, reason))) : null;
    const tool = approval.kind !== "command" && approval.tool ? h("p.muted.mono.tool-name", null, literal(approval.tool)) : null;
    return [tool, h("div.approval-args", null, argsView(approval)), approval.diff && diffView(approval.diff, null), limit, approval.quorum > 1 && h("p.muted", null, `${approval.quorum} people have to approve this.`)];
  }

  #pending() {
    return this.ctx.room.pending.find((one) => one.type === "approval" && one.data.approvalId === this.el.dataset.approvalId)?.state ?? null;
  }

  #allows(decision) {
    const { allowed } = this.approval;
    return !allowed?.length || allowed.includes(decision);
  }

  #buttons(approval, sending) {
    show(this.outcome, false);
    if (sending) {
      fill(this.actions, `sending-${sending}`, () => h("p.muted", null, sending === "waiting" ? "Your decision waits to be sent." : "Sending your decision…"));
      this.form.replaceChildren();
      this.form.__filled = null;
      return;
    }
    fill(this.actions, `open-${approval.argsDigest}`, () => {
      if (approval.kind === "input" && approval.options.length) return this.#options(approval);
      return [
        this.#allows("approve") && button("Approve", { icon: "check", kind: "primary", testid: "approve", onclick: () => this.#choose("approve") }),
        this.#allows("edit") && Object.keys(approval.args).length > 0 && button("Edit", { icon: "edit", testid: "edit", onclick: () => this.#choose("edit") }),
        this.#allows("reject") && button("Reject", { icon: "cross", testid: "reject", onclick: () => this.#choose("reject") }),
        this.#allows("approve") && !LOUD.has(approval.risk) && rememberSelect(approval),
      ];
    });
  }

  /** A choice among ready answers: the chosen one goes back with the arguments, or as a plain yes where nothing may be edited. */
  #options(approval) {
    const decide = (option) => {
      if (option.kind === "reject") return { decision: "reject", reason: option.label };
      return this.#allows("edit") ? { decision: "edit", editedArgs: { ...approval.args, optionId: option.id } } : { decision: "approve", reason: option.label };
    };
    return approval.options.map((option) => button(option.label, { kind: option.kind === "reject" ? "" : "primary", onclick: () => this.#send(decide(option)) }));
  }

  /** What is not dangerous and needs no words is done at once; the rest opens a form under the buttons. */
  #choose(decision) {
    if (decision === "approve" && !LOUD.has(this.approval.risk)) return this.#send({ decision, ...rememberFields(this.actions) });
    show(this.actions, false);
    this.form.replaceChildren(
      decisionForm(this.ctx, this.approval, decision, {
        send: (fields) => this.#send(fields),
        back: () => this.#back(),
      }),
    );
    this.form.querySelector("textarea, [data-first]")?.focus();
  }

  #back() {
    this.form.replaceChildren();
    show(this.actions, true);
    show(this.problem, false);
    this.el.focus({ preventScroll: true });
  }

  async #send({ decision, ...more }) {
    const { approvalId, argsDigest, title } = this.approval;
    show(this.problem, false);
    show(this.actions, true);
    try {
      const sent = this.ctx.command("approval", { approvalId, decision, argsDigest, ...more }, { quiet: true });
      this.update(this.approval);
      await sent;
      announce(`${decision === "reject" ? "Rejected" : "Approved"}: ${title}`);
    } catch (error) {
      if (error.code === "already_decided") return;
      text(this.problem, errorWords(error));
      show(this.problem, true);
    } finally {
      this.update({ ...this.approval });
    }
  }

  /** Who decided, when, and whether the agent has carried it out: accepted and applied are two things. */
  #decided(approval) {
    this.form.replaceChildren();
    show(this.actions, false);
    show(this.left, false);
    show(this.problem, false);
    show(this.outcome, true);
    fill(this.outcome, `${approval.state}${approval.appliedAt}`, () => outcomeWords(this.ctx, approval));
  }
}

/** "Ada approved it · 12:04 · the agent goes on". */
export function outcomeWords(ctx, approval) {
  const who = approval.by ? (approval.by.id === ctx.userId ? "You" : approval.by.name) : { rule: "A remembered rule", timeout: "The time ran out", cancel: "The run ended" }[approval.source] ?? "Somebody";
  const verb = { approved: "approved this", edited: "approved it with changes", rejected: "rejected this", expired: "before anybody decided", cancelled: "before anybody decided", superseded: "asked for something newer" }[approval.state];
  const applied = approval.appliedAt ? "The agent has carried it out." : ["approved", "edited", "rejected"].includes(approval.state) ? "On its way to the agent." : "";
  return [h("span", { title: exact(approval.decidedAt) }, `${who} ${verb}`, approval.reason && `: “${approval.reason}”`, ". "), h("span.muted", null, applied, " ", timeAgo(approval.decidedAt))];
}
