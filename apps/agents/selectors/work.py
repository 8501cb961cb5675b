"""Reading runs, calls, approvals and feedback."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from apps.agents import events as a
from apps.agents.models import Agent, Approval, ApprovalRule, Feedback, Run, ToolCall
from apps.agents.wire import approval_view, call_view
from apps.core import clock
from apps.core.errors import NotFound
from apps.projects.models import Membership
from apps.projects.permissions import Role


@dataclass(frozen=True, slots=True)
class CallDetail:
    """A tool call with what the room's events leave out: whole arguments, result (up to 64 KiB) and patch."""

    call: a.ToolCallView
    args: dict[str, Any]
    result: str
    patch: str


@dataclass(frozen=True, slots=True)
class WaitingApproval:
    """A question that the user may answer, and where."""

    guid: str
    project_name: str
    approval: a.ApprovalView


def tool_call_detail(guid: UUID | str, *, run_id: str, tool_call_id: str) -> CallDetail:
    """Return one tool call whole. Raises ``NotFound``. Check the reader's access first."""
    call = (
        ToolCall.objects.filter(project__guid=guid, run__key=run_id, key=tool_call_id)
        .select_related("run__agent")
        .first()
    )
    if call is None:
        raise NotFound("There is no such tool call.")
    return CallDetail(call=call_view(call), args=call.args, result=call.result, patch=call.patch)


def approvals_waiting_for(user_id: UUID | str) -> list[WaitingApproval]:
    """Return the open questions in all projects of the user that the user's role may answer, the oldest first."""
    roles = {
        project_id: Role.from_word(word)
        for project_id, word in Membership.objects.filter(user_id=user_id, user__is_active=True)
        .exclude(project__status="archived")
        .values_list("project_id", "role")
    }
    open_ones = (
        Approval.objects.filter(project_id__in=roles, state=a.ApprovalState.PENDING.value)
        .exclude(expires_at__lte=clock.now())
        .exclude(votes__user_id=user_id)
        .select_related("project")
        .order_by("requested_at")
    )
    return [
        WaitingApproval(guid=str(one.project.guid), project_name=one.project.name, approval=approval_view(one))
        for one in open_ones
        if roles[one.project_id] >= Role.from_word(one.required_role)
    ]


def agents_of(guid: UUID | str) -> QuerySet[Agent]:
    """Return the project's agents, the first one first."""
    return Agent.objects.filter(project__guid=guid).order_by("seq")


def agents_at_work(guids: Collection[UUID]) -> Counter[UUID]:
    """Return how many agents run in each of these projects. One query."""
    running = Agent.objects.filter(project__guid__in=guids, status=a.AgentStatus.RUNNING.value)
    return Counter(running.values_list("project__guid", flat=True))


def runs_of(guid: UUID | str) -> QuerySet[Run]:
    """Return the project's runs, the newest first."""
    return Run.objects.filter(project__guid=guid).select_related("agent").order_by("-seq")


def calls_of(guid: UUID | str) -> QuerySet[ToolCall]:
    """Return the project's tool calls, the newest first."""
    return ToolCall.objects.filter(project__guid=guid).select_related("run__agent").order_by("-seq")


def approvals_of(guid: UUID | str) -> QuerySet[Approval]:
    """Return the project's approvals, the newest first."""
    return Approval.objects.filter(project__guid=guid).order_by("-seq")


def feedback_of(guid: UUID | str) -> QuerySet[Feedback]:
    """Return the project's feedback, the newest first."""
    return Feedback.objects.filter(project__guid=guid).order_by("-seq")


def standing_approvals_of(guid: UUID | str) -> QuerySet[ApprovalRule]:
    """Return the rules that still answer for people, the newest first."""
    rules = ApprovalRule.objects.filter(project__guid=guid, revoked_at=None, expires_at__gt=clock.now())
    return rules.order_by("-created_at")
