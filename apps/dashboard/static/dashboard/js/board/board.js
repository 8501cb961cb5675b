/** The task board: columns, cards that move by hand, by key and by form, and conflicts told in words. */

import { attr, button, fill, h, icon, keyed, show, text } from "../lib/dom.js";
import { plural } from "../lib/time.js";
import { PRIORITY, TASK, TASK_ORDER } from "../lib/words.js";
import { announce, avatar, badge, confirm } from "../lib/ui.js";
import { editTask } from "./form.js";

export class Board {
  #moving = new Map();

  constructor(ctx, place) {
    this.ctx = ctx;
    this.count = h("p.muted.clip");
    const may = ctx.may("task.create");
    this.add = may && button("New task", { icon: "plus", kind: "primary small", testid: "task-new", onclick: () => editTask(ctx, null) });
    this.reset = ctx.may("task.reset") && button("Reset", { icon: "history", kind: "quiet small", title: "Put all tasks back to “to do”", onclick: () => this.#resetAll() });
    this.columns = h("div.board-columns");
    place.replaceChildren(h("header.view-head", null, h("h2", null, "Tasks"), this.count, h("span.grow"), this.reset, this.add), ...(may ? [] : [h("p.note", null, "You are a viewer here: you see the board, but only contributors change it.")]), this.columns);
  }

  update() {
    const { ctx } = this;
    if (!ctx.state) return;
    if (this.tasks === ctx.state.tasks && this.agents === ctx.agents && !this.dirty) return;
    Object.assign(this, { tasks: ctx.state.tasks, agents: ctx.agents, dirty: false });
    const done = this.tasks.filter((task) => task.status === "done").length;
    text(this.count, this.tasks.length ? `${done} of ${plural(this.tasks.length, "task")} done` : "");
    const columns = TASK_ORDER.map((status) => ({ status, tasks: this.tasks.filter((task) => (this.#moving.get(task.taskId) ?? task.status) === status) }));
    keyed(this.columns, columns, (column) => column.status, (column) => this.#column(column), (el, column) => this.#fill(el, column));
  }

  reveal(taskId) {
    const el = this.columns.querySelector(`[data-task-id="${CSS.escape(taskId)}"]`);
    if (!el) return;
    el.scrollIntoView({ block: "center", inline: "center" });
    el.focus({ preventScroll: true });
    el.classList.add("found");
    setTimeout(() => el.classList.remove("found"), 1600);
  }

  #column({ status }) {
    const [words, name] = TASK[status];
    const count = h("span.muted.num");
    const list = h("ul.cards");
    const el = h("section.column", { "data-testid": `task-col-${status}`, "data-status": status, "aria-label": words }, h("header", null, icon(name), h("h3", null, words), count), list, h("p.column-empty.muted", null, EMPTY[status]));
    Object.assign(el, { list, count });
    if (this.ctx.may("task.move")) this.#dropZone(el, status);
    return el;
  }

  #fill(el, { tasks }) {
    text(el.count, tasks.length);
    show(el.lastElementChild, !tasks.length);
    keyed(el.list, tasks, (task) => task.taskId, (task) => this.#card(task), (card, task) => this.#draw(card, task));
  }

  #card(task) {
    const el = h("li.task-card", { "data-testid": "task-card", "data-task-id": task.taskId, "data-item": "", tabIndex: 0, onclick: () => editTask(this.ctx, this.#now(task.taskId)), onkeydown: (event) => this.#key(event, task.taskId) });
    if (this.ctx.may("task.move")) {
      el.draggable = true;
      el.addEventListener("dragstart", (event) => {
        event.dataTransfer.setData("text/x-task", task.taskId);
        event.dataTransfer.effectAllowed = "move";
        el.classList.add("dragging");
      });
      el.addEventListener("dragend", () => el.classList.remove("dragging"));
    }
    return el;
  }

  #draw(el, task) {
    const moving = this.#moving.has(task.taskId);
    el.classList.toggle("moving", moving);
    attr(el, "aria-label", `Task ${task.number}: ${task.title}, ${TASK[task.status][0]}${this.ctx.may("task.move") ? ". Alt and arrow keys move it" : ""}`);
    attr(el, "data-status", task.status);
    const open = task.dependsOn.map((id) => this.ctx.task(id)).filter((one) => one && one.status !== "done" && one.status !== "cancelled");
    const facts = [
      task.priority !== "normal" && badge(PRIORITY[task.priority][0], PRIORITY[task.priority][1]),
      open.length > 0 && h("span.row.muted", { title: open.map((one) => `#${one.number} ${one.title}`).join("\n") }, icon("lock"), `after ${open.map((one) => `#${one.number}`).join(", ")}`),
      task.files.length > 0 && h("span.row.muted", { title: task.files.join("\n") }, icon("files"), plural(task.files.length, "file")),
      moving && h("span.muted", null, "moving…"),
      task.assignee && avatar(task.assignee.id, task.assignee.name, { agent: task.assignee.kind === "agent", small: true }),
    ].filter(Boolean);
    fill(el, `${task.version}|${open.map((one) => one.number)}|${moving}`, () => [
      h("p.task-title", null, h("span.muted.num", null, `#${task.number} `), task.title),
      facts.length > 0 && h("p.task-facts", null, facts),
    ]);
  }

  #now(taskId) {
    return this.ctx.state.tasks.find((task) => task.taskId === taskId);
  }

  // --- moving -----------------------------------------------------------------------------------------------------

  #dropZone(el, status) {
    const isTask = (event) => event.dataTransfer.types.includes("text/x-task");
    el.addEventListener("dragover", (event) => {
      if (!isTask(event)) return;
      event.preventDefault();
      el.classList.add("over");
    });
    el.addEventListener("dragleave", (event) => !el.contains(event.relatedTarget) && el.classList.remove("over"));
    el.addEventListener("drop", (event) => {
      el.classList.remove("over");
      if (!isTask(event)) return;
      event.preventDefault();
      const task = this.#now(event.dataTransfer.getData("text/x-task"));
      if (!task) return;
      const before = [...el.list.children].find((card) => card.dataset.taskId !== task.taskId && event.clientY < card.getBoundingClientRect().top + card.offsetHeight / 2);
      this.#move(task, status, before?.dataset.taskId ?? null);
    });
  }

  /** Alt+←/→ to the next column, Alt+↑/↓ within it; Enter opens. */
  #key(event, taskId) {
    const task = this.#now(taskId);
    if (!task) return;
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      editTask(this.ctx, task);
      return;
    }
    if (!event.altKey || !this.ctx.may("task.move") || !event.key.startsWith("Arrow")) return;
    event.preventDefault();
    const column = this.tasks.filter((one) => one.status === task.status);
    const at = column.findIndex((one) => one.taskId === taskId);
    const side = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (side) {
      const status = TASK_ORDER[TASK_ORDER.indexOf(task.status) + side];
      if (status) this.#move(task, status, null);
    } else if (event.key === "ArrowUp" && at > 0) this.#move(task, task.status, column[at - 1].taskId);
    else if (event.key === "ArrowDown" && at < column.length - 1) this.#move(task, task.status, column[at + 2]?.taskId ?? null);
  }

  /** @param {string|null} beforeId the card that it shall stand before; null: at the end */
  async #move(task, status, beforeId) {
    const column = this.tasks.filter((one) => one.status === status && one.taskId !== task.taskId);
    const at = beforeId ? column.findIndex((one) => one.taskId === beforeId) : column.length;
    const position = between(column[at - 1]?.position, column[at]?.position);
    if (status === task.status && position === task.position) return;
    this.#moving.set(task.taskId, status);
    this.#redraw(task.taskId);
    try {
      await this.ctx.command("set_task_status", { taskId: task.taskId, status, version: task.version, ...(position === undefined ? {} : { position }) });
      announce(`Task ${task.number} is now in ${TASK[status][0]}`);
    } catch {
      // Told already; the card goes back to where the board says it is.
    } finally {
      this.#moving.delete(task.taskId);
      this.#redraw(task.taskId);
    }
  }

  #redraw(taskId) {
    const focused = document.activeElement?.dataset?.taskId === taskId;
    this.dirty = true;
    this.update();
    if (focused) this.columns.querySelector(`[data-task-id="${CSS.escape(taskId)}"]`)?.focus();
  }

  async #resetAll() {
    if (await confirm("Put all tasks back?", "Every task goes back to “to do”. Their texts and files stay.", { yes: "Put them back" })) await this.ctx.command("reset_tasks", {}).catch(() => {});
  }
}

const EMPTY = { todo: "Nothing to do", doing: "Nobody works on a task", blocked: "Nothing is blocked", review: "Nothing to review", done: "Nothing is done yet", cancelled: "Nothing was cancelled" };

/** A position between two neighbours; positions are fractions, so nothing else has to move. */
function between(before, after) {
  if (before === undefined && after === undefined) return undefined;
  if (before === undefined) return after - 1;
  if (after === undefined) return before + 1;
  return (before + after) / 2;
}
