"""A project's part of the room's snapshot."""

from __future__ import annotations

from typing import Any

from apps.projects.models import FileLock, Message, Notification, Plan, Project, Stage, Task
from apps.projects.wire import (
    lock_view,
    message_view,
    notification_view,
    plan_view,
    project_view,
    stage_view,
    task_view,
)


def project_part(project: Project, *, messages: int, notifications: int) -> dict[str, Any]:
    """Return the snapshot's fields that this app owns, as views, exact at the moment of reading.

    ``messages`` and ``notifications`` are how many of the newest to take. Call it inside the transaction that reads
    ``last_seq``.
    """
    plan = Plan.objects.filter(project=project).order_by("-seq").first()
    newest = Message.objects.filter(project=project).order_by("-seq")[:messages]
    notes = Notification.objects.filter(project=project).order_by("-seq")[:notifications]
    stages = [stage_view(stage) for stage in Stage.objects.filter(project=project)]
    return {
        "project": project_view(project),
        "stages": sorted(stages, key=lambda stage: (stage.position, stage.stage_id)),
        "messages": [message_view(message) for message in reversed(newest)],
        "tasks": [task_view(task) for task in Task.objects.filter(project=project).order_by("position", "number")],
        "plan": plan_view(plan) if plan else None,
        "locks_version": project.locks_version,
        "locks": [lock_view(lock) for lock in FileLock.objects.filter(project=project)],
        "notifications": [notification_view(note) for note in reversed(notes)],
    }
