/** The box in which a command's output grows. It keeps its height, follows its end unless somebody scrolled up, and opens whole. */

import { growText, h, show } from "../lib/dom.js";
import { bytes } from "../lib/time.js";

/** Escape sequences colour and move a terminal's cursor; here they would be noise. */
// eslint-disable-next-line no-control-regex
const ESCAPES = /\u001b\[[0-9;?]*[ -/]*[@-~]|\u001b\][^\u0007\u001b]*(?:\u0007|\u001b\\)|\u001b[@-Z\\-_]/g;

/** A carriage return writes over the line: of a progress bar only the newest state is kept. */
export function plain(output) {
  const clean = output.includes("\u001b") ? output.replace(ESCAPES, "") : output;
  if (!clean.includes("\r")) return clean;
  return clean.replace(/\r\n/g, "\n").replace(/^.*\r(?!$)/gm, "").replace(/\r$/gm, "");
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
