/** The plan: its steps, what each waits for, and whether it was approved. */

import { attr, fill, h, icon, keyed, show, text } from "../lib/dom.js";
import { plural, timeAgo } from "../lib/time.js";
import { PLAN } from "../lib/words.js";
import { setBadge } from "../lib/ui.js";
import { aboutButton } from "../timeline/message.js";

const STEP = { done: ["check", "done"], completed: ["check", "done"], doing: ["play", "in progress"], inProgress: ["play", "in progress"], failed: ["cross", "failed"], blocked: ["warn", "blocked"], skipped: ["cross", "skipped"] };

export class Plan {
  constructor(ctx, place) {
    this.ctx = ctx;
    this.title = h("h3.grow");
    this.state = h("span.badge");
    this.when = h("p.muted");
    this.list = h("ol.plan-list");
    this.body = h("div", { hidden: true }, h("header.row", null, this.title, this.state, h("span", { "data-about": "" })), this.when, this.list);
    this.blank = h("div.empty.slim", null, icon("plan"), h("p", null, "There is no plan yet. An agent proposes one when it begins; it will stand here and, if needed, ask for your approval."));
    place.replaceChildren(this.body, this.blank);
  }

  update() {
    const { state } = this.ctx;
    if (!state || this.plan === state.plan) return;
    const plan = (this.plan = state.plan);
    show(this.body, plan);
    show(this.blank, !plan);
    if (!plan) return;
    text(this.title, plan.title || "Plan");
    setBadge(this.state, ...(PLAN[plan.state] ?? [plan.state]));
    const done = plan.items.filter((item) => STEP[item.status]?.[0] === "check").length;
    fill(this.when, `${plan.planId}${plan.version}${done}`, () => [`Version ${plan.version} · ${done} of ${plural(plan.items.length, "step")} done · `, timeAgo(plan.at)]);
    fill(this.body.querySelector("[data-about]"), plan.planId, () => aboutButton(this.ctx, "Tell the agents about the plan", { label: "the plan", planId: plan.planId }) ?? []);
    const titles = new Map(plan.items.map((item, index) => [item.key, index + 1]));
    keyed(this.list, plan.items, (item) => item.key, () => h("li", null, h("span.plan-mark"), h("div", null, h("p"), h("p.muted"))), (el, item, index) => this.#item(el, item, index, titles));
  }

  #item(el, item, index, numbers) {
    const [mark, word] = STEP[item.status] ?? [null, "not started"];
    attr(el, "data-status", word);
    fill(el.firstChild, `${mark}${index}`, () => (mark ? [icon(mark), h("span.sr-only", null, word)] : h("span.num", null, String(index + 1))));
    const [title, after] = el.lastChild.children;
    text(title, item.title);
    const needs = item.dependsOn.map((key) => numbers.get(key)).filter(Boolean);
    text(after, needs.length ? `after ${needs.join(", ")}` : "");
    show(after, needs.length);
  }
}
