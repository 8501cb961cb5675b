/**
 * The wire protocol `autocode.v1`, generated from the server's own classes by `manage.py client_types`. Do not edit.
 */

/** One message. `seq` is set on durable events alone, `replyTo` on answers alone. */
export interface Envelope<T extends string = string, D = unknown> {
  type: T;
  projectGuid: string | null;
  data: D;
  timestamp: string;
  id: string;
  seq?: number;
  topic?: string;
  replyTo?: string;
}

/** An actor as shown: `kind` is person, agent or system; `id` is a user's UUID or an agent's `agentId`. */
export interface ActorRef {
  kind: string;
  id: string;
  name: string;
  role?: string;
}

/** How a text is written. */
export type TextFormat = "markdown" | "text";

/** An agent's word to the people of the room, outside a token stream. */
export interface AgentMessage {
  messageId: string;
  agentId: string;
  author: ActorRef;
  content: string;
  html: string;
  format: TextFormat;
  question?: boolean;
  runId?: string | null;
  replyToId?: string | null;
}

/** A message among agents; `kind` is query, reply or broadcast. */
export interface AgentMail {
  id: string;
  fromAgentId: string;
  toAgentId: string | null;
  kind: string;
  subject: string;
  content: string;
  at: string;
}

/** Agents among themselves; `unread` is how many the receiver has not read. */
export interface AgentMessages {
  messages: AgentMail[];
  unread: number;
}

/** What an agent is doing. */
export type AgentStatus = "spawning" | "idle" | "running" | "waiting" | "paused" | "stuck" | "offline" | "stopped" | "failed";

/** How full an agent's context is, in tokens. */
export interface ContextUse {
  used: number;
  size: number;
}

/** An agent of the project. */
export interface AgentView {
  agentId: string;
  name: string;
  role: string;
  kind: string;
  model: string;
  parentAgentId: string | null;
  branch: string;
  workspace: string;
  capabilities: string[];
  status: AgentStatus;
  taskId: string | null;
  activity: string;
  progress: number | null;
  context?: ContextUse | null;
}

/** An agent joined the work (or came back). */
export interface AgentSpawned {
  agent: AgentView;
  taskId?: string | null;
  runId?: string | null;
}

/** Durable when `status` changes; latest for progress and activity in between. */
export interface AgentStatusUpdate {
  agentId: string;
  status: AgentStatus;
  previous: AgentStatus | null;
  taskId: string | null;
  activity: string;
  progress: number | null;
  context?: ContextUse | null;
}

/** The link between AutoCode and the agents-server. */
export type LinkState = "connected" | "reconnecting" | "down";

/** The truth about the link to the agents-server, for this project. Durations in the unit of the name. */
export interface AgentsLink {
  state: LinkState;
  since: string;
  queued: number;
  oldestS: number;
  lagMs?: number | null;
  gap?: string | null;
  acks?: boolean;
}

/** What is asked for. */
export type ApprovalKind = "tool" | "command" | "plan" | "budget" | "input";

/** One changed file; `operation` is add, modify, delete or move. */
export interface FileDiff {
  path: string;
  operation?: string;
  oldPath?: string | null;
  added?: number;
  removed?: number;
}

/** Changed files and a unified patch. */
export interface Diff {
  files?: FileDiff[];
  patch?: string;
}

/** How dangerous a step is; `unknown` is never less than anything. */
export type Risk = "unknown" | "low" | "medium" | "high" | "critical";

/** A ready answer that an agent offers. */
export interface ApprovalOption {
  id: string;
  label: string;
  kind?: string;
}

/** An agent may not go on before somebody decides. */
export interface ApprovalNeeded {
  approvalId: string;
  runId: string | null;
  toolCallId: string | null;
  agentId: string | null;
  kind: ApprovalKind;
  title: string;
  tool: string;
  args: Record<string, unknown>;
  argsDigest: string;
  diff: Diff | null;
  risk: Risk;
  reasons: string[];
  allowed: string[];
  options: ApprovalOption[];
  requiredRole: string;
  quorum: number;
  expiresAt: string | null;
  onTimeout: string;
  requestedAt?: string;
}

/** How an approval stands; everything but `pending` is final. */
export type ApprovalState = "pending" | "approved" | "rejected" | "edited" | "expired" | "cancelled" | "superseded";

