/** The tasks in short, for the rail: what is being done, what is blocked, what comes next. The board is one click away. */

import { attr, fill, h, icon, keyed, show, text } from "../lib/dom.js";
import { plural } from "../lib/time.js";
import { TASK } from "../lib/words.js";
import { avatar, meter, setMeter } from "../lib/ui.js";

const ORDER = ["doing", "review", "blocked", "todo", "done"];

export class TaskList {
  constructor(ctx, place) {
    this.ctx = ctx;
    this.words = h("p.grow");
    this.bar = meter("Tasks done");
    this.list = h("ul.task-list");
    this.blank = h("div.empty.slim", { hidden: true }, icon("board"), h("p", null, "There are no tasks yet. Agents make them from the plan, and you can add your own on the board."));
    place.replaceChildren(h("div.row", null, this.words, h("a.btn.small", { href: "#board", onclick: (event) => (event.preventDefault(), ctx.emit("go", { view: "board" })) }, icon("board"), "Board")), this.bar, this.list, this.blank);
  }

  update() {
    const { state } = this.ctx;
    if (!state || this.tasks === state.tasks) return;
    this.tasks = state.tasks;
    const tasks = state.tasks.filter((task) => task.status !== "cancelled").sort((a, b) => ORDER.indexOf(a.status) - ORDER.indexOf(b.status));
    const done = tasks.filter((task) => task.status === "done").length;
    text(this.words, tasks.length ? `${done} of ${plural(tasks.length, "task")} done` : "");
    setMeter(this.bar, tasks.length ? done / tasks.length : 0);
    show(this.bar, tasks.length);
    show(this.blank, !tasks.length);
    keyed(this.list, tasks, (task) => task.taskId, (task) => h("li", null, h("button.task-line", { type: "button", onclick: () => this.ctx.emit("go", { view: "board", taskId: task.taskId }) })), (el, task) => {
      attr(el.firstChild, "data-status", task.status);
      fill(el.firstChild, task.version, () => [icon(TASK[task.status][1]), h("span.sr-only", null, `${TASK[task.status][0]}: `), h("span.clip.grow", null, h("span.muted.num", null, `#${task.number} `), task.title), task.assignee && avatar(task.assignee.id, task.assignee.name, { agent: task.assignee.kind === "agent", small: true })]);
    });
  }
}
