/**
 * Texts that grow: pieces of `message`, `thinking`, `tool_output` and `log` before their durable end. Pure.
 *
 * Offsets count code points (a JavaScript string counts UTF-16 units). Merging pieces on the way must not change the outcome, so a piece
 * only ever says "from this offset on, the text is …" (`apps/realtime/coalescing.py`, `fold_text`).
 */

/** Log lines have no durable end of their own; a view keeps this many of the newest. */
const LOG_LINES = 200;

/** @param {string} text @returns {number} */
export function codePoints(text) {
  let count = text.length;
  for (let i = 0; i < text.length - 1; i += 1) {
    const unit = text.charCodeAt(i);
    if (unit < 0xd800 || unit > 0xdbff) continue;
    const low = text.charCodeAt(i + 1);
    if (low >= 0xdc00 && low <= 0xdfff) {
      count -= 1;
      i += 1;
    }
  }
  return count;
}

/** @param {string} text @param {number} count how many code points to keep @param {number} size those of `text` */
function head(text, count, size) {
  if (count >= size) return text;
  if (size === text.length) return text.slice(0, count);
  return Array.from(text).slice(0, count).join("");
}

/** @param {string} type @param {any} data */
export function streamKey(type, data) {
  if (type === "tool_output") return `tool_output:${data.runId}:${data.toolCallId}`;
  if (type === "log") return `log:${data.runId ?? ""}:${data.toolCallId ?? ""}:${data.source}:${data.level}`;
  return `${type}:${data.messageId}`;
}

export class Streams {
  constructor() {
    /** @type {Map<string, any>} key → {kind, runId, messageId|toolCallId, agentId, text, size, seq} */
    this.map = new Map();
    this.pieces = 0;
  }

  /**
   * @param {string} type message, thinking, tool_output or log
   * @param {any} data the payload of a piece
   * @returns {boolean} whether anything changed
   */
  piece(type, data) {
    const key = streamKey(type, data);
    if (type === "log") return this.#log(key, data);
    const delta = data.delta ?? "";
    const offset = data.offset ?? 0;
    const old = this.map.get(key);
    const size = old?.size ?? 0;
    // A hole. What we have is right as far as it goes; the server's next whole piece (offset 0) mends it.
    if (offset > size) return false;
    const kept = old ? head(old.text, offset, size) : "";
    this.#put(key, type, data, kept + delta, offset + codePoints(delta));
    return true;
  }

  /** The durable event that ends a stream. @param {string} type @param {any} data @returns {boolean} */
  end(type, data) {
    if (type === "message" || type === "thinking") return this.map.delete(streamKey(type, data));
    if (type === "tool_end") return this.map.delete(streamKey("tool_output", data));
    if (type !== "done") return false;
    let changed = false;
    for (const [key, stream] of this.map) {
      if (stream.runId === data.runId) changed = this.map.delete(key) || changed;
    }
    return changed;
  }

  /** After a gap: log lines have no offset, so they would come twice. */
  forgetLogs() {
    for (const [key, stream] of this.map) if (stream.kind === "log") this.map.delete(key);
  }

  /** @param {string} key @param {any} data */
  #log(key, data) {
    const old = this.map.get(key);
    const lines = [...(old?.lines ?? []), ...data.lines].slice(-LOG_LINES);
    const text = lines.join("\n");
    this.#put(key, "log", data, text, text.length, { lines, level: data.level, source: data.source });
    return true;
  }

  /** @param {string} key @param {string} kind @param {any} data @param {string} text @param {number} size @param {any} [more] */
  #put(key, kind, data, text, size, more) {
    this.pieces += 1;
    this.map.set(key, {
      kind,
      runId: data.runId ?? null,
      messageId: data.messageId ?? null,
      toolCallId: data.toolCallId ?? null,
      agentId: data.agentId ?? null,
      text,
      size,
      // Rises with every piece of the room: a view compares it to know whether to draw again.
      seq: this.pieces,
      ...more,
    });
  }
}
