/** Asks before a form is sent that says it wants to be asked about. Without this the server asks, with a page. */

import { h } from "../lib/dom.js";
import { confirm } from "../lib/ui.js";

for (const form of document.querySelectorAll("form[data-confirm]")) {
  let agreed = false;
  form.addEventListener("submit", async (event) => {
    if (agreed) return;
    event.preventDefault();
    const { submitter } = event;
    agreed = await confirm(form.dataset.confirm, form.dataset.confirmWords, { yes: form.dataset.confirmYes });
    if (!agreed) return;
    form.append(h("input", { type: "hidden", name: "confirmed", value: "yes" }));
    form.requestSubmit(submitter);
  });
}