/** Who or what resolved an approval. */
export type DecisionSource = "user" | "rule" | "timeout" | "cancel";

/** A decision was taken (`applied_at` null) or was carried out by the agent (`applied_at` set). */
export interface ApprovalResolved {
  approvalId: string;
  state: ApprovalState;
  source: DecisionSource;
  byUserId: string | null;
  by: ActorRef | null;
  reason: string;
  editedArgs: Record<string, unknown> | null;
  decidedAt: string;
  appliedAt?: string | null;
}

/** An agent as the coordination picture has it. */
export interface CoordinationAgent {
  agentId: string;
  name: string;
  status: string;
  taskId?: string | null;
}

/** How many messages went from one agent to another. */
export interface CoordinationEdge {
  from: string;
  to: string;
  count: number;
}

/** Several agents at one path. */
export interface Conflict {
  path: string;
  agentIds: string[];
  severity: string;
}

/** Who works with whom, and where they are in each other's way. */
export interface CoordinationUpdate {
  agents: CoordinationAgent[];
  edges: CoordinationEdge[];
  stats: Record<string, number>;
  conflicts: Conflict[];
}

/** A run is open (`running`) or has ended in one of the other ways. */
export type RunStatus = "running" | "completed" | "failed" | "cancelled" | "timedOut" | "rejected";

/** Why a run or a call failed. */
export interface RunError {
  code: string;
  message: string;
}

/** How a run's tool calls ended. */
export interface ToolTotals {
  ok?: number;
  error?: number;
  denied?: number;
  cancelled?: number;
  abandoned?: number;
}

/** Tokens and cost of one model. */
export interface ModelUse {
  model: string;
  promptTokens?: number;
  completionTokens?: number;
  cost?: string;
}

/** `limit` and `spent` are decimal strings in the currency of the usage; state ok, warn or exceeded. */
export interface Budget {
  limit: string;
  spent: string;
  state: string;
}

/** What a run used so far. Money is a decimal string. */
export interface UsageTotals {
  promptTokens?: number;
  completionTokens?: number;
  cachedTokens?: number;
  totalTokens?: number;
  totalCost?: string;
  currency?: string;
  perModel?: ModelUse[];
  budget?: Budget | null;
}

/** A run ended: exactly one a run, and its last event. */
export interface Done {
  runId: string;
  status: RunStatus;
  stopReason: string;
  error: RunError | null;
  toolCalls: ToolTotals;
  usage: UsageTotals;
  durationMs: number;
  finishedAt: string;
}

/** Whether others may hold a lock on the same path. */
export type LockMode = "exclusive" | "shared";

/** Somebody who waits for a lock. */
export interface LockWaiter {
  kind: string;
  id: string;
  name: string;
}

/** A file lock. `path` is relative to the workspace. */
export interface LockView {
  path: string;
  mode: LockMode;
  holder: ActorRef;
  taskId: string | null;
  reason: string;
  acquiredAt: string;
  expiresAt: string | null;
  waiters?: LockWaiter[];
}

/** What happened to one lock: acquired, released, expired or stolen. */
export interface LockChange {
  path: string;
  op: string;
}

/** The whole set of locks, also when it becomes empty; `version` rises by 1 each time. */
export interface FileLocksUpdate {
  version: number;
  locks: LockView[];
  changed: LockChange[];
}

/** Levels of agents' log lines; from `warning` up they are durable. */
export type LogLevel = "debug" | "info" | "warning" | "error";

/** Lines of an agent's log; durable from warning up. */
export interface LogLines {
  level: LogLevel;
  source: string;
  lines: string[];
  runId?: string | null;
  toolCallId?: string | null;
}

/** Somebody joined the project, changed role or was removed (`role` null). */
export interface MemberChanged {
  userId: string;
  username: string;
  role: string | null;
  previous?: string | null;
}

/**
 * An agent's text inside a run: pieces (`op` start, delta) as a stream, then `end` as a durable event.
 *
 * `offset` is the position of `delta` in the text, in code points; a piece with offset 0 replaces what was there.
 * All pieces and the end share one `message_id`.
 */
export interface RunText {
  messageId: string;
  runId: string;
  agentId: string;
  role?: string;
  op?: string;
  delta?: string | null;
  offset?: number;
  content?: string | null;
  html?: string | null;
  format?: TextFormat;
  final?: boolean;
  replyToId?: string | null;
  author?: ActorRef | null;
}

