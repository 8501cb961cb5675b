"""What follows from the room's events, in their transaction: the agents-server learns it, people are notified."""

from __future__ import annotations

import re
from typing import Any

from apps.agents.services.outbox import enqueue_project_update
from apps.core.actor import AGENTS_SERVER, SYSTEM, ActorKind
from apps.core.events import Payload
from apps.projects.events import AgentMessage, MessageKind, NotificationKind, ProjectMessage, ProjectStatus
from apps.projects.models import Membership
from apps.projects.services.log import ProjectLog
from apps.projects.services.notifications import NotificationService

TOLD = frozenset(
    {
        "project_updated",
        "project_status_change",
        "task_created",
        "task_updated",
        "task_deleted",
        "task_status_changed",
        "tasks_reset",
    }
)
"""Events after which the agents-server's picture of a project is out of date."""

MENTIONS = 10
"""People notified by one message."""
_MENTION = re.compile(r"(?<![\w@.+-])@([\w.@+-]{1,150})")


def tell_agents(*, log: ProjectLog, event: Any, payload: Payload, **_: Any) -> None:
    """Promise the agents-server the new picture, unless it caused the change itself or the project never started."""
    if event.type not in TOLD or log.actor == AGENTS_SERVER or log.actor.kind is ActorKind.AGENT:
        return
    if log.project.status == ProjectStatus.DRAFT.value and event.type != "project_status_change":
        return
    enqueue_project_update(log)


def notify_mentioned(*, log: ProjectLog, payload: Payload, **_: Any) -> None:
    """Notify the members whom a person's or an agent's message names."""
    if isinstance(payload, ProjectMessage):
        if payload.kind is not MessageKind.USER:
            return
    elif not isinstance(payload, AgentMessage):
        return
    if "@" not in payload.content:
        return
    named = dict.fromkeys(name.rstrip(".") for name in _MENTION.findall(payload.content))
    own = log.actor
    for username in list(named)[:MENTIONS]:
        user_id = _member(log, username)
        if user_id is not None and user_id != own.id:
            NotificationService(SYSTEM).notify(
                guid=log.project.guid,
                kind=NotificationKind.MENTION,
                title=f"{payload.author.name} mentioned you"[:200],
                body=payload.content[:500],
                user_id=user_id,
                link=f"#message-{payload.message_id}",
            )


def _member(log: ProjectLog, username: str) -> str | None:
    found = Membership.objects.filter(project=log.project, user__username=username, user__is_active=True)
    user_id = found.values_list("user_id", flat=True).first()
    return None if user_id is None else str(user_id)
