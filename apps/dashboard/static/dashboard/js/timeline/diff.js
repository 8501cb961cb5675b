/** A unified patch as a table of lines: numbers, a sign as well as a colour, and a button to talk about a line. */

import { button, h, icon } from "../lib/dom.js";
import { literal } from "../lib/visible.js";

/** Lines shown before "show all": a screen or two, cheap to draw. */
const SHORT = 120;

/**
 * @param {string} patch
 * @returns {{path: string, lines: {sign: string, text: string, before: number|null, after: number|null}[]}[]}
 */
export function parsePatch(patch) {
  const files = [];
  let file = null;
  let [before, after] = [0, 0]; // line numbers
  let [oldLeft, newLeft] = [0, 0]; // lines of the hunk that are still to come: only they tell "--- a" from a removed "-- a"
  for (const line of patch.split("\n")) {
    if (oldLeft > 0 || newLeft > 0) {
      const sign = line[0] ?? " ";
      if (sign === "\\") continue; // "No newline at end of file"
      file.lines.push({ sign: sign === "+" || sign === "-" ? sign : " ", text: line.slice(1), before: sign === "+" ? null : before, after: sign === "-" ? null : after });
      if (sign !== "+") [before, oldLeft] = [before + 1, oldLeft - 1];
      if (sign !== "-") [after, newLeft] = [after + 1, newLeft - 1];
    } else if (line.startsWith("--- ")) {
      file = { path: pathIn(line), lines: [] };
      files.push(file);
    } else if (line.startsWith("+++ ")) {
      file ??= files[files.push({ path: "", lines: [] }) - 1];
      if (pathIn(line) !== "/dev/null") file.path = pathIn(line);
    } else {
      const found = /^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@/.exec(line);
      if (!found) continue;
      file ??= files[files.push({ path: "", lines: [] }) - 1];
      [before, oldLeft, after, newLeft] = [Number(found[1]), Number(found[2] ?? 1), Number(found[3]), Number(found[4] ?? 1)];
      file.lines.push({ sign: "@", text: line, before: null, after: null });
    }
  }
  return files.filter((one) => one.lines.length);
}

const pathIn = (line) => line.slice(4).replace(/\t.*$/, "").replace(/^[ab]\//, "");

const OPERATION = { add: "new file", delete: "deleted", move: "moved", modify: "" };

/** "+34 −2" */
export function counts(diff) {
  const added = diff.files.reduce((sum, file) => sum + file.added, 0);
  const removed = diff.files.reduce((sum, file) => sum + file.removed, 0);
  return h("span.counts.num", null, h("span.plus", null, `+${added}`), " ", h("span.minus", null, `−${removed}`));
}

/**
 * @param {any} diff {files, patch}
 * @param {((place: {path: string, line: number}) => void)|null} comment called to talk about a line; null: nobody may
 */
export function diffView(diff, comment) {
  const parsed = parsePatch(diff.patch ?? "");
  const box = h("div.diff", { "data-testid": "diff" });
  const about = new Map(diff.files.map((file) => [file.path, file]));
  for (const file of parsed) {
    const path = file.path && file.path !== "/dev/null" ? file.path : diff.files[parsed.indexOf(file)]?.path ?? "";
    const info = about.get(path);
    box.append(fileHead(path, info), fileLines(path, file.lines, comment));
    about.delete(path);
  }
  // Changed without a patch: binary, too large, or only moved.
  for (const file of about.values()) box.append(fileHead(file.path, file));
  return box;
}

function fileHead(path, info) {
  const word = OPERATION[info?.operation] ?? "";
  return h("div.diff-head", null, icon("read"), h("span.mono.clip", { title: literal(path) }, literal(info?.oldPath && info.oldPath !== path ? `${info.oldPath} → ${path}` : path)), word && h("span.badge", null, word), h("span.grow"), info && counts({ files: [info] }));
}

function fileLines(path, lines, comment) {
  const table = h("div.diff-lines", { role: "table", "aria-label": `Changes in ${literal(path)}`, tabindex: 0 });
  const body = h("div.diff-body", { role: "rowgroup" });
  table.append(body);
  const draw = (upTo) => body.append(...lines.slice(body.childElementCount, upTo).map((line) => row(path, line, comment)));
  draw(SHORT);
  if (lines.length > SHORT) {
    const more = button(`Show all ${lines.length} lines`, { kind: "quiet small", onclick: () => (draw(lines.length), more.remove()) });
    return h("div", null, table, h("div.diff-more", null, more));
  }
  return table;
}

const KIND = { "+": "add", "-": "del", " ": "same", "@": "hunk" };
const SAID = { "+": "added: ", "-": "removed: ", " ": "", "@": "" };

function row(path, line, comment) {
  const number = line.after ?? line.before;
  const el = h(`div.dl.${KIND[line.sign]}`, { role: "row" }, h("span.dn", { role: "cell", "data-n": line.before ?? "" }), h("span.dn", { role: "cell", "data-n": line.after ?? "" }));
  const code = h("code", { role: "cell" }, h("span.sr-only", null, SAID[line.sign]), h("span.sign", { "aria-hidden": "true" }, line.sign === "@" ? "" : line.sign), literal(line.text) || " ");
  if (comment && number !== null && line.sign !== "@") {
    el.append(h("button.dc", { type: "button", tabIndex: -1, "aria-label": `Comment on line ${number}`, title: `Tell the agent about line ${number}`, onclick: () => comment({ path, line: number }) }, "+"));
  }
  el.append(code);
  return el;
}
