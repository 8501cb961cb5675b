/** Find and do anything: projects, stages, tasks, agents, views, actions. Typing narrows, arrows choose, Enter goes. */

import { attr, h, icon } from "../lib/dom.js";
import { dialog } from "../lib/ui.js";
import { AGENT, STAGE, TASK } from "../lib/words.js";
import { GO, keyHelp } from "./keys.js";
import { literal } from "../lib/visible.js";

const SHOWN = 40;

/** @param {any} ctx @param {(where: any) => void} go @param {{name: string, url: string}[]} projects */
export function openPalette(ctx, go, projects) {
  const all = entries(ctx, go, projects);
  dialog("Find", (close) => {
    const list = h("ul.palette-list", { role: "listbox", id: "palette-list", "aria-label": "Found" });
    const none = h("p.empty.slim", { hidden: true }, "Nothing has this name. Try fewer letters.");
    let found = [];
    let chosen = 0;
    const mark = () => {
      for (const [index, el] of [...list.children].entries()) attr(el, "aria-selected", String(index === chosen));
      list.children[chosen]?.scrollIntoView({ block: "nearest" });
      attr(input, "aria-activedescendant", found.length ? `palette-${chosen}` : null);
    };
    const run = (entry) => {
      close();
      entry?.run();
    };
    const draw = () => {
      found = search(all, input.value).slice(0, SHOWN);
      chosen = 0;
      list.replaceChildren(...found.map((entry, index) => h("li", { role: "option", id: `palette-${index}`, onclick: () => run(entry), onpointermove: () => index !== chosen && ((chosen = index), mark()) }, icon(entry.icon), h("span.clip.grow", null, entry.name), h("span.muted", null, entry.about))));
      none.hidden = found.length > 0;
      mark();
    };
    const input = h("input.palette-input", { type: "text", role: "combobox", "aria-controls": "palette-list", "aria-expanded": "true", "aria-label": "Find", placeholder: "Find a task, agent, project, action…", autocomplete: "off", spellcheck: "false", autofocus: true, "data-testid": "palette-input", oninput: draw, onkeydown: (event) => {
      const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (by) chosen = (chosen + by + found.length) % (found.length || 1);
      else if (event.key === "Enter") run(found[chosen]);
      else return;
      event.preventDefault();
      mark();
    } });
    draw();
    return h("div.palette", null, input, list, none);
  }, { className: "palette-dialog" });
}

function entries(ctx, go, projects) {
  const { state } = ctx;
  const views = Object.entries(GO).map(([key, [view, words]]) => ({ icon: ICON[view] ?? "chevron", name: words, about: `g ${key}`, run: () => go({ view }) }));
  const waiting = ctx.waiting.map((approval) => ({ icon: "shield", name: approval.title || approval.tool, about: "needs a decision", run: () => go({ view: "needs", approvalId: approval.approvalId }) }));
  const agents = ctx.agents.flatMap((agent) => [
    { icon: "agents", name: literal(agent.name), about: (AGENT[agent.status] ?? [agent.status])[0], run: () => go({ view: "agents", agentId: agent.agentId }) },
    ctx.may("feedback.send") && { icon: "chat", name: `Write to ${literal(agent.name)}`, about: "action", run: () => ctx.emit("compose", { agentId: agent.agentId, mode: "steer" }) },
  ]);
  const stages = (state?.stages ?? []).map((stage) => ({ icon: "plan", name: stage.name, about: `stage, ${(STAGE[stage.status] ?? [stage.status])[0]}`, run: () => go({ view: "room", stageId: stage.stageId }) }));
  const tasks = (state?.tasks ?? []).map((task) => ({ icon: "board", name: `#${task.number} ${task.title}`, about: (TASK[task.status] ?? [task.status])[0], run: () => go({ view: "board", taskId: task.taskId }) }));
  const rooms = projects.map((project) => ({ icon: "folder", name: project.name, about: "project", run: () => location.assign(project.url) }));
  const actions = [
    ctx.may("message.post") && { icon: "chat", name: "Write a message", about: "c", run: () => ctx.emit("compose", {}) },
    ctx.may("task.create") && { icon: "plus", name: "New task", about: "action", run: () => go({ view: "board", newTask: true }) },
    { icon: "people", name: "Members", about: "page", run: () => location.assign(ctx.boot.urls.members) },
    { icon: "folder", name: "All projects", about: "page", run: () => location.assign(ctx.boot.urls.home) },
    { icon: "question", name: "Keyboard", about: "?", run: () => keyHelp() },
  ];
  return [...waiting, ...views, ...actions, ...agents, ...stages, ...tasks, ...rooms].filter(Boolean);
}

const ICON = { room: "chat", needs: "shield", board: "board", agents: "agents", plan: "plan", files: "files", cost: "coin", inbox: "bell" };

/** Every word must occur; a name that begins with what was typed comes first. */
function search(all, query) {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return all;
  return all
    .map((entry, order) => ({ entry, order, name: entry.name.toLowerCase() }))
    .filter(({ entry, name }) => words.every((word) => name.includes(word) || entry.about.toLowerCase().includes(word)))
    .sort((a, b) => rank(a.name, words[0]) - rank(b.name, words[0]) || a.order - b.order)
    .map(({ entry }) => entry);
}

function rank(name, word) {
  if (name.startsWith(word)) return 0;
  return new RegExp(`\\b${word.replace(/[^\p{L}\p{N}]/gu, "\\$&")}`, "u").test(name) ? 1 : 2;
}
