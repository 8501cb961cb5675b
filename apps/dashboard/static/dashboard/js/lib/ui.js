/** Pieces that several views draw: avatars, badges, toasts, dialogs, confirmations. */

import { attr, button, h, icon, text } from "./dom.js";
import { hueOf, initials } from "./words.js";

/** Initials in a stable hue: round for people, square for agents. */
export function avatar(id, name, { agent = false, small = false } = {}) {
  const el = h(`span.avatar${agent ? ".agent" : ""}${small ? ".small" : ""}`, { "data-hue": "", "aria-hidden": "true" }, initials(name));
  el.style.setProperty("--hue", hueOf(id));
  return el;
}

/** Give `el` the hue of an agent or person; what is inside may use --agent and --agent-soft. */
export function setHue(el, id) {
  if (el.__hue === id) return;
  el.__hue = id;
  attr(el, "data-hue", "");
  el.style.setProperty("--hue", hueOf(id));
}

export function badge(words, tone = "") {
  return h(`span.badge${tone ? `.${tone}` : ""}`, null, words);
}

export function setBadge(el, words, tone = "", extra = "") {
  text(el, words);
  const wanted = `badge ${tone} ${extra}`.trim();
  if (el.className !== wanted) el.className = wanted;
}

/** A bar of 0-1. */
export function meter(label) {
  return h("span.meter", { role: "progressbar", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": 100 }, h("i"));
}

export function setMeter(el, part) {
  const value = Math.max(0, Math.min(1, Number(part) || 0));
  el.firstChild.style.setProperty("--part", value);
  attr(el, "aria-valuenow", Math.round(value * 100));
}

/** A short message at the edge. Errors stay until they are closed: nobody may miss why something did not happen. */
export function toast(words, { tone = "", action, stay = tone === "bad" } = {}) {
  const place = document.getElementById("toasts");
  if (!place) return;
  // The same sentence twice is shown once.
  for (const old of place.children) if (old.__words === words) old.remove();
  const el = h(`div.toast.arrive${tone ? `.${tone}` : ""}`, { role: tone === "bad" ? "alert" : null, "data-testid": "toast" }, icon(tone === "bad" ? "warn" : "check"), h("span.grow", null, words));
  el.__words = words;
  if (action) el.append(button(action.label, { kind: "small", onclick: () => (action.run(), el.remove()) }));
  el.append(button("", { icon: "cross", kind: "quiet small icon-only", title: "Close", "aria-label": "Close", onclick: () => el.remove() }));
  place.append(el);
  while (place.children.length > 3) place.firstElementChild.remove();
  if (!stay) setTimeout(() => el.remove(), 5000);
}

/** A modal dialog; resolves with what `close(value)` was given, undefined on Escape. */
export function dialog(title, build, { className = "" } = {}) {
  return new Promise((resolve) => {
    let value;
    const el = h(`dialog.dialog${className ? `.${className}` : ""}`, { "aria-labelledby": "dialog-title" });
    const close = (given) => {
      value = given;
      el.close();
    };
    el.append(
      h("header.dialog-head", null, h("h2", { id: "dialog-title" }, title), button("", { icon: "cross", kind: "quiet icon-only", "aria-label": "Close", title: "Close (Esc)", onclick: () => close() })),
      build(close, el),
    );
    el.addEventListener("close", () => {
      el.remove();
      resolve(value);
    });
    // A click on the backdrop lands on the dialog itself.
    el.addEventListener("mousedown", (event) => event.target === el && close());
    document.body.append(el);
    el.showModal();
  });
}

/** Ask before something that cannot be taken back. */
export function confirm(title, sentence, { yes = "Yes", no = "Back", danger = true } = {}) {
  return dialog(title, (close) =>
    h("div.dialog-body", null, h("p", null, sentence), h("div.dialog-actions", null, button(no, { onclick: () => close(false) }), button(yes, { kind: danger ? "danger" : "primary", testid: "confirm-yes", onclick: () => close(true) }))),
  );
}

/** Read one sentence out to people who cannot see the page. */
export function announce(words) {
  const place = document.getElementById("announce");
  if (place) place.textContent = words;
}

/** Whether the layout is the phone's; the same width as in the style sheets. */
export const phone = matchMedia("(max-width: 699.98px)");
