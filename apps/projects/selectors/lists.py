"""What the REST API lists of one project, as querysets that pages are cut from. The caller has checked the access."""

from __future__ import annotations

from uuid import UUID

from django.db.models import Q, QuerySet

from apps.core.errors import NotFound
from apps.projects.models import FileLock, Membership, Message, Notification, Plan, Project, Stage, Task


def project(project_id: UUID) -> Project:
    """Return the project. Raises ``NotFound`` when it went in the meantime."""
    found = Project.objects.filter(pk=project_id).first()
    if found is None:
        raise NotFound
    return found


def memberships_with_projects(user_id: UUID | str) -> QuerySet[Membership]:
    """Return the user's memberships with their projects."""
    return Membership.objects.filter(user_id=user_id).select_related("project")


def members(project_id: UUID) -> QuerySet[Membership]:
    """Return the memberships with their users; who is switched off is not shown."""
    return Membership.objects.filter(project_id=project_id, user__is_active=True).select_related("user")


def stages(project_id: UUID) -> QuerySet[Stage]:
    """Return the stages."""
    return Stage.objects.filter(project_id=project_id)


def messages(project_id: UUID, *, before: int | None = None) -> QuerySet[Message]:
    """Return the messages, those older than the event ``before`` when it is given."""
    found = Message.objects.filter(project_id=project_id)
    return found if before is None else found.filter(seq__lt=before)


def message(project_id: UUID, message_id: str) -> Message:
    """Return the message of that id on the wire. Raises ``NotFound``."""
    found = Message.objects.filter(project_id=project_id, key=message_id).first()
    if found is None:
        raise NotFound
    return found


def tasks(project_id: UUID) -> QuerySet[Task]:
    """Return the tasks of the board."""
    return Task.objects.filter(project_id=project_id)


def task(project_id: UUID, task_id: str) -> Task:
    """Return the task of that id on the wire. Raises ``NotFound``."""
    found = Task.objects.filter(project_id=project_id, key=task_id).first()
    if found is None:
        raise NotFound
    return found


def plans(project_id: UUID) -> QuerySet[Plan]:
    """Return the plans."""
    return Plan.objects.filter(project_id=project_id)


def locks(project_id: UUID) -> QuerySet[FileLock]:
    """Return the file locks."""
    return FileLock.objects.filter(project_id=project_id)


def notifications(project_id: UUID, *, user_id: UUID | str) -> QuerySet[Notification]:
    """Return the room's notifications and those for this person."""
    return Notification.objects.filter(Q(user_id=user_id) | Q(user=None), project_id=project_id)


def notifications_for(user_id: UUID | str) -> QuerySet[Notification]:
    """Return what was addressed to this person in the projects where they are a member now."""
    return Notification.objects.filter(user_id=user_id, project__memberships__user_id=user_id).select_related("project")
