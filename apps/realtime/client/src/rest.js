/** The same server over HTTP: JSON in, JSON out, every failure a `RestError`. */

import { CommandError } from "./errors.js";

export class RestError extends Error {
  /**
   * @param {CommandError} error
   * @param {{status?: number, answered?: boolean}} [how] `answered`: AutoCode itself said so, not the way there
   */
  constructor(error, { status = 0, answered = false } = {}) {
    super(error.message);
    this.error = error;
    this.status = status;
    this.answered = answered;
  }

  /** Nobody is logged in. Session logins are told so with 403. */
  get denied() {
    return this.status === 401 || ["not_authenticated", "token_expired"].includes(this.error.code);
  }
}

export class Rest {
  #o;

  /** @param {any} options see client.js */
  constructor(options) {
    this.#o = options;
  }

  /**
   * @param {string} method
   * @param {string} path below `restUrl`
   * @param {{body?: any, headers?: Record<string, string>, signal?: AbortSignal, timeout?: number}} [options]
   * @returns {Promise<any>}
   * @throws {RestError}
   */
  async call(method, path, options = {}) {
    try {
      return await this.#once(method, path, options, false);
    } catch (error) {
      if (!(error instanceof RestError) || !error.denied || !this.#o.getToken) throw error;
      return this.#once(method, path, options, true);
    }
  }

  /** @param {string} method @param {string} path @param {any} options @param {boolean} refresh */
  async #once(method, path, { body, headers = {}, signal, timeout = this.#o.timeout }, refresh) {
    const { fetch, timers, restUrl, getToken, csrfToken } = this.#o;
    const abort = new AbortController();
    const stop = () => abort.abort();
    signal?.addEventListener("abort", stop);
    if (signal?.aborted) stop();
    const timer = timers.setTimeout(stop, timeout);
    try {
      const token = getToken ? await getToken({ refresh }) : null;
      const csrf = typeof csrfToken === "function" ? csrfToken() : csrfToken;
      const response = await fetch(`${restUrl}${path}`, {
        method,
        credentials: "same-origin",
        cache: "no-store",
        signal: abort.signal,
        headers: {
          Accept: "application/json",
          ...(body !== undefined && { "Content-Type": "application/json" }),
          ...(token && { Authorization: `Bearer ${token}` }),
          ...(csrf && method !== "GET" && { "X-CSRFToken": csrf }),
          ...headers,
        },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      });
      return await read(response);
    } catch (error) {
      if (error instanceof RestError) throw error;
      throw new RestError(unavailable("The server cannot be reached."));
    } finally {
      timers.clearTimeout(timer);
      signal?.removeEventListener("abort", stop);
    }
  }
}

/** @param {any} response */
async function read(response) {
  let data = null;
  try {
    data = await response.json();
  } catch {
    // A proxy's page, or a login form: not an answer of ours.
  }
  if (response.ok && data !== null) return data;
  const { status } = response;
  const later = Number(response.headers?.get?.("Retry-After"));
  const retryAfterMs = later > 0 ? later * 1_000 : null;
  if (data?.error?.code) {
    const error = CommandError.from({ retryAfterMs, ...data.error });
    throw new RestError(error, { status, answered: true });
  }
  /** @type {Record<number, string>} */
  const codes = { 401: "not_authenticated", 403: "forbidden", 404: "not_found", 429: "rate_limited" };
  if (codes[status] && data !== null) {
    const error = CommandError.from({ code: codes[status], message: data?.detail, retryable: status === 429, retryAfterMs });
    throw new RestError(error, { status, answered: true });
  }
  const error = unavailable("The server cannot do this right now.");
  error.retryAfterMs = retryAfterMs;
  throw new RestError(error, { status });
}

/** @param {string} message */
function unavailable(message) {
  return new CommandError({ code: "unavailable", message, retryable: true });
}
