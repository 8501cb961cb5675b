/** Errors that a caller can get, and the close codes in words. */

/** A command was refused, or could not be delivered. The codes of the server are in the protocol, section 6. Added here: `timeout`,
 * `connection_lost`, `not_connected`, `queue_full`, `left`, `closed`, `aborted`. */
export class CommandError extends Error {
  /**
   * @param {{code: string, message?: string, field?: string|null, details?: any, retryable?: boolean, retryAfterMs?: number|null}} init
   */
  constructor({ code, message, field = null, details = null, retryable = false, retryAfterMs = null }) {
    super(message || code);
    this.name = "CommandError";
    this.code = code;
    this.field = field;
    this.details = details;
    this.retryable = retryable;
    this.retryAfterMs = retryAfterMs;
  }

  /** @param {any} data the `data` of an `error` frame or the `error` object of a REST answer */
  static from(data) {
    return new CommandError({
      code: data?.code ?? "internal",
      message: data?.message ?? "Something went wrong.",
      field: data?.field ?? null,
      details: data?.details ?? null,
      retryable: Boolean(data?.retryable),
      retryAfterMs: data?.retryAfterMs ?? null,
    });
  }
}

/** The connection as a whole cannot be made, and trying again will not help. */
export class ConnectionError extends Error {
  /** @param {string} message @param {number|null} [code] the close code */
  constructor(message, code = null) {
    super(message);
    this.name = "ConnectionError";
    this.code = code;
  }
}

/** @type {Record<number, string>} */
const WORDS = {
  4101: "The server is being restarted.",
  4102: "This connection was too slow.",
  4103: "The place in the log was lost.",
  4104: "Nothing was heard for too long.",
  4105: "The connection reached its maximum age.",
  4201: "The server is busy.",
  4202: "Too many messages; wait a moment.",
  4301: "The login has expired.",
  4302: "The login took too long.",
  4400: "This page sent messages that the server does not understand. Reload it.",
  4401: "The login was not accepted. Please log in again.",
  4403: "You no longer have access.",
  4408: "Too many connections are open. Close other tabs and try again.",
  4409: "You have been logged out. Please log in again.",
  4410: "This page and the server do not speak the same version. Reload it.",
};

/** @param {number|null} code */
export function closeWords(code) {
  if (code && WORDS[code]) return WORDS[code];
  if (code && code >= 4400 && code <= 4499) return "The server ended the connection.";
  if (code && code >= 4300 && code <= 4399) return "The login has to be renewed.";
  if (code && code >= 4200 && code <= 4299) return "The server asks to wait.";
  return "The connection was lost.";
}
