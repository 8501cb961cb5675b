/**
 * For pages: one client for all of them, as `window.wsManager`.
 *
 *   <meta name="autocode-ws-url" content="wss://…/ws/">    optional; same origin without it
 *   <meta name="csrf-token" content="…">                   optional; the cookie without it
 *   <meta name="autocode-user" content="user id">          unsent messages survive a reload, for this user only
 */

import { AutoCodeClient } from "./client.js";

/** @param {string} name */
const meta = (name) => document.querySelector(`meta[name="${name}"]`)?.getAttribute("content") || undefined;

function csrfToken() {
  // Read when it is needed: a login in another tab changes it.
  const cookie = /(?:^|;\s*)(?:__Host-)?csrftoken=([^;]*)/.exec(document.cookie);
  return meta("csrf-token") ?? (cookie ? decodeURIComponent(cookie[1]) : null);
}

/** @returns {AutoCodeClient} */
function create() {
  const client = new AutoCodeClient({ url: meta("autocode-ws-url"), csrfToken, userId: meta("autocode-user") });
  // What goes wrong is told by the "state" event.
  client.connect().catch(() => {});
  return client;
}

/** Two modules of a page, or two versions of this file, must not make two connections. @type {AutoCodeClient} */
export const wsManager = /** @type {any} */ (window).wsManager ?? create();
/** @type {any} */ (window).wsManager = wsManager;

export default wsManager;
