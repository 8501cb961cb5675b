/**
 * The composer: what to say, to whom, how, and about what. A refused message comes back with its text; a message that cannot leave yet
 * stands above the box as "waiting to be sent". A draft survives a reload.
 */

import { attr, button, fill, h, icon, keyed, show, text } from "../lib/dom.js";
import { MODE } from "../lib/words.js";
import { announce } from "../lib/ui.js";
import { targetWords } from "../timeline/feedback.js";
import { literal } from "../lib/visible.js";

export class Composer {
  #target = null;
  #replyTo = null;

  constructor(ctx, place) {
    this.ctx = ctx;
    this.place = place;
    this.draftKey = `autocode:draft:${ctx.userId}:${ctx.guid}`;
    ctx.on("compose", (about) => this.start(about));
    if (!ctx.may("message.post")) {
      const why = ctx.archived ? "This project is archived: you can read everything. To go on with it, its owner takes it back." : "You are a viewer here: you can follow everything. To write to the agents, ask a maintainer to make you a contributor.";
      place.replaceChildren(h("p.note.viewer-note", { "data-testid": "viewer-note" }, icon("read"), h("span", null, why)));
      return;
    }
    this.to = h("select", { "aria-label": "To whom", "data-testid": "composer-to", onchange: () => this.#toChanged() });
    this.mode = h("select", { "aria-label": "How", "data-testid": "composer-mode", onchange: () => this.#draw() }, Object.entries(MODE).map(([value, [words]]) => h("option", { value }, words)));
    this.chip = h("div.composer-chip", { hidden: true });
    this.input = h("textarea", { rows: 1, "aria-label": "Your message", "data-testid": "composer-input", enterkeyhint: "send", oninput: () => this.#typed(), onkeydown: (event) => this.#key(event) });
    this.send = button("Send", { icon: "send", kind: "primary", testid: "composer-send", title: "Send (Enter)", onclick: () => this.#send() });
    this.hint = h("p.composer-hint.clip");
    this.problem = h("p.error-text", { role: "alert", hidden: true });
    this.pending = h("ul.pending");
    this.typing = h("p.typing", { "aria-live": "off" });
    place.replaceChildren(this.typing, this.pending, h("div.composer-box", null, this.chip, h("div.composer-how", null, h("label.row", null, h("span.muted", null, "To"), this.to), this.mode, this.hint), h("div.composer-row", null, this.input, this.send)), this.problem);
    this.input.value = sessionStorage.getItem(this.draftKey) ?? "";
    this.update();
    this.#typed({ quiet: true });
  }

  update() {
    if (!this.input) return;
    const { ctx } = this;
    if (ctx.state) this.#recipients();
    this.#typingLine();
    this.#pendingList();
    this.#draw();
  }

  focus() {
    this.input?.focus();
  }

  /** Start a message: about a target, in reply, or to an agent. */
  start({ target = null, replyTo = null, agentId = null, mode = null } = {}) {
    if (!this.input) return;
    const known = (id) => (id && this.ctx.agent(id) ? id : "");
    this.#target = target;
    this.#replyTo = replyTo;
    this.to.value = known(agentId ?? target?.agentId);
    this.mode.value = mode ?? (target ? "steer" : "chat");
    this.#draw();
    this.ctx.emit("go", { view: "room", keep: true });
    this.input.focus();
  }

  clearAbout() {
    this.#target = this.#replyTo = null;
    this.#draw();
  }

  // --- drawing ----------------------------------------------------------------------------------------------------

  #recipients() {
    const agents = this.ctx.agents.filter((agent) => !["stopped", "failed"].includes(agent.status));
    const chosen = this.to.value;
    fill(this.to, agents.map((agent) => agent.agentId + agent.name).join(), () => [h("option", { value: "" }, "Everyone"), ...agents.map((agent) => h("option", { value: agent.agentId }, literal(agent.name)))]);
    if (this.to.value !== chosen) this.to.value = agents.some((agent) => agent.agentId === chosen) ? chosen : "";
  }

  #toChanged() {
    if (this.to.value && this.mode.value === "chat") this.mode.value = "steer";
    if (!this.to.value && !this.#target) this.mode.value = "chat";
    this.#draw();
  }

  #draw() {
    const { ctx } = this;
    const about = this.#target || this.#replyTo;
    show(this.chip, about);
    fill(this.chip, about, () => {
      if (!about) return [];
      const words = this.#replyTo ? `Reply to ${this.#replyTo.author?.name ?? "a message"}: “${this.#replyTo.content.slice(0, 60)}”` : `About ${targetWords(ctx, this.#target) || this.#target.label}`;
      return [icon("reply"), h("span.clip.grow", null, words), button("", { icon: "cross", kind: "quiet small icon-only", title: "About nothing in particular", "aria-label": "Remove", onclick: () => this.clearAbout() })];
    });
    const name = this.to.value ? ctx.agentName(this.to.value) : null;
    attr(this.input, "placeholder", name ? `Tell ${name}…` : this.mode.value === "chat" ? "Write to everyone…" : "Tell the agents…");
    text(this.hint, MODE[this.mode.value][1]);
    this.send.disabled = !this.input.value.trim();
  }

  #typed({ quiet = false } = {}) {
    const { input } = this;
    input.style.setProperty("block-size", "auto");
    input.style.setProperty("block-size", `${Math.min(input.scrollHeight + 2, 200)}px`);
    sessionStorage.setItem(this.draftKey, input.value);
    this.send.disabled = !input.value.trim();
    if (!quiet) this.ctx.room.typing(Boolean(input.value.trim()));
  }

  /** Who else is writing, counted by person. */
  #typingLine() {
    const names = [...this.ctx.live.presence.values()].filter((member) => member.typing && member.userId !== this.ctx.userId).map((member) => member.username);
    text(this.typing, names.length === 0 ? "" : names.length === 1 ? `${names[0]} is writing…` : names.length === 2 ? `${names[0]} and ${names[1]} are writing…` : `${names.length} people are writing…`);
  }

  /** My own messages that have not been answered yet. */
  #pendingList() {
    const mine = this.ctx.room.pending.filter((one) => one.type === "chat" || one.type === "user_feedback");
    keyed(this.pending, mine, (one) => one.id, (one) => h("li.pending-item", { "data-testid": "pending" }, icon("clock"), h("span.clip.grow", null, one.data.message ?? one.data.content), h("span.muted")), (el, one) => {
      text(el.lastElementChild, one.state === "sent" ? "sending…" : "waiting to be sent");
      attr(el, "data-state", one.state);
    });
  }

  // --- sending ----------------------------------------------------------------------------------------------------

  #key(event) {
    if (event.key === "Escape") {
      if (this.#target || this.#replyTo) this.clearAbout();
      else this.input.blur();
      return;
    }
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    this.#send();
  }

  async #send() {
    const words = this.input.value.trim();
    if (!words) return;
    const [target, replyTo] = [this.#target, this.#replyTo];
    const [type, data] = this.#command(words, target, replyTo);
    this.input.value = "";
    show(this.problem, false);
    this.#target = this.#replyTo = null;
    this.#typed({ quiet: true });
    this.#draw();
    this.ctx.room.typing(false);
    const sent = this.ctx.command(type, data);
    this.#pendingList();
    this.ctx.emit("sent");
    try {
      await sent;
      announce("Sent");
    } catch {
      // Refused: nothing that somebody wrote is lost. What was written since stays in front.
      this.input.value = this.input.value.trim() ? `${this.input.value}\n${words}` : words;
      [this.#target, this.#replyTo] = [target, replyTo];
      this.#typed({ quiet: true });
      this.#draw();
    }
    this.#pendingList();
  }

  #command(words, target, replyTo) {
    const agentId = this.to.value || null;
    if (this.mode.value === "chat" && !target) return ["chat", { message: words, ...(agentId ? { agentId } : {}), ...(replyTo ? { replyToId: replyTo.messageId } : {}) }];
    const about = { ...(agentId ? { agentId } : {}), ...(replyTo ? { messageId: replyTo.messageId } : {}) };
    for (const name of ["runId", "taskId", "stageId", "messageId", "planId", "toolCallId", "path", "line"]) if (target?.[name]) about[name] = target[name];
    return ["user_feedback", { content: words, target: about, mode: this.mode.value === "chat" ? "steer" : this.mode.value }];
  }
}
