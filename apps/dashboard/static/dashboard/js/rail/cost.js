/** What it costs: the sum, the runs that go on and the last ones, and the budget if there is one. */

import { fill, h, icon, keyed, show, text } from "../lib/dom.js";
import { duration, money, plural, tokens } from "../lib/time.js";
import { meter, setMeter } from "../lib/ui.js";

export class Cost {
  constructor(ctx, place) {
    this.ctx = ctx;
    this.total = h("p.cost-total.num");
    this.facts = h("p.muted");
    this.budget = h("div.budget", { hidden: true });
    this.bar = meter("Budget used");
    this.words = h("p");
    this.budget.append(this.bar, this.words);
    this.list = h("ul.cost-runs");
    this.blank = h("div.empty.slim", { hidden: true }, icon("coin"), h("p", null, "No run has used anything yet."));
    place.replaceChildren(h("div.cost-head", null, this.total, this.facts), this.budget, this.blank, this.list);
  }

  update() {
    const { state, live } = this.ctx;
    if (!state) return;
    let stamp = "";
    for (const [id, usage] of live.usage) stamp += `${id}${usage.totalTokens}${usage.totalCost}`;
    if (this.runs === state.runs && this.stamp === stamp && this.usage === state.usage) return;
    Object.assign(this, { runs: state.runs, stamp, usage: state.usage });
    const rows = state.runs.map((run) => ({ run, usage: (run.status === "running" && live.usage.get(run.runId)) || run.usage })).filter((row) => row.usage).reverse();
    const open = rows.filter((row) => row.run.status === "running");
    const { usage } = state;
    // The total counts ended runs; what goes on is added, so that the figure never falls.
    text(this.total, money(open.reduce((sum, row) => sum + Number(row.usage.totalCost), Number(usage.totalCost)), usage.currency));
    const all = open.reduce((sum, row) => sum + row.usage.totalTokens, usage.totalTokens);
    text(this.facts, `${tokens(all)} tokens · ${plural(usage.runs, "run")} done${open.length ? ` · ${open.length} going on` : ""}`);
    this.#budget(rows.find((row) => row.usage.budget)?.usage);
    keyed(this.list, rows, (row) => row.run.runId, () => h("li.cost-run"), (el, row) => this.#row(el, row));
    show(this.blank, !rows.length);
  }

  #budget(usage) {
    show(this.budget, usage);
    if (!usage) return;
    const { limit, spent, state } = usage.budget;
    setMeter(this.bar, Number(spent) / Number(limit || 1));
    this.budget.dataset.state = state;
    text(this.words, `${money(spent, usage.currency)} of ${money(limit, usage.currency)} budget used${state === "exceeded" ? ": the limit is reached" : state === "warn" ? ": nearly used up" : ""}`);
  }

  #row(el, { run, usage }) {
    const task = this.ctx.task(run.taskId);
    fill(el, `${usage.totalTokens}${usage.totalCost}${run.status}`, () => [
      h("button.linkish.clip", { type: "button", onclick: () => this.ctx.emit("go", { view: "room", runId: run.runId }) }, `${this.ctx.agentName(run.agentId)}${task ? ` · #${task.number} ${task.title}` : ""}`),
      h("span.num", null, money(usage.totalCost, usage.currency)),
      h("span.muted.num", null, `${tokens(usage.promptTokens)} in · ${tokens(usage.completionTokens)} out${usage.cachedTokens ? ` · ${tokens(usage.cachedTokens)} cached` : ""}`),
      h("span.muted.num", null, run.status === "running" ? "going on" : duration(run.durationMs)),
    ]);
  }
}
