/** Which view is shown. The address says it (#board), so that back, reload and a link to a view work; the phone has one column. */

import { attr, show } from "../lib/dom.js";
import { phone } from "../lib/ui.js";

export const CENTRE = ["room", "board", "inbox"];
export const PANELS = ["agents", "tasks", "plan", "files", "cost"];

export class Views {
  /** @param {HTMLElement} shell @param {(view: string) => void} changed */
  constructor(shell, changed) {
    this.shell = shell;
    this.changed = changed;
    this.panel = "agents";
    this.centre = "room";
    addEventListener("hashchange", () => this.#fromAddress());
    phone.addEventListener("change", () => this.show(phone.matches ? this.centre : CENTRE.includes(this.view) ? this.view : "room", { replace: true }));
    for (const link of document.querySelectorAll("[data-go]")) {
      link.addEventListener("click", (event) => {
        event.preventDefault();
        this.show(link.dataset.go);
      });
    }
    this.#fromAddress();
  }

  /** @param {string} view a centre view, a panel of the rail, `needs` or `more` */
  show(view, { replace = false } = {}) {
    const isPanel = PANELS.includes(view);
    if (isPanel) this.panel = view;
    if (CENTRE.includes(view)) this.centre = view;
    // Beside the centre there is room for the rail; on a phone a panel is a page.
    this.view = phone.matches ? view : this.centre;
    const hash = this.view === "room" ? "" : `#${this.view}`;
    if (location.hash !== hash) history[replace ? "replaceState" : "pushState"](null, "", hash || location.pathname + location.search);
    this.#draw();
    this.changed(view);
  }

  #fromAddress() {
    const name = location.hash.slice(1);
    const known = [...CENTRE, ...PANELS, "needs", "more"].includes(name);
    this.show(known ? name : "room", { replace: true });
  }

  #draw() {
    attr(this.shell, "data-view", this.view);
    attr(this.shell, "data-panel", this.panel);
    for (const el of this.shell.querySelectorAll("[data-centre]")) show(el, el.dataset.centre === this.centre);
    for (const el of this.shell.querySelectorAll("[data-panel-body]")) show(el, el.dataset.panelBody === this.panel);
    for (const tab of document.querySelectorAll("[role=tab][data-go]")) {
      attr(tab, "aria-selected", String(tab.dataset.go === this.panel));
      attr(tab, "tabindex", tab.dataset.go === this.panel ? "0" : "-1");
    }
    for (const link of document.querySelectorAll("[data-go]:not([role=tab])")) attr(link, "aria-current", link.dataset.go === this.view ? "page" : null);
  }
}

/** Arrow keys move between tabs, as everywhere. */
export function tabKeys(list) {
  list.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    const tabs = [...list.querySelectorAll("[role=tab]")];
    const next = tabs[(tabs.indexOf(document.activeElement) + by + tabs.length) % tabs.length];
    next.focus();
    next.click();
  });
}
