"""Making projects and changing what they are."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction

from apps.core.actor import ActorKind
from apps.core.errors import Conflict, Forbidden, InvalidField
from apps.core.ids import uuid7
from apps.projects.events import MemberChanged, ProjectStatus, ProjectStatusChange, ProjectUpdated
from apps.projects.models import Membership, Project
from apps.projects.permissions import Role
from apps.projects.services.base import Service, changed, text
from apps.projects.wire import project_view

NAME = 120
DESCRIPTION = 4_000
BRIEF = 20_000

_BY_PEOPLE = frozenset(
    {
        ProjectStatus.IN_PROGRESS,
        ProjectStatus.PAUSED,
        ProjectStatus.DONE,
        ProjectStatus.CANCELLED,
        ProjectStatus.ARCHIVED,
        ProjectStatus.DRAFT,
    }
)


class ProjectService(Service):
    """Creates and changes projects."""

    def create(
        self, *, name: str, description: str = "", brief: str = "", start: bool = False, guid: UUID | None = None
    ) -> Project:
        """Make a project whose owner is the acting person; its log begins with ``project_updated``.

        With ``start`` it is in progress at once, so that the agents begin. ``name`` at most 120 characters. ``guid``:
        for projects that must be found again under a known key (the demo's).
        Raises ``Forbidden`` for an actor who is no person, ``InvalidField``.
        """
        if self.actor.kind is not ActorKind.PERSON:
            raise Forbidden("Projects are made by people.")
        project_id = uuid7()
        with transaction.atomic():
            project = Project.objects.create(
                id=project_id,
                guid=guid or uuid7(),
                name=text(name, field="name", longest=NAME).strip(),
                description=text(description, field="description", longest=DESCRIPTION, blank=True),
                brief=text(brief, field="brief", longest=BRIEF, blank=True),
            )
            owner = Membership.objects.create(project=project, user_id=self.actor.id, role=Role.OWNER.word).user
            with self.log(project.guid) as log:
                log.record(ProjectUpdated(project=project_view(log.project)))
                log.record(MemberChanged(user_id=str(owner.pk), username=owner.get_username(), role=Role.OWNER.word))
                if start:
                    self.set_status(guid=project.guid, status=ProjectStatus.IN_PROGRESS, reason="")
        project.refresh_from_db()
        return project

    def update(
        self,
        *,
        guid: UUID | str,
        name: str | None = None,
        description: str | None = None,
        brief: str | None = None,
    ) -> Project:
        """Change name, description or brief; None leaves a field.

        Raises ``InvalidField``, ``Forbidden``, ``NotFound``.
        """
        with self.log(guid) as log:
            log.require("project.update")
            project = log.project
            difference = changed(
                project,
                name=None if name is None else text(name, field="name", longest=NAME).strip(),
                description=None
                if description is None
                else text(description, field="description", longest=DESCRIPTION, blank=True),
                brief=None if brief is None else text(brief, field="brief", longest=BRIEF, blank=True),
            )
            if difference:
                project.save(update_fields=[*difference, "updated_at"])
                log.record(ProjectUpdated(project=project_view(project)))
            return project

    def set_status(self, *, guid: UUID | str, status: ProjectStatus, reason: str = "") -> Project:
        """Move the project to ``status``; the same status again changes nothing.

        People may set draft, inProgress, paused, done, cancelled and (owners) archived; the others are the agents' to
        tell.
        Raises ``InvalidField``, ``Forbidden``, ``NotFound``, ``Conflict`` for an archived project that is not taken
        back by an owner.
        """
        with self.log(guid) as log:
            project = log.project
            previous = ProjectStatus(project.status)
            archiving = ProjectStatus.ARCHIVED in {status, previous}
            if archiving and self.actor.trusted:
                raise Conflict("Only an owner archives a project or takes it back.")
            log.require("project.archive" if archiving else "project.set_status")
            if not self.actor.trusted and status not in _BY_PEOPLE:
                raise InvalidField("People cannot set this status.", field="status")
            reason = text(reason, field="reason", longest=500, blank=True)
            if status is previous:
                return project
            project.status, project.status_reason = status.value, reason
            project.save(update_fields=["status", "status_reason", "updated_at"])
            log.record(ProjectStatusChange(status=status, previous=previous, reason=reason, by=log.author))
            return project
