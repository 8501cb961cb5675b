"""Projects: my list, one project, its status, how far I have read it."""

from __future__ import annotations

from uuid import UUID

import msgspec
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api.openapi import IDEMPOTENCY_KEY
from apps.accounts.api.structs import to_json
from apps.projects.api.base import PAGE, ROOM, WRITE, RoomEndpoint, WritingEndpoint, described
from apps.projects.api.bodies import (
    NewProject,
    ProjectCardView,
    ProjectChange,
    ProjectDetail,
    ReadCursor,
    ReadTo,
    StatusChange,
)
from apps.projects.api.shown import given
from apps.projects.events import ProjectView
from apps.projects.models import Membership
from apps.projects.pagination import Page, page_of
from apps.projects.permissions import permissions_of
from apps.projects.selectors import lists
from apps.projects.selectors.access import access_to
from apps.projects.services.members import MembershipService
from apps.projects.services.projects import ProjectService
from apps.projects.wire import project_view


class ProjectsEndpoint(WritingEndpoint):
    """My projects."""

    @described("listProjects", returns=Page[ProjectCardView], errors=(400,), parameters=PAGE)
    def get(self, request: Request) -> Response:
        """List the projects in which I am a member, the newest membership first."""
        rows = lists.memberships_with_projects(self.user.pk)
        return page_of(rows, request, order=("-id",), shown=lambda row: to_json(_card(row)))

    @described(
        "createProject",
        takes=NewProject,
        returns=ProjectDetail,
        status=201,
        errors=(409,),
        parameters=[IDEMPOTENCY_KEY],
    )
    def post(self, request: Request) -> Response:
        """Make a project; I become its owner."""
        new = self.body(NewProject)

        def make() -> ProjectDetail:
            project = ProjectService(self.actor).create(**msgspec.structs.asdict(new))
            return _detail(self.user.pk, project.guid)

        return self.carry_out(make, status=201)


class ProjectEndpoint(RoomEndpoint):
    """One project."""

    @described("getProject", returns=ProjectDetail, errors=ROOM)
    def get(self, request: Request, guid: str) -> Response:
        """Return the project and my place in it."""
        return self.answer(_detail(self.user.pk, guid))

    @described("updateProject", takes=ProjectChange, returns=ProjectView, errors=WRITE, parameters=[IDEMPOTENCY_KEY])
    def patch(self, request: Request, guid: str) -> Response:
        """Change name, description or brief (maintainers)."""
        access = self.access(guid, "project.update")
        change = self.body(ProjectChange)
        service = ProjectService(self.actor)
        return self.carry_out(lambda: project_view(service.update(guid=access.guid, **given(change))))


class ProjectStatusEndpoint(RoomEndpoint):
    """Where a project stands."""

    @described("setProjectStatus", takes=StatusChange, returns=ProjectView, errors=WRITE, parameters=[IDEMPOTENCY_KEY])
    def post(self, request: Request, guid: str) -> Response:
        """Start, pause, finish, cancel (maintainers) or archive a project (owners). The same status changes nothing."""
        access = self.access(guid, "project.set_status")
        wish = self.body(StatusChange)
        service = ProjectService(self.actor)
        return self.carry_out(
            lambda: project_view(service.set_status(guid=access.guid, status=wish.status, reason=wish.reason))
        )


class ReadEndpoint(RoomEndpoint):
    """How far I have read."""

    @described("markRead", takes=ReadTo, returns=ReadCursor, errors=WRITE, parameters=[IDEMPOTENCY_KEY])
    def post(self, request: Request, guid: str) -> Response:
        """Move my read cursor forward; it never goes back and never beyond the log."""
        access = self.access(guid, "project.mark_read")
        to = self.body(ReadTo)
        service = MembershipService(self.actor)
        return self.carry_out(lambda: ReadCursor(read_seq=service.mark_read(guid=access.guid, seq=to.seq)))


def _card(membership: Membership) -> ProjectCardView:
    project = membership.project
    return ProjectCardView(
        project=project_view(project),
        role=membership.role,
        unread=max(0, project.last_seq - membership.read_seq),
        read_seq=membership.read_seq,
        last_seq=project.last_seq,
    )


def _detail(user_id: UUID, guid: UUID | str) -> ProjectDetail:
    access = access_to(str(user_id), guid)
    return ProjectDetail(
        project=project_view(lists.project(access.project_id)),
        role=access.role.word,
        permissions=permissions_of(access.role),
        epoch=access.position.epoch,
        last_seq=access.position.last_seq,
        read_seq=access.read_seq,
    )
