"""Who belongs to a project."""

from __future__ import annotations

from uuid import UUID

from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import F

from apps.accounts import audit
from apps.accounts.audit import Deed
from apps.core.actor import ActorKind
from apps.core.errors import Conflict, InvalidField, NotFound
from apps.projects.events import MemberChanged
from apps.projects.models import Membership, Project
from apps.projects.permissions import Role
from apps.projects.records import AccessChange
from apps.projects.services.base import Service
from apps.projects.services.log import ProjectLog
from apps.projects.signals import access_changed


class MembershipService(Service):
    """Adds, changes and removes members; each change reaches open rooms at once."""

    def add(self, *, guid: UUID | str, username: str, role: Role) -> Membership:
        """Make the active person ``username`` a member.

        Raises ``Conflict`` when already one, ``InvalidField``, ``Forbidden``.
        """
        with self.log(guid) as log:
            self._require(log, role)
            user = (
                get_user_model().objects.filter(username=username, is_active=True, kind=ActorKind.PERSON.value).first()
            )
            if user is None:
                raise InvalidField("There is no such person.", field="username")
            if Membership.objects.filter(project=log.project, user=user).exists():
                raise Conflict("Already a member.")
            membership = Membership.objects.create(project=log.project, user=user, role=role.word)
            self._record(log, membership, role=role.word, previous=None)
            return membership

    def change_role(self, *, guid: UUID | str, user_id: UUID | str, role: Role) -> Membership:
        """Give a member another role. The last owner cannot be demoted (``Conflict``)."""
        with self.log(guid) as log:
            membership = self._member(log, user_id)
            self._require(log, role, Role.from_word(membership.role))
            previous = membership.role
            if previous == role.word:
                return membership
            self._keep_an_owner(log, membership)
            membership.role = role.word
            membership.save(update_fields=["role"])
            self._record(log, membership, role=role.word, previous=previous)
            return membership

    def remove(self, *, guid: UUID | str, user_id: UUID | str) -> None:
        """Remove a member, or leave when it is oneself. The last owner cannot go (``Conflict``)."""
        with self.log(guid) as log:
            membership = self._member(log, user_id)
            if str(membership.user_id) == self.actor.id:
                log.require("member.view")
            else:
                self._require(log, Role.from_word(membership.role))
            self._keep_an_owner(log, membership)
            previous = membership.role
            membership.delete()
            self._record(log, membership, role=None, previous=previous)

    def mark_read(self, *, guid: UUID | str, seq: int) -> int:
        """Move the actor's read cursor forward to ``seq`` (never back, never past the log) and return where it is."""
        membership = (
            Membership.objects.filter(project__guid=guid, user_id=self.actor.id)
            .values_list("pk", "read_seq", "project__last_seq")
            .first()
        )
        if membership is None:
            raise NotFound
        pk, read, last = membership
        if seq < 0:
            raise InvalidField("Positions start at 0.", field="seq")
        target = min(seq, last)
        Membership.objects.filter(pk=pk, read_seq__lt=target).update(read_seq=target)
        return max(read, target)

    def _require(self, log: ProjectLog, *roles: Role) -> None:
        log.require("member.manage_owner" if Role.OWNER in roles else "member.manage")

    def _member(self, log: ProjectLog, user_id: UUID | str) -> Membership:
        try:
            return Membership.objects.select_related("user").get(project=log.project, user_id=user_id)
        except (Membership.DoesNotExist, ValueError):
            raise NotFound from None

    def _keep_an_owner(self, log: ProjectLog, membership: Membership) -> None:
        if membership.role != Role.OWNER.word:
            return
        # One who is switched off can do nothing for the project.
        others = Membership.objects.filter(project=log.project, role=Role.OWNER.word, user__is_active=True)
        if not others.exclude(pk=membership.pk).exists():
            raise Conflict("A project keeps at least one owner.")

    def _record(self, log: ProjectLog, membership: Membership, *, role: str | None, previous: str | None) -> None:
        log.forget_roles()
        Project.objects.filter(pk=log.project.pk).update(access_version=F("access_version") + 1)
        user = membership.user
        log.record(
            MemberChanged(user_id=str(membership.user_id), username=user.get_username(), role=role, previous=previous)
        )
        deed = Deed.MEMBER_REMOVED if role is None else Deed.MEMBER_ADDED if previous is None else Deed.MEMBER_ROLE
        guid = str(log.project.guid)
        audit.account_deed(deed, user, actor=self.actor, project=guid, role=role, previous=previous)
        change = AccessChange(
            user_id=str(membership.user_id),
            guid=guid,
            reason="removed" if role is None else "role",
        )
        transaction.on_commit(lambda: access_changed.send_robust(sender=MembershipService, change=change))
