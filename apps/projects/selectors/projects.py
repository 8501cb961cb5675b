"""Lists for people: their projects, a project's members, its messages."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Prefetch, QuerySet

from apps.core.errors import NotFound
from apps.projects.models import Membership, Message, Project, Stage
from apps.projects.permissions import Role


@dataclass(frozen=True, slots=True)
class ProjectCard:
    """One line of a person's project list. ``unread`` counts log events since the person last read."""

    project: Project
    stages: Sequence[Stage]
    role: Role
    unread: int


def projects_of(user_id: UUID | str) -> QuerySet[Project]:
    """Return the projects in which the user is a member."""
    return Project.objects.filter(memberships__user_id=user_id)


def projects_for(user_id: UUID | str) -> list[ProjectCard]:
    """Return the user's projects, the most recently changed first. Two queries."""
    memberships = (
        Membership.objects.filter(user_id=user_id)
        .select_related("project")
        .prefetch_related(Prefetch("project__stages", queryset=Stage.objects.order_by("position", "id")))
        .order_by("-project__updated_at")
    )
    return [
        ProjectCard(
            project=membership.project,
            stages=list(membership.project.stages.all()),
            role=Role.from_word(membership.role),
            unread=max(0, membership.project.last_seq - membership.read_seq),
        )
        for membership in memberships
    ]


def members_of(guid: UUID | str) -> QuerySet[Membership]:
    """Return the project's memberships with their users."""
    return Membership.objects.filter(project__guid=guid).select_related("user")


def messages_of(guid: UUID | str) -> QuerySet[Message]:
    """Return the project's messages, the newest first."""
    return Message.objects.filter(project__guid=guid).order_by("-seq")


def active_guids() -> list[str]:
    """Return the public keys of all projects that are not archived."""
    return [str(guid) for guid in Project.objects.exclude(status="archived").values_list("guid", flat=True)]


def existing_guids(guids: Collection[UUID]) -> set[UUID]:
    """Return those of ``guids`` that are projects. One query."""
    return set(Project.objects.filter(guid__in=guids).values_list("guid", flat=True))


def project_of(project_id: UUID) -> Project:
    """Return the project. Raises ``NotFound``. Check the reader's access first."""
    found = Project.objects.filter(pk=project_id).first()
    if found is None:
        raise NotFound
    return found


def status_of(guid: UUID | str) -> str | None:
    """Return the project's status, or None when there is no such project. One query."""
    return Project.objects.filter(guid=guid).values_list("status", flat=True).first()
