/** Fills the form of a new project with an example; what somebody wrote is replaced only when they agree. */

import { confirm } from "../lib/ui.js";

const examples = JSON.parse(document.getElementById("examples").textContent);
const [name, description, brief] = ["name", "description", "brief"].map((id) => document.querySelector(`[name=${id}]`));
let filled = "";

for (const el of document.querySelectorAll("[data-example]")) {
  el.addEventListener("click", async () => {
    const example = examples[Number(el.dataset.example)];
    const own = brief.value.trim() && brief.value !== filled;
    if (own && !(await confirm("Replace what you wrote?", "The example takes the place of your brief.", { yes: "Replace", danger: false }))) return;
    filled = brief.value = example.brief;
    name.value = name.value && !examples.some((one) => one.name === name.value) ? name.value : example.name;
    description.value = description.value && !examples.some((one) => one.description === description.value) ? description.value : example.description;
    brief.focus();
  });
}