/** How loud a notification is. */
export type Severity = "info" | "warning" | "error";

/** What a notification is about. */
export type NotificationKind = "approval" | "mention" | "done" | "failed" | "budget" | "stuck" | "lock";

/** Something that a person should look at. */
export interface Notification {
  notificationId: string;
  severity: Severity;
  kind: NotificationKind;
  title: string;
  body: string;
  link: string;
  userId?: string | null;
  expiresAt?: string | null;
}

/** One step of a plan. */
export interface PlanItem {
  key: string;
  title: string;
  status?: string;
  dependsOn?: string[];
}

/** The life of a plan. */
export type PlanState = "draft" | "inReview" | "approved" | "superseded";

/** A plan; a newer one supersedes it. */
export interface PlanView {
  planId: string;
  version: number;
  title: string;
  format: string;
  items: PlanItem[];
  state: PlanState;
  supersedes?: string | null;
  at?: string;
}

/** A plan was made, changed or approved. */
export interface PlanGenerated {
  plan: PlanView;
  supersedes?: string | null;
}

/** A message mirrored from or to another platform (chat, mail). */
export interface PlatformMessage {
  messageId: string;
  platform: string;
  channelId: string;
  externalId: string;
  direction: string;
  author: ActorRef;
  content: string;
  html: string;
}

/** What somebody looks at: names of panes, and an agent. */
export interface Focus {
  panes?: string[];
  agentId?: string | null;
}

/** Somebody who has the room open; `tabs` counts connections, `since` is the oldest one's beginning. */
export interface PresenceMember {
  userId: string;
  username: string;
  role: string;
  tabs: number;
  state: string;
  since: string;
  focus?: Focus | null;
  typing?: boolean;
}

/** Members that came or changed (whole), and the ids of users who left. */
export interface PresenceDiff {
  joined: PresenceMember[];
  left: string[];
}

/** Everybody who has the room open. */
export interface PresenceState {
  members: PresenceMember[];
}

/** Who speaks in a message. */
export type MessageKind = "user" | "agent" | "system";

/** A reference that came with a chat message. `url` is http(s) only. */
export interface AttachmentView {
  name: string;
  url: string;
}

/** A person or the system said something in the room. */
export interface ProjectMessage {
  messageId: string;
  kind: MessageKind;
  author: ActorRef;
  content: string;
  html: string;
  format: TextFormat;
  replyToId?: string | null;
  runId?: string | null;
  agentId?: string | null;
  hasQuestion?: boolean;
  waitingUserResponse?: boolean;
  attachments?: AttachmentView[];
}

/** Where a stage stands. */
export type StageStatus = "pending" | "inProgress" | "waitingUser" | "paused" | "done" | "failed" | "skipped";

/** A stage: one chapter of the work. `progress` is 0-1. */
export interface StageView {
  stageId: string;
  key: string;
  name: string;
  position: number;
  status: StageStatus;
  progress: number;
  summary: string;
  failedReason: string;
  startedAt: string | null;
  finishedAt: string | null;
  version: number;
}

/** A stage was made or changed; `previous` is its status before (null for a new one). */
export interface ProjectStageUpdate {
  stage: StageView;
  previous?: StageStatus | null;
}

/** Where a project stands. */
export type ProjectStatus = "draft" | "inProgress" | "waitingUser" | "paused" | "done" | "failed" | "cancelled" | "archived";

/** The project's status changed. */
export interface ProjectStatusChange {
  status: ProjectStatus;
  previous: ProjectStatus;
  reason: string;
  by: ActorRef;
}

/** A project as every client sees it. Times are RFC 3339. */
export interface ProjectView {
  guid: string;
  name: string;
  description: string;
  brief: string;
  status: ProjectStatus;
  statusReason: string;
  createdAt: string;
}

/** Name, description or brief changed; also the first event of every log. */
export interface ProjectUpdated {
  project: ProjectView;
}

/** Why a run started: `kind` is chat, feedback, task, plan or agent. */
export interface Trigger {
  kind: string;
  id?: string | null;
  byUserId?: string | null;
}

/** A run began. */
export interface RunStarted {
  runId: string;
  agentId: string;
  trigger: Trigger;
  taskId: string | null;
  startedAt: string;
}

