/** Notices of this room for this person or for everybody, the newest first. */

import { fill, h, icon, keyed, show } from "../lib/dom.js";
import { now, millis, timeAgo } from "../lib/time.js";
import { badge } from "../lib/ui.js";

const ICON = { approval: "shield", mention: "chat", done: "check", failed: "cross", budget: "coin", stuck: "warn", lock: "lock" };
const TONE = { info: "", warning: "warn", error: "bad" };

export function notices(ctx) {
  return (ctx.state?.notifications ?? []).filter((note) => (!note.userId || note.userId === ctx.userId) && !(note.expiresAt && millis(note.expiresAt) < now())).reverse();
}

export class Inbox {
  constructor(ctx, place) {
    this.ctx = ctx;
    this.read = ctx.boot.readSeq;
    this.list = h("ul.inbox-list");
    this.blank = h("div.empty", null, icon("bell"), h("p", null, h("strong", null, "No notices")), h("p.muted", null, "When a run ends, an agent gets stuck, the budget runs out or somebody mentions you, it is said here."));
    place.replaceChildren(h("div.page-narrow", null, h("h2", null, "Inbox"), h("p.muted", null, "Notices of this room, for you or for everybody."), this.list, this.blank));
  }

  update() {
    const { state } = this.ctx;
    if (!state || this.drawn === state.notifications) return;
    this.drawn = state.notifications;
    const notes = notices(this.ctx);
    keyed(this.list, notes, (note) => note.notificationId, (note) => this.#make(note));
    show(this.blank, !notes.length);
  }

  #make(note) {
    const fresh = note.seq > this.read;
    const el = h(`li.inbox-item${fresh ? ".fresh" : ""}`, { "data-item": "", tabIndex: -1, "data-severity": note.severity });
    fill(el, note.notificationId, () => [icon(ICON[note.kind] ?? "bell", TONE[note.severity]), h("div.grow", null, h("p", null, h("strong", null, note.title), fresh && badge("new", "accent")), note.body && h("p.muted", null, note.body)), note.link && link(note.link), timeAgo(note.at)]);
    return el;
  }
}

/** Links of notices stay inside AutoCode: browsers read "\\" as "/" and skip tabs and line breaks, so neither may be in one. */
export function link(to) {
  return /^(?:#|\/(?![/\\]))[!-~]*$/.test(to) ? h("a.btn.small", { href: to }, "Open") : null;
}
