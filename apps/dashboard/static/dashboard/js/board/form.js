/** The form of one task: make it, read it, change it, move it, delete it. */

import { button, h, show, text } from "../lib/dom.js";
import { plural, timeAgo } from "../lib/time.js";
import { errorWords, PRIORITY, TASK, TASK_ORDER } from "../lib/words.js";
import { confirm, dialog } from "../lib/ui.js";

/** @param {any} ctx @param {any} task null makes a new one */
export function editTask(ctx, task) {
  const may = ctx.may(task ? "task.update" : "task.create");
  return dialog(task ? `Task #${task.number}` : "New task", (close) => (may ? new Form(ctx, task, close).el : reading(ctx, task)), { className: "task-dialog" });
}

class Form {
  constructor(ctx, task, close) {
    Object.assign(this, { ctx, task, close });
    this.version = task?.version;
    this.title = h("input.input", { type: "text", value: task?.title ?? "", maxlength: 200, required: true, autofocus: true, "data-testid": "task-title" });
    this.description = h("textarea.input", { rows: 5, value: task?.description ?? "" });
    this.priority = select(Object.entries(PRIORITY).map(([value, [words]]) => [value, words]), task?.priority ?? "normal");
    this.status = select(TASK_ORDER.map((status) => [status, TASK[status][0]]), task?.status ?? "todo");
    this.depends = this.#depends();
    this.problem = h("p.error-text", { role: "alert", hidden: true });
    this.save = button(task ? "Save" : "Add task", { kind: "primary", testid: "task-save", onclick: () => this.#save() });
    this.el = h("form.dialog-body", { onsubmit: (event) => (event.preventDefault(), this.#save()) },
      field("Title", this.title), field("Description", this.description),
      h("div.field-row", null, field("Priority", this.priority), task && field("Column", this.status)),
      this.depends.length > 0 && h("fieldset.field.depends", null, h("legend.label", null, "Only after"), h("div.checks", null, this.depends.map(({ label }) => label))),
      task && h("p.muted", null, "Changed ", timeAgo(task.updatedAt), task.files.length ? ` · ${plural(task.files.length, "file")}: ${task.files.join(", ")}` : "", task.branch ? ` · ${task.branch}` : ""),
      this.problem,
      h("div.dialog-actions", null,
        task && ctx.may("task.delete") && button("Delete", { icon: "delete", kind: "quiet", onclick: () => this.#delete() }),
        task && ctx.may("feedback.send") && button("Talk about it", { icon: "chat", kind: "quiet", onclick: () => (close(), ctx.emit("compose", { target: { label: `#${task.number}`, taskId: task.taskId, agentId: task.assignee?.kind === "agent" ? task.assignee.id : null } })) }),
        h("span.grow"), button("Cancel", { kind: "quiet", onclick: () => close() }), this.save));
  }

  #depends() {
    return this.ctx.state.tasks.filter((one) => one.taskId !== this.task?.taskId && one.status !== "cancelled").map((one) => {
      const input = h("input", { type: "checkbox", checked: Boolean(this.task?.dependsOn.includes(one.taskId)) });
      return { id: one.taskId, input, label: h("label.check", null, input, h("span.clip", null, `#${one.number} ${one.title}`)) };
    });
  }

  async #save() {
    const title = this.title.value.trim();
    if (!title) return this.#refuse("Give it a title.");
    this.save.disabled = true;
    const fields = { title, description: this.description.value, priority: this.priority.value, dependsOn: this.depends.filter((one) => one.input.checked).map((one) => one.id) };
    try {
      if (!this.task) await this.ctx.command("create_task", fields, { quiet: true });
      else await this.#change(fields);
      this.close(true);
    } catch (error) {
      // After a conflict the next save is meant against the newest state, which the person was told to look at.
      if (error.code === "conflict") this.version = this.ctx.task(this.task?.taskId)?.version ?? this.version;
      this.#refuse(errorWords(error));
    } finally {
      this.save.disabled = false;
    }
  }

  /** Only what differs is sent: two people may change different fields one after the other. */
  async #change(fields) {
    const { task } = this;
    const same = (name) => JSON.stringify(fields[name]) === JSON.stringify(task[name]) || (name === "dependsOn" && [...fields[name]].sort().join() === [...task[name]].sort().join());
    const changes = Object.fromEntries(Object.entries(fields).filter(([name]) => !same(name)));
    if (Object.keys(changes).length) {
      await this.ctx.command("update_task", { taskId: task.taskId, version: this.version, ...changes }, { quiet: true });
      this.version += 1;
    }
    if (this.status.value !== task.status) await this.ctx.command("set_task_status", { taskId: task.taskId, status: this.status.value, version: this.version }, { quiet: true });
  }

  async #delete() {
    if (!(await confirm(`Delete task #${this.task.number}?`, `“${this.task.title}” is removed for everybody.`, { yes: "Delete" }))) return;
    try {
      await this.ctx.command("delete_task", { taskId: this.task.taskId, version: this.version }, { quiet: true });
      this.close(true);
    } catch (error) {
      this.#refuse(errorWords(error));
    }
  }

  #refuse(words) {
    text(this.problem, words);
    show(this.problem, true);
  }
}

let lastId = 0;
function field(words, input) {
  lastId += 1;
  input.id = `field-${lastId}`;
  return h("div.field.grow", null, h("label", { htmlFor: input.id }, words), input);
}

const select = (options, chosen) => h("select", null, options.map(([value, words]) => h("option", { value, selected: value === chosen }, words)));

/** For viewers: the same facts, nothing to press. */
function reading(ctx, task) {
  return h("div.dialog-body", null, h("h3", null, task.title), h("p.muted", null, `${TASK[task.status][0]} · ${PRIORITY[task.priority][0]} priority${task.assignee ? ` · ${task.assignee.name}` : ""}`), h("p.prose.plain", null, task.description || "No description."), h("p.note", null, "You are a viewer here and cannot change tasks."));
}