/** Live figures of one process; for staff, by the topic `system/stats`. */
export interface SystemStats {
  process: string;
  figures: Record<string, unknown>;
}

/** The columns of the task board. */
export type TaskStatus = "todo" | "doing" | "blocked" | "review" | "done" | "cancelled";

/** How urgent a task is. */
export type TaskPriority = "low" | "normal" | "high" | "urgent";

/** A work item on the board. `depends_on` holds `taskId`s; `version` rises by 1 with each change. */
export interface TaskView {
  taskId: string;
  number: number;
  title: string;
  description: string;
  status: TaskStatus;
  priority: TaskPriority;
  assignee: ActorRef | null;
  dependsOn: string[];
  files: string[];
  branch: string;
  position: number;
  version: number;
  createdAt: string;
  updatedAt: string;
}

/** A task appeared on the board. */
export interface TaskCreated {
  task: TaskView;
}

/** A task was removed. */
export interface TaskDeleted {
  taskId: string;
  number: number;
  title: string;
}

/** A task moved to another column. */
export interface TaskStatusChanged {
  taskId: string;
  from: TaskStatus;
  to: TaskStatus;
  reason: string;
  task: TaskView;
}

/** Fields of a task changed; `changes` holds only those, `task` the whole after-image. */
export interface TaskUpdated {
  task: TaskView;
  changes: Record<string, unknown>;
}

/** Tasks went back to `todo`. `tasks` are their after-images. */
export interface TasksReset {
  scope: string;
  count: number;
  taskIds: string[];
  tasks: TaskView[];
}

/** An agent's reasoning: pieces as a stream, then the whole as a durable event (`final`). */
export interface Thinking {
  messageId: string;
  runId: string;
  agentId: string;
  delta?: string | null;
  offset?: number;
  content?: string | null;
  final?: boolean;
  redacted?: boolean;
  durationMs?: number | null;
  author?: ActorRef | null;
}

/** How a tool call stands. */
export type ToolStatus = "running" | "success" | "error" | "denied" | "cancelled" | "timedOut" | "abandoned";

/** A tool call ended. `result` is cut when `truncated`; `result_size` is its whole size in bytes. */
export interface ToolEnd {
  toolCallId: string;
  runId: string;
  status: ToolStatus;
  success: boolean;
  result: string;
  resultSize: number;
  truncated: boolean;
  durationMs: number;
  error?: RunError | null;
  diff?: Diff | null;
}

/** A piece of a running call's output at `offset` (code points; 0 replaces). */
export interface ToolOutput {
  toolCallId: string;
  runId: string;
  delta: string;
  offset?: number;
}

/** The kinds of tool calls (the Agent Client Protocol's list). */
export type ToolKind = "read" | "edit" | "delete" | "move" | "search" | "execute" | "think" | "fetch" | "other";

/** A place in the workspace; `line` counts from 1. */
export interface Location {
  path: string;
  line?: number | null;
}

/** A tool call began. */
export interface ToolStart {
  toolCallId: string;
  runId: string;
  agentId: string;
  tool: string;
  kind: ToolKind;
  title: string;
  args: Record<string, unknown>;
  argsDigest: string;
  locations: Location[];
  risk: Risk;
  approvalId?: string | null;
  startedAt?: string;
}

/** What a run used so far; latest while it runs, durable at its end. */
export interface Usage {
  runId: string;
  promptTokens: number;
  completionTokens: number;
  cachedTokens: number;
  totalTokens: number;
  totalCost: string;
  currency: string;
  perModel: ModelUse[];
  budget?: Budget | null;
}

/** What became of a person's feedback, in the order in which it usually happens. */
export type FeedbackState = "received" | "forwarded" | "delivered" | "consumed" | "applied" | "rejected" | "expired" | "failed";

/** A change that feedback caused: `kind` file, task, plan, stage or run; `ref` its path or id. */
export interface FeedbackEffect {
  kind: string;
  ref: string;
  label?: string;
}

/** What feedback is about; all parts optional. */
export interface FeedbackTarget {
  runId?: string | null;
  agentId?: string | null;
  taskId?: string | null;
  stageId?: string | null;
  messageId?: string | null;
  planId?: string | null;
  toolCallId?: string | null;
  path?: string | null;
  line?: number | null;
}

