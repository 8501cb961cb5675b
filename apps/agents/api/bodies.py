"""What the REST API takes and gives of agents, beyond the views of the wire. Limits are those of the services."""

from __future__ import annotations

import datetime as dt
import enum
from typing import Annotated, Any

from msgspec import Meta, field

from apps.agents import events as a
from apps.agents.fold import TotalUsage
from apps.core.events import Struct
from apps.projects.api.bodies import Key, Reason
from apps.projects.events import AttachmentView, NotificationView
from apps.projects.services.messages import LONGEST

Text = Annotated[str, Meta(min_length=1, max_length=LONGEST)]


class OnBusy(enum.StrEnum):
    """What happens when the agent is busy."""

    REJECT = "reject"
    QUEUE = "queue"
    INTERRUPT = "interrupt"
    STEER = "steer"


class CancelMode(enum.StrEnum):
    """Whether a run may finish its step."""

    SOFT = "soft"
    HARD = "hard"


class Decision(enum.StrEnum):
    """The answers that an approval may allow."""

    APPROVE = "approve"
    REJECT = "reject"
    EDIT = "edit"


class RuleScope(enum.StrEnum):
    """How long a consent is remembered."""

    ONCE = "once"
    RUN = "run"
    PROJECT = "project"


class RuleMatch(enum.StrEnum):
    """What a remembered consent covers."""

    TOOL = "tool"
    EXACT = "exact"


class ChatMessage(Struct):
    """Something to say in the room and to ``agentId`` (left out: whoever answers)."""

    message: Text
    agent_id: Key | None = None
    reply_to_id: Key | None = None
    on_busy: OnBusy = OnBusy.QUEUE
    attachments: Annotated[list[AttachmentView], Meta(max_length=10)] = []
    message_id: Key | None = None


class CancelRequest(Struct):
    """How to stop, and why."""

    mode: CancelMode = CancelMode.SOFT
    reason: Reason = ""


class CancelManyRequest(CancelRequest):
    """Which runs to stop: those of ``agentId``, or (left out) all of the project."""

    agent_id: Key | None = None


class CancelAnswer(Struct):
    """Whether the agents were asked now; false when they had been asked before. The run's ``done`` comes from them."""

    asked: bool


class RememberWish(Struct):
    """Have the next ones decided alike. ``ttlS``: seconds, 30 days at most."""

    scope: RuleScope = RuleScope.ONCE
    match: RuleMatch = RuleMatch.TOOL
    ttl_s: Annotated[int, Meta(ge=1, le=30 * 24 * 3600)] | None = None


class DecisionRequest(Struct):
    """A decision about the arguments with this digest."""

    decision: Decision
    args_digest: Annotated[str, Meta(min_length=1, max_length=80)]
    edited_args: dict[str, Any] | None = None
    reason: Reason = ""
    remember: RememberWish | None = None


class NewFeedback(Struct):
    """Feedback to the agents. ``rating`` -1, 0 or 1; ``expiresAt`` in the future."""

    content: Text
    target: a.FeedbackTarget = field(default_factory=a.FeedbackTarget)
    mode: a.FeedbackMode = a.FeedbackMode.STEER
    rating: Annotated[int, Meta(ge=-1, le=1)] | None = None
    expires_at: Annotated[dt.datetime, Meta(tz=True)] | None = None
    feedback_id: Key | None = None


class ToolCallDetail(Struct):
    """A tool call with what the room's events leave out: whole arguments, result (up to 64 KiB) and patch."""

    call: a.ToolCallView
    args: dict[str, Any]
    result: str
    patch: str


class RuleView(Struct):
    """A remembered consent that still answers for people. ``runId`` null: for the whole project."""

    rule_id: str
    by: dict[str, Any]
    kind: a.ApprovalKind
    tool: str
    run_id: str | None
    exact: bool
    expires_at: str | None
    created_at: str


class RunningUsage(Struct):
    """What an open run used so far."""

    run_id: str
    usage: a.UsageTotals


class UsageReport(Struct):
    """The sum over all ended runs, and the open ones."""

    total: TotalUsage
    running: list[RunningUsage]


class InboxApproval(Struct):
    """A question that waits for me, and where."""

    project_guid: str
    project_name: str
    approval: a.ApprovalView


class InboxNotification(Struct):
    """A notice for me, and where."""

    project_guid: str
    project_name: str
    notification: NotificationView


class Inbox(Struct):
    """What needs me, across my projects: the oldest question first, the newest notice first."""

    approvals: list[InboxApproval]
    notifications: list[InboxNotification]
