"""Agents, what they do and what they used; my inbox."""

from __future__ import annotations

import enum
from typing import TypeVar

from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api.base import Endpoint
from apps.agents import events as a
from apps.agents.api.bodies import (
    Inbox,
    InboxApproval,
    InboxNotification,
    RunningUsage,
    ToolCallDetail,
    UsageReport,
)
from apps.agents.selectors.link import link_view
from apps.agents.selectors.usage import running_usage, total_usage
from apps.agents.selectors.work import agents_of, approvals_waiting_for, runs_of, tool_call_detail
from apps.agents.wire import agent_view, run_view
from apps.core.errors import InvalidField
from apps.projects.api.base import PAGE, ROOM, RoomEndpoint, described, in_path, query
from apps.projects.pagination import Page
from apps.projects.selectors.lists import notifications_for
from apps.projects.wire import notification_view

INBOX = 50
"""Notifications that the inbox holds; older ones are found in their rooms."""

E = TypeVar("E", bound=enum.StrEnum)


def word(text: str | None, kind: type[E], field: str) -> E | None:
    """Return a query parameter as one of ``kind``, or None when it is absent. Raises ``InvalidField``."""
    if text is None:
        return None
    try:
        return kind(text)
    except ValueError:
        raise InvalidField(f"One of {', '.join(kind)}.", field=field) from None


class AgentsEndpoint(RoomEndpoint):
    """The agents."""

    @described("listAgents", returns=Page[a.AgentView], errors=(400, *ROOM), parameters=PAGE)
    def get(self, request: Request, guid: str) -> Response:
        """List the agents of the project, the first one first."""
        return self.page(agents_of(self.access(guid).guid), agent_view, order=("seq", "id"))


class RunsEndpoint(RoomEndpoint):
    """The runs."""

    @described(
        "listRuns",
        returns=Page[a.RunView],
        errors=(400, *ROOM),
        parameters=[*PAGE, query("status", {"type": "string", "enum": list(a.RunStatus)}, "Only runs that stand so.")],
    )
    def get(self, request: Request, guid: str) -> Response:
        """List the runs, the newest first."""
        rows = runs_of(self.access(guid).guid)
        status = word(request.query_params.get("status"), a.RunStatus, "status")
        return self.page(rows.filter(status=status.value) if status else rows, run_view, order=("-seq",))


class ToolCallEndpoint(RoomEndpoint):
    """One tool call."""

    @described(
        "getToolCall",
        returns=ToolCallDetail,
        errors=ROOM,
        parameters=[in_path("run_id", "The run's ``runId``."), in_path("tool_call_id", "The call's ``toolCallId``.")],
    )
    def get(self, request: Request, guid: str, run_id: str, tool_call_id: str) -> Response:
        """Return a tool call whole: its arguments, result and patch are cut in the room."""
        found = tool_call_detail(
            self.access(guid).guid, run_id=self.known_id(run_id), tool_call_id=self.known_id(tool_call_id)
        )
        return self.answer(ToolCallDetail(call=found.call, args=found.args, result=found.result, patch=found.patch))


class UsageEndpoint(RoomEndpoint):
    """What it costs."""

    @described("getUsage", returns=UsageReport, errors=ROOM)
    def get(self, request: Request, guid: str) -> Response:
        """Return the tokens and the money that the project's runs used."""
        project_id = self.access(guid).project_id
        running = [RunningUsage(run_id=key, usage=usage) for key, usage in running_usage(project_id).items()]
        return self.answer(UsageReport(total=total_usage(project_id), running=running))


class LinkEndpoint(RoomEndpoint):
    """The link to the agents-server."""

    @described("getLink", returns=a.AgentsLink, errors=ROOM)
    def get(self, request: Request, guid: str) -> Response:
        """Return how the link stands and what of this project waits for it."""
        return self.answer(link_view(self.access(guid).guid))


class InboxEndpoint(Endpoint):
    """What needs me."""

    @described("getInbox", returns=Inbox)
    def get(self, request: Request) -> Response:
        """Return the approvals that I may decide and the notifications for me, across my projects."""
        waiting = [
            InboxApproval(project_guid=one.guid, project_name=one.project_name, approval=one.approval)
            for one in approvals_waiting_for(self.user.pk)
        ]
        notices = [
            InboxNotification(
                project_guid=str(note.project.guid),
                project_name=note.project.name,
                notification=notification_view(note),
            )
            for note in notifications_for(self.user.pk).order_by("-id")[:INBOX]
        ]
        return self.answer(Inbox(approvals=waiting, notifications=notices))