/** How feedback reaches a busy agent. */
export type FeedbackMode = "steer" | "queue" | "interrupt";

/** One state that a feedback reached. */
export interface FeedbackStep {
  state: FeedbackState;
  at: string;
  note?: string;
  byRunId?: string | null;
}

/** A person's feedback to the agents and what became of it. */
export interface FeedbackView {
  feedbackId: string;
  author: ActorRef;
  content: string;
  target: FeedbackTarget;
  mode: FeedbackMode;
  rating: number | null;
  state: FeedbackState;
  byRunId: string | null;
  note: string;
  effects: FeedbackEffect[];
  steps: FeedbackStep[];
  expiresAt: string | null;
  createdAt: string;
  seq?: number;
}

/** A feedback reached a state; `feedback` is its after-image. */
export interface UserFeedbackResponse {
  feedbackId: string;
  state: FeedbackState;
  at: string;
  byRunId: string | null;
  note: string;
  effects: FeedbackEffect[];
  feedback: FeedbackView;
}

/**
 * A command was carried out. `duplicate`: it had been before, and this is what it was answered then.
 *
 * `seq` is the position of the event that it caused, if it caused one.
 */
export interface Ack {
  seq?: number | null;
  duplicate?: boolean;
  messageId?: string | null;
  taskId?: string | null;
  runId?: string | null;
  approvalId?: string | null;
}

/** Ping every `interval_ms` (give or take 10 %); after interval + grace without a frame the socket is dead. */
export interface Heartbeat {
  intervalMs: number;
  graceMs: number;
}

/** Who is on this connection, until when; also the answer to a renewal. */
export interface Authenticated {
  userId: string;
  username: string;
  expiresAt: string;
  heartbeat?: Heartbeat | null;
}

/** About a command or the connection, never the result of a run (protocol page, section 6). */
export interface ErrorNotice {
  code: string;
  message: string;
  retryable: boolean;
  retryAfterMs?: number | null;
  field?: string | null;
  details?: Record<string, unknown> | null;
}

/** `t` as it came; `rooms` has the last position of each joined room. */
export interface Pong {
  t: unknown;
  serverTime: string;
  rooms: Record<string, number>;
}

/** By which event a message came into the room; the page draws each in its own way. */
export type MessageSource = "project_message" | "agent_message" | "message" | "thinking" | "platform_message";

/** A finished message, whatever event brought it. `html` is safe to insert; empty for plain text. */
export interface MessageView {
  messageId: string;
  source: MessageSource;
  kind: MessageKind;
  author: ActorRef;
  content: string;
  html: string;
  format: TextFormat;
  replyToId?: string | null;
  runId?: string | null;
  agentId?: string | null;
  hasQuestion?: boolean;
  waitingUserResponse?: boolean;
  redacted?: boolean;
  durationMs?: number | null;
  platform?: string | null;
  channelId?: string | null;
  externalId?: string | null;
  direction?: string | null;
  attachments?: AttachmentView[];
  at?: string;
  seq?: number;
}

/** The whole set of file locks and its version. */
export interface Locks {
  version?: number;
  locks?: LockView[];
}

/** One piece of work of one agent. */
export interface RunView {
  runId: string;
  agentId: string;
  status: RunStatus;
  trigger: Trigger;
  taskId: string | null;
  startedAt: string;
  finishedAt?: string | null;
  stopReason?: string;
  error?: RunError | null;
  toolCalls?: ToolTotals | null;
  usage?: UsageTotals | null;
  durationMs?: number | null;
  seq?: number;
}

/** One tool call; its id is unique within its run only. `result` is cut; the whole is had over REST. */
export interface ToolCallView {
  toolCallId: string;
  runId: string;
  agentId: string;
  tool: string;
  kind: ToolKind;
  title: string;
  args: Record<string, unknown>;
  argsDigest: string;
  locations: Location[];
  risk: Risk;
  status: ToolStatus;
  approvalId?: string | null;
  result?: string;
  resultSize?: number;
  truncated?: boolean;
  error?: RunError | null;
  diff?: Diff | null;
  durationMs?: number | null;
  startedAt?: string;
  seq?: number;
}

