/** One tool call: a line that says what was done and how it went, and under it the arguments, the output and the changes. */

import { attr, fill, h, icon, show, text } from "../lib/dom.js";
import { api } from "../lib/api.js";
import { duration } from "../lib/time.js";
import { CALL, RISK } from "../lib/words.js";
import { literal } from "../lib/visible.js";
import { setBadge } from "../lib/ui.js";
import { counts, diffView } from "./diff.js";
import { aboutButton } from "./message.js";
import { plain, Terminal } from "./terminal.js";

const LOUD = new Set(["high", "critical"]);

export class ToolCall {
  #open = null; // null: as the call's state says; a person's choice stays

  constructor(ctx, call) {
    this.ctx = ctx;
    this.title = h("span.call-title.clip");
    this.said = h("span.call-said.clip");
    this.status = h("span.badge");
    this.risk = h("span.badge");
    this.changes = h("span");
    this.time = h("span.call-time.num");
    this.head = h("button.call-head", { type: "button", "aria-expanded": "false", onclick: () => this.toggle() }, icon("chevron", "turn"), icon(call.kind, "kind"), this.title, this.said, h("span.grow"), this.risk, this.status, this.changes, this.time);
    this.body = h("div.call-body", { hidden: true });
    this.el = h("div.call", { "data-testid": "tool-call", "data-item": "", "data-call": `${call.runId}:${call.toolCallId}`, tabIndex: -1 }, h("div.call-row", null, this.head, h("div.hover-actions", null, aboutButton(ctx, "Tell the agent about this step", { label: call.title || call.tool, runId: call.runId, toolCallId: call.toolCallId, agentId: call.agentId }))), this.body);
  }

  update({ value: call }) {
    const stream = this.ctx.live.streams.get(`tool_output:${call.runId}:${call.toolCallId}`);
    if (this.call === call && this.streamSeq === stream?.seq) return;
    const first = !this.call;
    const ended = this.call?.status === "running" && call.status !== "running";
    this.call = call;
    this.stream = stream;
    this.streamSeq = stream?.seq;
    if (first || ended || call !== this.headCall) this.#drawHead(call);
    // What opened by itself while it ran stays open: closing it would move what stands below.
    if (ended && this.#shown && this.#open === null) this.#open = true;
    this.#drawBody();
  }

  toggle(on = !this.#shown) {
    this.#open = on;
    this.#drawBody();
  }

  get #shown() {
    return this.#open ?? (this.call.status === "running" && Boolean(this.stream?.text));
  }

  #drawHead(call) {
    this.headCall = call;
    const [words, tone] = CALL[call.status] ?? [call.status, ""];
    attr(this.el, "data-status", call.status);
    text(this.title, literal(call.title || call.tool));
    this.title.classList.toggle("mono", call.kind === "execute");
    attr(this.head, "title", literal(call.title || call.tool));
    text(this.said, saidBy(call));
    setBadge(this.status, words, tone);
    show(this.status, call.status !== "success");
    setBadge(this.risk, (RISK[call.risk] ?? RISK.unknown)[0], "bad");
    show(this.risk, LOUD.has(call.risk));
    fill(this.changes, call.diff, () => (call.diff?.files.length ? counts(call.diff) : []));
    text(this.time, call.status === "running" ? "" : duration(call.durationMs));
  }

  #drawBody() {
    const open = this.#shown;
    attr(this.head, "aria-expanded", String(open));
    show(this.body, open);
    if (!open) return;
    const { call } = this;
    this.args ??= this.body.appendChild(h("div.call-args"));
    fill(this.args, Boolean(call.diff), () => argsView(call.diff ? withoutChanges(call) : call));
    const output = call.status === "running" ? this.stream?.text ?? "" : call.result;
    if (output) {
      if (!this.terminal) {
        this.terminal = new Terminal(async () => (await api("GET", `projects/${this.ctx.guid}/tool-calls/${encodeURIComponent(this.call.runId)}/${encodeURIComponent(this.call.toolCallId)}/`)).result);
        this.body.append(this.terminal.el);
      }
      this.terminal.update(output, { live: call.status === "running", truncated: call.truncated, size: call.resultSize });
    }
    if (call.error && !this.error) this.error = this.body.appendChild(h("p.note.bad", null, call.error.message || call.error.code));
    if (call.diff && !this.diff) {
      const comment = this.ctx.may("feedback.send") ? ({ path, line }) => this.ctx.emit("compose", { target: { label: `${path}:${line}`, path, line, runId: call.runId, toolCallId: call.toolCallId, agentId: call.agentId } }) : null;
      this.diff = this.body.appendChild(diffView(call.diff, comment));
    }
  }
}

/** What a finished command said at its end ("12 passed in 3.2 s"): most often the one line that matters. */
function saidBy(call) {
  if (call.status === "running" || !call.result || call.kind === "edit" || call.kind === "read") return call.error && !call.result ? call.error.message : "";
  const lines = plain(call.result).trimEnd().split("\n");
  return lines[lines.length - 1].replace(/^[=\s-]+|[=\s-]+$/g, "").slice(0, 120);
}

/** Where the changes are drawn, the arguments that hold their text would say it twice; so would the path. */
function withoutChanges(call) {
  const paths = new Set(call.diff.files.map((file) => file.path));
  const rest = Object.entries(call.args ?? {}).filter(([, value]) => typeof value !== "string" || (value.length <= 200 && !value.includes("\n") && !paths.has(value)));
  return { args: Object.fromEntries(rest) };
}

/** The arguments in full; a command as it is typed, everything else as names and values. */
export function argsView(call) {
  const entries = Object.entries(call.args ?? {});
  if (!entries.length) return [];
  const command = call.args.command ?? call.args.cmd;
  if (typeof command === "string") {
    const rest = entries.filter(([name]) => name !== "command" && name !== "cmd");
    return [h("pre.command", { tabindex: 0 }, h("span.prompt", { "aria-hidden": "true" }, "$ "), literal(command)), rest.length > 0 && pairs(rest)];
  }
  return [pairs(entries)];
}

function pairs(entries) {
  return h("dl.args", null, entries.map(([name, value]) => [h("dt", null, literal(name)), h("dd", null, valueView(value))]));
}

function valueView(value) {
  if (Array.isArray(value) && value.length && value.every((one) => typeof one !== "object")) return h("ol.value-list", null, value.map((one) => h("li", null, literal(String(one)))));
  const shown = literal(typeof value === "string" ? value : JSON.stringify(value, null, 2));
  return shown.includes("\n") ? h("pre", { tabindex: 0 }, shown) : h("code", null, shown);
}
