/** What the page's scripts make of hostile output, patches and links. Needs no page. */

import assert from "node:assert/strict";
import test from "node:test";

const js = "../../apps/dashboard/static/dashboard/js/";
const { parsePatch } = await import(`${js}timeline/diff.js`);
const { plain } = await import(`${js}timeline/terminal.js`);
const { visible, literal } = await import(`${js}lib/visible.js`);

// eslint-disable-next-line no-control-regex
const CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/;

test("no escape sequence of a terminal is left, whatever its form", () => {
  const cases = {
    "\u001b[31mred\u001b[0m": "red",
    "\u001b[38;2;1;2;3mx": "x",
    "\u001b[?1049hx": "x",
    "\u001b[>0cx": "x",
    "\u009b31mx": "x",
    "\u001b]0;title\u0007x": "x",
    "\u001b]8;;https://evil.example\u001b\\link\u001b]8;;\u001b\\": "link",
    "\u001b]52;c;cm0gLXJmIC8=\u0007x": "x",
    "\u009d0;title\u009cx": "x",
    "\u001bPq#0;2;0;0;0\u001b\\x": "x",
    "\u0090secret\u009cx": "x",
    "\u001b_apc\u001b\\x": "x",
    "\u001b^pm\u001b\\x": "x",
    "\u001bXsos\u001b\\x": "x",
    "\u001bcx": "x",
    "\u001b(Bx": "x",
    "\u001b#8x": "x",
    "\u001b7x\u001b8": "x",
    "\u001b": "",
    "\u001b[": "",
    "a\u001b[31": "a",
    "\u001b]0;never ends": "0;never ends",
    "a\bb": "ab",
    "bell\u0007": "bell",
    "nul\u0000": "nul",
    "\u001b\u001b[31mx": "x",
    "\u001b[3\u001b[31m1mx": "1mx",
  };
  for (const [given, wanted] of Object.entries(cases)) assert.equal(plain(given), wanted, JSON.stringify(given));
});

test("an unfinished string of a terminal swallows nothing that follows", () => {
  assert.equal(plain("\u001b]0;x\nFAILED 3 tests\nmore"), "0;x\nFAILED 3 tests\nmore");
  assert.equal(plain("\u0090x\nFAILED"), "x\nFAILED");
});

test("nothing that controls, turns or hides is left of any output", () => {
  let seed = 7;
  const random = (below) => (seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648) % below;
  const parts = ["\u001b", "[", "]", "P", "\\", "31", "m", ";", "\u0007", "\u009c", "\u009b", "\u0090", "\r", "\n", "\b", "x", "\u202e", "\u200b", " ", "\u0000"];
  for (let round = 0; round < 20_000; round += 1) {
    const given = Array.from({ length: 1 + random(12) }, () => parts[random(parts.length)]).join("");
    const shown = plain(given);
    assert.ok(!CONTROLS.test(shown), JSON.stringify([given, shown]));
    assert.ok(!/[\u202e\u200b]/.test(shown), JSON.stringify([given, shown]));
  }
});

test("long hostile text costs no more than its length", () => {
  const many = 300_000;
  const inputs = ["\u001b[", "\u001b]", "\u001b]0;", "\u001bP", "\u0090", "\r", "x\r", "\u001b[0;", "\u0300", "e\u0300", "\u202e", "\u001b[;;;;", "\n\r"].map((part) => part.repeat(many / part.length));
  const began = process.cpuUsage();
  for (const input of inputs) {
    plain(input);
    visible(input);
    literal(input);
    parsePatch(`--- a/x\n+++ b/x\n@@ -1 +1 @@\n${input}`);
    parsePatch(`@@ -${"1".repeat(many)} +1 @@\n`);
  }
  const { user } = process.cpuUsage(began);
  assert.ok(user < 20_000_000, `${user} µs; what grows with the square takes minutes`);
});

test("a patch that lies about itself breaks nothing and shows every line as text", () => {
  const lies = [
    "@@ -1,999999999 +1,999999999 @@\n+x",
    "@@ -0,0 +1 @@\n+<img src=x onerror=owned()>",
    "--- a/../../etc/passwd\n+++ b/../../etc/passwd\n@@ -1 +1 @@\n-a\n+b",
    "--- a/x\t2026\n+++ b/x\u202egnp.exe\n@@ -1 +1 @@\n-a\n+b",
    "+++ b/__proto__\n@@ -1 +1 @@\n+a",
    "@@ -1 +1 @@\n@@ -1 +1 @@\n+x",
    "@@ -99999999999999999999 +1 @@\n+x",
    "@@ @@\n+x",
    "\\ No newline\n+x",
    "--- \n+++ \n@@ -1 +1 @@\n+x",
    "",
  ];
  for (const patch of lies) {
    for (const file of parsePatch(patch)) {
      assert.equal(typeof file.path, "string");
      for (const line of file.lines) assert.equal(typeof line.text, "string");
    }
  }
  const [file] = parsePatch(lies[1]);
  assert.equal(file.lines[1].text, "<img src=x onerror=owned()>");
  assert.equal({}.lines, undefined);
});