/** A question to the people of the room and, once given, its answer. */
export interface ApprovalView {
  approvalId: string;
  runId: string | null;
  toolCallId: string | null;
  agentId: string | null;
  kind: ApprovalKind;
  title: string;
  tool: string;
  args: Record<string, unknown>;
  argsDigest: string;
  risk: Risk;
  reasons: string[];
  allowed: string[];
  options: ApprovalOption[];
  requiredRole: string;
  quorum: number;
  expiresAt: string | null;
  onTimeout: string;
  state: ApprovalState;
  diff?: Diff | null;
  source?: DecisionSource | null;
  by?: ActorRef | null;
  reason?: string;
  editedArgs?: Record<string, unknown> | null;
  decidedAt?: string | null;
  appliedAt?: string | null;
  requestedAt?: string;
  seq?: number;
}

/** A notice for one person (`user_id`) or, when that is null, for the room. Addressed, not secret. */
export interface NotificationView {
  notificationId: string;
  userId: string | null;
  severity: Severity;
  kind: NotificationKind;
  title: string;
  body: string;
  link: string;
  expiresAt: string | null;
  at?: string;
  seq?: number;
}

/** An event as it stands in the log, for the timeline. */
export interface ActivityItem {
  seq: number;
  type: string;
  timestamp: string;
  data: Record<string, unknown>;
}

/** A durable log entry and its place. */
export interface LogItem {
  seq: number;
  at: string;
  log: LogLines;
}

/** The sum over all ended runs. Money is a decimal string. */
export interface TotalUsage {
  promptTokens?: number;
  completionTokens?: number;
  totalTokens?: number;
  totalCost?: string;
  currency?: string;
  runs?: number;
}

/** Everything that a room shows, exact at `last_seq`. */
export interface Snapshot {
  project: ProjectView;
  epoch: string;
  lastSeq: number;
  stages?: StageView[];
  messages?: MessageView[];
  tasks?: TaskView[];
  plan?: PlanView | null;
  locks?: Locks;
  agents?: AgentView[];
  runs?: RunView[];
  toolCalls?: ToolCallView[];
  approvals?: ApprovalView[];
  feedback?: FeedbackView[];
  notifications?: NotificationView[];
  activity?: ActivityItem[];
  logs?: LogItem[];
  usage?: TotalUsage;
}

/**
 * A room was joined, or its state must be taken anew.
 *
 * `recovered`: the events after the client's `lastSeq` follow; otherwise `reason` (first_join, epoch_changed,
 * trimmed, too_many) and a `snapshot` that is exact at `last_seq`.
 */
export interface ProjectJoined {
  epoch: string;
  lastSeq: number;
  recovered: boolean;
  role: string;
  permissions: string[];
  userId: string;
  username: string;
  readSeq: number;
  presence: PresenceMember[];
  heartbeat: Heartbeat;
  reason?: string | null;
  link?: AgentsLink | null;
  snapshot?: Snapshot | null;
}

/** No frame of this project follows. `reason`: left, or removed. */
export interface ProjectLeft {
  reason: string;
}

/** The server is about to close this socket; come back after `retry_after_ms`. */
export interface ServerDraining {
  retryAfterMs: number;
}

/** The topics of this connection now. `last_seq` is the room's position for a topic of a room. */
export interface Subscribed {
  topics: string[];
  lastSeq?: number | null;
}

/** Send `authenticate` with a new token before `expires_at`. */
export interface TokenExpiring {
  expiresAt: string;
}

/** The topics of this connection now. */
export interface Unsubscribed {
  topics: string[];
}

/** The answers that an approval may allow. */
export type Decision = "approve" | "reject" | "edit";

/** How long a consent is remembered. */
export type RuleScope = "once" | "run" | "project";

/** What a remembered consent covers. */
export type RuleMatch = "tool" | "exact";

/** Have the next ones decided alike. `ttlS`: seconds, 30 days at most. */
export interface RememberWish {
  scope?: RuleScope;
  match?: RuleMatch;
  ttlS?: number | null;
}

/**
 * Approve, reject or edit. `argsDigest` is that of the arguments that were shown.
 *
 * `approved` (true or false) stands for `decision` on arrival.
 */
export interface ApprovalCommand {
  approvalId: string;
  argsDigest: string;
  decision?: Decision | null;
  editedArgs?: Record<string, unknown> | null;
  reason?: string;
  remember?: RememberWish | null;
  approved?: boolean;
}

