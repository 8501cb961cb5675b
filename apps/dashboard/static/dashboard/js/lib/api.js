/** The REST API for pages: JSON in, JSON out, errors as `{code, message, field, details}`. */

const BASE = "/api/v1/";

function csrf() {
  const found = /(?:^|;\s*)(?:__Host-)?csrftoken=([^;]*)/.exec(document.cookie);
  return found ? decodeURIComponent(found[1]) : "";
}

export class ApiError extends Error {
  constructor({ code = "unavailable", message, field = null, details = null } = {}, status = 0) {
    super(message || "AutoCode does not answer. Please check your connection.");
    Object.assign(this, { code, field, details, status });
  }
}

/**
 * @param {string} method
 * @param {string} path below /api/v1/
 * @throws {ApiError}
 */
export async function api(method, path, body) {
  let response;
  try {
    response = await fetch(BASE + path, {
      method,
      credentials: "same-origin",
      headers: { Accept: "application/json", ...(body === undefined ? {} : { "Content-Type": "application/json" }), ...(method === "GET" ? {} : { "X-CSRFToken": csrf() }) },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new ApiError();
  }
  const data = response.status === 204 ? null : await response.json().catch(() => null);
  if (!response.ok) throw new ApiError(data?.error ?? { message: data?.detail, code: data?.code }, response.status);
  return data;
}
