"""Who belongs to a project."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api.openapi import IDEMPOTENCY_KEY
from apps.core import clock
from apps.projects.api.base import PAGE, ROOM, WRITE, RoomEndpoint, described, in_path
from apps.projects.api.bodies import MemberView, NewMember, RoleChange
from apps.projects.models import Membership
from apps.projects.pagination import Page
from apps.projects.permissions import Role
from apps.projects.selectors import lists
from apps.projects.services.members import MembershipService

_USER_ID = in_path("user_id", "The member's ``userId``.")


class MembersEndpoint(RoomEndpoint):
    """The members."""

    @described("listMembers", returns=Page[MemberView], errors=(400, *ROOM), parameters=PAGE)
    def get(self, request: Request, guid: str) -> Response:
        """List the members, the first one first."""
        return self.page(lists.members(self.access(guid, "member.view").project_id), member_view, order=("id",))

    @described("addMember", takes=NewMember, returns=MemberView, status=201, errors=WRITE, parameters=[IDEMPOTENCY_KEY])
    def post(self, request: Request, guid: str) -> Response:
        """Add a person (maintainers; owners are added by owners)."""
        access = self.access(guid, "member.manage")
        new = self.body(NewMember)
        service = MembershipService(self.actor)
        return self.carry_out(
            lambda: member_view(service.add(guid=access.guid, username=new.username, role=Role.from_word(new.role))),
            status=201,
        )


class MemberEndpoint(RoomEndpoint):
    """One member."""

    @described("changeRole", takes=RoleChange, returns=MemberView, errors=WRITE, parameters=[_USER_ID, IDEMPOTENCY_KEY])
    def patch(self, request: Request, guid: str, user_id: str) -> Response:
        """Give a member another role; a project keeps at least one owner."""
        access, member = self.access(guid, "member.manage"), self.user_id(user_id)
        role = Role.from_word(self.body(RoleChange).role)
        service = MembershipService(self.actor)
        return self.carry_out(lambda: member_view(service.change_role(guid=access.guid, user_id=member, role=role)))

    @described("removeMember", status=204, errors=WRITE, parameters=[_USER_ID, IDEMPOTENCY_KEY])
    def delete(self, request: Request, guid: str, user_id: str) -> Response:
        """Remove a member, or leave when it is me; a project keeps at least one owner."""
        access, member = self.access(guid), self.user_id(user_id)
        service = MembershipService(self.actor)
        return self.carry_out(lambda: service.remove(guid=access.guid, user_id=member), status=204)


def member_view(membership: Membership) -> MemberView:
    """Return the member as shown; needs ``membership.user``."""
    user = membership.user
    return MemberView(
        user_id=str(user.pk),
        username=user.get_username(),
        name=user.shown_name,
        role=membership.role,
        since=clock.to_wire(membership.created_at),
    )
