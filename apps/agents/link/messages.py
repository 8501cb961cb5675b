"""What an agents-server may send: one struct for each type.

The reverse direction stands in ``apps/agents/commands.py`` and is published from here too; hello, welcome, ack and nack
stand in ``control``.

Envelope both ways: ``{"type", "id", "projectGuid", "data", "timestamp"?, "offset"?}``. Every ``id`` is chosen by its
sender; an agents-server's ``id`` makes a message idempotent. Ids inside ``data`` (``agentId``, ``runId`` …) are the
agents-server's own: 1-64 of ``[A-Za-z0-9._:-]``, unique in the project (``toolCallId``: in its run). Knows neither
Django nor sockets.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, field

from apps.agents import events as a
from apps.agents.commands import (
    OUTBOUND as OUTBOUND,
)
from apps.agents.commands import (
    ApprovalResponse as ApprovalResponse,
)
from apps.agents.commands import (
    Cancel as Cancel,
)
from apps.agents.commands import (
    Chat as Chat,
)
from apps.agents.commands import (
    Outbound as Outbound,
)
from apps.agents.commands import (
    ProjectStatusSync as ProjectStatusSync,
)
from apps.agents.commands import (
    ProjectUpdate as ProjectUpdate,
)
from apps.agents.commands import (
    SyncProject as SyncProject,
)
from apps.agents.commands import (
    UserFeedback as UserFeedback,
)
from apps.core.events import Struct
from apps.projects import events as p

Key = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._:-]{1,64}$(?!\n)")]
Name = Annotated[str, Meta(min_length=1, max_length=120)]
Short = Annotated[str, Meta(max_length=500)]
Text = Annotated[str, Meta(max_length=32_768)]
Output = Annotated[str, Meta(max_length=262_144)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Money = Annotated[str, Meta(pattern=r"^[0-9]{1,12}(\.[0-9]{1,8})?$(?!\n)")]
Timestamp = Annotated[str, Meta(max_length=40)]
Path = Annotated[str, Meta(min_length=1, max_length=500)]


class Inbound(Struct):
    """Base of what arrives from the agents-server."""


class InStage(Struct):
    """A stage by its ``key``; what is absent stays as it is (or takes a default when the stage is new)."""

    key: Key
    name: Name | None = None
    position: Count | None = None
    status: p.StageStatus | None = None
    progress: Fraction | None = None
    summary: Short | None = None
    failed_reason: Short | None = None


class ProjectStageUpdate(Inbound):
    """``project_stage_update``: make or change a stage."""

    stage: InStage


class ProjectStatusChange(Inbound):
    """``project_status_change``."""

    status: p.ProjectStatus
    reason: Short = ""


class ProjectMessage(Inbound):
    """``project_message``: a system line in the room."""

    content: Text
    message_id: Key | None = None
    format: p.TextFormat = p.TextFormat.MARKDOWN


class AgentMessage(Inbound):
    """``agent_message``: an agent's word to the people; ``question`` marks one that waits for an answer."""

    agent_id: Key
    content: Text
    message_id: Key | None = None
    format: p.TextFormat = p.TextFormat.MARKDOWN
    question: bool = False
    run_id: Key | None = None
    reply_to_id: Key | None = None


class InMail(Struct):
    """One message among agents."""

    id: Key
    from_agent_id: Key
    to_agent_id: Key | None = None
    kind: Annotated[str, Meta(pattern=r"^(query|reply|broadcast)$(?!\n)")] = "query"
    subject: Short = ""
    content: Text = ""


class AgentMessages(Inbound):
    """``agent_messages``."""

    messages: Annotated[list[InMail], Meta(min_length=1, max_length=50)]
    unread: Count = 0


class InAgent(Struct):
    """An agent as it introduces itself."""

    agent_id: Key
    name: Name
    role: Short = ""
    kind: Short = "coder"
    model: Short = ""
    parent_agent_id: Key | None = None
    branch: Short = ""
    workspace: Short = ""
    capabilities: Annotated[list[Short], Meta(max_length=50)] = field(default_factory=list)


class AgentSpawned(Inbound):
    """``agent_spawned``: also for one that comes back (same ``agentId``)."""

    agent: InAgent
    task_id: Key | None = None
    run_id: Key | None = None


class AgentStatusUpdate(Inbound):
    """``agent_status_update``: durable when ``status`` differs from the last one, else the latest of its agent."""

    agent_id: Key
    status: a.AgentStatus
    task_id: Key | None = None
    activity: Short = ""
    progress: Fraction | None = None
    context: a.ContextUse | None = None


class RunStarted(Inbound):
    """``run_started``."""

    run_id: Key
    agent_id: Key
    trigger: a.Trigger = field(default_factory=lambda: a.Trigger(kind="agent"))
    task_id: Key | None = None


class InUsage(Struct):
    """Cumulative use of a run."""

    prompt_tokens: Count = 0
    completion_tokens: Count = 0
    cached_tokens: Count = 0
    total_tokens: Count = 0
    total_cost: Money = "0"
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}$(?!\n)")] = "USD"
    per_model: Annotated[list[a.ModelUse], Meta(max_length=20)] = field(default_factory=list)
    budget: a.Budget | None = None


