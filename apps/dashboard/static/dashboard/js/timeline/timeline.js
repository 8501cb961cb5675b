/**
 * The timeline: chapters of entries, kept still. What somebody reads never moves: before each change the first visible entry is
 * remembered and afterwards put back where it was; only somebody who stands at the end follows the end.
 */

import { attr, button, h, icon, keyed, show, text } from "../lib/dom.js";
import { api } from "../lib/api.js";
import { plural, timeAgo } from "../lib/time.js";
import { STAGE } from "../lib/words.js";
import { setBadge, toast } from "../lib/ui.js";
import { ApprovalLine } from "./approval_line.js";
import { Feedback } from "./feedback.js";
import { Lines, logLine } from "./lines.js";
import { aboutButton, Message } from "./message.js";
import { chaptersOf, countAfter, summaryAfter } from "./model.js";
import { RunGroup } from "./run.js";

/** So close to the end counts as being at it; a line or two, in pixels. */
const NEAR = 48;

export class Timeline {
  #older = [];
  #olderDone = false;
  #seen = 0; // the newest seq when this person was last at the end
  #readLine;
  #atEnd = true;
  #size = ""; // of the view and of what it holds, when this person was last put at the end
  #touched = -Infinity; // when this person last did something that may scroll

  constructor(ctx, scroller, jump) {
    this.ctx = ctx;
    this.scroller = scroller;
    this.jump = jump;
    this.#readLine = ctx.boot.readSeq;
    this.earlier = button("Earlier messages", { icon: "history", kind: "quiet small", onclick: () => this.#loadEarlier() });
    this.list = h("div.chapters");
    this.blank = h("div.empty", { hidden: true }, icon("chat"), h("p", null, h("strong", null, "Nothing has happened here yet")), h("p.muted", null, "Write below what should be done. The agents begin when the project is in progress."));
    this.inner = h("div.timeline-inner", null, h("div.earlier", null, this.earlier), this.blank, this.list);
    scroller.replaceChildren(this.inner);
    scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    jump.addEventListener("click", () => this.toEnd());
    document.addEventListener("visibilitychange", () => this.#looked());
    for (const name of ["wheel", "touchmove", "pointerdown", "keydown"]) addEventListener(name, () => (this.#touched = performance.now()), { passive: true, capture: true });
    // Who opens something at the end wants to read it, not to be carried on.
    scroller.addEventListener("click", () => requestAnimationFrame(() => this.#settle()));
    // The composer grows, the keyboard opens: who was at the end stays there.
    new ResizeObserver(() => this.#atEnd && this.#pin()).observe(scroller);
  }

  update({ reset } = {}) {
    const { state, live } = this.ctx;
    if (!state) return;
    const first = !this.drawn;
    // All was read when the page opened: what comes now comes before this person's eyes and needs no line.
    if (first && this.#readLine >= state.lastSeq) this.#readLine = 0;
    const anchor = this.#atEnd ? null : this.#anchor();
    const chapters = chaptersOf(state, { streams: live.streams, readSeq: this.#readLine, older: this.#older });
    keyed(this.list, chapters, (chapter) => chapter.key, (chapter) => this.#chapter(chapter), (el, chapter) => this.#fill(el, chapter));
    show(this.blank, !chapters.some((chapter) => chapter.entries.length));
    show(this.earlier, !this.#olderDone && state.messages.length >= 100);
    this.drawn = true;
    if (first) this.#begin();
    else if (anchor) this.#restore(anchor);
    else this.#pin();
    if (!reset && !this.#atEnd) this.#foldAbove();
    this.#count();
    this.#looked();
  }

  toEnd() {
    this.#atEnd = true;
    this.#pin();
    this.#count();
    this.#looked();
  }

  /** Bring an item into view and mark it for a moment. */
  reveal(selector) {
    const el = this.list.querySelector(selector);
    if (!el) return toast("This is further back than what is shown here.");
    const group = el.closest(".run");
    if (group && group !== el) group.view.toggle(true);
    const target = group && group !== el ? group.querySelector(selector) ?? group : el;
    target.scrollIntoView({ block: "center" });
    this.#settle();
    target.focus({ preventScroll: true });
    target.classList.add("found");
    setTimeout(() => target.classList.remove("found"), 1600);
  }

  // --- drawing ----------------------------------------------------------------------------------------------------

  #chapter(chapter) {
    const entries = h("div.entries");
    const el = h("section.chapter", null, chapter.stage ? this.#head(chapter.stage) : null, entries);
    el.entries = entries;
    return el;
  }

  #head({ stageId }) {
    const parts = { name: h("h2"), state: h("span.badge"), progress: h("span.num.muted"), when: h("span.muted") };
    const head = h("header.chapter-head", { "data-stage-id": stageId }, parts.name, parts.state, parts.progress, h("span.rule"), parts.when, aboutButton(this.ctx, "Tell the agents about this stage", { label: "stage", stageId }));
    head.parts = parts;
    return head;
  }

  #fill(el, chapter) {
    if (chapter.stage && el.firstElementChild.parts && el.stage !== chapter.stage) {
      const { stage } = chapter;
      const { parts } = el.firstElementChild;
      el.stage = stage;
      const [words, tone] = STAGE[stage.status] ?? [stage.status, ""];
      text(parts.name, stage.name);
      setBadge(parts.state, words, tone);
      text(parts.progress, stage.status === "inProgress" && stage.progress > 0 ? `${Math.round(stage.progress * 100)} %` : "");
      parts.when.replaceChildren(stage.startedAt ? timeAgo(stage.startedAt) : "");
    }
    keyed(el.entries, chapter.entries, (entry) => entry.key, (entry) => this.#entry(entry), (entryEl, entry) => entryEl.view?.update(entry.kind === "message" || entry.kind === "feedback" ? entry.value : entry));
  }

  #entry(entry) {
    if (entry.kind === "unread") return this.#unread(entry.seq);
    const view = this.#view(entry);
    view.el.view = view;
    if (this.drawn) view.el.classList.add("arrive");
    return view.el;
  }

  #view(entry) {
    if (entry.kind === "run") return new RunGroup(this.ctx, entry);
    if (entry.kind === "message") return new Message(this.ctx, entry.value);
    if (entry.kind === "feedback") return new Feedback(this.ctx, entry.value);
    if (entry.kind === "approval") return new ApprovalLine(this.ctx, entry.value);
    if (entry.kind === "log") return { el: logLine(entry.value), update() {} };
    return new Lines(this.ctx);
  }

  #unread(seq) {
    const phrases = summaryAfter(this.ctx.state, seq);
    return h("div.unread", { role: "separator", "data-testid": "unread-line" }, h("span", null, "New since you looked"), phrases.length > 0 && h("span.muted", null, phrases.join(" · ")));
  }

  // --- standing still ---------------------------------------------------------------------------------------------

  /** Where a page opens: at the unread line if that is not far, else at the end. */
  #begin() {
    const line = this.list.querySelector(".unread");
    this.#seen = line ? this.#readLine : this.ctx.state.lastSeq;
    this.#pin();
    if (!line) return;
    const top = line.offsetTop - this.scroller.clientHeight * 0.25;
    if (top < this.scroller.scrollTop) {
      this.scroller.scrollTop = top;
      this.#atEnd = this.#isAtEnd();
    }
  }

  #isAtEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.scroller;
    return scrollHeight - scrollTop - clientHeight < NEAR;
  }

  #pin() {
    this.scroller.scrollTop = this.scroller.scrollHeight;
    this.#size = this.#measure();
  }

  #measure() {
    return `${this.scroller.scrollHeight}/${this.scroller.clientHeight}`;
  }

  /** The first entry (or part of a run) that reaches into view, and how far from the top it stands. */
  #anchor() {
    const top = this.scroller.getBoundingClientRect().top;
    for (const el of this.list.querySelectorAll("[data-item], .run-text, .lines")) {
      const box = el.getBoundingClientRect();
      if (box.bottom > top + 40 && !(el.classList.contains("run") && box.top < top)) return { el, offset: box.top };
    }
    return null;
  }

  #restore({ el, offset }) {
    if (!el.isConnected) return;
    const moved = el.getBoundingClientRect().top - offset;
    if (Math.abs(moved) > 0.5) this.scroller.scrollTop += moved;
  }

  /** Runs that are done and out of sight above fold to a line; the page stays where it is. */
  #foldAbove() {
    const top = this.scroller.getBoundingClientRect().top;
    for (const el of this.list.querySelectorAll(".run:not(.folded)")) {
      if (el.getBoundingClientRect().bottom > top - 400) continue;
      const anchor = this.#anchor();
      if (el.view.foldAway() && anchor) this.#restore(anchor);
    }
  }

  /** A banner or a growing composer also makes the view scroll: whoever was at the end and touched nothing stays there. */
  #scrolled() {
    if (this.#atEnd && this.#size !== this.#measure() && performance.now() - this.#touched > 1000) this.#pin();
    this.#settle();
  }

  #settle() {
    this.#atEnd = this.#isAtEnd();
    this.#count();
    if (this.#atEnd) this.#looked();
  }

  #count() {
    const { state } = this.ctx;
    if (!state) return;
    if (this.#atEnd) this.#seen = state.lastSeq;
    const below = this.#atEnd ? 0 : countAfter(state, this.#seen);
    show(this.jump, !this.#atEnd);
    text(this.jump.querySelector("[data-count]"), below ? `${below} new` : "To the end");
    attr(this.jump, "data-new", below > 0);
  }

  /** Read is what was on a visible page, at its end. Coming back to the page moves the unread line to where it was left. */
  #looked() {
    const { state, room } = this.ctx;
    if (!state) return;
    if (document.hidden) {
      if (!this.leftAt) this.leftAt = this.#seen;
      return;
    }
    if (this.leftAt && this.leftAt < state.lastSeq) {
      this.#readLine = this.leftAt;
      this.leftAt = null;
      requestAnimationFrame(() => this.update());
      return;
    }
    this.leftAt = null;
    if (this.#atEnd && this.scroller.offsetParent !== null) room.markRead(state.lastSeq);
  }

  // --- history ----------------------------------------------------------------------------------------------------

  async #loadEarlier() {
    const first = this.#older[0] ?? this.ctx.state.messages[0];
    this.earlier.disabled = true;
    try {
      const page = await api("GET", `projects/${this.ctx.guid}/messages/?before=${first.seq}`);
      const known = new Set([...this.#older, ...this.ctx.state.messages].map((message) => message.messageId));
      const found = (page.results ?? page).filter((message) => !known.has(message.messageId)).sort((a, b) => a.seq - b.seq);
      this.#older = [...found, ...this.#older];
      this.#olderDone = found.length === 0 || page.next === null;
      this.#atEnd = false;
      this.update();
      toast(found.length ? `${plural(found.length, "earlier message")} added above` : "This is the beginning");
    } catch (error) {
      toast(error.message, { tone: "bad" });
    } finally {
      this.earlier.disabled = false;
    }
  }
}
