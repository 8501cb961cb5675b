/** Files in hand: who holds which lock, who waits for it, where agents are in each other's way, and who talks to whom. */

import { fill, h, icon, keyed, show, text } from "../lib/dom.js";
import { plural, timeAgo } from "../lib/time.js";
import { avatar, badge } from "../lib/ui.js";
import { literal } from "../lib/visible.js";

export class Files {
  constructor(ctx, place) {
    this.ctx = ctx;
    this.conflicts = h("ul.conflicts");
    this.locks = h("ul.locks");
    this.blank = h("div.empty.slim", null, icon("lock"), h("p", null, "No file is held by anybody right now."));
    this.edges = h("ul.edges");
    this.edgeHead = h("h3.sub-head", { hidden: true }, "Who talks to whom");
    place.replaceChildren(this.conflicts, this.locks, this.blank, this.edgeHead, this.edges);
  }

  update() {
    const { state, live } = this.ctx;
    if (!state) return;
    if (this.held !== state.locks) {
      this.held = state.locks;
      keyed(this.locks, state.locks.locks, (lock) => `${lock.path}|${lock.holder.id}`, () => h("li.lock"), (el, lock) => this.#lock(el, lock));
      show(this.blank, !state.locks.locks.length);
    }
    if (this.coordination === live.coordination) return;
    this.coordination = live.coordination;
    const { conflicts = [], edges = [] } = live.coordination ?? {};
    keyed(this.conflicts, conflicts, (one) => one.path, () => h("li.note.warn"), (el, one) => fill(el, JSON.stringify(one), () => [icon("warn"), h("span", null, h("code", null, literal(one.path)), ` is worked on by ${one.agentIds.map((id) => this.ctx.agentName(id)).join(" and ")} at once.`)]));
    show(this.edgeHead, edges.length);
    keyed(this.edges, edges, (edge) => `${edge.from}>${edge.to}`, () => h("li"), (el, edge) => text(el, `${this.ctx.agentName(edge.from)} → ${this.ctx.agentName(edge.to)}: ${plural(edge.count, "message")}`));
  }

  #lock(el, lock) {
    fill(el, JSON.stringify(lock), () => [
      h("div.row", null, icon("lock"), h("code.clip.grow", { title: literal(lock.path) }, literal(lock.path)), lock.mode === "shared" && badge("shared", "info")),
      h("div.row.muted", null, avatar(lock.holder.id, lock.holder.name, { agent: lock.holder.kind === "agent", small: true }), h("span.clip", null, `${literal(lock.holder.name)}${lock.reason ? ` · ${lock.reason}` : ""}`), h("span.grow"), timeAgo(lock.acquiredAt)),
      lock.waiters.length > 0 && h("p.lock-waiters", null, icon("clock"), `${lock.waiters.map((one) => one.name).join(", ")} ${lock.waiters.length === 1 ? "waits" : "wait"} for it`),
    ]);
  }
}
