/** The box in which a command's output grows. It keeps its height, follows its end unless somebody scrolled up, and opens whole. */

import { growText, h, show } from "../lib/dom.js";
import { bytes } from "../lib/time.js";
import { literal } from "../lib/visible.js";

/**
 * Escape sequences colour text, move a terminal's cursor, name its window and fill its clipboard; here they would be noise. All forms of
 * ECMA-48: control sequences, strings (with their ends, which may be missing), the rest; each with an escape or as one C1 character.
 */
// eslint-disable-next-line no-control-regex
const ESCAPES = /(?:\u001b\[|\u009b)[0-?]*[ -/]*[@-~]?|(?:\u001b[PX\]^_]|[\u0090\u0098\u009d-\u009f])(?:[^\u0007\u001b\u0080-\u009f\n]*(?:\u0007|\u001b\\|\u009c))?|\u001b[ -/]*[0-~]?/g;

/** What is left of controls, apart from tabs and line breaks: a bell rings for nobody, a backspace erases nothing. */
// eslint-disable-next-line no-control-regex
const CONTROLS = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/g;

/** A carriage return writes over the line: of a progress bar only the newest state is kept. */
export function plain(output) {
  const clean = output.replace(ESCAPES, "").replace(CONTROLS, "");
  const lines = clean.includes("\r") ? clean.replace(/\r\n/g, "\n").replace(/^.*\r(?!$)/gm, "").replace(/\r$/gm, "") : clean;
  return literal(lines);
}

export class Terminal {
  #pre = h("pre.terminal-text", { tabindex: 0, role: "log", "aria-live": "off", "aria-label": "Output" });
  #more;
  #all = false;

  /** @param {() => Promise<string>} whole fetches the whole text when what we have is cut */
  constructor(whole) {
    this.#more = h("button.linkish.terminal-more", { type: "button", hidden: true, onclick: () => this.#open(whole) });
    this.el = h("div.terminal", null, this.#pre, this.#more);
  }

  /** @param {string} output @param {{live: boolean, truncated?: boolean, size?: number}} how */
  update(output, { live, truncated = false, size = 0 }) {
    if (this.#all) return;
    const pre = this.#pre;
    const follows = pre.scrollHeight - pre.scrollTop - pre.clientHeight < 24;
    growText(pre, plain(output));
    this.el.classList.toggle("live", live);
    if (live && follows) pre.scrollTop = pre.scrollHeight;
    // A live box reserves its final height: the page below it must not move with every line.
    this.truncated = truncated;
    const tall = truncated || output.split("\n", 16).length > 15;
    show(this.#more, !live && tall);
    if (!this.#more.hidden) this.#more.textContent = truncated ? `Show all (${bytes(size)})` : "Show all";
  }

  async #open(whole) {
    if (this.truncated) {
      this.#more.textContent = "Fetching the rest…";
      try {
        const text = plain(await whole());
        this.#pre.textContent = text;
      } catch (error) {
        this.#more.textContent = `${error.message} Try again`;
        return;
      }
    }
    this.#all = true;
    this.el.classList.add("whole");
    show(this.#more, false);
  }
}
