/** The two links in words: mine to AutoCode, and AutoCode's to the agents; and the banner when one of them does not work. */

import { attr, show, text } from "../lib/dom.js";
import { plural } from "../lib/time.js";
import { announce } from "../lib/ui.js";

/** A green dot pulses this long after something arrived. Milliseconds. */
const PULSE = 900;

/** My link: [state word, tone, sentence or null]. @param {any} state of the client */
export function mineWords(state, waiting = 0) {
  const wait = waiting ? ` ${plural(waiting, "message")} of yours ${waiting === 1 ? "waits" : "wait"}.` : "";
  const seconds = state.retryAt ? Math.max(1, Math.ceil((state.retryAt - Date.now()) / 1000)) : 0;
  switch (state.status) {
    case "connected":
      return ["connected", "ok", null];
    case "polling":
      return ["by polling", "warn", `The live connection does not work here, so AutoCode asks every few seconds instead. Everything arrives, a little later.${wait}`];
    case "connecting":
      return seconds ? [`reconnecting in ${seconds} s`, "warn", `The connection to AutoCode was lost; trying again in ${seconds} s.${wait}`] : ["connecting", "hollow", state.attempts > 0 ? `Connecting to AutoCode again…${wait}` : null];
    case "offline":
      return ["offline", "bad", `You are offline. What you see is from before; what you write is kept and sent as soon as you are back.${wait}`];
    case "failed":
      return ["stopped", "bad", `The connection was stopped: ${state.reason || "AutoCode refused it"}.${wait}`];
    default:
      return seconds ? [`reconnecting in ${seconds} s`, "warn", `The connection to AutoCode was lost; trying again in ${seconds} s.${wait}`] : ["not connected", "bad", `Not connected to AutoCode.${wait}`];
  }
}

/** The agents' link: [state word, tone, sentence or null]. @param {any} link `agents_link`, or null while it is not known */
export function agentsWords(link) {
  if (!link) return ["not known yet", "hollow", null];
  const queued = link.queued ? `; ${plural(link.queued, "message")} ${link.queued === 1 ? "waits" : "wait"}` : "";
  const short = link.queued ? `, ${link.queued} waiting` : "";
  if (link.state === "connected") {
    const gap = link.gap ? `Some news of the agents is missing (${link.gap}); AutoCode is fetching it.` : null;
    return [link.queued > 3 ? `connected, ${link.queued} on the way` : "connected", link.gap ? "warn" : "ok", gap];
  }
  if (link.state === "reconnecting") return [`reconnecting${short}`, "warn", `AutoCode is reconnecting to the agents${queued}. Nothing is lost.`];
  return [`not connected${short}`, "bad", `Agents are not connected${queued}. Whatever you send is delivered when they are back.`];
}

export class Links {
  constructor(ctx, { mine, agents, banner }) {
    Object.assign(this, { ctx, mine, agents, banner });
    this.last = "";
    ctx.client.on("state", () => this.update());
    ctx.client.on("queue", () => this.update());
    // "reconnecting in 4 s" counts down.
    setInterval(() => this.ctx.client.state.retryAt && this.update(), 1000);
    banner.querySelector("[data-retry]").addEventListener("click", () => location.reload());
  }

  update(change) {
    const { client, live, room } = this.ctx;
    const mine = mineWords(client.state, room.pending.length);
    const agents = agentsWords(live.link);
    this.#dot(this.mine, "You", mine, client.state.status);
    this.#dot(this.agents, "Agents", agents, live.link?.state ?? "unknown");
    if (change && (change.events?.length || change.live?.length)) this.#pulse();
    const sentence = mine[2] ?? agents[2];
    show(this.banner, sentence);
    if (sentence) {
      text(this.banner.querySelector("[data-words]"), sentence);
      attr(this.banner, "data-tone", mine[2] ? mine[1] : agents[1]);
      show(this.banner.querySelector("[data-retry]"), client.state.status === "failed");
    }
    // Countdowns are not read out; a change of state is.
    const spoken = `${client.state.status}|${live.link?.state}`;
    if (this.last && spoken !== this.last) announce(`You: ${mine[0]}. Agents: ${agents[0]}.`);
    this.last = spoken;
  }

  #dot(el, who, [word, tone], state) {
    attr(el, "data-tone", tone);
    attr(el, "data-state", state);
    attr(el, "title", `${who === "You" ? "Your connection to AutoCode" : "AutoCode's connection to the agents"}: ${word}`);
    const dot = el.querySelector(".dot");
    const wanted = `dot ${tone}${dot.classList.contains("pulse") ? " pulse" : ""}`;
    if (dot.className !== wanted) dot.className = wanted;
    text(el.querySelector("[data-word]"), word);
  }

  #pulse() {
    for (const el of [this.mine, this.agents]) {
      if (el.dataset.tone !== "ok") continue;
      const dot = el.querySelector(".dot");
      dot.classList.add("pulse");
      clearTimeout(dot.__timer);
      dot.__timer = setTimeout(() => dot.classList.remove("pulse"), PULSE);
    }
  }
}
