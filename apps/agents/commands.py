"""What AutoCode tells the agents-server: one struct for each type. Pure; published with ``link/messages.py``."""

from __future__ import annotations

from typing import Any

from msgspec import field

from apps.agents import events as a
from apps.core.events import Struct
from apps.projects import events as p


class Outbound(Struct):
    """Base of what AutoCode sends; each is an outbox row, its ``id`` on the envelope is the outbox id."""


class ProjectUpdate(Outbound):
    """``project_update``: the project as it is now; a newer one may replace it while the link is down.

    Sent when a project starts, changes, or its tasks were changed by people. ``tasks`` is the whole board but for
    ``tasksLeftOut`` tasks that the frame has no room for.
    An agents-server begins to work on a project when ``project.status`` is ``inProgress``.
    """

    project: p.ProjectView
    tasks: list[p.TaskView] = field(default_factory=list)
    tasks_left_out: int = 0


class UserFeedback(Outbound):
    """``user_feedback``."""

    feedback_id: str
    author: p.ActorRef
    content: str
    target: a.FeedbackTarget
    mode: a.FeedbackMode
    rating: int | None
    created_at: str
    expires_at: str | None


class Chat(Outbound):
    """``chat``: a person's message; ``agentId`` null means whoever answers.

    ``onBusy`` reject, queue, interrupt or steer.
    """

    message_id: str
    author: p.ActorRef
    content: str
    agent_id: str | None = None
    reply_to_id: str | None = None
    on_busy: str = "queue"
    attachments: list[p.AttachmentView] = field(default_factory=list)


class Cancel(Outbound):
    """``cancel``: a run, an agent's run, or (both null) every run of the project. ``mode`` soft or hard."""

    by: p.ActorRef
    run_id: str | None = None
    agent_id: str | None = None
    mode: str = "soft"
    reason: str = ""


class ApprovalResponse(Outbound):
    """``approval_response``.

    ``decision`` approve, reject, edit, or expired; ``argsDigest`` is that of the decided arguments.
    """

    approval_id: str
    decision: str
    args_digest: str
    source: str
    run_id: str | None = None
    tool_call_id: str | None = None
    by: p.ActorRef | None = None
    reason: str = ""
    edited_args: dict[str, Any] | None = None


class SyncProject(Struct):
    """What AutoCode believes is open in one project."""

    guid: str
    status: p.ProjectStatus
    open_run_ids: list[str]
    pending_approval_ids: list[str]


class ProjectStatusSync(Outbound):
    """``project_status_sync``: on every connect and every few minutes; the answer is ``status_report``s."""

    projects: list[SyncProject]


OUTBOUND: dict[str, type[Outbound]] = {
    "project_update": ProjectUpdate,
    "user_feedback": UserFeedback,
    "chat": Chat,
    "cancel": Cancel,
    "approval_response": ApprovalResponse,
    "project_status_sync": ProjectStatusSync,
}
