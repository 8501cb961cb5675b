/** What every page does: menus that close by themselves, and the hues of avatars that the server drew. */

import { hueOf } from "../lib/words.js";

for (const el of document.querySelectorAll("[data-hue-of]")) {
  el.dataset.hue = "";
  el.style.setProperty("--hue", hueOf(el.dataset.hueOf));
}

addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details[data-menu][open]")) if (!menu.contains(event.target)) menu.open = false;
});
addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details[data-menu][open]")) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});