/** Show an access token; on a socket that is logged in it renews, for the same user only. */
export interface AuthenticateCommand {
  token: string;
}

/** Whether a run may finish its step. */
export type CancelMode = "soft" | "hard";

/** Stop a run, the runs of an agent, or (neither given) all runs. */
export interface CancelCommand {
  runId?: string | null;
  agentId?: string | null;
  mode?: CancelMode;
  reason?: string;
}

/** What happens when the agent is busy. */
export type OnBusy = "reject" | "queue" | "interrupt" | "steer";

/** Say something in the room; with `agentId` to an agent. */
export interface ChatCommand {
  message: string;
  agentId?: string | null;
  replyToId?: string | null;
  onBusy?: OnBusy;
  attachments?: AttachmentView[];
  messageId?: string | null;
}

/** Put a task on the board. A `taskId` of the sender's own is allowed. */
export interface CreateTaskCommand {
  title: string;
  description?: string;
  status?: TaskStatus;
  priority?: TaskPriority;
  assignee?: ActorRef | null;
  dependsOn?: string[] | null;
  files?: string[] | null;
  branch?: string;
  taskId?: string | null;
}

/** Take a task off the board. */
export interface DeleteTaskCommand {
  taskId: string;
  version?: number | null;
}

/** The panes that are in view; none means that the page is hidden. */
export interface FocusOnCommand {
  panes: string[];
  agentId?: string | null;
}

/** Open a room. With `lastSeq` and `epoch` the missed events follow; `topics` limits what is never stored. */
export interface JoinProjectCommand {
  lastSeq?: number | null;
  epoch?: string | null;
  topics?: string[] | null;
}

/** Leave a room. */
export interface LeaveProjectCommand {}

/** The user has read up to `seq`. */
export interface MarkReadCommand {
  seq: number;
}

/** Ask for a sign of life; `t` comes back as it is. */
export interface PingCommand {
  t?: number | string | null;
}

/** Put these tasks, or all, back to `todo`. */
export interface ResetTasksCommand {
  taskIds?: string[] | null;
}

/** Ask for what follows `afterSeq` once more. */
export interface ResyncCommand {
  afterSeq: number;
}

/** Move a task to another column. */
export interface SetTaskStatusCommand {
  taskId: string;
  status: TaskStatus;
  version?: number | null;
  position?: number | null;
  reason?: string;
}

/** `project:<guid>/<name>` or `system/stats`. */
export interface TopicRequestCommand {
  topic: string;
}

/** Ends by itself after some seconds. */
export interface TypingCommand {
  on: boolean;
}

/** Change fields; those that are absent stay, and `assignee: null` unassigns. */
export interface UpdateTaskCommand {
  taskId: string;
  version?: number | null;
  title?: string | null;
  description?: string | null;
  priority?: TaskPriority | null;
  assignee?: ActorRef | null;
  dependsOn?: string[] | null;
  files?: string[] | null;
  branch?: string | null;
  position?: number | null;
}

/** Tell an agent what to change. */
export interface UserFeedbackCommand {
  content: string;
  target?: FeedbackTarget;
  mode?: FeedbackMode;
  rating?: number | null;
  expiresAt?: string | null;
  feedbackId?: string | null;
}

/** What a room shows, by type. */
export interface Events {
  agent_message: AgentMessage;
  agent_messages: AgentMessages;
  agent_spawned: AgentSpawned;
  agent_status_update: AgentStatusUpdate;
  agents_link: AgentsLink;
  approval_needed: ApprovalNeeded;
  approval_resolved: ApprovalResolved;
  coordination_update: CoordinationUpdate;
  done: Done;
  file_locks_update: FileLocksUpdate;
  log: LogLines;
  member_changed: MemberChanged;
  message: RunText;
  notification: Notification;
  plan_generated: PlanGenerated;
  platform_message: PlatformMessage;
  presence_diff: PresenceDiff;
  presence_state: PresenceState;
  project_message: ProjectMessage;
  project_stage_update: ProjectStageUpdate;
  project_status_change: ProjectStatusChange;
  project_updated: ProjectUpdated;
  run_started: RunStarted;
  system_stats: SystemStats;
  task_created: TaskCreated;
  task_deleted: TaskDeleted;
  task_status_changed: TaskStatusChanged;
  task_updated: TaskUpdated;
  tasks_reset: TasksReset;
  thinking: Thinking;
  tool_end: ToolEnd;
  tool_output: ToolOutput;
  tool_start: ToolStart;
  usage: Usage;
  user_feedback_response: UserFeedbackResponse;
}

