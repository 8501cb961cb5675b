/** An approval where it was asked for in the timeline: one line that leads to its card, and later says how it was decided. */

import { attr, button, fill, h, icon, show, text } from "../lib/dom.js";
import { APPROVAL, RISK } from "../lib/words.js";
import { setBadge } from "../lib/ui.js";
import { outcomeWords } from "../rail/approval.js";

export class ApprovalLine {
  constructor(ctx, approval) {
    this.ctx = ctx;
    this.title = h("span.call-title.clip");
    this.state = h("span.badge");
    this.outcome = h("p.approval-outcome");
    this.decide = button("Decide", { kind: "primary small", onclick: () => ctx.emit("go", { view: "needs", approvalId: approval.approvalId }) });
    this.left = h("ac-left.left.num", { at: approval.expiresAt ?? "" });
    this.el = h("div.approval-line", { "data-item": "", tabIndex: -1, "data-approval-line": approval.approvalId }, h("div.row", null, icon("shield"), h("span.muted", null, "asks:"), this.title, h("span.grow"), this.left, this.state, this.decide), this.outcome);
  }

  update(entry) {
    const approval = entry.value;
    if (this.approval === approval) return;
    this.approval = approval;
    text(this.title, approval.title || approval.tool);
    const open = approval.state === "pending";
    const [words, tone] = open ? RISK[approval.risk] ?? RISK.unknown : APPROVAL[approval.state];
    setBadge(this.state, words, tone);
    attr(this.el, "data-state", approval.state);
    show(this.left, open && approval.expiresAt);
    show(this.decide, open && this.ctx.may("approval.decide") && this.ctx.hasRole(approval.requiredRole));
    show(this.outcome, !open);
    if (!open) fill(this.outcome, `${approval.state}${approval.appliedAt}`, () => outcomeWords(this.ctx, approval));
  }
}
