/** The room's page: joins the room, builds the views, and draws each change once a frame. */

import "./lib/ticking.js";
import { Board } from "./board/board.js";
import { editTask } from "./board/form.js";
import { RoomContext } from "./context.js";
import { setSkew } from "./lib/time.js";
import { show, text } from "./lib/dom.js";
import { phone, toast } from "./lib/ui.js";
import { Agents } from "./rail/agents.js";
import { Cost } from "./rail/cost.js";
import { Files } from "./rail/files.js";
import { Inbox, notices } from "./rail/inbox.js";
import { Needs } from "./rail/needs.js";
import { Plan } from "./rail/plan.js";
import { TaskList } from "./rail/tasks.js";
import { Composer } from "./shell/composer.js";
import { FIND, keyHelp, listen } from "./shell/keys.js";
import { Links } from "./shell/links.js";
import { openPalette } from "./shell/palette.js";
import { TopBar } from "./shell/topbar.js";
import { tabKeys, Views } from "./shell/views.js";
import { Timeline } from "./timeline/timeline.js";

const $ = (id) => document.getElementById(id);
const json = (id) => JSON.parse($(id)?.textContent || "null");

const boot = json("room-boot");
const client = window.wsManager;
const room = client.join(boot.guid, { snapshot: json("room-snapshot") ?? undefined });
const ctx = new RoomContext(client, room, boot);
window.autocodeRoom = room; // for the console and for tests

const timeline = new Timeline(ctx, $("timeline"), $("jump"));
const needs = new Needs(ctx, $("needs"));
const board = new Board(ctx, $("board"));
const composer = new Composer(ctx, $("composer"));
const links = new Links(ctx, { mine: $("conn-state"), agents: $("agents-link-state"), banner: $("banner") });
const all = [
  new TopBar(ctx, { name: $("project-name"), status: $("project-status"), control: $("project-control"), stages: $("stages"), presence: $("presence") }),
  timeline, needs, board, composer, links,
  new Agents(ctx, $("panel-agents")),
  new TaskList(ctx, $("panel-tasks")),
  new Plan(ctx, $("panel-plan")),
  new Files(ctx, $("panel-files")),
  new Cost(ctx, $("panel-cost")),
  new Inbox(ctx, $("inbox")),
];

/** One view that fails must not take the others with it. */
function draw(change) {
  for (const view of all) {
    try {
      view.update(change);
    } catch (error) {
      console.error("AutoCode could not draw", view.constructor.name, error);
    }
  }
  counters();
}

/** The numbers that are seen from every view: on the tabs, in the bar at the bottom, in the title of the window. */
function counters() {
  if (!ctx.state) return;
  const waiting = ctx.needs;
  for (const el of document.querySelectorAll("[data-count-needs]")) {
    text(el, waiting);
    show(el, waiting);
  }
  const unread = notices(ctx).filter((note) => note.seq > boot.readSeq).length;
  for (const el of document.querySelectorAll("[data-count-inbox]")) {
    text(el, unread);
    show(el, unread);
  }
  const title = `${waiting ? `(${waiting}) ` : ""}${ctx.state.project.name} · AutoCode`;
  if (document.title !== title) document.title = title;
}

const views = new Views($("shell"), (view) => {
  const panes = view === "room" ? ["timeline"] : [view];
  room.focus(panes);
  // A view that was hidden has measured nothing.
  if (view === "room") requestAnimationFrame(() => timeline.update());
});

/** Show something: a view, and in it an item. */
function go(where) {
  const view = where.view ?? "room";
  if (!(where.keep && views.view === "room")) views.show(view === "needs" && !phone.matches ? views.centre : view);
  if (where.approvalId) focusOn(needs.card(where.approvalId));
  else if (view === "needs") focusOn($("needs").querySelector("[data-item]"));
  if (where.taskId) board.reveal(where.taskId);
  if (where.newTask) editTask(ctx, null);
  if (where.agentId) focusOn($("panel-agents").querySelector(`[data-agent-id="${CSS.escape(where.agentId)}"]`));
  if (view !== "room" || where.keep) return;
  const selector = selectorOf(where);
  // After the view has been laid out.
  if (selector) requestAnimationFrame(() => timeline.reveal(selector));
}

function selectorOf({ messageId, runId, stageId, path }) {
  if (messageId) return `[data-message-id="${CSS.escape(messageId)}"]`;
  if (runId) return `[data-run="${CSS.escape(runId)}"]`;
  if (stageId) return `[data-stage-id="${CSS.escape(stageId)}"]`;
  const call = path && [...ctx.state.toolCalls].reverse().find((one) => one.diff?.files.some((file) => file.path === path));
  return call ? `[data-run="${CSS.escape(call.runId)}"]` : null;
}

function focusOn(el) {
  if (!el) return;
  el.scrollIntoView({ block: "nearest" });
  el.focus({ preventScroll: true });
  el.classList.add("found");
  setTimeout(() => el.classList.remove("found"), 1600);
}

ctx.on("go", go);
ctx.on("sent", () => timeline.toEnd());

const projects = json("my-projects") ?? [];
const find = () => !document.querySelector("dialog[open]") && openPalette(ctx, go, projects);
listen({
  find,
  go: (view) => go({ view }),
  compose: () => ctx.emit("compose", {}),
  end: () => timeline.toEnd(),
  unread: () => timeline.reveal(".unread"),
  approve(decision) {
    const card = document.activeElement?.closest("[data-approval-id]") ?? $("needs").querySelector("[data-approval-id][data-state=pending]");
    if (!card) return toast("Nothing waits for your decision.");
    focusOn(card);
    card.view.start(decision);
  },
});
for (const el of document.querySelectorAll("[data-find]")) el.addEventListener("click", find);
$("find-key").textContent = FIND;
for (const el of document.querySelectorAll("[data-key-help]")) el.addEventListener("click", () => keyHelp());
for (const list of document.querySelectorAll("[role=tablist]")) tabKeys(list);

let role = boot.role;
let archived = ctx.archived;
client.on("queue", () => {
  composer.update();
  needs.update();
});
client.on("error", (error) => error?.message && toast(error.message, { tone: "bad" }));
room.on("change", (change) => {
  setSkew(client.clockSkew);
  // Rights that changed while the page is open change what every view may offer: build it anew.
  if ((room.info && room.info.role !== role) || ctx.archived !== archived) {
    role = room.info?.role ?? role;
    archived = ctx.archived;
    location.reload();
    return;
  }
  draw(change);
});
room.on("left", ({ reason, code }) => {
  $("shell").inert = true;
  text($("gone-words"), code === "not_found" || code === "forbidden" ? "You are no longer a member of this project, or it was removed." : reason || "This room was closed.");
  $("gone").showModal();
});

document.documentElement.dataset.ready = "";
draw({ reset: true });