/** Types that are in the log and have a `seq`. */
export type DurableType = 
  | "agent_message"
  | "agent_messages"
  | "agent_spawned"
  | "agent_status_update"
  | "approval_needed"
  | "approval_resolved"
  | "done"
  | "file_locks_update"
  | "log"
  | "member_changed"
  | "message"
  | "notification"
  | "plan_generated"
  | "platform_message"
  | "project_message"
  | "project_stage_update"
  | "project_status_change"
  | "project_updated"
  | "run_started"
  | "task_created"
  | "task_deleted"
  | "task_status_changed"
  | "task_updated"
  | "tasks_reset"
  | "thinking"
  | "tool_end"
  | "tool_start"
  | "usage"
  | "user_feedback_response";

/** What the server answers or says to one connection, by type. */
export interface Replies {
  ack: Ack;
  authenticated: Authenticated;
  error: ErrorNotice;
  pong: Pong;
  project_joined: ProjectJoined;
  project_left: ProjectLeft;
  server_draining: ServerDraining;
  subscribed: Subscribed;
  token_expiring: TokenExpiring;
  unsubscribed: Unsubscribed;
}

/** What a client sends, by type. */
export interface Commands {
  approval: ApprovalCommand;
  authenticate: AuthenticateCommand;
  cancel: CancelCommand;
  chat: ChatCommand;
  create_task: CreateTaskCommand;
  delete_task: DeleteTaskCommand;
  focus: FocusOnCommand;
  join_project: JoinProjectCommand;
  leave_project: LeaveProjectCommand;
  mark_read: MarkReadCommand;
  ping: PingCommand;
  reset_tasks: ResetTasksCommand;
  resync: ResyncCommand;
  set_task_status: SetTaskStatusCommand;
  subscribe: TopicRequestCommand;
  typing: TypingCommand;
  unsubscribe: TopicRequestCommand;
  update_task: UpdateTaskCommand;
  user_feedback: UserFeedbackCommand;
}

/** What answers a command; `never`: nothing does. */
export interface CommandReplies {
  approval: "ack";
  authenticate: "authenticated";
  cancel: "ack";
  chat: "ack";
  create_task: "ack";
  delete_task: "ack";
  focus: never;
  join_project: "project_joined";
  leave_project: "project_left";
  mark_read: never;
  ping: "pong";
  reset_tasks: "ack";
  resync: "project_joined";
  set_task_status: "ack";
  subscribe: "subscribed";
  typing: never;
  unsubscribe: "unsubscribed";
  update_task: "ack";
  user_feedback: "user_feedback_response";
}

/** The codes of errors. */
export type ErrorCode = 
  | "agents_unavailable"
  | "already_decided"
  | "conflict"
  | "duplicate_in_progress"
  | "expired"
  | "forbidden"
  | "internal"
  | "invalid_field"
  | "invalid_message"
  | "malformed_json"
  | "not_authenticated"
  | "not_found"
  | "not_joined"
  | "rate_limited"
  | "token_expired"
  | "too_deep"
  | "too_large"
  | "unavailable"
  | "unknown_type";

/** The codes with which the server closes. */
export type CloseCode =
  /** the server is being restarted */
  | 4101
  /** the client reads too slowly */
  | 4102
  /** the position in the room was lost; join again */
  | 4103
  /** nothing was heard from the client */
  | 4104
  /** the connection is old; open a new one */
  | 4105
  /** the server has too much to do */
  | 4201
  /** too many messages */
  | 4202
  /** the token has expired */
  | 4301
  /** no login within the time allowed */
  | 4302
  /** too many malformed messages */
  | 4400
  /** the credentials are not good */
  | 4401
  /** no longer a member */
  | 4403
  /** too many connections */
  | 4408
  /** logged out, or the user was disabled */
  | 4409
  /** no common subprotocol */
  | 4410;

/** Any event of a room. */
export type RoomEvent = { [T in keyof Events]: Envelope<T, Events[T]> }[keyof Events];

/** Any reply. */
export type Reply = { [T in keyof Replies]: Envelope<T, Replies[T]> }[keyof Replies];
