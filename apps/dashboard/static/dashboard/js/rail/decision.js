/** The forms under an approval: confirm what is dangerous, reject with a reason, approve with changed arguments, remember. */

import { button, h, show, text } from "../lib/dom.js";
import { RISK } from "../lib/words.js";

/** How long a remembered rule lasts: a working day. Seconds. */
const REMEMBER_S = 8 * 3600;

const SCOPES = [
  ["once", "Only this time"],
  ["run", "The same again in this run"],
  ["project", "The same again in this project today"],
  ["tool", "This tool with anything, in this run"],
];

/** What was chosen in the "remember" field inside `place`, as fields of the command. */
export function rememberFields(place) {
  const chosen = place.querySelector("[data-remember]")?.value ?? "once";
  if (chosen === "once") return {};
  if (chosen === "tool") return { remember: { scope: "run", match: "tool", ttlS: REMEMBER_S } };
  return { remember: { scope: chosen, match: "exact", ttlS: REMEMBER_S } };
}

/** The field for remembering, or null where the server asks every time. Only what is not very dangerous may be remembered broadly. */
export function rememberSelect(approval) {
  if (["critical", "unknown"].includes(approval.risk) || approval.quorum > 1 || !approval.tool) return null;
  const scopes = SCOPES.filter(([scope]) => (scope !== "tool" || approval.risk !== "high") && (approval.runId || (scope !== "run" && scope !== "tool")));
  return h("select", { "data-remember": "", "aria-label": "How long this decision holds" }, scopes.map(([value, words]) => h("option", { value }, words)));
}

/**
 * @param {any} ctx
 * @param {any} approval
 * @param {"approve"|"reject"|"edit"} decision
 * @param {{send: (fields: any) => void, back: () => void}} then
 */
export function decisionForm(ctx, approval, decision, then) {
  const form = h("form.decision", { onsubmit: (event) => event.preventDefault() });
  const back = button("Back", { kind: "quiet", onclick: then.back });
  form.addEventListener("keydown", (event) => event.key === "Escape" && (event.stopPropagation(), then.back()));
  if (decision === "approve") return confirmForm(form, approval, then, back);
  return decision === "reject" ? rejectForm(form, then, back) : editForm(form, approval, then, back);
}

function confirmForm(form, approval, then, back) {
  const remember = rememberSelect(approval);
  const yes = button("Yes, approve", { kind: "danger", icon: "check", testid: "confirm-approve", "data-first": "", onclick: () => then.send({ decision: "approve", ...rememberFields(form) }) });
  form.append(h("p", null, h("strong", null, `${RISK[approval.risk]?.[0] ?? "Unknown risk"}. `), "Have you read what exactly will happen?"), remember ?? "", h("div.approval-actions", null, yes, back));
  return form;
}

function rejectForm(form, then, back) {
  const reason = h("textarea.input", { rows: 2, placeholder: "Why, and what to do instead (the agent reads it)", "aria-label": "Reason", "data-testid": "reject-reason" });
  const send = () => then.send({ decision: "reject", ...(reason.value.trim() ? { reason: reason.value.trim() } : {}) });
  reason.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    send();
  });
  form.append(reason, h("div.approval-actions", null, button("Reject", { kind: "danger", icon: "cross", testid: "reject-confirm", onclick: send }), back));
  return form;
}

/** A command is edited as the line that it is; all other arguments as JSON, checked before they are sent. */
function editForm(form, approval, then, back) {
  const name = typeof approval.args.command === "string" ? "command" : typeof approval.args.cmd === "string" ? "cmd" : null;
  const before = name ? approval.args[name] : JSON.stringify(approval.args, null, 2);
  const editor = h("textarea.input.mono", { rows: Math.min(12, before.split("\n").length + 1), value: before, spellcheck: "false", autocapitalize: "off", "aria-label": name ? "Command" : "Arguments as JSON", "data-testid": "edit-args" });
  const wrong = h("p.error-text", { role: "alert", hidden: true });
  const send = () => {
    try {
      const editedArgs = name ? { ...approval.args, [name]: editor.value.trim() } : JSON.parse(editor.value);
      if (typeof editedArgs !== "object" || editedArgs === null || Array.isArray(editedArgs)) throw new SyntaxError("it must be an object");
      then.send({ decision: "edit", editedArgs });
    } catch (error) {
      text(wrong, `This is not valid JSON: ${error.message}`);
      show(wrong, true);
    }
  };
  form.append(
    h("p.muted", null, name ? "The agent runs your version of the command." : "The agent goes on with your version of the arguments."),
    editor, wrong,
    h("div.approval-actions", null, button("Approve this version", { kind: LOUD(approval) ? "danger" : "primary", icon: "check", testid: "edit-confirm", onclick: send }), back),
  );
  return form;
}

const LOUD = (approval) => ["high", "critical", "unknown"].includes(approval.risk);
