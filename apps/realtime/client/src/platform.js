/** The few things taken from the browser, each replaceable by a test. */

/** @typedef {{setTimeout: (fn: () => void, ms: number) => any, clearTimeout: (id: any) => void, now: () => number,
 *   requestAnimationFrame?: (fn: () => void) => any, cancelAnimationFrame?: (id: any) => void}} Timers */
/** @typedef {{hidden: () => boolean, online: () => boolean, listen: (fn: (what: "visible"|"hidden"|"online"|"offline") => void) => () => void}} Page */

/** @returns {Timers} */
export function defaultTimers() {
  return {
    setTimeout: (fn, ms) => globalThis.setTimeout(fn, ms),
    clearTimeout: (id) => globalThis.clearTimeout(id),
    now: () => Date.now(),
    ...(typeof globalThis.requestAnimationFrame === "function" && {
      requestAnimationFrame: (/** @type {() => void} */ fn) => globalThis.requestAnimationFrame(fn),
      cancelAnimationFrame: (/** @type {number} */ id) => globalThis.cancelAnimationFrame(id),
    }),
  };
}

/** @returns {Page} */
export function defaultPage() {
  const { document: doc, navigator: nav } = globalThis;
  return {
    hidden: () => doc?.visibilityState === "hidden",
    // Only an explicit false counts: some browsers and all servers do not know.
    online: () => nav?.onLine !== false,
    listen(fn) {
      if (typeof globalThis.addEventListener !== "function") return () => {};
      const visibility = () => fn(doc?.visibilityState === "hidden" ? "hidden" : "visible");
      // A page out of the back/forward cache has lost its socket without hearing of it.
      const shown = (/** @type {any} */ event) => event.persisted && fn("visible");
      const online = () => fn("online");
      const offline = () => fn("offline");
      doc?.addEventListener("visibilitychange", visibility);
      globalThis.addEventListener("pageshow", shown);
      globalThis.addEventListener("online", online);
      globalThis.addEventListener("offline", offline);
      return () => {
        doc?.removeEventListener("visibilitychange", visibility);
        globalThis.removeEventListener("pageshow", shown);
        globalThis.removeEventListener("online", online);
        globalThis.removeEventListener("offline", offline);
      };
    },
  };
}

/** @returns {string} */
export function newId() {
  const { crypto } = globalThis;
  if (crypto?.randomUUID) return crypto.randomUUID();
  // randomUUID exists on secure origins only; a self-hosted server without TLS must work too.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** @returns {string|null} same origin, `ws` for `http`; null outside a page */
export function defaultUrl() {
  const place = globalThis.location;
  return place?.host ? `${place.protocol === "https:" ? "wss" : "ws"}://${place.host}/ws/` : null;
}

/** @returns {Storage|null} */
export function defaultStorage() {
  try {
    return globalThis.sessionStorage ?? null;
  } catch {
    return null; // blocked by the user's settings
  }
}
