/** The keyboard: j/k through items, a/r on an approval, c writes, g and a letter goes, ? lists, ⌘K finds. */

import { h } from "../lib/dom.js";
import { dialog } from "../lib/ui.js";

export const GO = { r: ["room", "Room"], n: ["needs", "Needs you"], t: ["board", "Tasks"], a: ["agents", "Agents"], p: ["plan", "Plan"], f: ["files", "Files and locks"], $: ["cost", "Cost"], i: ["inbox", "Inbox"] };

const MAC = /Mac|iPhone|iPad/.test(navigator.platform ?? "");
export const FIND = MAC ? "⌘K" : "Ctrl K";

const KEYS = [
  ["j  k", "Next and previous item"],
  ["Enter", "Open or fold what has the focus"],
  ["c", "Write a message"],
  ["a", "Approve the first decision that waits, or the one with the focus"],
  ["r", "Reject it"],
  ["e", "To the end of the conversation"],
  ["u", "To the unread line"],
  ...Object.entries(GO).map(([key, [, words]]) => [`g ${key}`, `Go to: ${words}`]),
  ["Alt + arrows", "Move the task that has the focus"],
  [FIND, "Find and do anything"],
  ["Esc", "Close, or leave the text box"],
  ["?", "This list"],
];

export function keyHelp() {
  return dialog("Keyboard", () => h("div.dialog-body", null, h("dl.keys", null, KEYS.map(([keys, words]) => [h("dt", null, keys.split(/ (?![+])(?<![+] )/).filter(Boolean).map((key) => h("kbd.kbd", null, key))), h("dd", null, words)]))), { className: "keys-dialog" });
}

const typing = (el) => el.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(el.tagName);

/** @param {{go: (view: string) => void, approve: (decision: string) => void, compose: () => void, end: () => void, unread: () => void, find: () => void}} actions */
export function listen(actions) {
  let waitsForLetter = 0;
  addEventListener("keydown", (event) => {
    if ((event.metaKey || event.ctrlKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      actions.find();
      return;
    }
    if (event.metaKey || event.ctrlKey || event.altKey || typing(event.target) || document.querySelector("dialog[open]")) return;
    const { key } = event;
    // Two keys belong together when the second comes within a second and a half.
    if (performance.now() - waitsForLetter < 1500 && GO[key]) {
      waitsForLetter = 0;
      event.preventDefault();
      actions.go(GO[key][0]);
      return;
    }
    waitsForLetter = 0;
    const act = { g: () => (waitsForLetter = performance.now()), "?": keyHelp, c: actions.compose, a: () => actions.approve("approve"), r: () => actions.approve("reject"), e: actions.end, u: actions.unread, j: () => step(1), k: () => step(-1) }[key];
    if (!act) return;
    event.preventDefault();
    act();
  });
}

/** The next or previous item among those in sight; from outside of them, the one nearest to the top of the view. */
function step(by) {
  const items = [...document.querySelectorAll("[data-item]")].filter((el) => el.offsetParent !== null);
  const current = document.activeElement?.closest("[data-item]");
  let index = items.indexOf(current);
  if (index < 0) index = by > 0 ? items.findIndex((el) => el.getBoundingClientRect().top > 60) - 1 : items.length;
  const next = items[index + by];
  if (!next) return;
  next.scrollIntoView({ block: "nearest" });
  next.focus({ preventScroll: true });
}
