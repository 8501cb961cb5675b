/** The API of the AutoCode client. The shapes on the wire are generated from the server's code: `wire.d.ts` (`manage.py client_types`). */

import type * as Wire from "./wire.js";

export type { Wire };

export type Status = "disconnected" | "connecting" | "connected" | "polling" | "offline" | "failed";

export interface ConnectionState {
  readonly status: Status;
  /** The status before this one. */
  readonly previous: Status | null;
  /** In words, fit to be shown; "" when all is well. */
  readonly reason: string;
  /** The close code (or 401), when there was one. */
  readonly code: number | null;
  /** When the next attempt is made: milliseconds since 1970. */
  readonly retryAt: number | null;
  /** Attempts since the last good connection. */
  readonly attempts: number;
}

export interface Envelope<T = any> {
  type: string;
  projectGuid: string | null;
  data: T;
  timestamp?: string;
  id?: string;
  /** Durable events only: the position in the project's log. */
  seq?: number;
  topic?: string;
  replyTo?: string;
}

export interface Timers {
  setTimeout(fn: () => void, ms: number): any;
  clearTimeout(id: any): void;
  now(): number;
  requestAnimationFrame?(fn: () => void): any;
  cancelAnimationFrame?(id: any): void;
}

export interface Page {
  hidden(): boolean;
  online(): boolean;
  listen(fn: (what: "visible" | "hidden" | "online" | "offline") => void): () => void;
}

export interface ClientOptions {
  /** Default: `/ws/` of the page's own origin. */
  url?: string;
  /** Default: `/api/v1`; null: never poll. */
  restUrl?: string | null;
  /** A token for the socket and for REST. `refresh`: the last one was refused. Without it the session cookie counts. */
  getToken?: (how: { refresh: boolean }) => string | null | Promise<string | null>;
  csrfToken?: string | (() => string | null) | null;
  /** Unsent messages are kept over a reload for this user only; without it they are not kept. */
  userId?: string | null;
  /** Milliseconds, as all times here. */
  minReconnectDelay?: number;
  maxReconnectDelay?: number;
  timeout?: number;
  maxQueue?: number;
  pollAfterFailures?: number;
  silentAfter?: number;
  storage?: Pick<Storage, "getItem" | "setItem" | "removeItem"> | null;
  WebSocket?: any;
  fetch?: typeof fetch;
  random?: () => number;
  timers?: Timers;
  page?: Page;
  debug?: boolean | ((...what: any[]) => void);
}

export interface RequestOptions {
  /** Default: a new UUID. The server carries an id out once. */
  id?: string;
  /** With `queue` none by default: it waits as long as it takes. */
  timeout?: number;
  signal?: AbortSignal;
  /** false: now or never. Default true. */
  queue?: boolean;
}

export interface PendingCommand {
  id: string;
  guid: string | null;
  type: string;
  data: any;
  state: "waiting" | "sent";
  /** Milliseconds since 1970. */
  at: number;
}

export interface QueueChange {
  guid: string | null;
  pending: PendingCommand[];
  /** The command that this is about; `restored`: from before a reload, so no promise tells its outcome. */
  command: { id: string; type: string; data: any; restored: boolean } | null;
  outcome: { data?: any; error?: CommandError } | null;
}

export interface ServerError {
  code: string;
  message: string;
  retryable?: boolean;
  retryAfterMs?: number | null;
  field?: string | null;
  details?: any;
  replyTo: string | null;
  projectGuid: string | null;
}

export type Notice =
  | { type: "token_expiring"; expiresAt: string }
  | { type: "server_draining"; retryAfterMs: number };

export interface ClientEvents {
  state: ConnectionState;
  /** An `error` frame that answers no request. */
  error: ServerError;
  notice: Notice;
  queue: QueueChange;
  message: Envelope;
}

export interface JoinOptions {
  topics?: string[];
  /** Where to go on; with `snapshot` both are read from it. */
  lastSeq?: number;
  epoch?: string;
  snapshot?: Wire.Snapshot;
}

