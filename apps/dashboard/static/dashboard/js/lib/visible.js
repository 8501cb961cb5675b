/**
 * Text of others, made to look like what it is. Characters that turn the order of what stands beside them, that hide, or that drive a
 * terminal are shown as marks. Agents write names, paths, commands and code; a person decides by what the page shows of them.
 *
 * `apps/core/text.py` does the same on the server; a test holds the two together.
 */

const range = (codes) => codes.map(([from, to = from]) => `\\u{${from.toString(16)}}-\\u{${to.toString(16)}}`).join("");

/** Never meant well: controls, overrides and isolates of direction, line separators that look like spaces, tags, annotations. */
const ALWAYS = range([[0x0, 0x8], [0xb, 0xc], [0xe, 0x1f], [0x7f, 0x9f], [0x2028, 0x202e], [0x2066, 0x2069], [0xfff9, 0xfffb], [0xe0000, 0xe01ef]]);

/** Of use in some languages and in emoji, and a way to hide something where every character counts. */
const IN_CODE = range([[0xd], [0xad], [0x34f], [0x61c], [0x115f, 0x1160], [0x17b4, 0x17b5], [0x180b, 0x180f], [0x200b, 0x200f], [0x2060, 0x2065], [0x206a, 0x206f], [0x3164], [0xfeff], [0xffa0]]);

const HOSTILE = new RegExp(`[${ALWAYS}]`, "gu");
const INEXACT = new RegExp(`[${ALWAYS}${IN_CODE}]`, "gu");

/** More marks above one letter than any language uses; they would run over the lines above. */
const TOWERS = /(\p{M}{8})\p{M}+/gu;

/** "␛" for the controls of ASCII, which have pictures of their own, "⟨U+202E⟩" for the rest. */
function mark(character) {
  const code = character.codePointAt(0);
  if (code < 0x20) return String.fromCodePoint(0x2400 + code);
  if (code === 0x7f) return "␡";
  return `⟨U+${code.toString(16).toUpperCase().padStart(4, "0")}⟩`;
}

/** Any text: prose in any language stays as it is. */
export const visible = (text) => text.replace(HOSTILE, mark).replace(TOWERS, "$1");

/** Commands, code, paths and names of machines: every character that is there is seen. */
export const literal = (text) => text.replace(INEXACT, mark).replace(TOWERS, "$1");
