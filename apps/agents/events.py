"""What agents do in a room: the shapes on the wire (protocol page, section 7).

Knows neither Django nor sockets.
"""

from __future__ import annotations

import enum
from typing import Any

from msgspec import field

from apps.core.events import EventClass, Payload, Struct, event
from apps.projects.events import ActorRef

DURABLE, LATEST, STREAM = EventClass.DURABLE, EventClass.LATEST, EventClass.STREAM


class AgentStatus(enum.StrEnum):
    """What an agent is doing."""

    SPAWNING = "spawning"
    IDLE = "idle"
    RUNNING = "running"
    WAITING = "waiting"
    PAUSED = "paused"
    STUCK = "stuck"
    OFFLINE = "offline"
    STOPPED = "stopped"
    FAILED = "failed"


class RunStatus(enum.StrEnum):
    """A run is open (``running``) or has ended in one of the other ways."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timedOut"
    REJECTED = "rejected"


class ToolKind(enum.StrEnum):
    """The kinds of tool calls (the Agent Client Protocol's list)."""

    READ = "read"
    EDIT = "edit"
    DELETE = "delete"
    MOVE = "move"
    SEARCH = "search"
    EXECUTE = "execute"
    THINK = "think"
    FETCH = "fetch"
    OTHER = "other"


class ToolStatus(enum.StrEnum):
    """How a tool call stands."""

    RUNNING = "running"
    SUCCESS = "success"
    ERROR = "error"
    DENIED = "denied"
    CANCELLED = "cancelled"
    TIMED_OUT = "timedOut"
    ABANDONED = "abandoned"


class Risk(enum.StrEnum):
    """How dangerous a step is; ``unknown`` is never less than anything."""

    UNKNOWN = "unknown"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class ApprovalKind(enum.StrEnum):
    """What is asked for."""

    TOOL = "tool"
    COMMAND = "command"
    PLAN = "plan"
    BUDGET = "budget"
    INPUT = "input"


class ApprovalState(enum.StrEnum):
    """How an approval stands; everything but ``pending`` is final."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EDITED = "edited"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"


class DecisionSource(enum.StrEnum):
    """Who or what resolved an approval."""

    USER = "user"
    RULE = "rule"
    TIMEOUT = "timeout"
    CANCEL = "cancel"


class FeedbackState(enum.StrEnum):
    """What became of a person's feedback, in the order in which it usually happens."""

    RECEIVED = "received"
    FORWARDED = "forwarded"
    DELIVERED = "delivered"
    CONSUMED = "consumed"
    APPLIED = "applied"
    REJECTED = "rejected"
    EXPIRED = "expired"
    FAILED = "failed"


class FeedbackMode(enum.StrEnum):
    """How feedback reaches a busy agent."""

    STEER = "steer"
    QUEUE = "queue"
    INTERRUPT = "interrupt"


class LinkState(enum.StrEnum):
    """The link between AutoCode and the agents-server."""

    CONNECTED = "connected"
    RECONNECTING = "reconnecting"
    DOWN = "down"


# --- parts ------------------------------------------------------------------------------------------------------


class ContextUse(Struct):
    """How full an agent's context is, in tokens."""

    used: int
    size: int


class Trigger(Struct):
    """Why a run started: ``kind`` is chat, feedback, task, plan or agent."""

    kind: str
    id: str | None = None
    by_user_id: str | None = None


class RunError(Struct):
    """Why a run or a call failed."""

    code: str
    message: str


class ToolTotals(Struct):
    """How a run's tool calls ended."""

    ok: int = 0
    error: int = 0
    denied: int = 0
    cancelled: int = 0
    abandoned: int = 0


class ModelUse(Struct):
    """Tokens and cost of one model."""

    model: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: str = "0"


class Budget(Struct):
    """``limit`` and ``spent`` are decimal strings in the currency of the usage; state ok, warn or exceeded."""

    limit: str
    spent: str
    state: str


class UsageTotals(Struct):
    """What a run used so far. Money is a decimal string."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    total_tokens: int = 0
    total_cost: str = "0"
    currency: str = "USD"
    per_model: list[ModelUse] = field(default_factory=list)
    budget: Budget | None = None


class Location(Struct):
    """A place in the workspace; ``line`` counts from 1."""

    path: str
    line: int | None = None


class FileDiff(Struct):
    """One changed file; ``operation`` is add, modify, delete or move."""

    path: str
    operation: str = "modify"
    old_path: str | None = None
    added: int = 0
    removed: int = 0


class Diff(Struct):
    """Changed files and a unified patch."""

    files: list[FileDiff] = field(default_factory=list)
    patch: str = ""


class ApprovalOption(Struct):
    """A ready answer that an agent offers."""

    id: str
    label: str
    kind: str = ""


class FeedbackTarget(Struct):
    """What feedback is about; all parts optional."""

    run_id: str | None = None
    agent_id: str | None = None
    task_id: str | None = None
    stage_id: str | None = None
    message_id: str | None = None
    plan_id: str | None = None
    tool_call_id: str | None = None
    path: str | None = None
    line: int | None = None


class FeedbackStep(Struct):
    """One state that a feedback reached."""

    state: FeedbackState
    at: str
    note: str = ""
    by_run_id: str | None = None


class FeedbackEffect(Struct):
    """A change that feedback caused: ``kind`` file, task, plan, stage or run; ``ref`` its path or id."""

    kind: str
    ref: str
    label: str = ""


# --- entities ---------------------------------------------------------------------------------------------------


class AgentView(Struct):
    """An agent of the project."""

    agent_id: str
    name: str
    role: str
    kind: str
    model: str
    parent_agent_id: str | None
    branch: str
    workspace: str
    capabilities: list[str]
    status: AgentStatus
    task_id: str | None
    activity: str
    progress: float | None
    context: ContextUse | None = None


class RunView(Struct):
    """One piece of work of one agent."""

    run_id: str
    agent_id: str
    status: RunStatus
    trigger: Trigger
    task_id: str | None
    started_at: str
    finished_at: str | None = None
    stop_reason: str = ""
    error: RunError | None = None
    tool_calls: ToolTotals | None = None
    usage: UsageTotals | None = None
    duration_ms: int | None = None
    seq: int = 0


class ToolCallView(Struct):
    """One tool call; its id is unique within its run only. ``result`` is cut; the whole is had over REST."""

    tool_call_id: str
    run_id: str
    agent_id: str
    tool: str
    kind: ToolKind
    title: str
    args: dict[str, Any]
    args_digest: str
    locations: list[Location]
    risk: Risk
    status: ToolStatus
    approval_id: str | None = None
    result: str = ""
    result_size: int = 0
    truncated: bool = False
    error: RunError | None = None
    diff: Diff | None = None
    duration_ms: int | None = None
    started_at: str = ""
    seq: int = 0


class ApprovalView(Struct):
    """A question to the people of the room and, once given, its answer."""

    approval_id: str
    run_id: str | None
    tool_call_id: str | None
    agent_id: str | None
    kind: ApprovalKind
    title: str
    tool: str
    args: dict[str, Any]
    args_digest: str
    risk: Risk
    reasons: list[str]
    allowed: list[str]
    options: list[ApprovalOption]
    required_role: str
    quorum: int
    expires_at: str | None
    on_timeout: str
    state: ApprovalState
    diff: Diff | None = None
    source: DecisionSource | None = None
    by: ActorRef | None = None
    reason: str = ""
    edited_args: dict[str, Any] | None = None
    decided_at: str | None = None
    applied_at: str | None = None
    requested_at: str = ""
    seq: int = 0


class FeedbackView(Struct):
    """A person's feedback to the agents and what became of it."""

    feedback_id: str
    author: ActorRef
    content: str
    target: FeedbackTarget
    mode: FeedbackMode
    rating: int | None
    state: FeedbackState
    by_run_id: str | None
    note: str
    effects: list[FeedbackEffect]
    steps: list[FeedbackStep]
    expires_at: str | None
    created_at: str
    seq: int = 0


class AgentMail(Struct):
    """A message among agents; ``kind`` is query, reply or broadcast."""

    id: str
    from_agent_id: str
    to_agent_id: str | None
    kind: str
    subject: str
    content: str
    at: str


# --- events -----------------------------------------------------------------------------------------------------


@event("agent_spawned", DURABLE, topic="agents")
class AgentSpawned(Payload):
    """An agent joined the work (or came back)."""

    agent: AgentView
    task_id: str | None = None
    run_id: str | None = None


@event("agent_status_update", DURABLE, LATEST, topic="agents")
class AgentStatusUpdate(Payload):
    """Durable when ``status`` changes; latest for progress and activity in between."""

    agent_id: str
    status: AgentStatus
    previous: AgentStatus | None
    task_id: str | None
    activity: str
    progress: float | None
    context: ContextUse | None = None


@event("agent_messages", DURABLE, topic="agents")
class AgentMessages(Payload):
    """Agents among themselves; ``unread`` is how many the receiver has not read."""

    messages: list[AgentMail]
    unread: int


@event("run_started", DURABLE, topic="runs")
class RunStarted(Payload):
    """A run began."""

    run_id: str
    agent_id: str
    trigger: Trigger
    task_id: str | None
    started_at: str


@event("done", DURABLE, topic="runs")
class Done(Payload):
    """A run ended: exactly one a run, and its last event."""

    run_id: str
    status: RunStatus
    stop_reason: str
    error: RunError | None
    tool_calls: ToolTotals
    usage: UsageTotals
    duration_ms: int
    finished_at: str


@event("tool_start", DURABLE, topic="runs")
class ToolStart(Payload):
    """A tool call began."""

    tool_call_id: str
    run_id: str
    agent_id: str
    tool: str
    kind: ToolKind
    title: str
    args: dict[str, Any]
    args_digest: str
    locations: list[Location]
    risk: Risk
    approval_id: str | None = None
    started_at: str = ""


@event("tool_output", STREAM, topic="runs")
class ToolOutput(Payload):
    """A piece of a running call's output at ``offset`` (code points; 0 replaces)."""

    tool_call_id: str
    run_id: str
    delta: str
    offset: int = 0


@event("tool_end", DURABLE, topic="runs")
class ToolEnd(Payload):
    """A tool call ended. ``result`` is cut when ``truncated``; ``result_size`` is its whole size in bytes."""

    tool_call_id: str
    run_id: str
    status: ToolStatus
    success: bool
    result: str
    result_size: int
    truncated: bool
    duration_ms: int
    error: RunError | None = None
    diff: Diff | None = None


@event("usage", LATEST, DURABLE, topic="runs")
class Usage(Payload):
    """What a run used so far; latest while it runs, durable at its end."""

    run_id: str
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    total_tokens: int
    total_cost: str
    currency: str
    per_model: list[ModelUse]
    budget: Budget | None = None


@event("approval_needed", DURABLE, topic="approvals")
class ApprovalNeeded(Payload):
    """An agent may not go on before somebody decides."""

    approval_id: str
    run_id: str | None
    tool_call_id: str | None
    agent_id: str | None
    kind: ApprovalKind
    title: str
    tool: str
    args: dict[str, Any]
    args_digest: str
    diff: Diff | None
    risk: Risk
    reasons: list[str]
    allowed: list[str]
    options: list[ApprovalOption]
    required_role: str
    quorum: int
    expires_at: str | None
    on_timeout: str
    requested_at: str = ""


@event("approval_resolved", DURABLE, topic="approvals")
class ApprovalResolved(Payload):
    """A decision was taken (``applied_at`` null) or was carried out by the agent (``applied_at`` set)."""

    approval_id: str
    state: ApprovalState
    source: DecisionSource
    by_user_id: str | None
    by: ActorRef | None
    reason: str
    edited_args: dict[str, Any] | None
    decided_at: str
    applied_at: str | None = None


@event("user_feedback_response", DURABLE, topic="feedback")
class UserFeedbackResponse(Payload):
    """A feedback reached a state; ``feedback`` is its after-image."""

    feedback_id: str
    state: FeedbackState
    at: str
    by_run_id: str | None
    note: str
    effects: list[FeedbackEffect]
    feedback: FeedbackView


class CoordinationAgent(Struct):
    """An agent as the coordination picture has it."""

    agent_id: str
    name: str
    status: str
    task_id: str | None = None


class CoordinationEdge(Struct):
    """How many messages went from one agent to another."""

    from_: str = field(name="from")
    to: str
    count: int


class Conflict(Struct):
    """Several agents at one path."""

    path: str
    agent_ids: list[str]
    severity: str


@event("coordination_update", LATEST, topic="agents")
class CoordinationUpdate(Payload):
    """Who works with whom, and where they are in each other's way."""

    agents: list[CoordinationAgent]
    edges: list[CoordinationEdge]
    stats: dict[str, int]
    conflicts: list[Conflict]


@event("agents_link", LATEST, topic="room")
class AgentsLink(Payload):
    """The truth about the link to the agents-server, for this project. Durations in the unit of the name."""

    state: LinkState
    since: str
    queued: int
    oldest_s: float
    lag_ms: int | None = None
    gap: str | None = None
    acks: bool = True
