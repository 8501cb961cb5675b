/** The top bar: the project's name and status, the stages as a track, and who is here. */

import { attr, button, fill, h, icon, keyed, show, text } from "../lib/dom.js";
import { plural } from "../lib/time.js";
import { PROJECT, STAGE } from "../lib/words.js";
import { avatar, confirm, toast } from "../lib/ui.js";
import { api } from "../lib/api.js";

/** So many faces; the rest is a number. */
const FACES = 3;

const MARK = { done: "check", failed: "cross", skipped: "cross", waitingUser: "warn", paused: "pause" };

export class TopBar {
  constructor(ctx, { name, status, control, stages, presence }) {
    Object.assign(this, { ctx, name, status, control, stages, presence });
  }

  update() {
    const { state, live } = this.ctx;
    if (!state) return;
    if (this.project !== state.project) this.#project(state.project);
    if (this.list !== state.stages) this.#stages(state.stages);
    if (this.people !== live.presence || this.size !== live.presence.size) this.#people(live.presence);
  }

  #project(project) {
    this.project = project;
    text(this.name, project.name);
    const [words, tone] = PROJECT[project.status] ?? [project.status, "hollow"];
    fill(this.status, project.status, () => [h(`span.dot.${tone}`), h("span", null, words)]);
    const mine = document.querySelector(".side-projects [aria-current] .dot");
    if (mine) mine.className = `dot ${tone}`;
    attr(this.status, "title", project.statusReason || null);
    attr(this.status, "data-status", project.status);
    const next = { draft: ["Start", "play", "inProgress"], paused: ["Resume", "play", "inProgress"], inProgress: ["Pause", "pause", "paused"], waitingUser: ["Pause", "pause", "paused"], failed: ["Start again", "play", "inProgress"] }[project.status];
    fill(this.control, project.status, () => (next && this.ctx.may("project.set_status") ? button(next[0], { icon: next[1], kind: next[2] === "paused" ? "quiet small" : "small", testid: "project-control", "aria-label": `${next[0]} the project`, onclick: (event) => this.#set(event.currentTarget, next) }) : []));
  }

  async #set(el, [words, , status]) {
    if (status === "paused" && !(await confirm("Pause the project?", "The agents finish their present step and wait. You can resume at any time.", { yes: "Pause", danger: false }))) return;
    el.disabled = true;
    try {
      await api("POST", `projects/${this.ctx.guid}/status/`, { status, reason: "" });
    } catch (error) {
      toast(`${words}: ${error.message}`, { tone: "bad" });
    } finally {
      el.disabled = false;
    }
  }

  #stages(stages) {
    this.list = stages;
    show(this.stages, stages.length);
    keyed(this.stages, stages, (stage) => stage.stageId, (stage) => h("li", { "data-testid": `stage-${stage.key}` }, h("button.stage", { type: "button", onclick: () => this.ctx.emit("go", { view: "room", stageId: stage.stageId }) }, h("span.stage-mark"), h("span.stage-name"), h("span.stage-part.num"))), (el, stage) => {
      const now = ["inProgress", "waitingUser", "paused"].includes(stage.status);
      const [words] = STAGE[stage.status] ?? [stage.status];
      attr(el, "data-status", stage.status);
      attr(el, "aria-current", now ? "step" : null);
      const [mark, name, part] = el.firstChild.children;
      fill(mark, stage.status, () => (MARK[stage.status] ? icon(MARK[stage.status]) : []));
      text(name, stage.name);
      text(part, now && stage.progress > 0 ? `${Math.round(stage.progress * 100)} %` : "");
      el.style.setProperty("--part", stage.status === "done" ? 1 : stage.progress);
      attr(el.firstChild, "title", `${stage.name}: ${words}${stage.failedReason ? `, ${stage.failedReason}` : ""}${stage.summary ? `\n${stage.summary}` : ""}`);
      attr(el.firstChild, "aria-label", `${stage.name}: ${words}${now ? `, ${Math.round(stage.progress * 100)} per cent` : ""}`);
    });
    this.#showNow();
  }

  /** On a narrow screen the track scrolls: what goes on now is in sight. */
  #showNow() {
    const now = this.stages.querySelector("[aria-current]");
    if (now && this.stages.scrollWidth > this.stages.clientWidth) this.stages.scrollLeft = now.offsetLeft - 24;
  }

  /** A person with three tabs is one face. */
  #people(presence) {
    this.people = presence;
    this.size = presence.size;
    const members = [...presence.values()].sort((a, b) => (a.userId === this.ctx.userId) - (b.userId === this.ctx.userId) || (a.state === "idle") - (b.state === "idle") || a.username.localeCompare(b.username));
    const faces = members.slice(0, members.length > FACES + 1 ? FACES : FACES + 1);
    keyed(this.presence, faces, (member) => member.userId, (member) => h("li", { "data-testid": "presence-item", "data-user-id": member.userId }, avatar(member.userId, member.username)), (el, member) => {
      const about = [member.userId === this.ctx.userId ? `${member.username} (you)` : member.username, member.role, member.tabs > 1 && plural(member.tabs, "tab"), member.state === "idle" && "idle"].filter(Boolean).join(", ");
      attr(el, "title", about);
      attr(el, "aria-label", about);
      attr(el, "data-idle", member.state === "idle");
    });
    const rest = members.slice(faces.length);
    this.more ??= this.presence.parentElement.querySelector("[data-more]");
    text(this.more, rest.length ? `+${rest.length}` : "");
    show(this.more, rest.length);
    attr(this.more, "title", rest.map((member) => member.username).join(", "));
    attr(this.presence, "aria-label", `${plural(members.length, "person", "people")} here`);
  }
}
