"""What can happen in a project's room, apart from its agents' runs: the shapes on the wire.

Every payload that changes an entity carries the entity whole (its after-image), so that a client folds an event by
replacing by id. Knows neither Django nor sockets. The field lists are those of the protocol page, section 7.
"""

from __future__ import annotations

import enum
from typing import Any

from msgspec import field

from apps.core.events import EventClass, Payload, Struct, event

DURABLE, LATEST, STREAM = EventClass.DURABLE, EventClass.LATEST, EventClass.STREAM


class ProjectStatus(enum.StrEnum):
    """Where a project stands."""

    DRAFT = "draft"
    IN_PROGRESS = "inProgress"
    WAITING_USER = "waitingUser"
    PAUSED = "paused"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    ARCHIVED = "archived"


class StageStatus(enum.StrEnum):
    """Where a stage stands."""

    PENDING = "pending"
    IN_PROGRESS = "inProgress"
    WAITING_USER = "waitingUser"
    PAUSED = "paused"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"


class TaskStatus(enum.StrEnum):
    """The columns of the task board."""

    TODO = "todo"
    DOING = "doing"
    BLOCKED = "blocked"
    REVIEW = "review"
    DONE = "done"
    CANCELLED = "cancelled"


class TaskPriority(enum.StrEnum):
    """How urgent a task is."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    URGENT = "urgent"


class MessageKind(enum.StrEnum):
    """Who speaks in a message."""

    USER = "user"
    AGENT = "agent"
    SYSTEM = "system"


class MessageSource(enum.StrEnum):
    """By which event a message came into the room; the page draws each in its own way."""

    PROJECT = "project_message"
    AGENT = "agent_message"
    TEXT = "message"
    THINKING = "thinking"
    PLATFORM = "platform_message"


class TextFormat(enum.StrEnum):
    """How a text is written."""

    MARKDOWN = "markdown"
    TEXT = "text"


class PlanState(enum.StrEnum):
    """The life of a plan."""

    DRAFT = "draft"
    IN_REVIEW = "inReview"
    APPROVED = "approved"
    SUPERSEDED = "superseded"


class LockMode(enum.StrEnum):
    """Whether others may hold a lock on the same path."""

    EXCLUSIVE = "exclusive"
    SHARED = "shared"


class Severity(enum.StrEnum):
    """How loud a notification is."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class NotificationKind(enum.StrEnum):
    """What a notification is about."""

    APPROVAL = "approval"
    MENTION = "mention"
    DONE = "done"
    FAILED = "failed"
    BUDGET = "budget"
    STUCK = "stuck"
    LOCK = "lock"


class LogLevel(enum.StrEnum):
    """Levels of agents' log lines; from ``warning`` up they are durable."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class ActorRef(Struct):
    """An actor as shown: ``kind`` is person, agent or system; ``id`` is a user's UUID or an agent's ``agentId``."""

    kind: str
    id: str
    name: str
    role: str = ""


# --- entities ---------------------------------------------------------------------------------------------------


class ProjectView(Struct):
    """A project as every client sees it. Times are RFC 3339."""

    guid: str
    name: str
    description: str
    brief: str
    status: ProjectStatus
    status_reason: str
    created_at: str


class StageView(Struct):
    """A stage: one chapter of the work. ``progress`` is 0-1."""

    stage_id: str
    key: str
    name: str
    position: int
    status: StageStatus
    progress: float
    summary: str
    failed_reason: str
    started_at: str | None
    finished_at: str | None
    version: int


class AttachmentView(Struct):
    """A reference that came with a chat message. ``url`` is http(s) only."""

    name: str
    url: str


class MessageView(Struct):
    """A finished message, whatever event brought it. ``html`` is safe to insert; empty for plain text."""

    message_id: str
    source: MessageSource
    kind: MessageKind
    author: ActorRef
    content: str
    html: str
    format: TextFormat
    reply_to_id: str | None = None
    run_id: str | None = None
    agent_id: str | None = None
    has_question: bool = False
    waiting_user_response: bool = False
    redacted: bool = False
    duration_ms: int | None = None
    platform: str | None = None
    channel_id: str | None = None
    external_id: str | None = None
    direction: str | None = None
    attachments: list[AttachmentView] = field(default_factory=list)
    at: str = ""
    seq: int = 0
    """Position of the event that brought it; 0 inside that event itself."""


class TaskView(Struct):
    """A work item on the board. ``depends_on`` holds ``taskId``s; ``version`` rises by 1 with each change."""

    task_id: str
    number: int
    title: str
    description: str
    status: TaskStatus
    priority: TaskPriority
    assignee: ActorRef | None
    depends_on: list[str]
    files: list[str]
    branch: str
    position: float
    version: int
    created_at: str
    updated_at: str


class PlanItem(Struct):
    """One step of a plan."""

    key: str
    title: str
    status: str = "pending"
    depends_on: list[str] = field(default_factory=list)


class PlanView(Struct):
    """A plan; a newer one supersedes it."""

    plan_id: str
    version: int
    title: str
    format: str
    items: list[PlanItem]
    state: PlanState
    supersedes: str | None = None
    at: str = ""


class LockWaiter(Struct):
    """Somebody who waits for a lock."""

    kind: str
    id: str
    name: str


class LockView(Struct):
    """A file lock. ``path`` is relative to the workspace."""

    path: str
    mode: LockMode
    holder: ActorRef
    task_id: str | None
    reason: str
    acquired_at: str
    expires_at: str | None
    waiters: list[LockWaiter] = field(default_factory=list)


class LockChange(Struct):
    """What happened to one lock: acquired, released, expired or stolen."""

    path: str
    op: str


class NotificationView(Struct):
    """A notice for one person (``user_id``) or, when that is null, for the room. Addressed, not secret."""

    notification_id: str
    user_id: str | None
    severity: Severity
    kind: NotificationKind
    title: str
    body: str
    link: str
    expires_at: str | None
    at: str = ""
    seq: int = 0


class LogView(Struct):
    """A durable log entry (warning and up)."""

    level: LogLevel
    source: str
    run_id: str | None
    tool_call_id: str | None
    lines: list[str]


# --- events -----------------------------------------------------------------------------------------------------


@event("project_updated", DURABLE)
class ProjectUpdated(Payload):
    """Name, description or brief changed; also the first event of every log."""

    project: ProjectView


@event("project_stage_update", DURABLE, topic="stages")
class ProjectStageUpdate(Payload):
    """A stage was made or changed; ``previous`` is its status before (null for a new one)."""

    stage: StageView
    previous: StageStatus | None = None


@event("project_status_change", DURABLE)
class ProjectStatusChange(Payload):
    """The project's status changed."""

    status: ProjectStatus
    previous: ProjectStatus
    reason: str
    by: ActorRef


