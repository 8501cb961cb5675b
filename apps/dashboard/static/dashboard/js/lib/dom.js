/**
 * Making and updating elements. Text always goes in as text, with what it would hide made visible: nothing here parses HTML except `setSafeHtml`, which takes only what the
 * server has sanitised. Knows nothing of rooms.
 */

import { visible } from "./visible.js";

const SVG = "http://www.w3.org/2000/svg";
const ICONS = globalThis.document?.querySelector('meta[name="autocode-icons"]')?.getAttribute("content") ?? "/static/dashboard/icons.svg";

/** Properties that differ from their attributes once a person has typed or ticked. */
const AS_PROPERTY = new Set(["value", "checked", "disabled", "hidden", "open", "selected", "textContent", "htmlFor", "tabIndex"]);

/**
 * Make an element: `h("p.note", {onclick}, "text", child)`. Null, false and undefined children are left out.
 * @param {string} spec tag and classes
 * @param {Record<string, any>|null} [props] `on…` are listeners, the rest attributes
 */
export function h(spec, props, ...children) {
  const [tag, ...classes] = spec.split(".");
  const el = document.createElement(tag || "div");
  if (classes.length) el.className = classes.join(" ");
  for (const [name, value] of Object.entries(props ?? {})) {
    if (name.startsWith("on")) el.addEventListener(name.slice(2), value);
    else setProp(el, name, value);
  }
  append(el, children);
  return el;
}

function append(el, children) {
  for (const child of children) {
    if (Array.isArray(child)) append(el, child);
    else if (child !== null && child !== undefined && child !== false) el.append(typeof child === "string" ? visible(child) : child);
  }
}

function setProp(el, name, value) {
  if (AS_PROPERTY.has(name)) el[name] = value ?? "";
  else attr(el, name, value);
}

/** Attributes that people read. */
const READ = new Set(["title", "aria-label", "placeholder", "alt"]);

/** Set, or with null or false remove, an attribute, if it differs: an unneeded write costs a style pass. */
export function attr(el, name, value) {
  if (value === null || value === undefined || value === false) {
    if (el.hasAttribute(name)) el.removeAttribute(name);
    return;
  }
  const text = value === true ? "" : READ.has(name) ? visible(String(value)) : String(value);
  if (el.getAttribute(name) !== text) el.setAttribute(name, text);
}

/** Set an element's text if it differs. */
export function text(el, value) {
  const wanted = visible(String(value ?? ""));
  if (el.textContent !== wanted) el.textContent = wanted;
}

/** Show or hide. */
export function show(el, on) {
  if (el.hidden === Boolean(on)) el.hidden = !on;
}

/** Replace all children, only when `key` says that they differ from what stands there. */
export function fill(el, key, make) {
  if (el.__filled === key) return;
  el.__filled = key;
  el.replaceChildren();
  append(el, [make()].flat());
}

/** A growing text: append what is new instead of writing all of it again. */
export function growText(el, written) {
  const value = visible(written);
  const node = el.firstChild;
  if (!node) el.append(document.createTextNode(value));
  else if (value.startsWith(node.data)) {
    if (value.length > node.data.length) node.appendData(value.slice(node.data.length));
  } else node.data = value;
}

/**
 * The one way from text to markup: the content policy lets no other code make any ("require-trusted-types-for", where the browser knows it).
 */
const markup = globalThis.trustedTypes?.createPolicy("autocode", { createHTML: (source) => source }) ?? { createHTML: (source) => source };

/** A page of this site as a document of its own: nothing in it runs, and nothing of it is shown yet. */
export const parsePage = (html) => new DOMParser().parseFromString(markup.createHTML(html), "text/html");

/** Insert HTML that AutoCode's server has rendered and sanitised (the `html` field of a message), never anything else. */
export function setSafeHtml(el, html) {
  if (el.__html === html) return;
  el.__html = html;
  el.innerHTML = markup.createHTML(html);
  // Links that people and agents wrote lead away: they get neither our page nor our address.
  for (const link of el.querySelectorAll("a[href]")) {
    link.setAttribute("rel", "noopener noreferrer nofollow");
    link.setAttribute("target", "_blank");
  }
}

/**
 * Once fetched, the symbols live in the page itself: icons that are drawn while the server is away must not be missing.
 * Their ids get a prefix, since the page has elements named like them.
 */
let own = false;
if (globalThis.document) {
  fetch(ICONS)
    .then((response) => response.text())
    .then((source) => {
      const sprite = document.adoptNode(new DOMParser().parseFromString(markup.createHTML(source), "image/svg+xml").documentElement);
      for (const symbol of sprite.querySelectorAll("symbol")) symbol.id = `icon-${symbol.id}`;
      sprite.setAttribute("class", "sr-only");
      sprite.setAttribute("aria-hidden", "true");
      document.body.append(sprite);
      own = true;
    })
    .catch(() => {}); // then each icon fetches the file itself
}

const address = (name) => (own ? `#icon-${name}` : `${ICONS}#${name}`);

/** @param {string} name a symbol of icons.svg */
export function icon(name, className = "") {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", `icon ${className}`.trim());
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", address(name));
  svg.append(use);
  return svg;
}

/**
 * Make the children of `parent` those of `items`, in order, keeping the element of each key: focus, open boxes, selections and scroll
 * positions survive. Elements that are not ours (no key) are not allowed in `parent`.
 * @template T
 * @param {Element} parent
 * @param {T[]} items
 * @param {(item: T) => string} keyOf
 * @param {(item: T) => HTMLElement} make
 * @param {(el: any, item: T, index: number) => void} [update] also called for new ones
 */
export function keyed(parent, items, keyOf, make, update) {
  const known = (parent.__keyed ??= new Map());
  const wanted = new Map(items.map((item) => [keyOf(item), item]));
  for (const [key, el] of known) {
    if (wanted.has(key)) continue;
    el.remove();
    known.delete(key);
  }
  let cursor = parent.firstElementChild;
  let index = 0;
  for (const [key, item] of wanted) {
    let el = known.get(key);
    if (!el) {
      el = make(item);
      known.set(key, el);
    }
    update?.(el, item, index);
    index += 1;
    if (el === cursor) cursor = cursor.nextElementSibling;
    else parent.insertBefore(el, cursor);
  }
}

/** A button with an icon and a word. */
export function button(label, { icon: name, kind = "", testid, title, onclick, ...more } = {}) {
  return h(`button.btn${kind ? `.${kind.split(" ").join(".")}` : ""}`, { type: "button", "data-testid": testid, title, onclick, ...more }, name && icon(name), label && h("span", null, label));
}

/** An empty state: what is not there, and what to do about it. */
export function empty(name, title, sentence, action) {
  return h("div.empty", null, icon(name), h("p", null, h("strong", null, title)), sentence && h("p.muted", null, sentence), action);
}
