/** Keeps the project list fresh while somebody looks at it: the page is fetched again and only what differs is replaced. */

import { parsePage } from "../lib/dom.js";

/** Often enough for numbers, seldom enough to cost nothing. Milliseconds. */
const EVERY = 10_000;

const list = document.getElementById("cards");

async function refresh() {
  if (document.hidden) return;
  let page;
  try {
    const response = await fetch(location.pathname, { credentials: "same-origin", headers: { Accept: "text/html" } });
    if (response.redirected) location.reload(); // logged out meanwhile
    if (!response.ok) return;
    page = parsePage(await response.text());
  } catch {
    return; // offline: what stands there stays
  }
  if (!list || !page.getElementById("cards")) {
    if (Boolean(list) !== Boolean(page.getElementById("cards"))) location.reload(); // the first project, or no more of them
    return;
  }
  const fresh = [...page.querySelectorAll("#cards > [data-guid]")];
  const known = new Map([...list.children].map((card) => [card.dataset.guid, card]));
  for (const [index, card] of fresh.entries()) {
    const old = known.get(card.dataset.guid);
    known.delete(card.dataset.guid);
    const wanted = old?.outerHTML === card.outerHTML ? old : document.adoptNode(card);
    if (old && wanted !== old) {
      // A link that has the keyboard's focus keeps it.
      const focused = old.contains(document.activeElement);
      old.replaceWith(wanted);
      if (focused) wanted.querySelector("a")?.focus();
    }
    if (list.children[index] !== wanted) list.insertBefore(wanted, list.children[index] ?? null);
  }
  for (const gone of known.values()) gone.remove();
  const head = page.querySelector(".page-head p");
  if (head) document.querySelector(".page-head p").textContent = head.textContent;
}

setInterval(refresh, EVERY);
document.addEventListener("visibilitychange", refresh);
