"""What the server remembers of a project, as one document on disk. Knows neither sockets nor files of a workspace."""

from __future__ import annotations

from typing import Any

import msgspec


class Doc(msgspec.Struct, kw_only=True):
    """Base of what is kept; unlike the shapes on the wire it may change and grow."""


class StageDoc(Doc):
    """A stage; ``summary`` is shown under its name."""

    key: str
    name: str
    status: str = "pending"
    progress: float = 0.0
    summary: str = ""


class AgentDoc(Doc):
    """An agent; ``held`` means that a person stopped it and nobody has said yet that it may go on."""

    agent_id: str
    name: str
    role: str
    kind: str = "coder"
    status: str = "idle"
    activity: str = ""
    held: bool = False


class Intent(Doc):
    """What a person's words ask for; ``kind`` is one of ``intents.KINDS``."""

    kind: str
    args: dict[str, str] = {}
    text: str = ""


class TaskDoc(Doc):
    """A task. ``step`` is the next step of its script; ``source`` is plan, feedback or person."""

    task_id: str
    title: str
    stage: str
    agent_id: str
    description: str = ""
    status: str = "todo"
    step: int = 0
    round: int = 0
    """How often people reopened it; what was said once in a round is not said again in that round."""
    depends_on: list[str] = []
    files: list[str] = []
    source: str = "plan"
    intent: Intent | None = None
    feedback_id: str | None = None
    reason: str = ""
    effects: list[list[str]] = []
    """(kind, ref, label) of what the task changed."""
    on_board: bool = False
    """AutoCode has shown it to us in a ``project_update``."""
    settled_at: str = ""
    """When we moved it to done; a later change by a person reopens it."""


class RunDoc(Doc):
    """A run that is open: everything that is needed to end it, or to go on with it, in another process."""

    run_id: str
    agent_id: str
    trigger: str
    task_id: str | None = None
    started: float = 0.0
    calls: int = 0
    texts: int = 0
    open_call: str | None = None
    waiting: bool = False
    """It waits for a person and can be continued by another process."""
    stop_reason: str = ""
    """A person stopped it; it must end as cancelled even when the process dies first."""
    prompt_tokens: int = 0
    completion_tokens: int = 0


class ApprovalDoc(Doc):
    """A question for leave; ``state`` is pending, answered, applied or withdrawn."""

    approval_id: str
    run_id: str
    call_id: str | None = None
    args: dict[str, Any] = {}
    state: str = "pending"
    decision: str = ""
    reason: str = ""
    edited_args: dict[str, Any] | None = None


class FeedbackDoc(Doc):
    """A person's feedback; ``state`` is queued, consumed, or how it ended."""

    feedback_id: str
    content: str
    mode: str
    agent_id: str
    author: str
    path: str | None = None
    state: str = "queued"


class ChatDoc(Doc):
    """A person's message that is not answered yet."""

    message_id: str
    content: str
    agent_id: str
    author: str
    author_id: str
    on_busy: str = "queue"
    direct: bool = False
    """It was written to this agent, not to whoever answers."""
    reply_to_id: str | None = None


class QuestionDoc(Doc):
    """A question to the people; ``answer`` empty: nobody has answered."""

    message_id: str
    agent_id: str
    open: bool = True
    answer: str = ""


class PlanDoc(Doc):
    """The plan as it was published last."""

    plan_id: str = "plan"
    title: str = ""
    state: str = ""
    rounds: int = 0
    """How often the people were asked to approve it."""


class ProjectDoc(Doc):
    """All that is remembered of one project."""

    guid: str
    name: str = ""
    brief_text: str = ""
    brief: str = ""
    status: str = "draft"
    """As AutoCode or we said last."""
    status_entry: str | None = None
    """Our last ``project_status_change``, while AutoCode may not know it."""
    started: bool = False
    finished: bool = False
    plan: PlanDoc = msgspec.field(default_factory=PlanDoc)
    stages: dict[str, StageDoc] = {}
    agents: dict[str, AgentDoc] = {}
    tasks: dict[str, TaskDoc] = {}
    runs: dict[str, RunDoc] = {}
    approvals: dict[str, ApprovalDoc] = {}
    feedback: dict[str, FeedbackDoc] = {}
    chats: dict[str, ChatDoc] = {}
    questions: dict[str, QuestionDoc] = {}
    facts: dict[str, str] = {}
    """Values that later steps use: the default width, the last test result, a command's output."""
    renames: list[list[str]] = []
    """(old, new) identifiers; files written later follow them."""
    styles: list[str] = []
    """dataclasses, hints: how files written later must look."""
    edges: dict[str, int] = {}
    """``from>to`` → how many messages."""
    locks_shown: bool = False
    runs_made: int = 0
    notes: int = 0
