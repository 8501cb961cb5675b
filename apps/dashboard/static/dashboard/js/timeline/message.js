/** Texts in the timeline: what people, agents and other platforms said, thinking, and texts that are still growing. */

import { attr, button, fill, growText, h, icon, setSafeHtml, show, text } from "../lib/dom.js";
import { duration, timeAgo } from "../lib/time.js";
import { avatar } from "../lib/ui.js";
import { literal } from "../lib/visible.js";

/** A text in a run: streaming as plain text with a caret, then the server's HTML in the same element. */
export class RunText {
  constructor(ctx) {
    this.ctx = ctx;
    this.body = h("div.prose");
    this.actions = h("div.hover-actions");
    this.el = h("div.run-text", null, this.body, this.actions);
    this.extra = null;
  }

  update(part) {
    const value = part.stream ?? part.value;
    if (this.drawn === value && this.seq === value.seq) return;
    this.drawn = value;
    this.seq = value.seq;
    const streaming = Boolean(part.stream);
    attr(this.el, "data-testid", streaming ? "stream" : "message");
    attr(this.el, "data-message-id", value.messageId);
    this.el.classList.toggle("streaming", streaming);
    if (streaming) growText(this.body, value.text);
    else this.#final(value);
  }

  #final(message) {
    this.body.classList.toggle("plain", !message.html);
    if (message.html) setSafeHtml(this.body, message.html);
    else text(this.body, message.content);
    fill(this.actions, "final", () => aboutButton(this.ctx, "Tell the agent about this text", { label: "this text", messageId: message.messageId, runId: message.runId, agentId: message.agentId }));
    if (message.hasQuestion) {
      this.extra ??= new Question(this.ctx);
      this.el.append(this.extra.el);
      this.extra.update(message);
    }
  }
}

/** Thinking: folded and dimmed; open while it grows only if somebody opened it. */
export class ThinkingText {
  constructor() {
    this.label = h("span");
    this.body = h("div.thinking-body");
    this.el = h("details.thinking", null, h("summary", null, icon("think"), this.label), this.body);
    // A closed box costs nothing: its text is written when it opens.
    this.el.addEventListener("toggle", () => this.#write());
  }

  update(part) {
    this.value = part.stream ?? part.value;
    attr(this.el, "data-testid", part.stream ? "stream" : null);
    const time = part.value?.durationMs ? ` for ${duration(part.value.durationMs)}` : "";
    text(this.label, part.stream ? "Thinking…" : part.value.redacted ? `Thought${time} (not shown by the model)` : `Thought${time}`);
    this.#write();
  }

  #write() {
    if (this.el.open) growText(this.body, this.value.text ?? (this.value.content || "The model does not show this."));
  }
}

const VIA = { in: "via", out: "to" };

/** A message that stands on its own: a person's, the system's, an agent's word to the room, another platform's. */
export class Message {
  constructor(ctx, message) {
    this.ctx = ctx;
    const mine = message.author?.id === ctx.userId;
    const agent = message.kind === "agent";
    const system = message.kind === "system" && message.source !== "platform_message";
    const name = agent ? literal(message.author?.name || "Agent") : message.author?.name || "AutoCode";
    this.body = h("div.prose");
    this.quote = h("button.quote", { type: "button", hidden: true, onclick: () => ctx.emit("go", { view: "room", messageId: this.message.replyToId }) });
    this.attachments = h("ul.attachments", { hidden: true });
    const platform = message.platform && h("span.badge", null, `${VIA[message.direction] ?? "via"} ${message.platform}`);
    this.el = h(
      `article.message${mine ? ".mine" : ""}${system ? ".system" : ""}`,
      { "data-testid": "message", "data-message-id": message.messageId, "data-item": "", tabIndex: -1, "aria-label": `${name} said` },
      system ? icon("mark") : avatar(message.author?.id ?? name, name, { agent }),
      h("div.message-main", null,
        h("header", null, h("strong", null, mine ? "You" : name), platform, timeAgo(message.at)),
        this.quote, this.body, this.attachments),
      h("div.hover-actions", null, !system && replyButton(ctx, message)),
    );
  }

  update(message) {
    if (this.message === message) return;
    this.message = message;
    this.body.classList.toggle("plain", !message.html);
    if (message.html) setSafeHtml(this.body, message.html);
    else text(this.body, message.content);
    const asked = message.replyToId && this.ctx.state.messages.find((one) => one.messageId === message.replyToId);
    show(this.quote, asked);
    if (asked) text(this.quote, `${asked.author?.name ?? "AutoCode"}: ${asked.content.slice(0, 140)}`);
    show(this.attachments, message.attachments?.length);
    fill(this.attachments, message.attachments?.length ?? 0, () => (message.attachments ?? []).map((one) => h("li", null, h("a", { href: safeUrl(one.url), rel: "noopener noreferrer nofollow", target: "_blank" }, icon("files"), one.name))));
    if (message.hasQuestion) {
      this.question ??= new Question(this.ctx);
      this.body.after(this.question.el);
      this.question.update(message);
    }
  }
}

/** The server allows http and https only; a link is the one place where a mistake there would run code here. */
const safeUrl = (url) => (/^https?:\/\//i.test(url) ? url : "#");

/** An agent asks: a box to answer in place, until somebody has. */
export class Question {
  constructor(ctx) {
    this.ctx = ctx;
    this.input = h("textarea.input", { rows: 2, placeholder: "Your answer…", "aria-label": "Your answer to the agent", "data-testid": "question-input" });
    this.send = button("Answer", { kind: "primary small", icon: "reply", testid: "question-send", onclick: () => this.#answer() });
    this.form = h("div.question-form", null, this.input, h("div.row", null, this.send, h("span.muted", null, "Enter sends")));
    this.note = h("p.question-note");
    this.el = h("div.question", null, this.note, this.form);
    this.input.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#answer();
    });
  }

  update(message) {
    this.message = message;
    const waits = message.waitingUserResponse;
    const may = this.ctx.may("message.post");
    this.el.classList.toggle("open", waits);
    show(this.form, waits && may);
    text(this.note, waits ? (may ? "Waiting for an answer" : "Waiting for an answer. Viewers cannot answer.") : "Answered");
  }

  async #answer() {
    const words = this.input.value.trim();
    if (!words) return;
    this.send.disabled = true;
    try {
      await this.ctx.command("chat", { message: words, replyToId: this.message.messageId, ...(this.message.agentId ? { agentId: this.message.agentId } : {}) });
      this.input.value = "";
    } catch {
      // Told already; the text stays.
    } finally {
      this.send.disabled = false;
    }
  }
}

function replyButton(ctx, message) {
  if (!ctx.may("message.post")) return null;
  return button("", { icon: "reply", kind: "quiet small icon-only", title: "Reply", "aria-label": "Reply", onclick: () => ctx.emit("compose", { replyTo: message, agentId: message.agentId }) });
}

/** Start feedback about something; left out for those who may not send any. */
export function aboutButton(ctx, title, target) {
  if (!ctx.may("feedback.send")) return null;
  return button("", { icon: "chat", kind: "quiet small icon-only", title, "aria-label": title, onclick: () => ctx.emit("compose", { target }) });
}