class Usage(InUsage, kw_only=True):
    """``usage``: replaces what the run reported before."""

    run_id: Key


class Done(Inbound):
    """``done``: ends the run; open calls and texts are closed by AutoCode first."""

    run_id: Key
    status: a.RunStatus
    stop_reason: Short = ""
    error: a.RunError | None = None
    usage: InUsage | None = None
    duration_ms: Count | None = None


class Thinking(Inbound):
    """``thinking``: ``delta`` pieces, then ``final`` with the whole ``content``."""

    message_id: Key
    run_id: Key
    agent_id: Key
    delta: Text | None = None
    content: Text | None = None
    final: bool = False
    redacted: bool = False
    duration_ms: Count | None = None


class RunText(Inbound):
    """``message``: ``op`` start, delta …, end (with the whole ``content``)."""

    message_id: Key
    run_id: Key
    agent_id: Key
    op: Annotated[str, Meta(pattern=r"^(start|delta|end)$(?!\n)")] = "delta"
    role: Annotated[str, Meta(max_length=20)] = "assistant"
    delta: Text | None = None
    content: Text | None = None
    format: p.TextFormat = p.TextFormat.MARKDOWN
    reply_to_id: Key | None = None


class ToolStart(Inbound):
    """``tool_start``. AutoCode computes ``argsDigest`` itself."""

    tool_call_id: Key
    run_id: Key
    agent_id: Key
    tool: Name
    kind: a.ToolKind = a.ToolKind.OTHER
    title: Short = ""
    args: dict[str, Any] = field(default_factory=dict)
    locations: Annotated[list[a.Location], Meta(max_length=50)] = field(default_factory=list)
    risk: a.Risk = a.Risk.UNKNOWN
    approval_id: Key | None = None


class ToolOutput(Inbound):
    """``tool_output``: a piece of a running call's output."""

    tool_call_id: Key
    run_id: Key
    delta: Text


class ToolEnd(Inbound):
    """``tool_end``."""

    tool_call_id: Key
    run_id: Key
    status: a.ToolStatus
    result: Output = ""
    error: a.RunError | None = None
    diff: a.Diff | None = None
    duration_ms: Count = 0


class ApprovalNeeded(Inbound):
    """``approval_needed``: AutoCode computes ``argsDigest``; no ``expiresInS`` means that it waits for ever."""

    approval_id: Key
    agent_id: Key
    run_id: Key | None = None
    tool_call_id: Key | None = None
    kind: a.ApprovalKind = a.ApprovalKind.TOOL
    title: Short = ""
    tool: Short = ""
    args: dict[str, Any] = field(default_factory=dict)
    diff: a.Diff | None = None
    risk: a.Risk = a.Risk.UNKNOWN
    reasons: Annotated[list[Short], Meta(max_length=20)] = field(default_factory=list)
    allowed: Annotated[list[Annotated[str, Meta(pattern=r"^(approve|reject|edit)$(?!\n)")]], Meta(max_length=3)] = (
        field(default_factory=lambda: ["approve", "reject"])
    )
    options: Annotated[list[a.ApprovalOption], Meta(max_length=10)] = field(default_factory=list)
    required_role: Annotated[str, Meta(pattern=r"^(contributor|approver|maintainer|owner)$(?!\n)")] = "approver"
    quorum: Annotated[int, Meta(ge=1, le=10)] = 1
    expires_in_s: Annotated[int, Meta(ge=1, le=2_592_000)] | None = None


class ApprovalResolved(Inbound):
    """``approval_resolved``.

    The agent withdrew it (``cancelled``, ``superseded``) or carried the decision out (``applied``).
    """

    approval_id: Key
    state: Annotated[str, Meta(pattern=r"^(cancelled|superseded|applied)$(?!\n)")]
    reason: Short = ""


class FeedbackResponse(Inbound):
    """``user_feedback_response``: what became of a person's feedback; ``feedbackId`` is AutoCode's."""

    feedback_id: Key
    state: Annotated[str, Meta(pattern=r"^(consumed|applied|rejected|failed)$(?!\n)")]
    by_run_id: Key | None = None
    note: Short = ""
    effects: Annotated[list[a.FeedbackEffect], Meta(max_length=50)] = field(default_factory=list)


class InTask(Struct):
    """A task; ``assigneeAgentId`` is one of the project's agents."""

    task_id: Key
    title: Name
    description: Text = ""
    status: p.TaskStatus = p.TaskStatus.TODO
    priority: p.TaskPriority = p.TaskPriority.NORMAL
    assignee_agent_id: Key | None = None
    depends_on: Annotated[list[Key], Meta(max_length=100)] = field(default_factory=list)
    files: Annotated[list[Path], Meta(max_length=200)] = field(default_factory=list)
    branch: Short = ""


class TaskCreated(Inbound):
    """``task_created``."""

    task: InTask


