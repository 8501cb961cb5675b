/** The members of a project: list, add, change role, remove, leave. Everything goes over the REST API. */

import { api } from "../lib/api.js";
import { button, h, show, text } from "../lib/dom.js";
import "../lib/ticking.js";
import { timeAgo } from "../lib/time.js";
import { avatar, confirm, toast } from "../lib/ui.js";

const boot = JSON.parse(document.getElementById("boot").textContent);
const list = document.getElementById("members");
const form = document.getElementById("add-member");
const path = `projects/${boot.guid}/members/`;
const manages = boot.permissions.includes("member.manage");
const names = boot.permissions.includes("member.manage_owner");
const ROLES = ["viewer", "contributor", "approver", "maintainer", "owner"];

async function load() {
  try {
    const found = [];
    // A project has dozens of members, not thousands: all pages are shown as one list.
    for (let next = `${path}?limit=200`; next; ) {
      const page = await api("GET", next);
      found.push(...page.results);
      next = page.next ? page.next.split("/api/v1/")[1] : null;
    }
    found.sort((a, b) => ROLES.indexOf(b.role) - ROLES.indexOf(a.role) || a.username.localeCompare(b.username));
    list.replaceChildren(...found.map(row));
  } catch (error) {
    list.replaceChildren(h("li.note.bad", null, `The members cannot be shown: ${error.message} `, button("Try again", { kind: "small", onclick: load })));
  }
}

function row(member) {
  const me = member.userId === boot.userId;
  const name = member.name || member.username;
  // Owners are changed by owners only.
  const may = manages && (member.role !== "owner" || names);
  const role = may
    ? h("select", { "aria-label": `Role of ${name}`, onchange: (event) => change(member, event.target) }, ROLES.filter((one) => one !== "owner" || names || member.role === "owner").map((one) => h("option", { value: one, selected: one === member.role }, one[0].toUpperCase() + one.slice(1))))
    : h("span.badge", null, member.role);
  return h("li.member", { "data-testid": "member", "data-user-id": member.userId },
    avatar(member.userId, name),
    h("div.grow.clip", null, h("p.clip", null, h("strong", null, name), me && h("span.muted", null, " (you)")), h("p.muted.clip", null, `@${member.username} · since `, timeAgo(member.since))),
    role,
    (may || me) && button(me ? "Leave" : "Remove", { kind: "quiet small", onclick: () => remove(member, me) }));
}

async function change(member, select) {
  select.disabled = true;
  try {
    await api("PATCH", `${path}${member.userId}/`, { role: select.value });
    toast(`${member.name || member.username} is now ${select.value}.`);
  } catch (error) {
    toast(error.message, { tone: "bad" });
  }
  await load();
}

async function remove(member, me) {
  const name = member.name || member.username;
  const sentence = me ? "You will no longer see this room. Only a maintainer can add you again." : `${name} no longer sees this room, at once and on every device.`;
  if (!(await confirm(me ? "Leave the project?" : `Remove ${name}?`, sentence, { yes: me ? "Leave" : "Remove" }))) return;
  try {
    await api("DELETE", `${path}${member.userId}/`);
    if (me) location.assign(boot.urls.home);
    else await load();
  } catch (error) {
    toast(error.message, { tone: "bad" });
  }
}

form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const problem = form.querySelector("[data-problem]");
  const send = form.querySelector("[type=submit]");
  const username = form.elements.username.value.trim();
  show(problem, false);
  if (!username) return;
  send.disabled = true;
  try {
    await api("POST", path, { username, role: form.elements.role.value });
    form.elements.username.value = "";
    toast(`${username} was added.`);
    await load();
  } catch (error) {
    text(problem, error.message);
    show(problem, true);
  } finally {
    send.disabled = false;
    form.elements.username.focus();
  }
});

load();