export interface Stream {
  kind: "message" | "thinking" | "tool_output" | "log";
  runId: string | null;
  messageId: string | null;
  toolCallId: string | null;
  agentId: string | null;
  text: string;
  /** Length of `text` in code points. */
  size: number;
  /** Rises with every change. */
  seq: number;
  /** Logs only. */
  lines?: string[];
  level?: string;
  source?: string;
}

export interface LiveState {
  readonly presence: ReadonlyMap<string, any>;
  /** `message:<messageId>`, `thinking:<messageId>`, `tool_output:<runId>:<toolCallId>`, `log:…` */
  readonly streams: ReadonlyMap<string, Stream>;
  /** What is newer than `room.state.agents`; empty as soon as the state has caught up. */
  readonly agents: ReadonlyMap<string, any>;
  readonly usage: ReadonlyMap<string, any>;
  readonly coordination: any | null;
  readonly link: any | null;
}

export interface Change {
  /** The state was replaced by a snapshot: draw everything anew. `events` are those after it. */
  reset: boolean;
  /** Durable events, in order, each once. */
  events: Envelope[];
  /** Envelopes without a `seq`, and `project_joined` after every join. */
  live: Envelope[];
}

export interface RoomEvents {
  change: Change;
  event: Envelope;
  joined: any;
  left: { reason: string; code: string };
}

export interface Room extends AsyncIterable<Envelope> {
  readonly guid: string;
  /** Never changed in place: what is identical is unchanged. null before the first join. */
  readonly state: Wire.Snapshot | null;
  readonly live: LiveState;
  /** `project_joined` without its snapshot: role, permissions, members … */
  readonly info: any | null;
  readonly epoch: string | null;
  readonly lastSeq: number;
  readonly pending: PendingCommand[];
  ready(): Promise<Room>;
  on<K extends keyof RoomEvents>(name: K, fn: (value: RoomEvents[K]) => void): () => void;
  once<K extends keyof RoomEvents>(name: K, fn: (value: RoomEvents[K]) => void): () => void;
  off<K extends keyof RoomEvents>(name: K, fn: (value: RoomEvents[K]) => void): void;
  send(type: string, data?: any, options?: RequestOptions): Promise<any>;
  leave(): void;
  markRead(seq: number): void;
  typing(on?: boolean): void;
  focus(panes: string[], agentId?: string | null): void;
}
/** Rooms come from `client.join`; the class is exported for `instanceof`. */
export declare const Room: { readonly prototype: Room };

export declare class AutoCodeClient {
  constructor(options?: ClientOptions);
  readonly state: ConnectionState;
  readonly rooms: Room[];
  readonly pending: PendingCommand[];
  /** Round trip of the last ping, in milliseconds. */
  readonly latency: number | null;
  /** The server's clock minus ours, in milliseconds. */
  readonly clockSkew: number;
  connect(): Promise<AutoCodeClient>;
  close(): void;
  ready(timeout?: number): Promise<AutoCodeClient>;
  join(guid: string, options?: JoinOptions): Room;
  request(type: string, data?: any, options?: RequestOptions & { guid?: string | null }): Promise<any>;
  setUser(userId: string | null): void;
  on<K extends keyof ClientEvents>(name: K, fn: (value: ClientEvents[K]) => void): () => void;
  once<K extends keyof ClientEvents>(name: K, fn: (value: ClientEvents[K]) => void): () => void;
  off<K extends keyof ClientEvents>(name: K, fn: (value: ClientEvents[K]) => void): void;
}

/** A command was refused or not delivered. */
export declare class CommandError extends Error {
  readonly code: string;
  readonly field: string | null;
  readonly details: any;
  readonly retryable: boolean;
  readonly retryAfterMs: number | null;
}

/** The connection as a whole cannot be made. */
export declare class ConnectionError extends Error {
  readonly code: number | null;
}

/** The next snapshot; throws `RangeError` when the event is not the next one. */
export declare function fold(
  state: Wire.Snapshot,
  event: { type: string; seq: number; timestamp: string; data: any },
): Wire.Snapshot;