class TaskChanges(Struct):
    """Fields of a task to change; what is absent stays."""

    title: Name | None = None
    description: Text | None = None
    priority: p.TaskPriority | None = None
    assignee_agent_id: Key | None = None
    depends_on: Annotated[list[Key], Meta(max_length=100)] | None = None
    files: Annotated[list[Path], Meta(max_length=200)] | None = None
    branch: Short | None = None


class TaskUpdated(Inbound):
    """``task_updated``."""

    task_id: Key
    changes: TaskChanges


class TaskStatusChanged(Inbound):
    """``task_status_changed``."""

    task_id: Key
    to: p.TaskStatus
    reason: Short = ""


class TaskDeleted(Inbound):
    """``task_deleted``."""

    task_id: Key


class TasksReset(Inbound):
    """``tasks_reset``: tasks back to ``todo``; no ids means all."""

    task_ids: Annotated[list[Key], Meta(max_length=1000)] = field(default_factory=list)


class InPlan(Struct):
    """A plan. A new ``planId`` supersedes the one before it."""

    plan_id: Key
    title: Name
    items: Annotated[list[p.PlanItem], Meta(max_length=200)]
    format: Annotated[str, Meta(max_length=20)] = "items"
    state: p.PlanState = p.PlanState.DRAFT


class PlanGenerated(Inbound):
    """``plan_generated``."""

    plan: InPlan


class InLock(Struct):
    """One lock that an agent holds."""

    path: Path
    agent_id: Key
    mode: p.LockMode = p.LockMode.EXCLUSIVE
    task_id: Key | None = None
    reason: Short = ""
    expires_in_s: Annotated[int, Meta(ge=1, le=86_400)] | None = None
    waiting_agent_ids: Annotated[list[Key], Meta(max_length=50)] = field(default_factory=list)


class FileLocksUpdate(Inbound):
    """``file_locks_update``: the whole set that agents hold now, also when it is empty."""

    locks: Annotated[list[InLock], Meta(max_length=500)]


class CoordinationUpdate(Inbound):
    """``coordination_update``: the latest picture, not stored."""

    agents: Annotated[list[a.CoordinationAgent], Meta(max_length=200)] = field(default_factory=list)
    edges: Annotated[list[a.CoordinationEdge], Meta(max_length=500)] = field(default_factory=list)
    stats: dict[str, int] = field(default_factory=dict)
    conflicts: Annotated[list[a.Conflict], Meta(max_length=100)] = field(default_factory=list)


class LogLines(Inbound):
    """``log``."""

    level: p.LogLevel
    lines: Annotated[list[Text], Meta(min_length=1, max_length=200)]
    source: Short = "agents-server"
    run_id: Key | None = None
    tool_call_id: Key | None = None


class Notification(Inbound):
    """``notification``: for one member (``username``) or the room."""

    kind: p.NotificationKind
    title: Name
    body: Short = ""
    severity: p.Severity = p.Severity.INFO
    username: Short | None = None
    link: Short = ""
    expires_in_s: Annotated[int, Meta(ge=1, le=2_592_000)] | None = None


class PlatformMessage(Inbound):
    """``platform_message``: the same (platform, channelId, externalId) twice is one message."""

    platform: Name
    channel_id: Name
    external_id: Name
    direction: Annotated[str, Meta(pattern=r"^(in|out)$(?!\n)")]
    author: Name
    content: Text


class StatusReport(Inbound):
    """``status_report``: what the agents-server believes is open; AutoCode turns the differences into events.

    With ``projectGuid``: for that project. ``complete`` says that ``openRunIds`` is the whole truth, so that runs which
    AutoCode still believes open are ended as failed (``stopReason`` ``lost``).
    """

    open_run_ids: Annotated[list[Key], Meta(max_length=1000)] = field(default_factory=list)
    agents: Annotated[list[AgentStatusUpdate], Meta(max_length=200)] = field(default_factory=list)
    complete: bool = True


INBOUND: dict[str, type[Inbound | Usage]] = {
    "project_stage_update": ProjectStageUpdate,
    "project_status_change": ProjectStatusChange,
    "project_message": ProjectMessage,
    "agent_message": AgentMessage,
    "agent_messages": AgentMessages,
    "agent_spawned": AgentSpawned,
    "agent_status_update": AgentStatusUpdate,
    "run_started": RunStarted,
    "done": Done,
    "thinking": Thinking,
    "message": RunText,
    "tool_start": ToolStart,
    "tool_output": ToolOutput,
    "tool_end": ToolEnd,
    "usage": Usage,
    "approval_needed": ApprovalNeeded,
    "approval_resolved": ApprovalResolved,
    "user_feedback_response": FeedbackResponse,
    "task_created": TaskCreated,
    "task_updated": TaskUpdated,
    "task_status_changed": TaskStatusChanged,
    "task_deleted": TaskDeleted,
    "tasks_reset": TasksReset,
    "plan_generated": PlanGenerated,
    "file_locks_update": FileLocksUpdate,
    "coordination_update": CoordinationUpdate,
    "log": LogLines,
    "notification": Notification,
    "platform_message": PlatformMessage,
    "status_report": StatusReport,
}
