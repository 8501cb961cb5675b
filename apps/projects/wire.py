"""From rows to the shapes of the wire. Reads only what it is given."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec

from apps.core import clock
from apps.projects import events as e
from apps.projects.models import FileLock, Message, Notification, Plan, Project, Stage, Task


def moment(value: dt.datetime | None) -> str | None:
    """Return a moment in the form of the wire, or None."""
    return clock.to_wire(value) if value else None


def actor_ref(value: dict[str, Any]) -> e.ActorRef:
    """Return a stored actor (``models`` keep it as JSON) as a struct."""
    return msgspec.convert(value, e.ActorRef)


def project_view(project: Project) -> e.ProjectView:
    """Return the project as clients see it."""
    return e.ProjectView(
        guid=str(project.guid),
        name=project.name,
        description=project.description,
        brief=project.brief,
        status=e.ProjectStatus(project.status),
        status_reason=project.status_reason,
        created_at=clock.to_wire(project.created_at),
    )


def stage_view(stage: Stage) -> e.StageView:
    """Return the stage as clients see it."""
    return e.StageView(
        stage_id=str(stage.pk),
        key=stage.key,
        name=stage.name,
        position=stage.position,
        status=e.StageStatus(stage.status),
        progress=stage.progress,
        summary=stage.summary,
        failed_reason=stage.failed_reason,
        started_at=moment(stage.started_at),
        finished_at=moment(stage.finished_at),
        version=stage.version,
    )


def message_view(message: Message) -> e.MessageView:
    """Return the message as clients see it."""
    extra = message.extra
    return e.MessageView(
        message_id=message.key,
        source=e.MessageSource(message.source),
        kind=e.MessageKind(message.kind),
        author=actor_ref(message.author),
        content=message.content,
        html=message.html,
        format=e.TextFormat(message.format),
        reply_to_id=message.reply_to_key or None,
        run_id=message.run_key or None,
        agent_id=message.agent_key or None,
        has_question=message.has_question,
        waiting_user_response=message.waiting_user_response,
        redacted=message.redacted,
        duration_ms=message.duration_ms,
        platform=extra.get("platform"),
        channel_id=extra.get("channelId"),
        external_id=extra.get("externalId"),
        direction=extra.get("direction"),
        attachments=msgspec.convert(extra.get("attachments", []), list[e.AttachmentView]),
        at=clock.to_wire(message.created_at),
        seq=message.seq,
    )


def task_view(task: Task) -> e.TaskView:
    """Return the task as clients see it."""
    return e.TaskView(
        task_id=task.key,
        number=task.number,
        title=task.title,
        description=task.description,
        status=e.TaskStatus(task.status),
        priority=e.TaskPriority(task.priority),
        assignee=actor_ref(task.assignee) if task.assignee else None,
        depends_on=task.depends_on,
        files=task.files,
        branch=task.branch,
        position=task.position,
        version=task.version,
        created_at=clock.to_wire(task.created_at),
        updated_at=clock.to_wire(task.updated_at),
    )


def plan_view(plan: Plan) -> e.PlanView:
    """Return the plan as clients see it."""
    return e.PlanView(
        plan_id=plan.key,
        version=plan.version,
        title=plan.title,
        format=plan.format,
        items=msgspec.convert(plan.items, list[e.PlanItem]),
        state=e.PlanState(plan.state),
        supersedes=plan.supersedes_key or None,
        at=clock.to_wire(plan.at),
    )


def lock_view(lock: FileLock) -> e.LockView:
    """Return the lock as clients see it."""
    return e.LockView(
        path=lock.path,
        mode=e.LockMode(lock.mode),
        holder=actor_ref(lock.holder),
        task_id=lock.task_key or None,
        reason=lock.reason,
        acquired_at=clock.to_wire(lock.acquired_at),
        expires_at=moment(lock.expires_at),
        waiters=msgspec.convert(lock.waiters, list[e.LockWaiter]),
    )


def notification_view(note: Notification) -> e.NotificationView:
    """Return the notification as clients see it."""
    return e.NotificationView(
        notification_id=str(note.pk),
        user_id=str(note.user_id) if note.user_id else None,
        severity=e.Severity(note.severity),
        kind=e.NotificationKind(note.kind),
        title=note.title,
        body=note.body,
        link=note.link,
        expires_at=moment(note.expires_at),
        at=clock.to_wire(note.created_at),
        seq=note.seq,
    )