@event("project_message", DURABLE, topic="messages")
class ProjectMessage(Payload):
    """A person or the system said something in the room."""

    message_id: str
    kind: MessageKind
    author: ActorRef
    content: str
    html: str
    format: TextFormat
    reply_to_id: str | None = None
    run_id: str | None = None
    agent_id: str | None = None
    has_question: bool = False
    waiting_user_response: bool = False
    attachments: list[AttachmentView] = field(default_factory=list)


@event("agent_message", DURABLE, topic="messages")
class AgentMessage(Payload):
    """An agent's word to the people of the room, outside a token stream."""

    message_id: str
    agent_id: str
    author: ActorRef
    content: str
    html: str
    format: TextFormat
    question: bool = False
    run_id: str | None = None
    reply_to_id: str | None = None


@event("message", STREAM, DURABLE, topic="messages")
class RunText(Payload):
    """An agent's text inside a run: pieces (``op`` start, delta) as a stream, then ``end`` as a durable event.

    ``offset`` is the position of ``delta`` in the text, in code points; a piece with offset 0 replaces what was there.
    All pieces and the end share one ``message_id``.
    """

    message_id: str
    run_id: str
    agent_id: str
    role: str = "assistant"
    op: str = "delta"
    delta: str | None = None
    offset: int = 0
    content: str | None = None
    html: str | None = None
    format: TextFormat = TextFormat.MARKDOWN
    final: bool = False
    reply_to_id: str | None = None
    author: ActorRef | None = None


@event("thinking", STREAM, DURABLE, topic="messages")
class Thinking(Payload):
    """An agent's reasoning: pieces as a stream, then the whole as a durable event (``final``)."""

    message_id: str
    run_id: str
    agent_id: str
    delta: str | None = None
    offset: int = 0
    content: str | None = None
    final: bool = False
    redacted: bool = False
    duration_ms: int | None = None
    author: ActorRef | None = None


@event("platform_message", DURABLE, topic="messages")
class PlatformMessage(Payload):
    """A message mirrored from or to another platform (chat, mail)."""

    message_id: str
    platform: str
    channel_id: str
    external_id: str
    direction: str
    author: ActorRef
    content: str
    html: str


@event("task_created", DURABLE, topic="tasks")
class TaskCreated(Payload):
    """A task appeared on the board."""

    task: TaskView


@event("task_updated", DURABLE, topic="tasks")
class TaskUpdated(Payload):
    """Fields of a task changed; ``changes`` holds only those, ``task`` the whole after-image."""

    task: TaskView
    changes: dict[str, Any]


@event("task_deleted", DURABLE, topic="tasks")
class TaskDeleted(Payload):
    """A task was removed."""

    task_id: str
    number: int
    title: str


@event("task_status_changed", DURABLE, topic="tasks")
class TaskStatusChanged(Payload):
    """A task moved to another column."""

    task_id: str
    from_: TaskStatus = field(name="from")
    to: TaskStatus
    reason: str
    task: TaskView


@event("tasks_reset", DURABLE, topic="tasks")
class TasksReset(Payload):
    """Tasks went back to ``todo``. ``tasks`` are their after-images."""

    scope: str
    count: int
    task_ids: list[str]
    tasks: list[TaskView]


@event("plan_generated", DURABLE, topic="plan")
class PlanGenerated(Payload):
    """A plan was made, changed or approved."""

    plan: PlanView
    supersedes: str | None = None


@event("file_locks_update", DURABLE, topic="locks")
class FileLocksUpdate(Payload):
    """The whole set of locks, also when it becomes empty; ``version`` rises by 1 each time."""

    version: int
    locks: list[LockView]
    changed: list[LockChange]


@event("log", STREAM, DURABLE, topic="logs")
class LogLines(Payload):
    """Lines of an agent's log; durable from warning up."""

    level: LogLevel
    source: str
    lines: list[str]
    run_id: str | None = None
    tool_call_id: str | None = None


@event("notification", DURABLE, topic="notifications")
class Notification(Payload):
    """Something that a person should look at."""

    notification_id: str
    severity: Severity
    kind: NotificationKind
    title: str
    body: str
    link: str
    user_id: str | None = None
    expires_at: str | None = None


@event("member_changed", DURABLE, topic="members")
class MemberChanged(Payload):
    """Somebody joined the project, changed role or was removed (``role`` null)."""

    user_id: str
    username: str
    role: str | None
    previous: str | None = None
